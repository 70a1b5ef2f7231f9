"""Recording: observations become rows, and the snapshots of their entities take them in."""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import chain

import msgspec
from django.conf import settings
from django.db import connection

from registry.domain.effective import EffectiveSchema
from registry.domain.times import text_of_us
from schemaevo.kernel.bulk import copy_into_temporary, copy_unless_taken
from schemaevo.kernel.canonical import JsonObject, canonical_json
from schemaevo.kernel.jobs import job_request
from snapshots.domain.merge import merge, merged, project
from snapshots.domain.state import read_state
from snapshots.models import ObservationOrigin
from snapshots.selectors import observation_contents
from snapshots.selectors_retractions import sources_retracted
from snapshots.services.merging import (
    FirstSnapshot,
    LockedSnapshot,
    NewSnapshot,
    histories_of,
    snapshots_insert,
    snapshots_lock_for_update,
    snapshots_present,
    snapshots_write,
    within_memory,
)


class NewObservation(msgspec.Struct, frozen=True, gc=False):
    """An observation to be recorded. Ids are lower-case UUID texts, made by snapshots.domain.identity.

    `specificity` is the exact value of a double, as `exact_specificity` gives it. A struct, like all that is made for
    every record: a tuple takes four times as long to make, and a frozen dataclass twelve times.
    """

    id: str
    content_id: str
    user_id: int
    entity_type: str
    entity_id: str
    entity_key: str
    source_id: str
    observed_us: int
    priority: int
    specificity: int | Decimal
    kind: str | None
    fields: JsonObject
    ingest_run_id: int | None = None
    origin: ObservationOrigin = ObservationOrigin.INGEST
    ranks_as: str | None = None

    @property
    def ranking_id(self) -> str:
        """The id that settles ties and stands in provenance."""
        return self.id if self.ranks_as is None else self.ranks_as


@dataclass(frozen=True, slots=True)
class Recorded:
    """What became of the observations: ids of the new ones, and (id, content id) of those whose id is taken.

    What is in neither was there before, word for word. Of several with one id that are new together the first is
    taken, as if each had come in a batch of its own. `retracted` are those of their sources that take no part.
    """

    inserted: frozenset[str]
    conflicting: frozenset[tuple[str, str]]
    retracted: frozenset[str] = frozenset()


#: The job kind that recomputes what waits; its target is the entity type.
RECOMPUTE = "recompute_snapshots"

_OBSERVATION_COLUMNS = {
    "id": "uuid",
    "user_id": "bigint",
    "entity_type": "text",
    "entity_id": "uuid",
    "schema_version_id": "bigint",
    "source_id": "uuid",
    "ingest_run_id": "bigint",
    "observed_at": "timestamptz",
    "priority": "integer",
    "specificity": "double precision",
    "kind": "text",
    "origin": "text",
    "ranks_as": "uuid",
    "content_id": "uuid",
    "fields": "jsonb",
}


