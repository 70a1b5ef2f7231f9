"""Many rows at once: COPY into a temporary table, to be merged from there in one statement."""

import gc
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import repeat
from operator import is_, itemgetter
from typing import Any

from django.db import connection, transaction
from psycopg import sql
from psycopg.errors import UniqueViolation

#: Fewer rows than this are sent as they are: looking for what they share costs more than sending it.
_NARROW_FROM = 32


def copy_into_temporary(
    table: str, columns: Mapping[str, str], rows: Iterable[Sequence[Any]], *, narrow: bool = False
) -> None:
    """A temporary table of that name holds exactly `rows`, until the transaction ends.

    `columns` gives each column's type, in the order of the values in a row. JSON goes in as text. Used instead of
    parameters because an array of 1,000 JSON values took eight times as long (DESIGN: rules from measurement).

    Rows are sent as they are made, so that the server works meanwhile. With `narrow` they are made first, and what
    is one and the same object in all of them is sent once, as the default of its column: of rows with many short
    values, writing and reading those is what the copy costs.
    """
    shared: dict[str, Any] = {}
    if narrow:
        rows = list(rows)
        if len(rows) >= _NARROW_FROM:
            shared, rows = _narrowed(columns, rows)
    name = sql.Identifier(table)
    definitions = sql.SQL(", ").join(
        sql.SQL("{} {}").format(sql.Identifier(column), sql.SQL(kind))
        + (sql.SQL(" DEFAULT {}").format(sql.Literal(shared[column])) if column in shared else sql.SQL(""))
        for column, kind in columns.items()
    )
    sent = [column for column in columns if column not in shared]
    with connection.cursor() as cursor:
        # The same transaction may come by here again, as batches in a test do. Both in one message: where a batch
        # is small, the round trips are what it costs.
        create = "DROP TABLE IF EXISTS pg_temp.{0}; CREATE TEMPORARY TABLE {0} ({1}) ON COMMIT DROP"
        cursor.execute(sql.SQL(create).format(name, definitions))
        with cursor.copy(_copy(table, sent)) as copy:
            for row in rows:
                copy.write_row(row)


def copy_unless_taken(table: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> bool:
    """The table holds these rows as well; or none of them, and False is given, where one has a key that is taken.

    For rows that were not there a moment ago. A temporary table and an INSERT that can pass over what is there cost
    half as much again, and somebody else brings the same rows in the same moment only now and then. Rows come in the
    order of their keys: two that bring the same ones then wait for each other in that order alone.
    """
    try:
        with transaction.atomic(), connection.cursor() as cursor, cursor.copy(_copy(table, columns)) as copy:
            for row in rows:
                copy.write_row(row)
    except UniqueViolation:  # as psycopg raises it: a COPY does not pass through Django
        return False
    return True


def uuid_array(ids: Iterable[str]) -> str:
    """Ids, as UUID texts, in the form of a parameter `%s::uuid[]`; psycopg looks at each item of a list."""
    return f"{{{','.join(ids)}}}"


def _copy(table: str, columns: Iterable[str]) -> sql.Composed:
    names = sql.SQL(", ").join(map(sql.Identifier, columns))
    return sql.SQL("COPY {} ({}) FROM STDIN").format(sql.Identifier(table), names)


def _narrowed(
    columns: Mapping[str, str], rows: Sequence[Sequence[Any]]
) -> tuple[dict[str, Any], Iterable[Sequence[Any]]]:
    """The columns in which all rows hold the same object, with that object, and the rows without them.

    The same and not an equal one: 0.0 equals -0.0, and the comparison ends at the second row where rows differ.
    """
    first = rows[0]
    names = list(columns)
    shared: dict[str, Any] = {}
    kept: list[int] = []
    for index, values in enumerate(zip(*rows, strict=True)):
        # The first column is always sent, as a COPY has to send something.
        if index and all(map(is_, values, repeat(first[index]))):
            shared[names[index]] = first[index]
        else:
            kept.append(index)
    # With one index an itemgetter would give no tuple.
    return shared, map(itemgetter(*kept), rows) if len(kept) > 1 else ((row[kept[0]],) for row in rows)


class _Pauses:
    """How many pauses of the collector there are now, in all threads, and whether it ran before the first."""

    lock = threading.Lock()
    count = 0
    was_enabled = True


@contextmanager
def collector_paused() -> Iterator[None]:
    """Python's search for cyclic garbage does not run meanwhile, in the whole process.

    For one batch: it makes containers by the hundred thousand, and no cycles, and the search through them took a
    seventh of its time. What has no cycle is freed at once, as ever.
    """
    with _Pauses.lock:
        if not _Pauses.count:
            _Pauses.was_enabled = gc.isenabled()
            gc.disable()
        _Pauses.count += 1
    try:
        yield
    finally:
        with _Pauses.lock:
            _Pauses.count -= 1
            if not _Pauses.count and _Pauses.was_enabled:
                gc.enable()
