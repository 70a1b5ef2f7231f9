"""The work list of recomputation, which is the data itself: snapshots that were reduced by other rules than those in
force, found by the index (entity_type, user_id, reduction_hash).

Asked as "less or greater" and not "unlike", and in the order of the hash, so that only this index can serve: with
"unlike" the last chunks of 300,000 rows took ten times as long as the first, and without an order the planner may
prefer to read the table from its beginning, past all that is done already.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import NamedTuple

from django.db import connection

from registry.cache import load_current_schemas

#: Owners looked at in one query.
OWNERS_AT_ONCE = 100
#: The newest observations in which owners are looked for whose snapshots come first, and how many owners those are.
NEWEST_OBSERVATIONS = 20_000
NEWEST_OWNERS = 200


class Waiting(NamedTuple):
    """A snapshot that waits. `observation_count` is what its row says: what was stored while it waited is not in it."""

    entity_id: str
    user_id: int
    observation_count: int


def entity_types_stored(*, user_id: int | None = None) -> list[str]:
    """The entity types of which anybody, or that user, has entities."""
    with connection.cursor() as cursor:
        # From type to type through an index, of which there are few; each owner's have one of their own.
        cursor.execute(_TYPES_OF_ALL if user_id is None else _TYPES_OF_OWNER, {"user": user_id})
        return [name for (name,) in cursor]


_TYPES_OF_ALL = """
    WITH RECURSIVE kind(name) AS (
        (SELECT entity_type FROM entity_snapshots ORDER BY entity_type LIMIT 1)
        UNION ALL
        SELECT (SELECT entity_type FROM entity_snapshots
                 WHERE entity_type > kind.name ORDER BY entity_type LIMIT 1)
          FROM kind WHERE kind.name IS NOT NULL
    )
    SELECT name FROM kind WHERE name IS NOT NULL
    """
_TYPES_OF_OWNER = """
    WITH RECURSIVE kind(name) AS (
        (SELECT entity_type FROM entity_snapshots WHERE user_id = %(user)s ORDER BY entity_type LIMIT 1)
        UNION ALL
        SELECT (SELECT entity_type FROM entity_snapshots
                 WHERE user_id = %(user)s AND entity_type > kind.name ORDER BY entity_type LIMIT 1)
          FROM kind WHERE kind.name IS NOT NULL
    )
    SELECT name FROM kind WHERE name IS NOT NULL
    """


def owners_after(entity_type: str, after: int, limit: int) -> list[int]:
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


def owners_newest(entity_type: str) -> list[int]:
    """Owners who had observations of the type of late, newest first.

    Looked for among the newest observations of all types, which an index gives: an order of all owners would need an
    index that every merge changes, or a look at every row.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT user_id FROM (
                SELECT user_id, entity_type, recorded_at FROM observations
                 ORDER BY recorded_at DESC, id DESC LIMIT %s
            ) AS newest
             WHERE entity_type = %s GROUP BY user_id ORDER BY max(recorded_at) DESC, user_id LIMIT %s
            """,
            [NEWEST_OBSERVATIONS, entity_type, NEWEST_OWNERS],
        )
        return [owner_id for (owner_id,) in cursor]


def owners_waiting(entity_type: str, wanted: Mapping[int, str]) -> set[int]:
    """Those of the owners who have snapshots that wait; `wanted` gives the hash of the rules in force of each.

    Asked for the first of them, in order, and not whether one EXISTS: in that no order counts, and of an owner with
    much of the table the planner expects to find one soon by reading it from its beginning. Where none waits on one
    side, as at every moment of a run, that read all of it for every chunk.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT o.user_id FROM unnest(%(owners)s::bigint[], %(hashes)s::text[]) AS o(user_id, wanted)
             WHERE (SELECT true FROM entity_snapshots AS s WHERE s.entity_type = %(type)s
                       AND s.user_id = o.user_id AND s.reduction_hash < o.wanted
                     ORDER BY s.reduction_hash LIMIT 1)
                OR (SELECT true FROM entity_snapshots AS s WHERE s.entity_type = %(type)s
                       AND s.user_id = o.user_id AND s.reduction_hash > o.wanted
                     ORDER BY s.reduction_hash LIMIT 1)
            """,
            {"type": entity_type, "owners": [*wanted.keys()], "hashes": [*wanted.values()]},
        )
        return {owner_id for (owner_id,) in cursor}


def waiting_counted(entity_type: str, only_owner: int | None = None) -> Iterator[int]:
    """How many snapshots wait, in parts of some owners each: between them a job can renew its lease."""
    after = 0
    while True:
        if only_owner is None:
            owner_ids = owners_after(entity_type, after, OWNERS_AT_ONCE)
        else:
            owner_ids = [only_owner] if not after else []
        if not owner_ids:
            return
        after = owner_ids[-1]
        schemas = load_current_schemas(entity_type=entity_type, user_ids=owner_ids)
        wanted = {owner_id: schemas[owner_id].reduction_hash for owner_id in owner_ids}
        yield sum(reduced_otherwise(entity_type, wanted).values())


def reduced_otherwise(entity_type: str, wanted: Mapping[int, str]) -> dict[int, int]:
    """How many snapshots of each owner were reduced by other rules than those of the hash that is wanted of them."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT o.user_id, less.n + greater.n
              FROM unnest(%(owners)s::bigint[], %(hashes)s::text[]) AS o(user_id, wanted)
             CROSS JOIN LATERAL (SELECT count(*) AS n FROM entity_snapshots WHERE entity_type = %(type)s
                                    AND user_id = o.user_id AND reduction_hash < o.wanted) AS less
             CROSS JOIN LATERAL (SELECT count(*) AS n FROM entity_snapshots WHERE entity_type = %(type)s
                                    AND user_id = o.user_id AND reduction_hash > o.wanted) AS greater
            """,
            {"type": entity_type, "owners": [*wanted.keys()], "hashes": [*wanted.values()]},
        )
        return dict(cursor.fetchall())


def reduced_so(entity_type: str, wanted: Mapping[int, str]) -> dict[int, int]:
    """How many snapshots of each owner were reduced by the rules of the hash that is wanted of them."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT o.user_id, same.n
              FROM unnest(%(owners)s::bigint[], %(hashes)s::text[]) AS o(user_id, wanted)
             CROSS JOIN LATERAL (SELECT count(*) AS n FROM entity_snapshots WHERE entity_type = %(type)s
                                    AND user_id = o.user_id AND reduction_hash = o.wanted) AS same
            """,
            {"type": entity_type, "owners": [*wanted.keys()], "hashes": [*wanted.values()]},
        )
        return dict(cursor.fetchall())


def waiting_of(
    entity_type: str, user_id: int, wanted: str, *, passed_over: Sequence[str], limit: int, claims: bool
) -> list[Waiting]:
    """Up to `limit` snapshots of one owner that wait, but for those passed over.

    With `claims` they are locked, and those that somebody else has locked are left out: whoever claims never waits.
    """
    found: list[Waiting] = []
    for is_less in (True, False):
        if len(found) < limit:
            with connection.cursor() as cursor:
                cursor.execute(
                    _CLAIM[is_less] if claims else _LOOK[is_less],
                    {
                        "type": entity_type,
                        "user": user_id,
                        "wanted": wanted,
                        "passed_over": [*passed_over],
                        "limit": limit - len(found),
                    },
                )
                found += [Waiting(*row) for row in cursor]
    return found


# Written out, one for each way of asking: a comparison cannot be a parameter.
_LOOK = {
    True: """
        SELECT id::text, user_id, observation_count FROM entity_snapshots
         WHERE entity_type = %(type)s AND user_id = %(user)s AND reduction_hash < %(wanted)s
           AND id <> ALL(%(passed_over)s::uuid[])
         ORDER BY reduction_hash LIMIT %(limit)s
        """,
    False: """
        SELECT id::text, user_id, observation_count FROM entity_snapshots
         WHERE entity_type = %(type)s AND user_id = %(user)s AND reduction_hash > %(wanted)s
           AND id <> ALL(%(passed_over)s::uuid[])
         ORDER BY reduction_hash LIMIT %(limit)s
        """,
}
_CLAIM = {is_less: f"{look} FOR UPDATE SKIP LOCKED" for is_less, look in _LOOK.items()}


def lengths_of(entity_ids: Collection[str]) -> dict[str, int]:
    """How many observations each entity really has: what a row counts is less where it waited, or had promotions."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT entity_id::text, count(*) FROM observations WHERE entity_id = ANY(%s::uuid[]) GROUP BY entity_id",
            [list(entity_ids)],
        )
        return dict(cursor.fetchall())