def observations_record(
    *,
    observations: Sequence[NewObservation],
    schemas: Mapping[int, EffectiveSchema],
    are_new: bool = False,
    leaves_waiting: bool = False,
    while_waiting: Callable[[], object] = lambda: None,
) -> Recorded:
    """The observations that are new are rows, and merged into their entities' snapshots, but for those of retracted
    sources, which only wait for the undo.

    All are of one entity type; `schemas` has the effective schema of every user among them. Runs inside the
    caller's transaction, which holds the type and the users for writing (registry.services.locking), taken in an
    earlier statement than the one that read `schemas`.

    The snapshot takes in one more observation by its merge state alone. Where it was reduced by other rules than
    those in force, the entity is reduced anew from its whole history, unless that is longer than
    SCHEMAEVO_INLINE_RECOMPUTE_MAX: then the snapshot is left waiting for a job.

    `are_new` is a guess, that none of them is there: it spares the look, and if it is wrong they are sent twice.
    With `leaves_waiting` no entity is reduced anew: whatever waits since a change of schema is left to the job that
    was asked for then, which will read these observations too.
    `while_waiting` is called when all that is new was sent and the server still works on it.
    """
    if not observations:
        return Recorded(frozenset(), frozenset())
    unique: dict[str, NewObservation] = {}
    for new in observations:
        # The first of an id, and never a rule about the batch: where a batch ends is an accident.
        unique.setdefault(new.id, new)
    # Only a hint, read without a lock: others may bring the same ones now.
    stored = {} if are_new else observation_contents(unique.keys())
    absent = [unique[i] for i in sorted(unique.keys() - stored.keys())]
    inserted = frozenset(_insert(absent, schemas, while_waiting))
    stored.update((identity, unique[identity].content_id) for identity in inserted)
    lost = unique.keys() - stored.keys()
    if lost:
        stored |= observation_contents(lost)
    conflicting = {(new.id, new.content_id) for new in observations if new.content_id != stored[new.id]}
    fresh: dict[str, list[NewObservation]] = defaultdict(list)
    for identity in inserted:
        fresh[unique[identity].entity_id].append(unique[identity])
    # Nobody can retract one of them, or undo that, before this transaction ends.
    retracted = sources_retracted({new.source_id for new in observations}) if inserted else frozenset()
    taking_part: Mapping[str, Sequence[NewObservation]] = fresh
    if retracted:
        taking_part = {
            identity: [new for new in news if new.source_id not in retracted]
            for identity, news in fresh.items()
        }
    _merge(fresh, taking_part, schemas, None if leaves_waiting else settings.SCHEMAEVO_INLINE_RECOMPUTE_MAX)
    return Recorded(inserted, frozenset(conflicting), retracted)


