"""Everything that matches a filter is acted on as a whole, and operators archive fragments."""

import django.db.models.deletion
import django.db.models.functions.datetime
from django.conf import settings
from django.db import migrations, models

import schemaevo.kernel.fields
from schemaevo.kernel.role_grants import grant_to_roles

VIEW = {("fragments", "bulkact", "view_bulkact")}
ARCHIVE = {("fragments", "rawfragment", "archive_fragment")}


class Migration(migrations.Migration):
    dependencies = [
        ("fragments", "0021_add_field_totals"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
        ("auth", "0012_alter_user_first_name_max_length"),
        ("contenttypes", "0002_remove_content_type_name"),
    ]

    operations = [
        migrations.AlterModelOptions(
            name="rawfragment",
            options={
                "permissions": [
                    ("restore_fragment", "Can restore fragments that wait for their deletion"),
                    ("archive_fragment", "Can archive fragments"),
                ],
                "verbose_name": "fragment",
                "verbose_name_plural": "fragments",
            },
        ),
        migrations.CreateModel(
            name="BulkAct",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                (
                    "verb",
                    models.CharField(
                        choices=[
                            ("archive", "archive"),
                            ("restore", "restore"),
                            ("promote", "promote"),
                            ("dismiss", "dismiss"),
                            ("snooze", "snooze"),
                        ],
                        max_length=16,
                        verbose_name="what is done",
                    ),
                ),
                (
                    "listed",
                    models.CharField(
                        choices=[("fragments", "fragments"), ("undeclared_fields", "undeclared fields")],
                        max_length=24,
                        verbose_name="list",
                    ),
                ),
                (
                    "filter",
                    schemaevo.kernel.fields.ExactJSONField(blank=True, default=dict, verbose_name="filter"),
                ),
                (
                    "options",
                    schemaevo.kernel.fields.ExactJSONField(blank=True, default=dict, verbose_name="options"),
                ),
                ("reason", models.TextField(verbose_name="reason")),
                (
                    "state",
                    models.CharField(
                        choices=[("running", "running"), ("cancelled", "cancelled"), ("done", "done")],
                        default="running",
                        max_length=16,
                        verbose_name="state",
                    ),
                ),
                ("bound_id", models.BigIntegerField()),
                ("last_id", models.BigIntegerField(db_default=0, default=0)),
                ("asked_count", models.BigIntegerField(verbose_name="matched when asked for")),
                ("is_asked_exact", models.BooleanField(db_default=True, default=True)),
                ("matched_count", models.BigIntegerField(db_default=0, default=0, verbose_name="looked at")),
                ("done_count", models.BigIntegerField(db_default=0, default=0, verbose_name="done")),
                (
                    "skipped",
                    schemaevo.kernel.fields.ExactJSONField(blank=True, default=dict, verbose_name="skipped"),
                ),
                (
                    "refusals",
                    schemaevo.kernel.fields.ExactJSONField(blank=True, default=list, verbose_name="refusals"),
                ),
                (
                    "requested_by_name",
                    models.CharField(max_length=150, verbose_name="asked for by (name then)"),
                ),
                (
                    "requested_at",
                    models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now(), verbose_name="asked for"
                    ),
                ),
                ("finished_at", models.DateTimeField(blank=True, null=True, verbose_name="finished")),
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
                    "resumed_by",
                    models.ForeignKey(
                        blank=True,
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                        verbose_name="resumed by",
                    ),
                ),
            ],
            options={
                "verbose_name": "act in bulk",
                "verbose_name_plural": "acts in bulk",
                "db_table": "bulk_acts",
                "ordering": ["-id"],
                "default_permissions": ("view",),
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("listed", "fragments"), ("verb__in", ["archive", "restore"])),
                            models.Q(
                                ("listed", "undeclared_fields"),
                                ("verb__in", ["promote", "dismiss", "snooze"]),
                            ),
                            _connector="OR",
                        ),
                        name="bulk_acts_verb_ck",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("finished_at__isnull", False), ("state", "done")),
                            models.Q(("finished_at__isnull", True), ("state__in", ["running", "cancelled"])),
                            _connector="OR",
                        ),
                        name="bulk_acts_state_ck",
                    ),
                ],
            },
        ),
        grant_to_roles(dict.fromkeys(("viewer", "operator", "schema_admin"), VIEW)),
        grant_to_roles(dict.fromkeys(("operator", "schema_admin"), ARCHIVE)),
    ]
