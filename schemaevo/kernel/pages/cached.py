"""Which reads may be answered from the page cache: those of lists and of the dashboard, of few tables, and no others.

django-cachalot puts itself between the ORM and the database and would answer every read of the tables that it is
given. What decides or writes must never read so: an entry can be as old as `CACHALOT_TIMEOUT` where a write was not
announced, as none is that is done by SQL, COPY or a trigger. So the cache is off wherever nobody asks for it, and
`cached_reads` asks for it, for the block inside. The fence that nobody can forget is `query_key`: without it, there is
no key to look under.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from hashlib import sha256
from time import time
from typing import Any, Final

from cachalot import monkey_patch
from cachalot.cache import cachalot_caches
from cachalot.utils import UncachableQuery, check_parameter_types
from django.apps import apps
from django.conf import settings
from django.db import connections
from django.db.models import Model

#: SQL whose answer is another each time, though no table was written.
_VOLATILE: Final = re.compile(
    r"\b(random|now|(statement|clock|transaction)_timestamp|(current|local)_?(timestamp|date|time)|for (no key )?update"
    r"|for (key )?share)\b",
    re.IGNORECASE,
)

#: For each query of the block that may be answered from the cache, when it was begun; None outside of such blocks.
_begun: ContextVar[dict[str, float] | None] = ContextVar("reads_begun", default=None)


@contextmanager
def cached_reads() -> Iterator[None]:
    """What is read in the block may come from the page cache. For showing only: nothing may be decided by it.

    Inside a transaction the block changes nothing: there, somebody may be about to write.
    """
    if any(connection.in_atomic_block for connection in connections.all(initialized_only=True)):
        yield
        return
    forget_lost_transactions()
    token = _begun.set({})
    try:
        yield
    finally:
        _begun.reset(token)


def may_be_cached(model: type[Model]) -> bool:
    """Whether rows of the model are ever answered from the page cache."""
    return (
        settings.SCHEMAEVO_PAGE_CACHE_ENABLED and model._meta.db_table in settings.SCHEMAEVO_PAGE_CACHE_TABLES
    )


def begun_at(key: str) -> float | None:
    """When the query with this key was begun, if the block asked for the cache."""
    begun = _begun.get()
    return None if begun is None else begun.get(key)


def install() -> None:
    """cachalot looks for the tables of a query in its SQL.

    Its own look also finds joins that Django has dropped again, as it does wherever the column of a reference is
    named: nearly every query here seems to read the users, who are never cached. It asks for its keys by settings, but
    not for this.
    """
    monkey_patch._get_table_cache_keys = _table_keys


def query_key(compiler: Any) -> str:
    """Where the result of a query is kept. Raises: UncachableQuery outside of `cached_reads`, and for a query of other
    tables."""
    begun = _begun.get()
    if begun is None:
        raise UncachableQuery
    sql, params = compiler.as_sql()
    check_parameter_types(params)
    compiler.tables_in_sql = tables_in(sql)
    if _VOLATILE.search(sql) or not compiler.tables_in_sql.issubset(settings.SCHEMAEVO_PAGE_CACHE_TABLES):
        raise UncachableQuery
    given = [(type(param).__name__, str(param)) for param in params]
    key = _of_database(compiler.using, f"{sql}:{given}")
    begun[key] = time()
    return key


def table_key(db_alias: str, table: str) -> str:
    """Where it is kept when a table was last written."""
    return _of_database(db_alias, table)


def tables_in(sql: str) -> frozenset[str]:
    """The tables that the SQL names, quoted or not; rather one too many than one too few."""
    return frozenset(_names_of_tables().findall(sql))


def forget_lost_transactions(**_signal: Any) -> None:
    """cachalot knows of no transaction in this thread that the database does not know of.

    It counts a transaction before the database is asked for it. Where that fails, since the database is away, nothing
    takes it back: from then on the thread would keep all it reads to itself, for ever, and announce no write.
    """
    for connection in connections.all(initialized_only=True):
        if not connection.in_atomic_block:
            cachalot_caches.atomic_caches[connection.alias].clear()


def _table_keys(compiler: Any) -> list[str]:
    return [table_key(compiler.using, table) for table in sorted(compiler.tables_in_sql)]


@cache
def _names_of_tables() -> re.Pattern[str]:
    tables = {model._meta.db_table for model in apps.get_models(include_auto_created=True)}
    return re.compile(rf"\b(?:{'|'.join(sorted(map(re.escape, tables)))})\b", re.IGNORECASE)


def _of_database(db_alias: str, name: str) -> str:
    # Two databases may share one Redis: cachalot's own keys do not tell them apart.
    return sha256(f"{connections[db_alias].settings_dict['NAME']}:{name}".encode()).hexdigest()
