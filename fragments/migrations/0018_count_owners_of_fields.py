"""How many owners have an undeclared field is counted day by day; and what began on a day is found by its time."""

import django.db.models.functions.datetime
from django.db import migrations, models

import schemaevo.kernel.fields


class Migration(migrations.Migration):
    dependencies = [
        ("fragments", "0017_count_whatever_is_believed"),
    ]

    operations = [
        migrations.CreateModel(
            name="FieldGrowth",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("entity_type", models.CharField(max_length=63, verbose_name="entity type")),
                ("fragment_key", models.TextField(verbose_name="field")),
                ("owner_count", models.BigIntegerField(verbose_name="owners")),
                (
                    "owners_by_day",
                    schemaevo.kernel.fields.ExactJSONField(default=dict, verbose_name="owners by day"),
                ),
                ("gained_7", models.BigIntegerField(null=True, verbose_name="gained in 7 days")),
                ("gained_30", models.BigIntegerField(null=True, verbose_name="gained in 30 days")),
                ("gained_90", models.BigIntegerField(null=True, verbose_name="gained in 90 days")),
                (
                    "counted_at",
                    models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now(), verbose_name="counted"
                    ),
                ),
            ],
            options={
                "verbose_name": "growth of a field",
                "verbose_name_plural": "growth of fields",
                "db_table": "field_growth",
                "default_permissions": (),
            },
        ),
        migrations.AddIndex(
            model_name="ingestrun",
            index=models.Index(fields=["started_at"], name="ingest_runs_started_ix"),
        ),
        migrations.AddIndex(
            model_name="promotion",
            index=models.Index(fields=["requested_at"], name="promotions_requested_ix"),
        ),
        migrations.AddIndex(
            model_name="fieldgrowth",
            index=models.Index(
                models.OrderBy(models.F("gained_7"), descending=True),
                models.OrderBy(models.F("owner_count"), descending=True),
                models.OrderBy(models.F("id"), descending=True),
                condition=models.Q(("gained_7__gt", 0)),
                name="field_growth_gained_7_ix",
            ),
        ),
        migrations.AddIndex(
            model_name="fieldgrowth",
            index=models.Index(
                models.OrderBy(models.F("gained_30"), descending=True),
                models.OrderBy(models.F("owner_count"), descending=True),
                models.OrderBy(models.F("id"), descending=True),
                condition=models.Q(("gained_30__gt", 0)),
                name="field_growth_gained_30_ix",
            ),
        ),
        migrations.AddIndex(
            model_name="fieldgrowth",
            index=models.Index(
                models.OrderBy(models.F("gained_90"), descending=True),
                models.OrderBy(models.F("owner_count"), descending=True),
                models.OrderBy(models.F("id"), descending=True),
                condition=models.Q(("gained_90__gt", 0)),
                name="field_growth_gained_90_ix",
            ),
        ),
        migrations.AddConstraint(
            model_name="fieldgrowth",
            constraint=models.UniqueConstraint(
                fields=("entity_type", "fragment_key"), name="field_growth_field_uq"
            ),
        ),
    ]
