"""Aggregates as counts: of one user, or added up over all users of an entity type."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any, NamedTuple

from django.db import connection
from django.db.models import Q

from fragments.domain.counts import FieldCounts
from fragments.models import RawFragmentAggregate
from schemaevo.kernel.canonical import Json, decode


class FieldKey(NamedTuple):
    """An undeclared field of some user: its entity type and its name. Pages go by it."""

    entity_type: str
    name: str


class Counted(NamedTuple):
    """A field, what is counted of it, and small values of it. `user_id` is that of one user who has it."""

    key: FieldKey
    user_id: int
    counts: FieldCounts
    samples: tuple[Json, ...] = ()


def counted_of_user(
    *,
    user_id: int,
    entity_type: str | None = None,
    names: Collection[str] | None = None,
    after: FieldKey | None = None,
    limit: int,
) -> list[Counted]:
    """Fields of the user of which something waits, of one type or all, by type and name. One query."""
    rows = RawFragmentAggregate.objects.filter(user_id=user_id, sample_count__gt=0)
    if entity_type is not None:
        rows = rows.filter(entity_type=entity_type)
    if names is not None:
        rows = rows.filter(fragment_key__in=names)
    if after is not None:
        later = Q(entity_type=after.entity_type, fragment_key__gt=after.name)
        rows = rows.filter(later | Q(entity_type__gt=after.entity_type), entity_type__gte=after.entity_type)
    found = rows.order_by("entity_type", "fragment_key")[:limit]
    return [counted_of_row(row) for row in found]


def counted_of_row(row: RawFragmentAggregate) -> Counted:
    """What an aggregate counts, of its user."""
    return Counted(
        FieldKey(row.entity_type, row.fragment_key),
        row.user_id,
        FieldCounts(
            row.sample_count,
            row.frequency_total,
            counts_read(row.type_counts),
            counts_read(row.format_counts),
            row.unique_sources,
            1,
            row.last_seen_at,
        ),
        tuple(_values(row.sample_values)),
    )


class OverUsers(NamedTuple):
    """A page of fields over all users. `last` is the last name that was looked at, None where that was the last."""

    fields: Sequence[Counted]
    last: str | None


def counted_over_users(*, entity_type: str, after: str = "", limit: int) -> OverUsers:
    """The next fields of the type, each added up over all users who have it, by name. One query."""
    with connection.cursor() as cursor:
        cursor.execute(_NEXT_NAMES + _ADDED_UP, {"entity_type": entity_type, "after": after, "limit": limit})
        rows = cursor.fetchall()
    return OverUsers(list(_added_up(entity_type, rows)), rows[-1][0] if len(rows) == limit else None)


def counted_over_users_of(*, entity_type: str, names: Collection[str]) -> list[Counted]:
    """These fields, each added up over all users of the type who have it, by name. One query."""
    with connection.cursor() as cursor:
        cursor.execute(_THESE_NAMES + _ADDED_UP, {"entity_type": entity_type, "names": sorted(names)})
        return list(_added_up(entity_type, cursor.fetchall()))


def entity_types_counted(*, user_id: int | None = None) -> list[str]:
    """The entity types of which there are aggregates, of one user or of any. One query, a step per type."""
    owner = "" if user_id is None else "AND user_id = %(user_id)s"
    # A look into the index for each type: DISTINCT would walk through all rows.
    sql = f"""
        WITH RECURSIVE types AS (
            (SELECT entity_type FROM raw_fragment_aggregates WHERE true {owner} ORDER BY entity_type LIMIT 1)
            UNION ALL
            SELECT (SELECT a.entity_type FROM raw_fragment_aggregates AS a
                     WHERE a.entity_type > types.entity_type {owner} ORDER BY a.entity_type LIMIT 1)
              FROM types WHERE types.entity_type IS NOT NULL
        )
        SELECT entity_type FROM types WHERE entity_type IS NOT NULL
        """  # noqa: S608  every part of it stands in this file
    with connection.cursor() as cursor:
        cursor.execute(sql, {"user_id": user_id})
        return [entity_type for (entity_type,) in cursor.fetchall()]


#: As with the types, one look into the index for each name, however many users have it.
_NEXT_NAMES = """
    WITH RECURSIVE names AS (
        (SELECT fragment_key, 1 AS n FROM raw_fragment_aggregates
          WHERE entity_type = %(entity_type)s AND fragment_key > %(after)s ORDER BY fragment_key LIMIT 1)
        UNION ALL
        SELECT (SELECT a.fragment_key FROM raw_fragment_aggregates AS a
                 WHERE a.entity_type = %(entity_type)s AND a.fragment_key > names.fragment_key
                 ORDER BY a.fragment_key LIMIT 1), n + 1
          FROM names WHERE names.fragment_key IS NOT NULL AND n < %(limit)s
    ),
