"""What nobody wants recommended; everybody sees it, operators dismiss fields, schema admins keep the ignore lists."""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models
from django.db.models.functions import Now

from schemaevo.kernel.role_grants import grant_to_roles

VIEW = {
    ("fragments", "fielddismissal", "view_fielddismissal"),
    ("fragments", "ignoredpattern", "view_ignoredpattern"),
}
DISMISS = {("fragments", "fielddismissal", "dismiss_field")}
IGNORE = {("fragments", "ignoredpattern", "ignore_fields")}


def a_user(what):
    return models.ForeignKey(
        blank=True,
        null=True,
        on_delete=django.db.models.deletion.DO_NOTHING,
        related_name="+",
        to=settings.AUTH_USER_MODEL,
        verbose_name=what,
    )


class Migration(migrations.Migration):
    dependencies = [
        ("fragments", "0011_add_promotions"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
        ("auth", "0012_alter_user_first_name_max_length"),
        ("contenttypes", "0002_remove_content_type_name"),
    ]
    operations = [
        migrations.CreateModel(
            name="FieldDismissal",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("entity_type", models.CharField(max_length=63, verbose_name="entity type")),
                ("fragment_key", models.TextField(verbose_name="field")),
                ("until", models.DateTimeField(blank=True, null=True, verbose_name="until")),
                (
                    "origin",
                    models.CharField(
                        choices=[
                            ("decision", "somebody's decision"),
                            ("undo", "its promotion was undone"),
                        ],
                        default="decision",
                        max_length=16,
                        verbose_name="because of",
                    ),
                ),
                ("reason", models.TextField(blank=True, verbose_name="reason")),
                ("made_by_name", models.CharField(max_length=150, verbose_name="by (name then)")),
                ("made_at", models.DateTimeField(db_default=Now(), verbose_name="since")),
                ("made_by", a_user("by")),
                ("user", a_user("owner")),
            ],
            options={
                "verbose_name": "dismissed field",
                "verbose_name_plural": "dismissed fields",
                "db_table": "field_dismissals",
                "permissions": [("dismiss_field", "Can dismiss and snooze fields that are recommended")],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("user", "entity_type", "fragment_key"),
                        name="field_dismissals_field_uq",
                        nulls_distinct=False,
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="IgnoredPattern",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("entity_type", models.CharField(blank=True, max_length=63, verbose_name="entity type")),
                ("pattern", models.CharField(max_length=256, verbose_name="pattern")),
                ("reason", models.TextField(blank=True, verbose_name="reason")),
                ("made_by_name", models.CharField(max_length=150, verbose_name="by (name then)")),
                ("made_at", models.DateTimeField(db_default=Now(), verbose_name="since")),
                ("made_by", a_user("by")),
                ("user", a_user("owner")),
            ],
            options={
                "verbose_name": "ignored pattern",
                "verbose_name_plural": "ignore list",
                "db_table": "ignored_patterns",
                "permissions": [("ignore_fields", "Can edit the lists of fields that are never recommended")],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("user", "entity_type", "pattern"),
                        name="ignored_patterns_pattern_uq",
                        nulls_distinct=False,
                    )
                ],
            },
        ),
        grant_to_roles({"viewer": VIEW, "operator": VIEW | DISMISS, "schema_admin": VIEW | DISMISS | IGNORE}),
    ]
