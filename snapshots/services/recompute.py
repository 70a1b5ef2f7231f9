"""Recomputation: snapshots reduced anew from their whole history, under the schema in force."""

from collections.abc import Mapping
from dataclasses import dataclass

from django.db import connection

from registry.cache import load_current_schemas
from schemaevo.kernel.bulk import collector_paused
from schemaevo.kernel.locks import LockSpace, hold
from snapshots.domain.reducer import reduce
from snapshots.services.merging import NewSnapshot, histories_of, snapshots_lock_for_update, snapshots_write

#: Owners looked at in one chunk, and entities recomputed in one: a chunk is one short transaction.
CHUNK_OWNERS = 100
CHUNK_ENTITIES = 200
#: Observations that one chunk reads, as far as its first entity alone has not more: they are all held in memory.
CHUNK_OBSERVATIONS = 20_000


@dataclass(frozen=True, slots=True)
class Chunk:
    """What a chunk did: snapshots recomputed, and the owner up to whom nothing waits; None at the end."""

    recomputed: int
    up_to_owner: int | None


@collector_paused()
def snapshots_recompute(*, entity_type: str, owners: Mapping[str, int]) -> int:
    """The snapshots are the full reduction of their observations under the schema in force; gives their number.

    `owners` gives each entity's user. Runs inside the caller's transaction. Takes the shared schema locks, so the
    target cannot be outdated, then locks the rows, then reads the histories: in this order, each in a later
    statement, so that an observation that is being recorded meanwhile is either seen here or merged afterwards.
    """
    user_ids = set(owners.values())
    hold(LockSpace.SCHEMA_TYPE, [(entity_type,)], shared=True)
    hold(LockSpace.SCHEMA_OWNER, [(entity_type, user_id) for user_id in user_ids], shared=True)
    schemas = load_current_schemas(entity_type=entity_type, user_ids=user_ids)
    rows = snapshots_lock_for_update(owners.keys())
    histories = histories_of([row.entity_id for row in rows])
    snapshots_write(
        NewSnapshot(
            row.entity_id,
            schemas[row.user_id],
            reduce(histories.get(row.entity_id, []), schemas[row.user_id].definition),
        )
        for row in rows
    )
    return len(rows)


def snapshots_recompute_waiting(
    *, entity_type: str, after_owner: int, only_owner: int | None = None
) -> Chunk:
    """Up to a chunk of the snapshots that wait, of the owners after `after_owner`, or of one alone, are recomputed.

    The work list is the data itself: whatever was reduced by other rules than those in force.
    """
    if only_owner is None:
        owner_ids = _owners_after(entity_type, after_owner, CHUNK_OWNERS)
    else:
        owner_ids = [only_owner] if only_owner > after_owner else []
    schemas = load_current_schemas(entity_type=entity_type, user_ids=owner_ids)
    found: dict[str, int] = {}
    length = 0
    finished: int | None = None if len(owner_ids) < CHUNK_OWNERS else owner_ids[-1]
    for owner_id in owner_ids:
        room = CHUNK_ENTITIES - len(found)
        is_full = False
        waiting = _waiting(entity_type, owner_id, schemas[owner_id].reduction_hash, room)
        for entity_id, observation_count in waiting:
            length += observation_count
            is_full = bool(found) and length > CHUNK_OBSERVATIONS
            if is_full:
                break
            found[entity_id] = owner_id
        if is_full or len(waiting) == room:
            # This owner may have more; the next chunk begins with it again.
            finished = owner_id - 1
            break
    recomputed = snapshots_recompute(entity_type=entity_type, owners=found) if found else 0
    return Chunk(recomputed, finished)


def _owners_after(entity_type: str, after: int, limit: int) -> list[int]:
    """The next owners with entities of the type, by jumping through the index from owner to owner."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            WITH RECURSIVE owner(id) AS (
                (SELECT user_id FROM entity_snapshots
                  WHERE entity_type = %(type)s AND user_id > %(after)s ORDER BY user_id LIMIT 1)
                UNION ALL
                SELECT (SELECT user_id FROM entity_snapshots
                         WHERE entity_type = %(type)s AND user_id > owner.id ORDER BY user_id LIMIT 1)
                  FROM owner WHERE owner.id IS NOT NULL
            )
            SELECT id FROM owner WHERE id IS NOT NULL LIMIT %(limit)s
            """,
            {"type": entity_type, "after": after, "limit": limit},
        )
        return [owner_id for (owner_id,) in cursor]


def _waiting(entity_type: str, user_id: int, wanted: str, limit: int) -> list[tuple[str, int]]:
    """Entities of one owner that were reduced by other rules than `wanted`, and how long their histories are.

    Asked as "less or greater" and not "unlike", so that the index (entity_type, user_id, reduction_hash) finds
    them: with "unlike" the last chunks of 300,000 rows took ten times as long as the first.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            """
            (SELECT id::text, observation_count FROM entity_snapshots
              WHERE entity_type = %(type)s AND user_id = %(user)s AND reduction_hash < %(wanted)s
              LIMIT %(limit)s)
            UNION ALL
            (SELECT id::text, observation_count FROM entity_snapshots
              WHERE entity_type = %(type)s AND user_id = %(user)s AND reduction_hash > %(wanted)s
              LIMIT %(limit)s)
            LIMIT %(limit)s
            """,
            {"type": entity_type, "user": user_id, "wanted": wanted, "limit": limit},
        )
        return list(cursor)
