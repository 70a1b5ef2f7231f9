import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

import schemaevo.kernel.fields
from schemaevo.kernel.sql import RunSQLFile

#: The fragments of before have to be counted; where there are none, there is nothing to do. Asked for as the job ledger
#: does it, which code of a later release may do otherwise.
ASK_FOR_REBUILD = """
    INSERT INTO jobs (id, kind, target, queue, state, options, wanted, wanted_seen, done_count, attempts, error)
    SELECT gen_random_uuid(), 'rebuild_aggregates', '', 'lifecycle', 'pending', '{}', 1, 0, 0, 0, ''
     WHERE EXISTS (SELECT FROM raw_fragments)
    ON CONFLICT DO NOTHING
"""

#: They go with their table.
GENERATE = """
    ALTER TABLE raw_fragment_aggregates
      ADD COLUMN dominant_type text NOT NULL
          GENERATED ALWAYS AS (raw_fragment_dominant_type_v1(type_counts)) STORED,
      ADD COLUMN type_consistency integer NOT NULL
          GENERATED ALWAYS AS (raw_fragment_type_consistency_v1(type_counts)) STORED
"""


class Migration(migrations.Migration):
    dependencies = [
        ("fragments", "0008_let_operators_restore"),
        ("kernel", "0001_create_tables"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]
    operations = [
        RunSQLFile("fragments", "0002_counts_v1"),
        migrations.CreateModel(
            name="RawFragmentAggregateSource",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("user_id", models.BigIntegerField()),
                ("entity_type", models.CharField(max_length=63)),
                ("fragment_key", models.TextField()),
                ("source_id", models.UUIDField()),
                ("row_count", models.BigIntegerField()),
            ],
            options={
                "db_table": "raw_fragment_aggregate_sources",
                "default_permissions": (),
                "constraints": [
                    models.UniqueConstraint(
                        fields=("user_id", "entity_type", "fragment_key", "source_id"),
                        name="raw_fragment_aggregate_sources_key_uq",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="RawFragmentAggregate",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("entity_type", models.CharField(max_length=63, verbose_name="entity type")),
                ("fragment_key", models.TextField(verbose_name="field")),
                ("sample_count", models.BigIntegerField(db_default=0, default=0, verbose_name="values")),
                ("frequency_total", models.BigIntegerField(db_default=0, default=0, verbose_name="seen")),
                (
                    "type_counts",
                    schemaevo.kernel.fields.ExactJSONField(db_default={}, default=dict, verbose_name="types"),
                ),
                (
                    "format_counts",
                    schemaevo.kernel.fields.ExactJSONField(
                        db_default={}, default=dict, verbose_name="formats"
                    ),
                ),
                ("unique_sources", models.BigIntegerField(db_default=0, default=0, verbose_name="sources")),
                ("last_seen_at", models.DateTimeField(null=True, verbose_name="last seen")),
                (
                    "sample_values",
                    schemaevo.kernel.fields.ExactJSONField(
                        db_default=[], default=list, verbose_name="samples"
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
                "verbose_name": "undeclared field",
                "verbose_name_plural": "undeclared fields",
                "db_table": "raw_fragment_aggregates",
                "indexes": [
                    models.Index(
                        fields=["entity_type", "fragment_key", "user"], name="raw_fragment_aggregates_by_ix"
                    )
                ],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("user", "entity_type", "fragment_key"), name="raw_fragment_aggregates_key_uq"
                    ),
                ],
            },
        ),
        migrations.RunSQL(
            GENERATE,
            migrations.RunSQL.noop,
            state_operations=[
                migrations.AddField(
                    model_name="rawfragmentaggregate",
                    name="dominant_type",
                    field=models.TextField(db_default="", editable=False, verbose_name="type of most"),
                ),
                migrations.AddField(
                    model_name="rawfragmentaggregate",
                    name="type_consistency",
                    field=models.IntegerField(
                        db_default=0, editable=False, verbose_name="share of that type"
                    ),
                ),
            ],
        ),
        RunSQLFile("fragments", "0003_aggregates_v1"),
        migrations.RunSQL(ASK_FOR_REBUILD, migrations.RunSQL.noop),
    ]
