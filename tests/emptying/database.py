"""After a test that commits, the database is as migrations left it: with the roles that they made, and nothing else.

Django would empty all tables, those that migrations filled too, by a TRUNCATE, which makes a new file for every table
and every index, and would then look for each permission of each model. That takes longer than most tests.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from cachalot.api import invalidate
from django.conf import settings
from django.contrib.contenttypes.models import ContentType
from django.db import connection, transaction
from django.db.backends.utils import CursorWrapper

quoted = connection.ops.quote_name

#: Rows that were deleted from a table of this size on would cost the next tests more than a TRUNCATE.
LARGE_BYTES = 4_000_000

#: By table of a model, the rows that migrations put into it; into most of them none.
_made: dict[str, list[tuple[Any, ...]]] = {}


class Table(NamedTuple):
    """A table of a model, as it is now."""

    name: str
    has_rows: bool
    size: int

    @property
    def is_as_migrated(self) -> bool:
        if not _made[self.name]:
            return not self.has_rows
        return _rows(self.name) == _made[self.name]


def note_as_migrated() -> None:
    """What is in the database now is what every test that commits leaves in it."""
    names = connection.introspection.django_table_names(only_existing=True, include_views=False)
    _made.update({name: _rows(name) for name in sorted(names)})


def make_as_migrated() -> None:
    """Every row that migrations made is there as they made it, and no other."""
    with transaction.atomic(), connection.cursor() as cursor:
        tables = _tables(cursor)
        if any(table.size >= LARGE_BYTES for table in tables):
            changed = list(_made)
            emptied = f"TRUNCATE {', '.join(map(quoted, changed))};"
        else:
            changed = [table.name for table in tables if not table.is_as_migrated]
            emptied = _for_each("DELETE FROM {};", changed)
        # Some tables let nobody delete.
        cursor.execute(_for_each("ALTER TABLE {} DISABLE TRIGGER USER;", changed) + emptied)
        for name in changed:
            _insert(cursor, name)
        # Only after foreign keys were looked at can triggers be switched on again.
        cursor.execute(
            "SET CONSTRAINTS ALL IMMEDIATE;" + _for_each("ALTER TABLE {} ENABLE TRIGGER USER;", changed)
        )
    ContentType.objects.clear_cache()
    invalidate(*settings.SCHEMAEVO_PAGE_CACHE_TABLES, cache_alias=settings.CACHALOT_CACHE)


def _for_each(statement: str, names: Iterable[str]) -> str:
    return " ".join(statement.format(quoted(name)) for name in names)


def _rows(name: str) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT t.* FROM {quoted(name)} AS t ORDER BY t")
        return list(cursor.fetchall())


def _insert(cursor: CursorWrapper, name: str) -> None:
    for row in _made[name]:
        cursor.execute(f"INSERT INTO {quoted(name)} VALUES ({', '.join(['%s'] * len(row))})", row)


def _tables(cursor: CursorWrapper) -> list[Table]:
    cursor.execute(
        " UNION ALL ".join(
            f"SELECT '{name}', EXISTS (SELECT FROM {quoted(name)}), pg_relation_size('{quoted(name)}')"
            for name in _made
        )
    )
    return [Table(*row) for row in cursor.fetchall()]
