"""Migrations lead from nothing to the models and back to nothing, and hold every SQL file once."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from django.apps import apps
from django.core.management import call_command
from django.db import connection
from django.db.migrations.loader import MigrationLoader
from psycopg import sql

from schemaevo.kernel.sql import RunSQLFile

PROJECT = Path(__file__).resolve().parents[2]
COMMITTED = Path(__file__).with_name("triggers.sql")
REWRITE = "SCHEMAEVO_REWRITE_BASELINES"

#: From the top floor down, so that nothing is taken away under what stands on it.
FLOORS = ("fragments", "snapshots", "registry", "kernel")

#: What only SQL files make, as a person can review it. Tables and indexes are compared by makemigrations.
GUARDS = """
    SELECT 3, pg_get_triggerdef(t.oid) FROM pg_trigger t WHERE NOT t.tgisinternal
    UNION ALL
    SELECT 2, pg_get_functiondef(p.oid) FROM pg_proc p WHERE p.pronamespace = 'public'::regnamespace
    UNION ALL
    SELECT 1, format('ALTER TABLE %s ADD CONSTRAINT %s %s', c.conrelid::regclass, c.conname,
                     pg_get_constraintdef(c.oid))
      FROM pg_constraint c WHERE c.connamespace = 'public'::regnamespace AND c.contype = 'x'
    ORDER BY 1, 2
"""
#: Everything that stands on tables of ours.
CATALOG = """
    SELECT c.conrelid::regclass || ' ' || c.conname || ' ' || pg_get_constraintdef(c.oid)
      FROM pg_constraint c WHERE c.conrelid = ANY(SELECT to_regclass(t) FROM unnest(%(ours)s::text[]) t)
    UNION ALL
    SELECT i.indexdef FROM pg_indexes i WHERE i.schemaname = 'public' AND i.tablename = ANY(%(ours)s::text[])
    UNION ALL
    SELECT attrelid::regclass || ' ' || attname || ' ' || format_type(atttypid, atttypmod)
      FROM pg_attribute WHERE attrelid = ANY(SELECT to_regclass(t) FROM unnest(%(ours)s::text[]) t) AND attnum > 0
    ORDER BY 1
"""


def sql_files() -> Iterator[tuple[str, Path]]:
    """(app, file) of every SQL file that leads forwards."""
    for label in FLOORS:
        for path in sorted((Path(apps.get_app_config(label).path) / "sql").glob("*.sql")):
            if not path.name.endswith(".down.sql"):
                yield label, path


def operations() -> Iterator[tuple[str, RunSQLFile]]:
    """(app of the migration, operation) of every SQL file that a migration runs."""
    for (label, _), migration in MigrationLoader(None).disk_migrations.items():
        for operation in migration.operations:
            if isinstance(operation, RunSQLFile):
                yield label, operation


def our_tables() -> list[str]:
    return sorted(
        model._meta.db_table for label in FLOORS for model in apps.get_app_config(label).get_models()
    )


def test_every_sql_file_is_used_exactly_once():
    used = Counter((operation.app_label, operation.name) for _, operation in operations())

    assert used == Counter((label, path.stem) for label, path in sql_files())


def test_an_sql_file_belongs_to_the_app_whose_migration_runs_it():
    assert [operation.name for label, operation in operations() if label != operation.app_label] == []


def test_every_sql_file_has_a_way_back_and_says_what_it_guards():
    for _, path in sql_files():
        assert path.with_name(f"{path.stem}.down.sql").exists(), path
        assert path.read_text().startswith("-- "), path


def test_numbers_of_sql_files_are_given_once_per_app():
    numbers = Counter((label, path.name.split("_")[0]) for label, path in sql_files())

    assert [number for number, count in numbers.items() if count > 1] == []


def test_an_sql_operation_can_be_written_down_and_read_back():
    operation = RunSQLFile("kernel", "0001_audit_events_append_only_v1")
    name, arguments, options = operation.deconstruct()

    assert (name, options) == ("RunSQLFile", {})
    assert RunSQLFile(*arguments).describe() == operation.describe()


@pytest.mark.django_db
def test_the_models_have_no_changes_without_a_migration():
    call_command("makemigrations", check=True, dry_run=True, verbosity=0)


@pytest.mark.django_db
def test_the_database_has_exactly_the_guards_that_are_written_down():
    """Rewrite the list with SCHEMAEVO_REWRITE_BASELINES=1, and read the difference before committing it."""
    with connection.cursor() as cursor:
        cursor.execute(GUARDS)
        live = "\n\n".join(f"{text.strip()};" for _, text in cursor.fetchall()) + "\n"
    if os.environ.get(REWRITE) == "1":
        COMMITTED.write_text(live)

    assert live == COMMITTED.read_text()


@pytest.fixture
def empty_database(transactional_db) -> Iterator[str]:
    """The address of a database with nothing in it."""
    name = f"{connection.settings_dict['NAME']}_empty"
    with connection.cursor() as cursor:
        cursor.execute(sql.SQL("DROP DATABASE IF EXISTS {}").format(sql.Identifier(name)))
        cursor.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    yield f"{os.environ['DATABASE_URL'].rpartition('/')[0]}/{name}"
    with connection.cursor() as cursor:
        cursor.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.mark.long
def test_from_nothing_to_the_models_and_back_to_nothing_and_up_again(empty_database):
    manage(empty_database, ["migrate"])
    made = catalog(empty_database)
    assert set(our_tables()) <= set(tables(empty_database))

    manage(empty_database, *(["migrate", label, "zero"] for label in FLOORS))
    assert catalog(empty_database) == []
    assert set(our_tables()) & set(tables(empty_database)) == set()

    manage(empty_database, ["migrate"])
    assert catalog(empty_database) == made


def manage(database_url: str, *commands: list[str]) -> None:
    """Runs the commands, one after the other, in a process whose database is `database_url`."""
    program = "import sys, django; django.setup(); from django.core.management import call_command as call\n"
    program += "".join(f"call(*{command!r}, verbosity=0)\n" for command in commands)
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=PROJECT,
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "schemaevo.settings", "DATABASE_URL": database_url},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def catalog(database_url: str) -> list[str]:
    with psycopg.connect(database_url) as direct:
        guards = [text for _, text in direct.execute(GUARDS).fetchall()]
        return guards + [line for (line,) in direct.execute(CATALOG, {"ours": our_tables()}).fetchall()]


def tables(database_url: str) -> list[str]:
    with psycopg.connect(database_url) as direct:
        rows = direct.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
    return [name for (name,) in rows]
