"""What undeclared fields come to over all owners is added up, and everybody sees it."""

import django.db.models.functions.datetime
from django.db import migrations, models

import schemaevo.kernel.fields
from schemaevo.kernel.role_grants import grant_to_roles

VIEW = {("fragments", "fieldtotal", "view_fieldtotal")}


class Migration(migrations.Migration):
    dependencies = [
        ("fragments", "0020_let_erasures_through"),
        ("auth", "0012_alter_user_first_name_max_length"),
        ("contenttypes", "0002_remove_content_type_name"),
    ]

    operations = [
        migrations.CreateModel(
            name="FieldTotal",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("entity_type", models.CharField(max_length=63, verbose_name="entity type")),
                ("fragment_key", models.TextField(verbose_name="field")),
                ("user_count", models.BigIntegerField(verbose_name="owners")),
                ("sample_count", models.BigIntegerField(verbose_name="values")),
                ("frequency_total", models.BigIntegerField(verbose_name="seen")),
                ("unique_sources", models.BigIntegerField(verbose_name="sources")),
                ("type_counts", schemaevo.kernel.fields.ExactJSONField(default=dict, verbose_name="types")),
                (
                    "format_counts",
                    schemaevo.kernel.fields.ExactJSONField(default=dict, verbose_name="formats"),
                ),
                (
                    "dominant_type",
                    models.CharField(blank=True, max_length=16, verbose_name="type of most"),
                ),
                ("type_consistency", models.IntegerField(verbose_name="share of that type")),
                ("confidence", models.IntegerField(verbose_name="confidence")),
                ("last_seen_at", models.DateTimeField(null=True, verbose_name="last seen")),
                (
                    "counted_at",
                    models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now(), verbose_name="counted"
                    ),
                ),
            ],
            options={
                "verbose_name": "field over all owners",
                "verbose_name_plural": "fields over all owners",
                "db_table": "field_totals",
                "default_permissions": ("view",),
                "indexes": [
                    models.Index(
                        models.OrderBy(models.F("confidence"), descending=True),
                        models.OrderBy(models.F("user_count"), descending=True),
                        models.OrderBy(models.F("id"), descending=True),
                        name="field_totals_best_ix",
                    ),
                    models.Index(
                        models.F("entity_type"),
                        models.OrderBy(models.F("confidence"), descending=True),
                        models.OrderBy(models.F("user_count"), descending=True),
                        models.OrderBy(models.F("id"), descending=True),
                        name="field_totals_type_ix",
                    ),
                    models.Index(
                        fields=["fragment_key"],
                        name="field_totals_name_ix",
                        opclasses=["text_pattern_ops"],
                    ),
                ],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("entity_type", "fragment_key"), name="field_totals_field_uq"
                    )
                ],
            },
        ),
        grant_to_roles(dict.fromkeys(("viewer", "operator", "schema_admin"), VIEW)),
    ]
