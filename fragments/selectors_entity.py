"""What waits for an entity: the panel of its fragments on its page."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from fragments.models import FragmentReason, LifecycleState, RawFragment
from schemaevo.kernel.canonical import Json, canonical_json
from schemaevo.kernel.entity_panels import EntityPanel
from snapshots.models import Source

#: So many are listed; the list of fragments has all of them.
LISTED_MAX = 20
#: States of what is not in the snapshot, and is still there.
WAITING = (LifecycleState.ACTIVE, LifecycleState.ARCHIVED, LifecycleState.PENDING_DELETION)
#: How the badge of each state looks.
LIFECYCLE_TONES = {
    LifecycleState.ACTIVE: "busy",
    LifecycleState.PROMOTED: "good",
    LifecycleState.ARCHIVED: "plain",
    LifecycleState.PENDING_DELETION: "warn",
}


@dataclass(frozen=True, slots=True)
class WaitingFragment:
    """A value of an entity that is in no observation, and why."""

    id: int
    field: str
    entity_type: str
    value: Json
    reason: FragmentReason
    state: LifecycleState
    frequency_count: int
    last_seen_at: datetime
    source_id: UUID
    source: str

    @property
    def tone(self) -> str:
        """The tone of the badge of its state."""
        return LIFECYCLE_TONES[self.state]

    @property
    def is_deletable(self) -> bool:
        """Whether it waits for its deletion, and can be restored."""
        return self.state is LifecycleState.PENDING_DELETION

    def to_json(self) -> Json:
        """As commands tell it."""
        return {
            "field": self.field,
            "value": self.value,
            "reason": self.reason.value,
            "state": self.state.value,
            "seen": self.frequency_count,
            "source": self.source,
        }


@dataclass(frozen=True, slots=True)
class WaitingFragments:
    """The first of what waits for an entity, by field; `has_more` tells that there are others."""

    user_id: int
    entity_id: UUID
    listed: tuple[WaitingFragment, ...]
    has_more: bool


def fragments_of_entity(user_id: int, entity_id: UUID) -> EntityPanel:
    """The panel of what waits for the entity. Two queries, along the index of the fragments' unique key."""
    rows = list(
        RawFragment.objects.filter(
            user_id=user_id, entity_id=entity_id, lifecycle_state__in=WAITING, is_retracted=False
        )
        .defer("value_hash")
        .order_by("fragment_key", "id")[: LISTED_MAX + 1]
    )
    sources = Source.objects.in_bulk({row.source_id for row in rows})
    listed = tuple(_told(row, sources.get(row.source_id)) for row in rows[:LISTED_MAX])
    content = WaitingFragments(user_id, entity_id, listed, len(rows) > LISTED_MAX)
    return EntityPanel(
        name="fragments",
        permission="fragments.view_rawfragment",
        template="admin/fragments/rawfragment/of_entity.html",
        content=content,
        lines=tuple(map(_line, listed)) + (("and more fragments",) if content.has_more else ()),
        data=[one.to_json() for one in listed],
    )


def _told(row: RawFragment, source: Source | None) -> WaitingFragment:
    return WaitingFragment(
        id=row.pk,
        field=row.fragment_key,
        entity_type=row.entity_type,
        value=row.value,
        reason=FragmentReason(row.reason),
        state=LifecycleState(row.lifecycle_state),
        frequency_count=row.frequency_count,
        last_seen_at=row.last_seen_at,
        source_id=row.source_id,
        source=source.name if source else "",
    )


def _line(one: WaitingFragment) -> str:
    seen = f"seen {one.frequency_count} times" if one.frequency_count > 1 else "seen once"
    return (
        f"{one.field} = {canonical_json(one.value)} waits as a fragment: {one.reason.label},"
        f" {one.state.label}, {seen}, from {one.source}"
    )
