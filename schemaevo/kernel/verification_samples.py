"""Walking a table by its key, for checks: all of it in order, or a sample from random places, one look at a time.

A sample is taken from as many equal parts of the key space as it needs looks, a few neighbours from a random place in
each. Keys are hashes, or numbers given in order, so neighbours are strangers, or came together; the parts keep a row
from being looked at twice, and let a sample go on after a crash with nothing but the number of its part.
"""

from __future__ import annotations

import secrets
import uuid
from dataclasses import dataclass
from typing import Any, TypeAlias

from django.db import connection, models
from psycopg import sql

from schemaevo.kernel.canonical import Json

#: Rows of one look at all of a table.
ROWS_PER_LOOK = 200
#: Rows that one random place stands for.
ROWS_PER_PLACE = 50

Key: TypeAlias = "uuid.UUID | int"


@dataclass(frozen=True, slots=True)
class KeyedTable:
    """A table and its key: an id (uuid), or a number."""

    name: str
    key: str
    is_number: bool

    @classmethod
    def of(cls, model: type[models.Model]) -> KeyedTable:
        """The table of a model."""
        # Every model has one; to the checker it may be a reference or not.
        key: Any = model._meta.pk
        kind = key.target_field if key.is_relation else key
        return cls(model._meta.db_table, key.column, not isinstance(kind, models.UUIDField))

    def key_of(self, number: int) -> Key:
        """The key at that place of the key space."""
        return number if self.is_number else uuid.UUID(int=number)

    def place_of(self, key: Key) -> int:
        """The place of a key in the key space."""
        return key if isinstance(key, int) else key.int


@dataclass(frozen=True, slots=True)
class Found:
    """The keys of one look, as text in order, and the place of the next; None at the end."""

    keys: list[str]
    place: Json


def keys_next(table: KeyedTable, size: int | None, place: Json) -> Found:
    """The next keys of all rows (`size` None), or of about `size` of them and never more."""
    match place:
        case {"after": str(after)}:
            return _after(table, after)
        case {"part": int(part), "low": str(low), "high": str(high)} if size is not None:
            return _in_part(table, size, part, int(low), int(high))
        case _:
            if size is None or rows_up_to(table, size + 1) <= size:
                return _after(table, None)
            return _in_part(table, size, 0, *_key_space(table))


def rows_up_to(table: KeyedTable, limit: int | None) -> int:
    """How many rows there are, counted up to the limit."""
    with connection.cursor() as cursor:
        cursor.execute(
            sql.SQL("SELECT count(*) FROM (SELECT FROM {} LIMIT {}) AS found").format(
                sql.Identifier(table.name), sql.Literal(limit)
            )
        )
        (count,) = cursor.fetchone()
    return int(count)


def _after(table: KeyedTable, after: str | None) -> Found:
    last = None if after is None else (int(after) if table.is_number else uuid.UUID(after))
    keys = _keys(table, low=last, limit=ROWS_PER_LOOK, is_beyond=True)
    texts = [str(key) for key in keys]
    return Found(texts, {"after": texts[-1]} if len(texts) == ROWS_PER_LOOK else None)


def _in_part(table: KeyedTable, size: int, part: int, low: int, high: int) -> Found:
    parts = -(-size // ROWS_PER_PLACE)
    wanted = min(ROWS_PER_PLACE, size - part * ROWS_PER_PLACE)
    width = high - low
    begins, ends = low + width * part // parts, low + width * (part + 1) // parts
    start = begins + secrets.randbelow(max(1, ends - begins))
    keys = _keys(table, low=table.key_of(start), before=ends, limit=wanted)
    if len(keys) < wanted:
        keys += _keys(table, low=table.key_of(begins), before=start, limit=wanted - len(keys))
    is_last = part + 1 >= parts
    # As text: a cursor keeps numbers of this size, but not every reader of JSON does.
    place: Json = None if is_last else {"part": part + 1, "low": str(low), "high": str(high)}
    return Found([str(key) for key in sorted(keys, key=table.place_of)], place)


def _key_space(table: KeyedTable) -> tuple[int, int]:
    if not table.is_number:
        return 0, 1 << 128
    with connection.cursor() as cursor:
        cursor.execute(
            sql.SQL("SELECT coalesce(min({key}), 0), coalesce(max({key}), 0) FROM {table}").format(
                key=sql.Identifier(table.key), table=sql.Identifier(table.name)
            )
        )
        lowest, highest = cursor.fetchone()
    return int(lowest), int(highest) + 1


def _keys(
    table: KeyedTable, *, low: Key | None, limit: int, before: int | None = None, is_beyond: bool = False
) -> list[Key]:
    """The keys from `low` on (or beyond it), below the place `before`, in order."""
    key = sql.Identifier(table.key)
    bounds: list[sql.Composable] = []
    if low is not None:
        bounds.append(sql.SQL("{} {} {}").format(key, sql.SQL(">" if is_beyond else ">="), sql.Literal(low)))
    # The end of the space of ids is no id.
    if before is not None and (table.is_number or before < 1 << 128):
        bounds.append(sql.SQL("{} < {}").format(key, sql.Literal(table.key_of(before))))
    where = sql.SQL(" AND ").join(bounds) if bounds else sql.SQL("true")
    with connection.cursor() as cursor:
        cursor.execute(
            sql.SQL("SELECT {key} FROM {table} WHERE {where} ORDER BY {key} LIMIT {limit}").format(
                key=key, table=sql.Identifier(table.name), where=where, limit=sql.Literal(limit)
            )
        )
        return [found for (found,) in cursor.fetchall()]
