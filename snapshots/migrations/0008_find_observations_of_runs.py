"""The observations of a run, and those that were promoted or corrected, are found without a look at all the others."""

from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    # Alone, and outside a transaction: writers go on meanwhile.
    atomic = False
    dependencies = [("snapshots", "0007_let_erasures_through")]
    operations = [
        AddIndexConcurrently(
            model_name="observation",
            index=models.Index(
                condition=models.Q(("ingest_run_id__isnull", False)),
                fields=["ingest_run_id", "recorded_at"],
                name="observations_run_ix",
            ),
        ),
        AddIndexConcurrently(
            model_name="observation",
            index=models.Index(
                condition=models.Q(("origin", "ingest"), _negated=True),
                fields=["origin", "recorded_at", "id"],
                name="observations_origin_ix",
            ),
        ),
    ]
