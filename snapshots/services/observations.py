"""Recording: observations become rows, and the snapshots of their entities take them in."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.conf import settings
from django.db import connection

from registry.domain.effective import EffectiveSchema
from registry.domain.times import to_us
from schemaevo.kernel.bulk import copy_into_temporary
from schemaevo.kernel.canonical import JsonObject, canonical_json
from schemaevo.kernel.jobs import job_request
from snapshots.domain.merge import empty_state, merge, project
from snapshots.domain.observed import Observed
from snapshots.domain.reducer import reduce
from snapshots.models import ObservationOrigin
from snapshots.services.merging import (
    LockedSnapshot,
    NewSnapshot,
    exact_specificity,
    histories_of,
    snapshots_lock_for_update,
    snapshots_write,
    state_of,
)


@dataclass(frozen=True, slots=True)
class NewObservation:
    """An observation to be recorded. Ids are lower-case UUID texts, made by snapshots.domain.identity."""

    id: str
    content_id: str
    user_id: int
    entity_type: str
    entity_id: str
    entity_key: str
    source_id: str
    observed_at: datetime
    priority: int
    specificity: float
    kind: str | None
    fields: JsonObject
    ingest_run_id: int | None = None
    origin: ObservationOrigin = ObservationOrigin.INGEST
    ranks_as: str | None = None


@dataclass(frozen=True, slots=True)
class Recorded:
    """What became of the observations: ids of the new ones, and (id, content id) of those whose id is taken.

    What is in neither was there before, word for word. Of several with one id that are new together the first is
    taken, as if each had come in a batch of its own.
    """

    inserted: frozenset[str]
    conflicting: frozenset[tuple[str, str]]


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
    *, observations: Sequence[NewObservation], schemas: Mapping[int, EffectiveSchema]
) -> Recorded:
    """The observations that are new are rows, and merged into their entities' snapshots.

    All are of one entity type; `schemas` has the effective schema of every user among them. Runs inside the
    caller's transaction, which holds the schema locks (shared) of the type and the users, taken in an earlier
    statement than the one that read `schemas`.

    The snapshot takes in one more observation by its merge state alone. Where it was reduced by other rules than
    those in force, the entity is reduced anew from its whole history, unless that is longer than
    SCHEMAEVO_INLINE_RECOMPUTE_MAX: then the snapshot is left waiting for a job.
    """
    if not observations:
        return Recorded(frozenset(), frozenset())
    unique: dict[str, NewObservation] = {}
    for new in observations:
        # The first of an id, and never a rule about the batch: where a batch ends is an accident.
        unique.setdefault(new.id, new)
    inserted = _insert(list(unique.values()), schemas)
    stored = {identity: unique[identity].content_id for identity in inserted}
    stored |= _contents_of([identity for identity in unique if identity not in inserted])
    conflicting = {(new.id, new.content_id) for new in observations if new.content_id != stored[new.id]}
    fresh: dict[str, list[NewObservation]] = defaultdict(list)
    for identity in inserted:
        fresh[unique[identity].entity_id].append(unique[identity])
    _merge(fresh, schemas)
    return Recorded(frozenset(inserted), frozenset(conflicting))


def _insert(observations: list[NewObservation], schemas: Mapping[int, EffectiveSchema]) -> set[str]:
    """The ids of those that were not there. In the order of ids, so that two never wait for each other."""
    copy_into_temporary(
        "new_observations",
        _OBSERVATION_COLUMNS,
        (
            (
                new.id,
                new.user_id,
                new.entity_type,
                new.entity_id,
                schemas[new.user_id].version_id,
                new.source_id,
                new.ingest_run_id,
                new.observed_at,
                new.priority,
                new.specificity,
                new.kind,
                new.origin.value,
                new.ranks_as,
                new.content_id,
                canonical_json(new.fields),
            )
            for new in observations
        ),
    )
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
        return {identity for (identity,) in cursor}


def _contents_of(observation_ids: list[str]) -> dict[str, str]:
    """The content ids of observations that are rows."""
    if not observation_ids:
        return {}
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT id::text, content_id::text FROM observations WHERE id = ANY(%s::uuid[])",
            [observation_ids],
        )
        return dict(cursor.fetchall())


def _merge(fresh: Mapping[str, Sequence[NewObservation]], schemas: Mapping[int, EffectiveSchema]) -> None:
    """The snapshots of these entities have taken in the observations, which are rows already."""
    if not fresh:
        return
    _make_empty(fresh, schemas)
    results: list[NewSnapshot] = []
    stale: list[LockedSnapshot] = []
    waiting: list[str] = []
    for row in snapshots_lock_for_update(fresh.keys()):
        schema = schemas[row.user_id]
        if row.reduction_hash == schema.reduction_hash:
            state = state_of(row)
            merge(state, _observed(fresh[row.entity_id]), schema.definition)
            results.append(NewSnapshot(row.entity_id, schema, project(state, schema.definition)))
        elif row.observation_count + len(fresh[row.entity_id]) <= settings.SCHEMAEVO_INLINE_RECOMPUTE_MAX:
            stale.append(row)
        else:
            waiting.append(row.entity_id)
    for part in _within_memory(stale, fresh):
        histories = histories_of([row.entity_id for row in part])
        for row in part:
            schema = schemas[row.user_id]
            results.append(
                NewSnapshot(row.entity_id, schema, reduce(histories[row.entity_id], schema.definition))
            )
    if results:
        snapshots_write(results)
    if waiting:
        _leave_waiting(waiting, next(iter(fresh.values()))[0].entity_type)


def _within_memory(
    rows: Iterable[LockedSnapshot], fresh: Mapping[str, Sequence[NewObservation]]
) -> Iterator[list[LockedSnapshot]]:
    """The rows in parts whose histories together are no longer than one entity's may be.

    After a change of schema every entity of a batch can be stale, and a thousand long histories at once would not
    fit into memory.
    """
    part: list[LockedSnapshot] = []
    held = 0
    for row in rows:
        length = row.observation_count + len(fresh[row.entity_id])
        if part and held + length > settings.SCHEMAEVO_INLINE_RECOMPUTE_MAX:
            yield part
            part, held = [], 0
        part.append(row)
        held += length
    if part:
        yield part


def _make_empty(
    entities: Mapping[str, Sequence[NewObservation]], schemas: Mapping[int, EffectiveSchema]
) -> None:
    """Every entity has a row. A new one is the snapshot of no observations, which is right as it stands."""
    firsts = [news[0] for news in entities.values()]
    with connection.cursor() as cursor:
        # No column here is JSON, so arrays will do, and no temporary table has to be made for a small batch.
        cursor.execute(
            """
            INSERT INTO entity_snapshots (id, user_id, entity_type, entity_key, reduction_hash, merge_state,
                   "values", provenance, deleted, observation_count)
            SELECT id, user_id, %s, entity_key, reduction_hash, %s::jsonb, '{}'::jsonb, '{}'::jsonb, false, 0
              FROM unnest(%s::uuid[], %s::bigint[], %s::text[]) AS entity(id, user_id, entity_key)
              JOIN unnest(%s::bigint[], %s::text[]) AS wanted(user_id, reduction_hash) USING (user_id)
             ORDER BY user_id, id
            ON CONFLICT DO NOTHING
            """,
            [
                firsts[0].entity_type,
                canonical_json(empty_state()),
                [new.entity_id for new in firsts],
                [new.user_id for new in firsts],
                [new.entity_key for new in firsts],
                list(schemas),
                [schema.reduction_hash for schema in schemas.values()],
            ],
        )


def _leave_waiting(entity_ids: list[str], entity_type: str) -> None:
    """The rows wait for a recomputation, which is asked for: by one predicate all such work is found."""
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE entity_snapshots SET reduction_hash = '' WHERE id = ANY(%s::uuid[])", [entity_ids]
        )
    job_request(kind=RECOMPUTE, target=entity_type)


def _observed(observations: Iterable[NewObservation]) -> list[Observed]:
    return [
        Observed(
            id=new.id,
            observed_us=to_us(new.observed_at),
            priority=new.priority,
            specificity=exact_specificity(new.specificity),
            kind=new.kind,
            fields=new.fields,
            ranks_as=new.ranks_as,
        )
        for new in observations
    ]
