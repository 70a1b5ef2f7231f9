"""Corrections, and who may make them."""

import django.db.models.deletion
import django.db.models.functions.datetime
from django.conf import settings
from django.db import migrations, models

from schemaevo.kernel.role_grants import grant_to_roles

CORRECT = {("snapshots", "correction", "correct_value")}


class Migration(migrations.Migration):
    dependencies = [
        ("auth", "0012_alter_user_first_name_max_length"),
        ("contenttypes", "0002_remove_content_type_name"),
        ("snapshots", "0005_find_observations_by_source"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]
    operations = [
        migrations.CreateModel(
            name="Correction",
            fields=[
                (
                    "observation",
                    models.OneToOneField(
                        db_constraint=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        primary_key=True,
                        related_name="+",
                        serialize=False,
                        to="snapshots.observation",
                        verbose_name="observation",
                    ),
                ),
                ("field", models.CharField(max_length=128, verbose_name="field")),
                ("reason", models.TextField(verbose_name="reason")),
                (
                    "made_by_name",
                    models.CharField(blank=True, max_length=150, verbose_name="corrected by (name then)"),
                ),
                (
                    "made_at",
                    models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now(), verbose_name="corrected"
                    ),
                ),
                (
                    "entity",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to="snapshots.entitysnapshot",
                        verbose_name="entity",
                    ),
                ),
                (
                    "made_by",
                    models.ForeignKey(
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                        verbose_name="corrected by",
                    ),
                ),
                (
                    "user",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                        verbose_name="owner",
                    ),
                ),
            ],
            options={
                "verbose_name": "correction",
                "verbose_name_plural": "corrections",
                "db_table": "corrections",
                "permissions": [("correct_value", "Can correct a field of an entity, with a reason")],
                "default_permissions": (),
                "indexes": [
                    models.Index(fields=["user", "entity", "-made_at"], name="corrections_entity_ix"),
                ],
            },
        ),
        grant_to_roles({"operator": CORRECT, "schema_admin": CORRECT}),
    ]
