"""Fragments of any age in any state, put there by the moves that lead to it."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone

from fragments.models import LifecycleState, RawFragment

DAY = timedelta(days=1)
HOUR = timedelta(hours=1)

#: By which moves, each allowed, an active or promoted fragment gets into a state.
WAYS: dict[LifecycleState, list[LifecycleState]] = {
    LifecycleState.ACTIVE: [],
    LifecycleState.ARCHIVED: [LifecycleState.ARCHIVED],
    LifecycleState.PROMOTED: [LifecycleState.PROMOTED],
    LifecycleState.PENDING_DELETION: [LifecycleState.PROMOTED, LifecycleState.PENDING_DELETION],
}


def put(state: LifecycleState, *, since: datetime | None = None, **which: Any) -> int:
    """The active or promoted fragments that `which` names are in that state since then, or just now; their number.

    For promoted ones and those that wait for their deletion it is when they expired.
    """
    then = since or timezone.now()
    rows = RawFragment.objects.filter(
        pk__in=list(RawFragment.objects.filter(**which).values_list("pk", flat=True))
    )
    columns: dict[LifecycleState, dict[str, datetime]] = {
        LifecycleState.ARCHIVED: {"archived_at": then},
        LifecycleState.PROMOTED: {"promoted_at": then - 30 * DAY, "expires_at": then},
        LifecycleState.PENDING_DELETION: {"expires_at": then},
    }
    for step in WAYS[state]:
        rows.update(lifecycle_state=step, **columns[step])
    return rows.count()
