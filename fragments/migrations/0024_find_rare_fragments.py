"""Fragments of a rare reason or type, or last seen long ago, are found without a look at all the others."""

from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    # Alone, and outside a transaction: writers go on meanwhile.
    atomic = False
    dependencies = [("fragments", "0023_let_operators_share_views")]
    operations = [
        AddIndexConcurrently(
            model_name="rawfragment",
            index=models.Index(
                condition=models.Q(("reason", "unknown_field"), _negated=True),
                fields=["reason", "id"],
                name="raw_fragments_reason_ix",
            ),
        ),
        AddIndexConcurrently(
            model_name="rawfragment",
            index=models.Index(
                condition=models.Q(("value_type", "string"), _negated=True),
                fields=["value_type", "id"],
                name="raw_fragments_type_ix",
            ),
        ),
        AddIndexConcurrently(
            model_name="rawfragment",
            index=models.Index(fields=["last_seen_at"], name="raw_fragments_seen_ix"),
        ),
    ]
