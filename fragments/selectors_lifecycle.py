"""What waits for its deletion, told by field or by entity type, before somebody restores it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import Count, Min, Q, QuerySet

from fragments.models import LifecycleState, RawFragment
from schemaevo.kernel.pages.estimates import Amount, found_counted


@dataclass(frozen=True, slots=True)
class Deletable:
    """What waits for its deletion under one name, a field's or an entity type's: how many rows would be promoted again,
    and how many active again, since they came from the archive; and from when on the first of them may be gone."""

    name: str
    promoted: int
    active: int
    deletable_at: datetime

    @property
    def count(self) -> int:
        """All of them."""
        return self.promoted + self.active


def deletable_fields(*, user_id: int, entity_type: str, fragment_key: str | None = None) -> list[Deletable]:
    """What waits of one user and entity type, exactly, by the names of the fields; of all of them, or of one."""
    rows = _deletable(user_id).filter(entity_type=entity_type)
    if fragment_key is not None:
        rows = rows.filter(fragment_key=fragment_key)
    return _told(rows, "fragment_key")


def deletable_types(*, user_id: int) -> list[Deletable]:
    """What waits of one user, exactly, by entity type."""
    return _told(_deletable(user_id), "entity_type")


def field_counted(*, user_id: int, entity_type: str, fragment_key: str) -> dict[LifecycleState, Amount]:
    """How many fragments of the field are in each state, those of retracted sources left out; many are estimated."""
    rows = RawFragment.objects.filter(
        user_id=user_id, entity_type=entity_type, fragment_key=fragment_key, is_retracted=False
    )
    return {state: found_counted(rows.filter(lifecycle_state=state)) for state in LifecycleState}


def is_deletable(*, user_id: int, entity_type: str, fragment_key: str) -> bool:
    """Whether anything of the field waits for its deletion."""
    return _deletable(user_id).filter(entity_type=entity_type, fragment_key=fragment_key).exists()


def deletable_at(expires_at: datetime) -> datetime:
    """From when on a row that waits since then may be gone."""
    return expires_at + timedelta(hours=settings.SCHEMAEVO_CLEANUP_GRACE_HOURS)


def _deletable(user_id: int) -> QuerySet[RawFragment]:
    return RawFragment.objects.filter(user_id=user_id, lifecycle_state=LifecycleState.PENDING_DELETION)


def _told(rows: QuerySet[RawFragment], column: str) -> list[Deletable]:
    was_promoted = Q(promoted_at__isnull=False)
    counted = (
        rows.order_by(column)
        .values_list(column)
        .annotate(
            promoted=Count("pk", filter=was_promoted),
            active=Count("pk", filter=~was_promoted),
            since=Min("expires_at"),
        )
    )
    return [
        Deletable(name, promoted, active, deletable_at(since)) for name, promoted, active, since in counted
    ]
