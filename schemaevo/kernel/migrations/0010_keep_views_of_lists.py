"""Views of lists that people save, for themselves or for others."""

import django.db.models.deletion
import django.db.models.functions.datetime
from django.conf import settings
from django.db import migrations, models

import schemaevo.kernel.fields


class Migration(migrations.Migration):
    dependencies = [
        ("kernel", "0009_add_erasures"),
    ]

    operations = [
        migrations.CreateModel(
            name="SavedView",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("list_name", models.CharField(max_length=100, verbose_name="list")),
                ("name", models.CharField(max_length=80, verbose_name="name")),
                ("query", schemaevo.kernel.fields.ExactJSONField(verbose_name="filters")),
                (
                    "is_shared",
                    models.BooleanField(db_default=False, default=False, verbose_name="shared"),
                ),
                (
                    "created_at",
                    models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now(),
                        editable=False,
                        verbose_name="saved",
                    ),
                ),
                (
                    "login",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                        verbose_name="whose",
                    ),
                ),
            ],
            options={
                "verbose_name": "saved view",
                "verbose_name_plural": "saved views",
                "db_table": "saved_views",
                "permissions": [("share_view", "Can share a saved view with whoever may see its list")],
                "default_permissions": (),
                "indexes": [
                    models.Index(
                        condition=models.Q(("is_shared", True)),
                        fields=["list_name", "name"],
                        name="saved_views_shared_ix",
                    )
                ],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("login", "list_name", "name"), name="saved_views_name_uq"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("name", ""), _negated=True), name="saved_views_name_ck"
                    ),
                ],
            },
        ),
    ]
