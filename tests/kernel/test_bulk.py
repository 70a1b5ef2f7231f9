"""Many rows at once: what a COPY leaves, and the pause of Python's search for cyclic garbage meanwhile."""

import gc

import pytest
from django.db import connection, transaction
from psycopg.errors import NotNullViolation

from schemaevo.kernel.bulk import collector_paused, copy_unless_taken


@pytest.fixture
def table(db: None) -> str:
    with connection.cursor() as cursor:
        cursor.execute("CREATE TEMPORARY TABLE things (id int PRIMARY KEY, name text NOT NULL)")
        cursor.execute("INSERT INTO things VALUES (2, 'there')")
    return "things"


def rows_of(table: str) -> list[tuple[int, str]]:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT id, name FROM {table} ORDER BY id")
        return list(cursor.fetchall())


def test_rows_whose_keys_are_free_are_all_there(table: str) -> None:
    assert copy_unless_taken(table, ["id", "name"], [(1, "a\tb\\c"), (3, "\n")])
    assert rows_of(table) == [(1, "a\tb\\c"), (2, "there"), (3, "\n")]


def test_where_one_key_is_taken_no_row_is_there_and_the_transaction_goes_on(table: str) -> None:
    assert not copy_unless_taken(table, ["id", "name"], [(1, "a"), (2, "b"), (3, "c")])
    assert rows_of(table) == [(2, "there")]


def test_any_other_rule_that_is_broken_is_an_error(table: str) -> None:
    with pytest.raises(NotNullViolation), transaction.atomic():
        copy_unless_taken(table, ["id", "name"], [(1, None)])
    assert rows_of(table) == [(2, "there")]


def test_the_collector_rests_until_the_last_of_several_pauses_ends_and_then_runs_again() -> None:
    """As two threads do it: the one that paused first ends while the other still works."""
    assert gc.isenabled()
    first, second = collector_paused(), collector_paused()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert not gc.isenabled()
    second.__exit__(None, None, None)
    assert gc.isenabled()


def test_a_collector_that_was_off_stays_off() -> None:
    gc.disable()
    try:
        with collector_paused():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_an_error_ends_the_pause_too() -> None:
    with pytest.raises(ZeroDivisionError), collector_paused():
        _ = 1 / 0
    assert gc.isenabled()
