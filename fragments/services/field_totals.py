"""What undeclared fields come to over all owners is kept: part by part, as a pass over the aggregates gets further."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from django.db import connection, transaction
from django.utils import timezone

from fragments.domain.confidence import WHOLE, FactorName, confidence
from fragments.domain.counts import FieldCounts
from fragments.models import FieldTotal
from fragments.selectors_aggregates import FieldKey

#: Rows of one statement.
_ROWS_AT_ONCE = 1_000
_UPDATED = (
    *("user_count", "sample_count", "frequency_total", "unique_sources", "type_counts", "format_counts"),
    *("dominant_type", "type_consistency", "confidence", "last_seen_at", "counted_at"),
)


class FieldCounted(NamedTuple):
    """A field, and what its aggregates come to over all owners; where nobody has a value of it, that is nothing."""

    key: FieldKey
    counts: FieldCounts


@transaction.atomic
def totals_keep(*, fields: Sequence[FieldCounted], since: FieldKey, before: FieldKey | None) -> int:
    """Of the fields from `since` on and before `before` (None: to the last there is) these are there, and no others.

    Those that nobody has a value of are not kept. Gives how many were. Fields come in the order of their keys, which is
    the order in which their rows are locked.
    """
    now = timezone.now()
    rows = [_total(*field) for field in fields if field.counts.user_count > 0]
    for row in rows:
        row.counted_at = now
    FieldTotal.objects.bulk_create(
        rows,
        batch_size=_ROWS_AT_ONCE,
        update_conflicts=True,
        unique_fields=["entity_type", "fragment_key"],
        update_fields=_UPDATED,
    )
    beyond = "" if before is None else "AND (entity_type, fragment_key) < (%(last_type)s, %(last_field)s)"
    with connection.cursor() as cursor:
        cursor.execute(
            f"""
            DELETE FROM field_totals
             WHERE (entity_type, fragment_key) >= (%(type)s, %(field)s) {beyond} AND id <> ALL(%(kept)s::bigint[])
            """,  # noqa: S608  both forms of it stand in this function
            {
                "type": since.entity_type,
                "field": since.name,
                "last_type": before and before.entity_type,
                "last_field": before and before.name,
                "kept": [row.pk for row in rows],
            },
        )
    return len(rows)


def _total(key: FieldKey, counts: FieldCounts) -> FieldTotal:
    sure = confidence(
        key.name,
        type_counts=counts.type_counts,
        format_counts=counts.format_counts,
        sample_count=counts.sample_count,
    )
    share = next(factor.value for factor in sure.factors if factor.name is FactorName.TYPE)
    return FieldTotal(
        entity_type=key.entity_type,
        fragment_key=key.name,
        user_count=counts.user_count,
        sample_count=counts.sample_count,
        frequency_total=counts.frequency_total,
        unique_sources=counts.unique_sources,
        type_counts=dict(counts.type_counts),
        format_counts=dict(counts.format_counts),
        dominant_type=sure.dominant_type,
        type_consistency=int(share * WHOLE),
        confidence=sure.total,
        last_seen_at=counts.last_seen_at,
    )