"""
_THESE_NAMES = "WITH names AS (SELECT fragment_key FROM unnest(%(names)s::text[]) AS given(fragment_key)),"
_ADDED_UP = """
    these AS (
        SELECT a.* FROM names JOIN raw_fragment_aggregates AS a
            ON a.entity_type = %(entity_type)s AND a.fragment_key = names.fragment_key AND a.sample_count > 0
    ), totals AS (
        SELECT fragment_key, min(user_id) AS user_id, sum(sample_count)::bigint AS sample_count,
               sum(frequency_total)::bigint AS frequency_total, sum(unique_sources)::bigint AS unique_sources,
               count(*) AS user_count, max(last_seen_at) AS last_seen_at
          FROM these GROUP BY 1
    ), types AS (
        SELECT fragment_key, jsonb_object_agg(name, n) AS counts
          FROM (SELECT fragment_key, t.name, sum(t.n::bigint)::bigint AS n
                  FROM these CROSS JOIN LATERAL jsonb_each_text(type_counts) AS t(name, n) GROUP BY 1, 2) AS summed
         WHERE n <> 0 GROUP BY 1
    ), formats AS (
        SELECT fragment_key, jsonb_object_agg(name, n) AS counts
          FROM (SELECT fragment_key, t.name, sum(t.n::bigint)::bigint AS n
                  FROM these CROSS JOIN LATERAL jsonb_each_text(format_counts) AS t(name, n) GROUP BY 1, 2) AS summed
         WHERE n <> 0 GROUP BY 1
    )
    SELECT names.fragment_key, totals.user_id, totals.sample_count, totals.frequency_total, types.counts::text,
           formats.counts::text, totals.unique_sources, totals.user_count, totals.last_seen_at
      FROM names LEFT JOIN totals USING (fragment_key) LEFT JOIN types USING (fragment_key)
      LEFT JOIN formats USING (fragment_key)
     WHERE names.fragment_key IS NOT NULL
     ORDER BY 1
"""


def _added_up(entity_type: str, rows: Sequence[tuple[Any, ...]]) -> Iterator[Counted]:
    for name, user_id, samples, frequency, types, formats, sources, users, last in rows:
        if user_id is not None:
            counts = FieldCounts(
                samples, frequency, counts_read(types or {}), counts_read(formats or {}), sources, users, last
            )
            yield Counted(FieldKey(entity_type, name), user_id, counts)


def counts_read(stored: Json) -> dict[str, int]:
    """Counts by type or form as a row has them, or as a statement gave them as text."""
    found = decode(stored.encode()) if isinstance(stored, str) else stored
    if not isinstance(found, dict):
        raise TypeError(f"{stored!r} are no counts")
    return {name: count for name, count in found.items() if isinstance(count, int)}


def _values(samples: Json) -> Iterator[Json]:
    for sample in samples if isinstance(samples, list) else []:
        if isinstance(sample, dict):
            yield sample["value"]
