"""What waits of one source."""

from __future__ import annotations

from uuid import UUID

from django.db.models import Count, Sum

from fragments.models import RawFragmentAggregateSource
from snapshots.providers import SourceImpact


def source_fragments(source_id: UUID, user_id: int) -> SourceImpact:
    """How many fragments of the source wait, and of how many fields: from what aggregates count, however many there
    are. Those of a retracted source are not counted there."""
    found = RawFragmentAggregateSource.objects.filter(
        user_id=user_id, source_id=source_id, row_count__gt=0
    ).aggregate(fragments=Sum("row_count"), fields=Count("pk"))
    return SourceImpact(found["fragments"] or 0, found["fields"])
