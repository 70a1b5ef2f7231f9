"""Erasure of what was stored: observations, fragments and snapshots, with what was counted of them.

Each piece is one transaction: it takes the lock of fragments, then the rows of the snapshots in their order, and what
is gone is gone with all that was counted. The work list is the data itself, so no piece is ever missed.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final, NamedTuple
from uuid import UUID

from django.db import connection

from fragments.models import RawFragmentAggregate, RawFragmentAggregateSource
from fragments.services.erasure_inventory import ENTITY, FEW_OF_ENTITY, MANY_OF_ENTITY
from schemaevo.kernel.locks import LockSpace, hold
from schemaevo.kernel.models import Erasure
from snapshots.models import EntitySnapshot, Retraction, Source

#: Entities that one transaction looks at, and rows of each of their tables that it deletes.
ENTITIES_AT_ONCE: Final = 500
ROWS_AT_ONCE: Final = 5_000


class Place(NamedTuple):
    """How far the entities are gone through, in the order of type and key; all up to there are gone."""

    entity_type: str = ""
    entity_key: str = ""


class Gone(NamedTuple):
    """What one piece took away, by table, and what of it else may have to go: fields, and sources."""

    counts: dict[str, int]
    sources: frozenset[str]
    entities: int


def entities_next(erasure: Erasure, after: Place) -> list[tuple[str, str, UUID]]:
    """Some entities that are still there, of one entity type, beyond `after`: type, key and id."""
    rows = EntitySnapshot.objects.filter(user_id=erasure.user_id)
    if erasure.entity_id is not None:
        rows = rows.filter(pk=erasure.entity_id)
    listed = rows.order_by("entity_type", "entity_key").values_list("entity_type", "entity_key", "pk")
    same = listed.filter(entity_type=after.entity_type, entity_key__gt=after.entity_key)
    found = list(same[:ENTITIES_AT_ONCE]) if after.entity_type else []
    if found:
        return found
    first = listed.filter(entity_type__gt=after.entity_type).first()
    return list(listed.filter(entity_type=first[0])[:ENTITIES_AT_ONCE]) if first else []


def entities_erase(erasure: Erasure, entity_type: str, entity_ids: Collection[UUID]) -> Gone:
    """So much of the entities is gone as one transaction takes: all of them, or at first only some of their rows.

    Where rows are left their snapshots wait, so that nobody takes them for what they were merged from. Runs inside the
    caller's transaction, which is marked. Raises: LockTimeout.
    """
    hold(LockSpace.FRAGMENTS, [(erasure.user_id, entity_type)])
    ids = [str(identity) for identity in entity_ids]
    counts: dict[str, int] = {}
    fields: set[str] = set()
    sources: set[str] = set()
    is_left = False
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT 1 FROM entity_snapshots WHERE id = ANY(%s::uuid[]) ORDER BY user_id, id FOR UPDATE", [ids]
        )
        for owned in MANY_OF_ENTITY:
            told = "fragment_key" if owned.table == "raw_fragments" else "source_id::text"
            cursor.execute(
                f"""
                DELETE FROM {owned.table} WHERE id IN (
                    SELECT id FROM {owned.table}
                     WHERE user_id = %s AND {owned.column} = ANY(%s::uuid[]) LIMIT %s)
                RETURNING {told}
                """,  # noqa: S608  of models
                [erasure.user_id, ids, ROWS_AT_ONCE],
            )
            found = [value for (value,) in cursor.fetchall()]
            counts[owned.table] = len(found)
            (fields if owned.table == "raw_fragments" else sources).update(found)
            is_left |= len(found) == ROWS_AT_ONCE
        if is_left:
            cursor.execute(
                "UPDATE entity_snapshots SET reduction_hash = '' WHERE id = ANY(%s::uuid[])", [ids]
            )
        else:
            for owned in (*FEW_OF_ENTITY, ENTITY):
                cursor.execute(
                    f"DELETE FROM {owned.table} WHERE user_id = %s AND {owned.column} = ANY(%s::uuid[])",  # noqa: S608
                    [erasure.user_id, ids],
                )
                counts[owned.table] = counts.get(owned.table, 0) + int(cursor.rowcount)
    fields_forget(erasure.user_id, entity_type, fields, counts)
    return Gone(counts, frozenset(sources), 0 if is_left else len(ids))


def fields_forget(user_id: int, entity_type: str, fields: Collection[str], counts: dict[str, int]) -> None:
    """Of these fields nothing is told any more if the owner has no fragment of them left; what was counted of owners
    goes if nobody has one."""
    if not fields:
        return
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT key FROM unnest(%s::text[]) AS asked (key)
             WHERE NOT EXISTS (SELECT 1 FROM raw_fragments AS f
                                WHERE f.user_id = %s AND f.entity_type = %s AND f.fragment_key = asked.key)
            """,
            [sorted(fields), user_id, entity_type],
        )
        unused = [key for (key,) in cursor.fetchall()]
        whose = {"user_id": user_id, "entity_type": entity_type, "fragment_key__in": unused}
        for model, at_zero in (
            (RawFragmentAggregateSource, {"row_count": 0}),
            (RawFragmentAggregate, {"sample_count": 0, "frequency_total": 0}),
        ):
            table = model._meta.db_table
            deleted, _ = model.objects.filter(**whose, **at_zero).delete()
            counts[table] = counts.get(table, 0) + deleted
    growth_forget(entity_type, unused, counts)


def growth_forget(entity_type: str, fields: Collection[str], counts: dict[str, int]) -> None:
    """What these fields come to over their owners is not told any more where nobody has any."""
    with connection.cursor() as cursor:
        for table in ("field_growth", "field_totals"):
            cursor.execute(
                f"""
                DELETE FROM {table} AS g WHERE g.entity_type = %s AND g.fragment_key = ANY(%s)
                   AND NOT EXISTS (SELECT 1 FROM raw_fragment_aggregates AS a
                                    WHERE a.entity_type = g.entity_type AND a.fragment_key = g.fragment_key)
                """,  # noqa: S608  both tables stand here
                [entity_type, list(fields)],
            )
            counts[table] = counts.get(table, 0) + int(cursor.rowcount)


def sources_forget(erasure: Erasure, source_ids: Collection[str], counts: dict[str, int]) -> None:
    """Those of the sources are gone that no other entity of the owner has an observation from."""
    with connection.cursor() as cursor:
        for source_id in sorted(source_ids):
            cursor.execute("SELECT 1 FROM observations WHERE source_id = %s LIMIT 1", [source_id])
            if cursor.fetchone() is None:
                of_owner = {"user_id": erasure.user_id}
                for rows in (
                    Retraction.objects.filter(source_id=source_id, **of_owner),
                    Source.objects.filter(pk=source_id, **of_owner),
                ):
                    table = rows.model._meta.db_table
                    counts[table] = counts.get(table, 0) + rows.delete()[0]
