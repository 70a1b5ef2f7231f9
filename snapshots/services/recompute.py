"""Recomputation: snapshots reduced anew from their whole history, under the schema in force."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from django.db import connection, transaction

from registry.cache import load_current_schemas
from registry.domain.definition import Definition
from registry.domain.effective import EffectiveSchema
from registry.domain.times import to_us
from registry.services.locking import hold_for_writing
from schemaevo.kernel.bulk import collector_paused
from snapshots.domain.merge import merge, merged, project
from snapshots.domain.place import Pass, Place
from snapshots.domain.reducer import Reduced
from snapshots.domain.state import empty_state
from snapshots.errors import HistoryTooLong
from snapshots.services.failures import (
    Failure,
    failure_of,
    failures_forget,
    failures_record,
    failures_since,
    is_of_an_entity,
)
from snapshots.services.merging import (
    TAKES_PART,
    NewSnapshot,
    histories_of,
    observed,
    snapshots_lock_for_update,
    snapshots_write,
    within_memory,
)
from snapshots.services.waiting import (
    OWNERS_AT_ONCE,
    Waiting,
    lengths_of,
    owners_after,
    owners_newest,
    owners_waiting,
    waiting_of,
)

#: A chunk is one short transaction: it ends after so many entities, observations, or seconds. One entity may take it
#: past the last two, since it is done as a whole.
CHUNK_ENTITIES = 200
CHUNK_OBSERVATIONS = 20_000
CHUNK_S = 1.0
#: Observations of short histories that are in memory at once. The clock is looked at between two such parts.
PART_OBSERVATIONS = 4_000
#: A history longer than this is merged while it is read, and never in memory as a whole.
LONG_HISTORY = 20_000
ROWS_AT_ONCE = 2_000


@dataclass(frozen=True, slots=True)
class Chunk:
    """What a chunk did: entities recomputed and passed over, the place after it, and whether its pass is over."""

    recomputed: int
    failed: int
    place: Place
    is_over: bool


class RowsResult(NamedTuple):
    """How many rows were recomputed and how many failed, and those that the time did not suffice for."""

    recomputed: int
    failed: int
    left: Sequence[Waiting]


def place_at_the_beginning(*, entity_type: str, only_owner: int | None = None) -> Place:
    """Where a run begins: with the owners who had observations of late."""
    since = transaction_began_at()
    if only_owner is not None:
        return Place(since, Pass.ALL)
    return Place(since, Pass.NEWEST, tuple(owners_newest(entity_type)))


def transaction_began_at() -> str:
    """When this transaction began by the database's clock, which stamps failures as well, as ISO 8601."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT now()")
        (now,) = cursor.fetchone()
    return str(now.isoformat())


@collector_paused()
def snapshots_recompute(*, entity_type: str, owners: Mapping[str, int]) -> int:
    """The snapshots are the full reduction of their observations under the schema in force; gives their number.

    `owners` gives each entity's user. Runs inside the caller's transaction. Takes the shared schema locks, so the
    target cannot be outdated, then locks the rows, then reads the histories: in this order, each in a later
    statement, so that an observation that is being recorded meanwhile is either seen here or merged afterwards.
    Raises whatever is wrong with one of them.
    """
    schemas = schemas_held(entity_type, set(owners.values()))
    rows = [
        Waiting(row.entity_id, row.user_id, row.observation_count)
        for row in snapshots_lock_for_update(owners.keys())
    ]
    lengths = lengths_of(owners.keys())
    for part in _parts(rows, lengths):
        snapshots_write(_reduced(part, lengths, schemas, None))
    failures_forget(owners.keys())
    return len(rows)


