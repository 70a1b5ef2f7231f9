"""Bringing what is stored in line with a retraction, or with its undo: by a job, from wherever it was stopped.

It makes no difference which of the two it is: the job looks what holds now, lets the snapshots of every entity that
the source spoke of wait for recomputation, and its fragments count or not. Whoever turns it round meanwhile asks for
the job again, and the course begins anew.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from django.db import connection

from fragments.selectors_promotion_jobs import PROMOTE
from registry.domain.targets import job_target
from schemaevo.kernel.canonical import Json, JsonObject
from schemaevo.kernel.jobs import Lease, job_request
from schemaevo.kernel.locks import LockSpace, hold
from snapshots.models import UNSETTLED, Retraction
from snapshots.selectors_retractions import observations_counted
from snapshots.services.observations import RECOMPUTE
from snapshots.services.retractions import (
    Said,
    Spot,
    observations_of_source,
    retraction_count,
    retraction_held,
    retraction_settle,
    snapshots_let_wait,
)

#: A chunk is one short transaction: an ingest of the same user waits for it.
CHUNK_OBSERVATIONS = 500
#: After so many chunks the snapshots that wait by then are recomputed, beside the rest.
CHUNKS_PER_RECOMPUTATION = 20


@dataclass(frozen=True, slots=True)
class _Course:
    """How far a run has got, kept as the cursor of its job: up to `spot` of what the retraction of that number, or its
    undo, has to reach; the entity types that it met, and how many chunks that were."""

    retraction: int
    is_undone: bool
    spot: Spot | None = None
    types: tuple[str, ...] = ()
    chunks: int = 0

    @classmethod
    def of(cls, retraction: Retraction) -> _Course:
        """The beginning of what is to be done now."""
        return cls(retraction.pk, retraction.undone_at is not None)

    def goes_on_for(self, retraction: Retraction) -> bool:
        """Whether nobody turned it round meanwhile."""
        return (self.retraction, self.is_undone) == (retraction.pk, retraction.undone_at is not None)

    def after(self, said: Sequence[Said]) -> _Course:
        """The course once these observations are done."""
        types = {*self.types, *(one.entity_type for one in said)}
        spot = said[-1].spot if said else self.spot
        return replace(self, spot=spot, types=tuple(sorted(types)), chunks=self.chunks + 1)

    def to_json(self) -> Json:
        """The course as a cursor."""
        spot: Json = (
            None if self.spot is None else [self.spot.recorded_at.isoformat(), str(self.spot.observation_id)]
        )
        return {
            "retraction": self.retraction,
            "undone": self.is_undone,
            "spot": spot,
            "types": [*self.types],
            "chunks": self.chunks,
        }

    @classmethod
    def from_json(cls, cursor: Json) -> _Course | None:
        """The course that a cursor names; None where there is none, or one of another release."""
        match cursor:
            case {
                "retraction": int(number),
                "undone": bool(is_undone),
                "spot": spot,
                "types": list(types),
                "chunks": int(chunks),
            }:
                place: Spot | None = None
                match spot:
                    case [str(at), str(identity)]:
                        place = Spot(datetime.fromisoformat(at), UUID(identity))
                return cls(number, is_undone, place, tuple(map(str, types)), chunks)
            case _:
                return None


def retraction_run(lease: Lease) -> JsonObject:
    """What the source of the target brought takes no part any more, or takes part again, as its newest retraction says;
    what follows from it is asked for as jobs of their own. Gives the counts."""
    source_id = UUID(lease.target)
    course = _Course.from_json(lease.cursor)
    if course is None:
        lease.set_total(observations_counted(source_id).value)
    is_over = False
    while not is_over:
        with lease.batch() as batch:
            retraction = retraction_held(source_id)
            if retraction is None or retraction.state not in UNSETTLED:
                break
            if course is None or not course.goes_on_for(retraction):
                course = _Course.of(retraction)
                lease.log("Gives back what was taken." if course.is_undone else "Takes back what it brought.")
            said = observations_of_source(source_id=source_id, after=course.spot, limit=CHUNK_OBSERVATIONS)
            is_first = course.chunks == 0
            snapshots, fragments = _reach(retraction, said)
            course = course.after(said)
            is_over = len(said) < CHUNK_OBSERVATIONS
            if is_over or course.chunks % CHUNKS_PER_RECOMPUTATION == 0:
                _ask(retraction, course.types, is_over=is_over)
            retraction_count(
                retraction,
                observations=len(said),
                snapshots=snapshots,
                fragments=fragments,
                is_first=is_first,
            )
            if is_over:
                retraction_settle(retraction)
            batch.done(len(said))
            batch.cursor = course.to_json()
    return _told(source_id)


def _reach(retraction: Retraction, said: Sequence[Said]) -> tuple[int, int]:
    """What these observations brought follows the retraction; gives the snapshots that wait because of it, and the
    fragments moved."""
    hold(LockSpace.FRAGMENTS, [(retraction.user_id, name) for name in {one.entity_type for one in said}])
    entities = {one.entity_id for one in said}
    snapshots = snapshots_let_wait(entities)
    return snapshots, _fragments_move(retraction, entities, said)


def _fragments_move(retraction: Retraction, entities: Collection[UUID], said: Sequence[Said]) -> int:
    """The fragments that these observations were the newest to carry count, or do not. One that is carried again
    meanwhile has moved by that."""
    is_retracted = retraction.undone_at is None
    with connection.cursor() as cursor:
        cursor.execute(
            """
            UPDATE raw_fragments SET is_retracted = %s
             WHERE user_id = %s AND entity_id = ANY(%s) AND source_id = %s AND observation_id = ANY(%s)
               AND is_retracted <> %s
            """,
            [
                is_retracted,
                retraction.user_id,
                [*entities],
                retraction.source_id,
                [one.observation_id for one in said],
                is_retracted,
            ],
        )
        return int(cursor.rowcount)


def _ask(retraction: Retraction, types: Collection[str], *, is_over: bool) -> None:
    """Snapshots that wait are recomputed; and once all is given back, what is declared by now takes in the fragments
    that fit."""
    for entity_type in types:
        target = job_target(entity_type, retraction.user_id)
        job_request(kind=RECOMPUTE, target=target)
        if is_over and retraction.undone_at is not None:
            job_request(kind=PROMOTE, target=target)


def _told(source_id: UUID) -> JsonObject:
    """What the last course came to."""
    retraction = Retraction.objects.filter(source_id=source_id).latest("pk")
    return {
        "state": retraction.state,
        "observations": retraction.observation_count,
        "snapshots": retraction.snapshot_count,
        "fragments": retraction.fragment_count,
    }
