"""What waits of a field, and what would become of it were the field declared so: told before it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from django.db.models import QuerySet

from fragments.domain.promotion import judge
from fragments.models import LifecycleState, RawFragment
from registry.domain.definition import Field
from schemaevo.kernel.canonical import Json
from schemaevo.kernel.streams import rows_streamed

#: Entities remembered of the fragments that were looked at.
ENTITIES_KEPT = 20


@dataclass(frozen=True, slots=True)
class PromotionPreview:
    """What would become of the fragments that wait: of their number `converted` fit only by a converter.

    Unless `is_whole`, more wait than were looked at. `entities` are a few of those that have such fragments, first
    those of whom some fit.
    """

    fitting: int = 0
    converted: int = 0
    misfit: int = 0
    is_whole: bool = True
    entities: tuple[str, ...] = ()

    @property
    def promoted(self) -> int:
        """How many would be observations."""
        return self.fitting + self.converted

    @property
    def looked_at(self) -> int:
        """How many were looked at."""
        return self.promoted + self.misfit


def promotion_preview(
    *, user_id: int, entity_type: str, field: Field, at_most: int | None = None
) -> PromotionPreview:
    """Looks at the waiting fragments, one after the other, as the promotion would: at all of them, or at so many."""
    counts = {"fitting": 0, "converted": 0, "misfit": 0}
    entities: dict[bool, dict[str, None]] = {True: {}, False: {}}
    is_whole = True
    for number, (entity, value) in enumerate(_waiting(user_id, entity_type, field.name, at_most)):
        if number == at_most:
            # The last one is only read to know of it.
            is_whole = False
            continue
        judged = judge(value, field)
        fits = judged.reason is None
        counts["converted" if fits and judged.is_converted else "fitting" if fits else "misfit"] += 1
        if len(entities[fits]) < ENTITIES_KEPT:
            entities[fits][entity] = None
    few = [*entities[True], *(entity for entity in entities[False] if entity not in entities[True])]
    return PromotionPreview(**counts, is_whole=is_whole, entities=tuple(few[:ENTITIES_KEPT]))


def fragments_waiting(*, user_id: int, entity_type: str, field: str) -> QuerySet[RawFragment]:
    """The fragments of the field at which a promotion looks."""
    return RawFragment.objects.filter(
        user_id=user_id,
        entity_type=entity_type,
        fragment_key=field,
        lifecycle_state__in=[LifecycleState.ACTIVE, LifecycleState.ARCHIVED],
        is_retracted=False,
    )


def values_waiting(*, user_id: int, entity_type: str, field: str, at_most: int | None) -> Iterator[Json]:
    """The values of those, at most so many."""
    for number, (_entity, value) in enumerate(_waiting(user_id, entity_type, field, at_most)):
        if number != at_most:
            yield value


def _waiting(user_id: int, entity_type: str, field: str, at_most: int | None) -> Iterator[tuple[str, Json]]:
    """Entity and value, of one more than so many: whether there are more is seen by it."""
    rows = fragments_waiting(user_id=user_id, entity_type=entity_type, field=field)
    found = rows.values_list("entity_id", "value")
    with rows_streamed(found if at_most is None else found[: at_most + 1]) as streamed:
        for entity, value in streamed:
            yield str(entity), value
