"""The past of an entity, a page at a time: its observations in base order, and what each of them changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import BooleanField, Case, F, Field, Q, QuerySet, UUIDField, Value, When
from django.db.models.functions import Coalesce

from registry.cache import load_current_schema
from registry.domain.effective import EffectiveSchema
from schemaevo.kernel.models import User
from schemaevo.kernel.pages.keyset import RowIsAfter
from snapshots.domain.observed import Observed
from snapshots.domain.timeline import Step, place_in_past, steps_of
from snapshots.errors import SnapshotNotFound
from snapshots.models import EntitySnapshot, Observation, ObservationOrigin, RecomputeFailure, Source
from snapshots.selectors_explained import history_if_short
from snapshots.selectors_failures import failure_of_entity

#: Observations on a page.
PER_PAGE = 50
#: What each one changed is told of a past of up to so many.
STEPS_MAX = 10_000


@dataclass(frozen=True, slots=True)
class Moment:
    """One observation in the past of an entity.

    The id of a promoted one is its own, and `ranks_as` the observation that its value came with; else it is empty.
    `step` is what it changed; None where the past is too long for that, or where the observation takes no part: then
    `is_retracted`.
    """

    observation_id: str
    ranks_as: str
    observed_at: datetime
    recorded_at: datetime
    source_id: UUID
    source: str
    run_id: int | None
    priority: int
    specificity: float
    kind: str
    origin: ObservationOrigin
    names: tuple[str, ...]
    step: Step | None
    is_retracted: bool = False

    @property
    def is_promotion(self) -> bool:
        """Whether it was a fragment before."""
        return self.origin is ObservationOrigin.PROMOTION

    @property
    def is_correction(self) -> bool:
        """Whether somebody put a field right by it."""
        return self.origin is ObservationOrigin.CORRECTION


@dataclass(frozen=True, slots=True)
class Past:
    """A page of the past of an entity, newest first, by the schema in force now.

    `is_told` is False where the past is too long to tell what each observation changed, or cannot be reduced: then
    there is a `failure`. `newer` and `older` are the
    ids by which the pages beside this one are found, empty where there is none.
    """

    snapshot: EntitySnapshot
    owner: User | None
    schema: EffectiveSchema
    is_waiting: bool
    is_told: bool
    failure: RecomputeFailure | None
    moments: tuple[Moment, ...]
    newer: str
    older: str


def entity_past(*, snapshot_id: UUID | str, after: UUID | None = None, before: UUID | None = None) -> Past:
    """The newest page, or the one after (older) or before (newer) an observation; of an unknown one, the newest.

    The number of queries does not depend on what there is. Raises: SnapshotNotFound.
    """
    snapshot = (
        EntitySnapshot.objects.defer("merge_state", "values", "provenance").filter(pk=snapshot_id).first()
    )
    if snapshot is None:
        raise SnapshotNotFound("entity", str(snapshot_id), "Nobody")
    schema = load_current_schema(entity_type=snapshot.entity_type, user_id=snapshot.user_id)
    rows, has_newer, has_older = _page(snapshot.pk, after, before)
    # Read after the rows, so that whatever of them is not in it takes no part.
    is_waiting = snapshot.reduction_hash != schema.reduction_hash
    failure = failure_of_entity(entity_id=snapshot.pk) if is_waiting else None
    history = None if failure else history_if_short(snapshot.pk, STEPS_MAX)
    steps = {} if history is None or not rows else _steps(rows, history, schema)
    names = {
        source.pk: str(source) for source in Source.objects.filter(pk__in={row.source_id for row in rows})
    }
    taking_part = None if history is None else {one.id for one in history}
    return Past(
        snapshot=snapshot,
        owner=User.objects.only("username").filter(pk=snapshot.user_id).first(),
        schema=schema,
        is_waiting=is_waiting,
        is_told=history is not None,
        failure=failure,
        moments=tuple(
            _moment(
                row,
                names,
                steps.get(str(row.pk)),
                is_retracted=taking_part is not None and str(row.pk) not in taking_part,
            )
            for row in rows
        ),
        newer=str(rows[0].pk) if rows and has_newer else "",
        older=str(rows[-1].pk) if rows and has_older else "",
    )


def _page(entity_id: UUID, after: UUID | None, before: UUID | None) -> tuple[list[Observation], bool, bool]:
    """The observations of a page, newest first, and whether there are newer and older ones."""
    every = _in_base_order(entity_id)
    asked = after or before
    place = every.filter(pk=asked).first() if asked else None
    if place is None:
        rows = list(every[: PER_PAGE + 1])
        return rows[:PER_PAGE], False, len(rows) > PER_PAGE
    if after:
        rows = list(every.filter(_beyond(place, is_older=True))[: PER_PAGE + 1])
        return rows[:PER_PAGE], True, len(rows) > PER_PAGE
    rows = list(every.filter(_beyond(place, is_older=False)).reverse()[: PER_PAGE + 1])
    if len(rows) <= PER_PAGE:
        # Close to the newest a page back may be short: the newest page instead, whole.
        return _page(entity_id, None, None)
    return rows[:PER_PAGE][::-1], True, True


#: Within one moment: by the id that ranks, what was promoted from an observation before it.
_WITHIN_MOMENT = ("ranking_id", "is_received", "pk")


def _in_base_order(entity_id: UUID) -> QuerySet[Observation]:
    """All observations of the entity, newest first, as `place_in_past` sorts them."""
    received = Case(
        When(ranks_as__isnull=True, then=Value(True)), default=Value(False), output_field=BooleanField()
    )
    return (
        Observation.objects.filter(entity_id=entity_id)
        .annotate(ranking_id=Coalesce("ranks_as", "id"), is_received=received)
        .order_by("-observed_at", *_WITHIN_MOMENT)
    )


def _beyond(place: Observation, *, is_older: bool) -> Q:
    """The condition that an observation stands after that one, or before it."""
    outputs: tuple[Field[Any, Any], ...] = (UUIDField(), BooleanField(), UUIDField())
    values = [
        Value(getattr(place, name), output_field=output)
        for name, output in zip(_WITHIN_MOMENT, outputs, strict=True)
    ]
    within = Q(
        RowIsAfter([F(name) for name in _WITHIN_MOMENT], values, descending=not is_older),
        observed_at=place.observed_at,
    )
    # The first bound is for the index, which the alternative alone would not lead to.
    if is_older:
        return Q(observed_at__lte=place.observed_at) & (Q(observed_at__lt=place.observed_at) | within)
    return Q(observed_at__gte=place.observed_at) & (Q(observed_at__gt=place.observed_at) | within)


def _steps(
    rows: Sequence[Observation], history: Sequence[Observed], schema: EffectiveSchema
) -> dict[str, Step]:
    """What each of these observations did, by its id."""
    ids = {str(row.pk) for row in rows}
    page = [one for one in history if one.id in ids]
    if not page:
        return {}
    first, last = min(map(place_in_past, page)), max(map(place_in_past, page))
    older = [one for one in history if place_in_past(one) > last]
    # With whatever came in between since the rows were read.
    between = [one for one in history if first <= place_in_past(one) <= last]
    return {step.observed.id: step for step in steps_of(older, between, schema.definition)}


def _moment(
    row: Observation, sources: Mapping[UUID, str], step: Step | None, *, is_retracted: bool
) -> Moment:
    return Moment(
        observation_id=str(row.pk),
        ranks_as=str(row.ranks_as or ""),
        observed_at=row.observed_at,
        recorded_at=row.recorded_at,
        source_id=row.source_id,
        source=sources.get(row.source_id, ""),
        run_id=row.ingest_run_id,
        priority=row.priority,
        specificity=row.specificity,
        kind=row.kind or "",
        origin=ObservationOrigin(row.origin),
        # What no writer gives, but a recomputation can have met: a text, whose letters are no names.
        names=tuple(sorted(row.fields)) if isinstance(row.fields, dict) else (),
        step=step,
        is_retracted=is_retracted,
    )
