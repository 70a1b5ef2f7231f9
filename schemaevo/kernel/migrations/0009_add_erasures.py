"""Whose data goes, or went, with everything that belongs to it; and what an erasure may touch."""

import django.db.models.deletion
import django.db.models.functions.datetime
from django.conf import settings
from django.db import migrations, models

import schemaevo.kernel.fields
from schemaevo.kernel.sql import RunSQLFile


class Migration(migrations.Migration):
    dependencies = [
        ("kernel", "0008_find_what_needs_somebody"),
    ]

    operations = [
        migrations.CreateModel(
            name="Erasure",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("entity_type", models.CharField(blank=True, max_length=63, verbose_name="entity type")),
                ("entity_id", models.UUIDField(blank=True, null=True, verbose_name="entity")),
                ("reason", models.TextField(verbose_name="reason")),
                (
                    "requested_by_name",
                    models.CharField(max_length=150, verbose_name="asked for by (name then)"),
                ),
                (
                    "requested_at",
                    models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now(),
                        editable=False,
                        verbose_name="asked for",
                    ),
                ),
                ("finished_at", models.DateTimeField(blank=True, null=True, verbose_name="finished")),
                ("names", schemaevo.kernel.fields.ExactJSONField(blank=True, default=list, editable=False)),
                ("targets", schemaevo.kernel.fields.ExactJSONField(blank=True, default=dict, editable=False)),
                (
                    "counts",
                    schemaevo.kernel.fields.ExactJSONField(blank=True, default=dict, verbose_name="rows"),
                ),
                (
                    "requested_by",
                    models.ForeignKey(
                        blank=True,
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                        verbose_name="asked for by",
                    ),
                ),
                (
                    "user",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                        verbose_name="owner",
                    ),
                ),
            ],
            options={
                "verbose_name": "erasure",
                "verbose_name_plural": "erasures",
                "db_table": "erasures",
                "default_permissions": ("view",),
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("entity_id__isnull", True)),
                        fields=("user",),
                        name="erasures_owner_uq",
                    ),
                    models.UniqueConstraint(
                        condition=models.Q(("entity_id__isnull", False), ("finished_at__isnull", True)),
                        fields=("user", "entity_id"),
                        name="erasures_running_uq",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("finished_at__isnull", True),
                            models.Q(("names", []), ("targets", {})),
                            _connector="OR",
                        ),
                        name="erasures_forgotten_ck",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("entity_id__isnull", True), ("entity_type", "")),
                            models.Q(
                                ("entity_id__isnull", False), models.Q(("entity_type", ""), _negated=True)
                            ),
                            _connector="OR",
                        ),
                        name="erasures_entity_ck",
                    ),
                ],
            },
        ),
        RunSQLFile("kernel", "0002_erasures_v1"),
        RunSQLFile("kernel", "0003_audit_events_append_only_v2"),
    ]