@collector_paused()
def snapshots_recompute_waiting(
    *,
    entity_type: str,
    place: Place,
    only_owner: int | None = None,
    job_id: UUID | None = None,
    entity_max_s: float | None = None,
) -> Chunk:
    """Up to a chunk of the snapshots that wait, from `place` on, of all owners or of one, are recomputed.

    The work list is the data itself: whatever was reduced by other rules than those in force. Any number of workers
    may be at it: none waits for another but in the last pass. Runs inside the caller's transaction; locks as
    `snapshots_recompute` does. An entity that cannot be reduced, or not within `entity_max_s`, is recorded with its
    error for `job_id` and passed over.
    """
    ends_at = time.monotonic() + CHUNK_S
    while True:
        owner_ids = _owners(entity_type, place, only_owner)
        if not owner_ids:
            return Chunk(0, 0, place, is_over=True)
        # Read without a lock: a change that comes in now asks for another pass.
        now = load_current_schemas(entity_type=entity_type, user_ids=owner_ids)
        busy = owners_waiting(entity_type, {owner: now[owner].reduction_hash for owner in owner_ids})
        if busy:
            break
        place = place.beyond(len(owner_ids), owner_ids[-1])
        if time.monotonic() >= ends_at:
            return Chunk(0, 0, place, is_over=False)
    schemas = schemas_held(entity_type, busy)
    wanted = {owner: schemas[owner].reduction_hash for owner in busy}
    passed_over = failures_since(entity_type=entity_type, wanted=wanted, since=place.since)
    claimed: list[Waiting] = []
    passed = 0
    for owner in owner_ids:
        room = CHUNK_ENTITIES - len(claimed)
        is_full = room == 0 or sum(row.observation_count for row in claimed) >= CHUNK_OBSERVATIONS
        if is_full:
            break
        if owner in busy:
            found = waiting_of(
                entity_type,
                owner,
                wanted[owner],
                passed_over=passed_over[owner],
                limit=room,
                claims=place.skips,
            )
            claimed += found
            if len(found) == room:
                # There may be more of them; the next chunk begins with this owner again.
                break
        passed += 1
    if not place.skips:
        claimed = _still_waiting(claimed, wanted)
    result = rows_recompute(
        claimed, schemas, entity_type=entity_type, job_id=job_id, ends_at=ends_at, entity_max_s=entity_max_s
    )
    if result.left:
        passed = min(passed, owner_ids.index(result.left[0].user_id))
    if passed:
        place = place.beyond(passed, owner_ids[passed - 1])
    place = replace(place, has_found=place.has_found or bool(result.recomputed or result.failed))
    return Chunk(result.recomputed, result.failed, place, is_over=False)


def rows_recompute(
    rows: Sequence[Waiting],
    schemas: Mapping[int, EffectiveSchema],
    *,
    entity_type: str,
    job_id: UUID | None,
    ends_at: float,
    entity_max_s: float | None,
) -> RowsResult:
    """These rows, which are locked, are recomputed one part after another until `ends_at`, or many observations.

    Those that cannot be are recorded. Runs in the transaction that holds the schema locks.
    """
    # In a later statement than the one that locked the rows, and so exact.
    lengths = lengths_of([row.entity_id for row in rows])
    done: list[str] = []
    failures: list[Failure] = []
    begun = read = 0
    for part in _parts(rows, lengths):
        if begun and (time.monotonic() >= ends_at or read >= CHUNK_OBSERVATIONS):
            break
        begun += len(part)
        read += sum(lengths.get(row.entity_id, 0) for row in part)
        failed = _recomputed_or_failed(part, lengths, schemas, entity_max_s)
        failures += failed
        unable = {failure.entity_id for failure in failed}
        done += [row.entity_id for row in part if row.entity_id not in unable]
    failures_record(failures, entity_type=entity_type, job_id=job_id)
    failures_forget(done)
    return RowsResult(len(done), len(failures), rows[begun:])


def _owners(entity_type: str, place: Place, only_owner: int | None) -> list[int]:
    """The owners that come next."""
    if place.turn is Pass.NEWEST:
        return list(place.newest[:OWNERS_AT_ONCE])
    if only_owner is not None:
        return [only_owner] if only_owner > place.after else []
    return owners_after(entity_type, place.after, OWNERS_AT_ONCE)


