"""Auto-enhancement: for whom, what it did, and who may say so."""

import django.db.models.deletion
import django.db.models.functions.datetime
from django.conf import settings
from django.db import migrations, models

import schemaevo.kernel.fields
from schemaevo.kernel.role_grants import grant_to_roles

VIEW = {
    ("fragments", "enhancement", "view_enhancement"),
    ("fragments", "enhancementsetting", "view_enhancementsetting"),
}
SET = {("fragments", "enhancementsetting", "set_enhancement")}


class Migration(migrations.Migration):
    dependencies = [
        ("fragments", "0012_add_dismissals"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
        ("auth", "0012_alter_user_first_name_max_length"),
        ("contenttypes", "0002_remove_content_type_name"),
    ]

    operations = [
        migrations.CreateModel(
            name="Enhancement",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("entity_type", models.CharField(max_length=63, verbose_name="entity type")),
                ("fragment_key", models.TextField(verbose_name="field")),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("promoted", "promoted"),
                            ("waiting", "will be tried again"),
                            ("given_up", "given up"),
                        ],
                        max_length=16,
                        verbose_name="state",
                    ),
                ),
                ("confidence", models.IntegerField(verbose_name="confidence")),
                ("frequency_total", models.BigIntegerField(verbose_name="seen")),
                ("reasons", schemaevo.kernel.fields.ExactJSONField(default=list, verbose_name="reasons")),
                ("attempts", models.IntegerField(default=0, verbose_name="attempts")),
                ("error", models.CharField(blank=True, max_length=200, verbose_name="error")),
                (
                    "tried_at",
                    models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now(), verbose_name="last tried"
                    ),
                ),
                ("next_at", models.DateTimeField(null=True, verbose_name="next")),
                (
                    "promotion",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to="fragments.promotion",
                        verbose_name="promotion",
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
                "verbose_name": "enhancement",
                "verbose_name_plural": "enhancements",
                "db_table": "enhancements",
                "ordering": ["-id"],
                "default_permissions": ("view",),
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("state", "promoted"), _negated=True),
                        fields=("user", "entity_type", "fragment_key"),
                        name="enhancements_open_uq",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(
                                ("next_at__isnull", True), ("promotion__isnull", False), ("state", "promoted")
                            ),
                            models.Q(
                                ("next_at__isnull", False), ("promotion__isnull", True), ("state", "waiting")
                            ),
                            models.Q(
                                ("next_at__isnull", True), ("promotion__isnull", True), ("state", "given_up")
                            ),
                            _connector="OR",
                        ),
                        name="enhancements_state_ck",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="EnhancementSetting",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("entity_type", models.CharField(max_length=63, verbose_name="entity type")),
                (
                    "mode",
                    models.CharField(
                        choices=[("off", "off"), ("suggest", "suggest"), ("auto", "auto")],
                        max_length=16,
                        verbose_name="mode",
                    ),
                ),
                (
                    "set_at",
                    models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now(), verbose_name="set"
                    ),
                ),
                (
                    "set_by",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                        verbose_name="set by",
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
                "verbose_name": "auto-enhancement",
                "verbose_name_plural": "auto-enhancement",
                "db_table": "enhancement_settings",
                "permissions": [("set_enhancement", "Can let schemas grow by themselves, or not")],
                "default_permissions": ("view",),
                "indexes": [
                    models.Index(
                        condition=models.Q(("mode", "auto")),
                        fields=["id"],
                        name="enhancement_settings_auto_ix",
                    )
                ],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("user", "entity_type"), name="enhancement_settings_owner_uq"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("mode__in", ["off", "suggest", "auto"])),
                        name="enhancement_settings_mode_ck",
                    ),
                ],
            },
        ),
        grant_to_roles({"viewer": VIEW, "operator": VIEW, "schema_admin": VIEW | SET}),
    ]
