"""Aggregates counted anew: after an upgrade that brought them, or where `verify` found one that is wrong.

They are kept by triggers (fragments/sql/0004_aggregates_v2.sql). What is here locks the same rows in the same order
and sets them, so that it may run while fragments arrive.
"""

from __future__ import annotations

from typing import NamedTuple

from django.db import connection, transaction

from schemaevo.kernel.canonical import Json
from schemaevo.kernel.locks import LockSpace, hold


class Part(NamedTuple):
    """What is counted at once: the fragments of one user and entity type."""

    user_id: int
    entity_type: str

    def to_json(self) -> Json:
        """The part as a cursor."""
        return [*self]

    @classmethod
    def from_json(cls, cursor: Json) -> Part | None:
        """The part that a cursor names; None where there is none."""
        match cursor:
            case [int(user_id), str(entity_type)]:
                return cls(user_id, entity_type)
            case _:
                return None


class Scope(NamedTuple):
    """Whose parts are counted: of one entity type, of one user, of both, or, if neither is named, all there are."""

    entity_type: str = ""
    user_id: int | None = None


EVERYTHING = Scope()


def part_after(last: Part | None, scope: Scope = EVERYTHING) -> Part | None:
    """The next user and entity type of the scope that has fragments or aggregates, by number and name; None at the
    end."""
    if last is None and scope.user_id is not None:
        # No entity type is empty: the user's first one comes after it.
        last = Part(scope.user_id, "")
    while part := _next_part(last):
        if scope.user_id not in (None, part.user_id):
            return None
        if scope.entity_type in ("", part.entity_type):
            return part
        last = part
    return None


def aggregates_in(part: Part) -> int:
    """How many aggregates a rebuild of the part sets. Changes nothing."""
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT count(*) FROM ({_KEYS}) AS keys", part._asdict())  # noqa: S608
        (count,) = cursor.fetchone()
    return int(count)


def _next_part(last: Part | None) -> Part | None:
    where = "" if last is None else "WHERE (user_id, entity_type) > (%s, %s)"
    # A look into each index: how many rows a part has costs nothing.
    sql = f"""
        SELECT * FROM (
            (SELECT user_id, entity_type FROM raw_fragments {where} ORDER BY 1, 2 LIMIT 1)
            UNION ALL
            (SELECT user_id, entity_type FROM raw_fragment_aggregates {where} ORDER BY 1, 2 LIMIT 1)
        ) AS either ORDER BY 1, 2 LIMIT 1
        """  # noqa: S608
    with connection.cursor() as cursor:
        cursor.execute(sql, [*(last or ()), *(last or ())])
        row = cursor.fetchone()
    return None if row is None else Part(*row)


@transaction.atomic
def aggregates_rebuild(part: Part) -> int:
    """The aggregates of the part are what its fragments come to; gives their number.

    Raises: LockTimeout where others write fragments of that user and type for too long.
    """
    hold(LockSpace.FRAGMENTS, [part])
    with connection.cursor() as cursor:
        # Each in a statement of its own. Whoever writes without the lock, as psql may, waits in the trigger from the
        # first one on, or has committed before it had its rows, and is seen by the third.
        cursor.execute(_LOCK, part._asdict())
        count = int(cursor.rowcount)
        cursor.execute(_EMPTY, part._asdict())
        cursor.execute(_COUNT, part._asdict())
        cursor.execute(_SAMPLE, part._asdict())
    return count


_KEYS = """
    SELECT user_id, entity_type, fragment_key FROM raw_fragments
     WHERE user_id = %(user_id)s AND entity_type = %(entity_type)s
    UNION
    SELECT user_id, entity_type, fragment_key FROM raw_fragment_aggregates
     WHERE user_id = %(user_id)s AND entity_type = %(entity_type)s
"""
_LOCK = f"""
    INSERT INTO raw_fragment_aggregates (user_id, entity_type, fragment_key)
    {_KEYS}
     ORDER BY fragment_key
    ON CONFLICT (user_id, entity_type, fragment_key) DO UPDATE SET fragment_key = EXCLUDED.fragment_key
"""
_EMPTY = """
    WITH sources AS (
        DELETE FROM raw_fragment_aggregate_sources WHERE user_id = %(user_id)s AND entity_type = %(entity_type)s
    )
    UPDATE raw_fragment_aggregates
       SET sample_count = 0, frequency_total = 0, type_counts = '{}', format_counts = '{}', unique_sources = 0,
           sample_values = '[]'
     WHERE user_id = %(user_id)s AND entity_type = %(entity_type)s
"""
#: By the very function that the triggers call.
_COUNT = """
    SELECT raw_fragment_aggregates_change_v3(array_agg(
               (user_id, entity_type, fragment_key, source_id, value_type, value_format, row_count, frequency,
                last_seen_at)::raw_fragment_change_v1))
      FROM (
        SELECT user_id, entity_type, fragment_key, source_id, value_type, value_format,
               count(*) AS row_count, sum(frequency_count) AS frequency, max(last_seen_at) AS last_seen_at
          FROM raw_fragments
         WHERE user_id = %(user_id)s AND entity_type = %(entity_type)s
           AND raw_fragment_counts_v2(lifecycle_state, reason, is_retracted)
         GROUP BY 1, 2, 3, 4, 5, 6
      ) AS change
"""
#: Of each key a few fragments are looked at, however many it has.
_SAMPLE = """
    WITH sampled AS MATERIALIZED (
        SELECT a.id, jsonb_agg(jsonb_build_object('fragment', f.id, 'value', f.value) ORDER BY f.id) AS samples
          FROM raw_fragment_aggregates AS a
         CROSS JOIN LATERAL (
            SELECT DISTINCT ON (value_hash) id, value
              FROM (SELECT id, value, value_hash FROM raw_fragments
                     WHERE user_id = a.user_id AND entity_type = a.entity_type AND fragment_key = a.fragment_key
                       AND raw_fragment_counts_v2(lifecycle_state, reason, is_retracted) LIMIT 100) AS few
             WHERE length(value::text) <= 300
             ORDER BY value_hash, id LIMIT 10
         ) AS f
         WHERE a.user_id = %(user_id)s AND a.entity_type = %(entity_type)s
         GROUP BY a.id
    )
    UPDATE raw_fragment_aggregates AS a SET sample_values = sampled.samples FROM sampled WHERE sampled.id = a.id
"""