def _insert(
    absent: Sequence[NewObservation],
    schemas: Mapping[int, EffectiveSchema],
    while_waiting: Callable[[], object],
) -> Collection[str]:
    """The ids of those that are rows now and were not. They come in the order of ids, so that two who bring the same
    ones never wait for each other."""

    def rows() -> Iterator[Sequence[object]]:
        for new in absent:
            yield _columns_of(new, schemas[new.user_id].version_id)
        while_waiting()

    if not absent:
        return ()
    if copy_unless_taken("observations", [*_OBSERVATION_COLUMNS], rows()):
        return [new.id for new in absent]
    copy_into_temporary("new_observations", _OBSERVATION_COLUMNS, rows(), narrow=True)
    with connection.cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO observations (id, user_id, entity_type, entity_id, schema_version_id, source_id,
                   ingest_run_id, observed_at, priority, specificity, kind, origin, ranks_as, content_id, fields)
            SELECT id, user_id, entity_type, entity_id, schema_version_id, source_id,
                   ingest_run_id, observed_at, priority, specificity, kind, origin, ranks_as, content_id, fields
              FROM new_observations ORDER BY id
            ON CONFLICT (id) DO NOTHING
            RETURNING id::text
            """
        )
        return {identity for (identity,) in cursor.fetchall()}


def _columns_of(new: NewObservation, version_id: int | None) -> tuple[object, ...]:
    """The values of _OBSERVATION_COLUMNS, JSON and the time as text."""
    return (
        new.id,
        new.user_id,
        new.entity_type,
        new.entity_id,
        version_id,
        new.source_id,
        new.ingest_run_id,
        # Its text: psycopg takes five times as long for a datetime.
        text_of_us(new.observed_us),
        new.priority,
        new.specificity,
        new.kind,
        new.origin.value,
        new.ranks_as,
        new.content_id,
        canonical_json(new.fields),
    )


def _merge(
    fresh: Mapping[str, Sequence[NewObservation]],
    taking_part: Mapping[str, Sequence[NewObservation]],
    schemas: Mapping[int, EffectiveSchema],
    inline_max: int | None,
) -> None:
    """The snapshots of these entities have taken in those of the fresh observations, all rows already, that take part,
    or wait. Of an entity without any it is a row nevertheless, which holds its key."""
    if not fresh:
        return
    # Only a hint, read without a lock. A row that is not there yet is inserted as what it will be.
    present = snapshots_present(fresh.keys())
    inserted = _insert_first(
        {identity: news for identity, news in fresh.items() if identity not in present}, taking_part, schemas
    )
    left = {i: news for i, news in taking_part.items() if news and i not in inserted}
    if left:
        _merge_into_rows(left, schemas, inline_max)


def _insert_first(
    fresh: Mapping[str, Sequence[NewObservation]],
    taking_part: Mapping[str, Sequence[NewObservation]],
    schemas: Mapping[int, EffectiveSchema],
) -> Collection[str]:
    """The entities that had no row have one, which took in these observations; gives their ids.

    An entity without a row has no other observations: they are committed together, and whoever else brings the
    first ones of an entity meets this row's key and waits. So nothing has to be locked or read for it. The rows
    that came in meanwhile are left to be merged into. Rows are inserted before any is locked, each in the order
    (user, entity): whoever locks then wants only rows that are committed or its own, and no two wait for each other.
    """
    if not fresh:
        return ()

    def first(news: Sequence[NewObservation]) -> FirstSnapshot:
        schema = schemas[news[0].user_id]
        reduced = merged(taking_part[news[0].entity_id], schema.definition)
        content = NewSnapshot(news[0].entity_id, schema, reduced)
        return FirstSnapshot(news[0].user_id, news[0].entity_key, content)

    ordered = sorted(fresh.values(), key=lambda news: (news[0].user_id, news[0].entity_id))
    return snapshots_insert(lambda: map(first, ordered), entity_type=ordered[0][0].entity_type)


def _merge_into_rows(
    fresh: Mapping[str, Sequence[NewObservation]],
    schemas: Mapping[int, EffectiveSchema],
    inline_max: int | None,
) -> None:
    """The rows of these entities, which are there, have taken in the observations, or wait.

    `inline_max` is the longest history that is reduced anew here. None: what waits since a change of schema is left to
    the job that was asked for then; it loses its hash nevertheless, since after a change back it would seem as if it
    had taken these observations in.
    """
    fitting: list[LockedSnapshot] = []
    stale: list[LockedSnapshot] = []
    waiting: list[str] = []

    def length(row: LockedSnapshot) -> int:
        return row.observation_count + len(fresh[row.entity_id])

    def merged_into(row: LockedSnapshot) -> NewSnapshot:
        schema = schemas[row.user_id]
        state = read_state(row.state)
        merge(state, fresh[row.entity_id], schema.definition)
        return NewSnapshot(row.entity_id, schema, project(state, schema.definition))

    for row in snapshots_lock_for_update(fresh.keys()):
        if row.reduction_hash == schemas[row.user_id].reduction_hash:
            fitting.append(row)
        elif row.reduction_hash and inline_max is not None and length(row) <= inline_max:
            stale.append(row)
        elif row.reduction_hash:
            waiting.append(row.entity_id)
        # What waits already is left to the job that was asked for when it began to wait: how long it is, only that will
        # know, since observations were stored without counting them. To ask again would only keep a run from its end,
        # for ever where the entity cannot be recomputed.
    ready: Iterable[NewSnapshot] = map(merged_into, fitting)
    for part in within_memory(stale, length, limit=inline_max or 0):
        histories = histories_of([row.entity_id for row in part])
        anew = (
            NewSnapshot(row.entity_id, schema, merged(histories[row.entity_id], schema.definition))
            for row in part
            for schema in [schemas[row.user_id]]
        )
        snapshots_write(chain(ready, anew))
        ready = ()
    if fitting and not stale:
        snapshots_write(ready)
    if waiting:
        _leave_waiting(waiting)
        if inline_max is not None:
            job_request(kind=RECOMPUTE, target=next(iter(fresh.values()))[0].entity_type)


def _leave_waiting(entity_ids: list[str]) -> None:
    """The rows begin to wait for a recomputation: by one predicate all such work is found."""
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE entity_snapshots SET reduction_hash = '' WHERE id = ANY(%s::uuid[])", [entity_ids]
        )
