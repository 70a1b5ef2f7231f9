"""The observations of a source are found without a look at all the others."""

from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    # Alone, and outside a transaction: writers go on meanwhile.
    atomic = False
    dependencies = [("snapshots", "0004_add_retractions")]
    operations = [
        AddIndexConcurrently(
            model_name="observation",
            index=models.Index(fields=["source", "recorded_at", "id"], name="observations_source_ix"),
        ),
    ]