def schemas_held(entity_type: str, user_ids: Collection[int]) -> Mapping[int, EffectiveSchema]:
    """What is in force for these users, and stays so until the transaction ends."""
    hold_for_writing(entity_type, user_ids)
    return load_current_schemas(entity_type=entity_type, user_ids=user_ids)


def _still_waiting(found: Sequence[Waiting], wanted: Mapping[int, str]) -> list[Waiting]:
    """Locks the rows, in the order (user, entity) and waiting for others, and gives those that wait even now."""
    rows = snapshots_lock_for_update([row.entity_id for row in found])
    return [
        Waiting(row.entity_id, row.user_id, row.observation_count)
        for row in rows
        if row.reduction_hash != wanted[row.user_id]
    ]


def _parts(rows: Iterable[Waiting], lengths: Mapping[str, int]) -> Iterable[list[Waiting]]:
    return within_memory(rows, lambda row: lengths.get(row.entity_id, 0), limit=PART_OBSERVATIONS)


def _recomputed_or_failed(
    part: Sequence[Waiting],
    lengths: Mapping[str, int],
    schemas: Mapping[int, EffectiveSchema],
    entity_max_s: float | None,
) -> list[Failure]:
    """Those of the rows that can be recomputed are; gives what is wrong with the others.

    All at once as long as nothing goes wrong, and else each for itself: whose fault it is shows only then.
    """
    try:
        # A savepoint: what the database refuses of one entity does not cost the others.
        with transaction.atomic():
            snapshots_write(_reduced(part, lengths, schemas, entity_max_s))
    except Exception as error:
        if not is_of_an_entity(error):
            raise
        if len(part) == 1:
            (row,) = part
            wanted = schemas[row.user_id].reduction_hash
            return [failure_of(error, entity_id=row.entity_id, user_id=row.user_id, reduction_hash=wanted)]
        return [f for row in part for f in _recomputed_or_failed([row], lengths, schemas, entity_max_s)]
    return []


def _reduced(
    part: Sequence[Waiting],
    lengths: Mapping[str, int],
    schemas: Mapping[int, EffectiveSchema],
    entity_max_s: float | None,
) -> list[NewSnapshot]:
    """What the rows are to become. A long history stands alone in its part."""
    if len(part) == 1 and lengths.get(part[0].entity_id, 0) > LONG_HISTORY:
        (row,) = part
        schema = schemas[row.user_id]
        return [
            NewSnapshot(row.entity_id, schema, history_merged(row.entity_id, schema.definition, entity_max_s))
        ]
    histories = histories_of([row.entity_id for row in part])

    def reduced(row: Waiting) -> NewSnapshot:
        schema = schemas[row.user_id]
        return NewSnapshot(row.entity_id, schema, merged(histories.get(row.entity_id, []), schema.definition))

    return [reduced(row) for row in part]


def history_merged(
    entity_id: str, definition: Definition | None, max_s: float | None, *, up_to: datetime | None = None
) -> Reduced:
    """The entity's observations merged while they are read, which gives what reducing them would; all of them, or those
    observed up to a time.

    Memory holds the merge state and some rows, however long the history is. Raises: HistoryTooLong.
    """
    gives_up_at = None if max_s is None else time.monotonic() + max_s
    state = empty_state()
    # A cursor of the server's own: the client's would have all rows before the first is given.
    with connection.chunked_cursor() as cursor:
        cursor.execute(
            f"""
            SELECT id::text, observed_at, priority, specificity, kind, fields, ranks_as::text
              FROM observations AS o
             WHERE entity_id = %s AND observed_at <= %s::timestamptz AND {TAKES_PART}
            """,  # noqa: S608  a constant
            [entity_id, "infinity" if up_to is None else up_to.isoformat()],
        )
        while rows := cursor.fetchmany(ROWS_AT_ONCE):
            merge(
                state,
                (observed(identity, to_us(observed_at), *rest) for identity, observed_at, *rest in rows),
                definition,
            )
            if max_s is not None and gives_up_at is not None and time.monotonic() >= gives_up_at:
                raise HistoryTooLong(max_s)
    return project(state, definition)
