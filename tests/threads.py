"""Functions side by side, each on a database connection of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from django.db import connection, connections

T = TypeVar("T")
PATIENCE_S = 60


def side_by_side(functions: Sequence[Callable[[], T]]) -> list[T]:
    """Runs all of them, started at the same moment; gives the results in order, or raises the first error."""
    barrier = threading.Barrier(len(functions))

    def run(function: Callable[[], T]) -> T:
        try:
            connection.ensure_connection()
            barrier.wait(PATIENCE_S)
            return function()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(len(functions)) as pool:
        futures = [pool.submit(run, function) for function in functions]
        return [future.result(PATIENCE_S) for future in futures]


class Aside:
    """One function on another connection, beside the test: ``with Aside(f) as future``."""

    def __init__(self, function: Callable[[], T]) -> None:
        self._function = function
        self._pool = ThreadPoolExecutor(1)

    def __enter__(self) -> Future[object]:
        def run() -> object:
            try:
                return self._function()
            finally:
                connections.close_all()

        return self._pool.submit(run)

    def __exit__(self, *exc_info: object) -> None:
        self._pool.shutdown(wait=True)


def waiting_for_locks() -> int:
    """How many connections to this database wait for an advisory lock."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
            " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        )
        row = cursor.fetchone()
    return int(row[0])
