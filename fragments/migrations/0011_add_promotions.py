"""Promotions, and who may make them."""

import django.db.models.deletion
import django.db.models.functions.datetime
from django.conf import settings
from django.db import migrations, models

import schemaevo.kernel.fields
from schemaevo.kernel.role_grants import grant_to_roles

VIEW = {("fragments", "promotion", "view_promotion")}
PROMOTE = {("fragments", "promotion", "promote_field")}


class Migration(migrations.Migration):
    dependencies = [
        ("fragments", "0010_let_roles_see_verifications"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
        ("auth", "0012_alter_user_first_name_max_length"),
        ("contenttypes", "0002_remove_content_type_name"),
    ]

    operations = [
        migrations.CreateModel(
            name="Promotion",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("entity_type", models.CharField(max_length=63, verbose_name="entity type")),
                ("fragment_key", models.TextField(verbose_name="field")),
                (
                    "declaration",
                    schemaevo.kernel.fields.ExactJSONField(default=dict, verbose_name="declared as"),
                ),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("running", "running"),
                            ("done", "done"),
                            ("undoing", "being undone"),
                            ("undone", "undone"),
                        ],
                        default="running",
                        max_length=16,
                        verbose_name="state",
                    ),
                ),
                (
                    "cause",
                    models.CharField(
                        choices=[("login", "asked for"), ("enhancement", "auto-enhancement")],
                        default="login",
                        max_length=16,
                        verbose_name="cause",
                    ),
                ),
                ("promoted_count", models.BigIntegerField(db_default=0, default=0, verbose_name="promoted")),
                ("misfit_count", models.BigIntegerField(db_default=0, default=0, verbose_name="did not fit")),
                (
                    "requested_at",
                    models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now(), verbose_name="asked for"
                    ),
                ),
                ("finished_at", models.DateTimeField(null=True, verbose_name="finished")),
                ("undone_at", models.DateTimeField(null=True, verbose_name="undone")),
                ("note", models.TextField(blank=True, verbose_name="reason")),
                (
                    "requested_by",
                    models.ForeignKey(
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
                        db_index=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                        verbose_name="owner",
                    ),
                ),
            ],
            options={
                "verbose_name": "promotion",
                "verbose_name_plural": "promotions",
                "db_table": "promotions",
                "ordering": ["-id"],
                "permissions": [("promote_field", "Can promote fields, and undo promotions")],
                "default_permissions": ("view",),
                "indexes": [
                    models.Index(fields=["user", "entity_type", "fragment_key"], name="promotions_field_ix"),
                    models.Index(
                        condition=models.Q(("state__in", ["running", "undoing"])),
                        fields=["entity_type", "user"],
                        name="promotions_live_ix",
                    ),
                ],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("state__in", ["running", "done", "undoing", "undone"])),
                        name="promotions_state_ck",
                    )
                ],
            },
        ),
        grant_to_roles({"viewer": VIEW, "operator": VIEW, "schema_admin": VIEW | PROMOTE}),
    ]
