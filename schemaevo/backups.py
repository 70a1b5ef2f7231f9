"""Backup and restore: the whole database in one file, and back from it into an empty place.

The archives are pg_dump's own (custom format), so PostgreSQL's tools read them too. Valkey is not in them: it holds
nothing that the database does not know. Neither is the secret key, which only signs sessions.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
from django.apps import apps
from django.conf import settings
from django.core.checks import ERROR, Tags, run_checks
from django.core.management import call_command
from django.db import connection, connections
from django.db.migrations.loader import MigrationLoader
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from schemaevo import embedded, supervision
from schemaevo.embedded.binaries import postgres_clients
from schemaevo.kernel.errors import Conflict, Invalid, NotFound
from schemaevo.kernel.streams import new_file
from snapshots.services.verify import Verified, snapshot_ids_sample, snapshots_verify

OUR_APPS = ("kernel", "registry", "snapshots", "fragments")
BEFORE_MIGRATION = "before-migration-"
BACKUPS_KEPT = 3
#: Where `--replace` puts what it replaces, until the restored database has proved to be sound.
ASIDE = "replaced_by_restore"
#: From this version on, servers know every parameter that pg_restore of a newer version sets.
TOLERANT_MAJOR = 17
LAST_WORDS = 2000


@dataclass(frozen=True, slots=True)
class Backup:
    """A finished backup: the file, its size in bytes, and the rows of our tables in it."""

    path: Path
    size: int
    rows: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Restored:
    """A restored database: the rows of our tables now, how many migrations had to be applied on top, and the
    outcome of verifying a sample of snapshots."""

    rows: Mapping[str, int]
    migrated: int
    verified: Verified


@contextmanager
def servers_running(purpose: str) -> Iterator[None]:
    """The database can be connected to: embedded servers that do not run are started, and stopped again at the end.

    Raises: ServersFailed.
    """
    servers = embedded.servers_of()
    if not servers.has_postgres:
        yield
        return
    with ExitStack() as held:
        try:
            note = held.enter_context(supervision.only_one(servers.home))
        except supervision.RunsAlready:
            # `up` runs, and its servers with it.
            yield
            return
        supervision.say_what_runs(note, f"{purpose} (process {os.getpid()})")
        was_running = embedded.are_running(servers)
        embedded.start_servers(servers.home)
        try:
            yield
        finally:
            connections.close_all()
            if not was_running:
                embedded.stop_servers(servers)


def backup_create(*, path: Path) -> Backup:
    """The file holds the database as of one instant, whole and on the disk, or does not exist.

    Raises: ServersFailed where no fitting pg_dump is found; Conflict `file_exists`; Invalid `cannot_write`,
    `backup_failed` with what pg_dump said.
    """
    connection.ensure_connection()
    target = _Target.of_connection()
    programs = postgres_clients(target.server_major, needs_tls=target.is_encrypted)
    with psycopg.connect(target.conninfo, password=target.password) as reader, new_file(path) as file:
        reader.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        reader.read_only = True
        # As pg_dump does for itself; counting a big table takes its time.
        reader.execute("SET statement_timeout = 0")
        (snapshot,) = _one(reader, "SELECT pg_export_snapshot()")
        command = [str(programs["pg_dump"]), "--format=custom", "--no-owner", "--no-privileges"]
        command += [f"--snapshot={snapshot}", f"--file={file.name}", f"--dbname={target.conninfo}"]
        with _running(command, target, stdout=subprocess.DEVNULL) as process:
            # Counted as of the same instant as is dumped.
            rows = _row_counts(reader)
            _, said = process.communicate()
        if process.returncode != 0:
            raise Invalid("backup_failed", f"pg_dump failed: {_text(said)}")
        size = os.fstat(file.fileno()).st_size
    return Backup(path, size, rows)


def backup_before_migration(home: Path) -> Backup:
    """A backup is in the state directory, of which the newest few are kept. The caller has the home to itself.

    Raises: what `backup_create` raises.
    """
    directory = home / "backups"
    directory.mkdir(mode=0o700, exist_ok=True)
    for draft in directory.glob(f".{BEFORE_MIGRATION}*.part"):
        draft.unlink()  # of a process that was killed
    now = datetime.now(UTC)
    made = backup_create(path=directory / f"{BEFORE_MIGRATION}{now:%Y%m%dT%H%M%S.%fZ}.dump")
    for old in sorted(directory.glob(f"{BEFORE_MIGRATION}*.dump"))[:-BACKUPS_KEPT]:
        old.unlink()
    return made


def database_holds_data() -> bool:
    """Whether anybody is in the database; nobody is in one that was never started up to its end."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT to_regclass('users') IS NOT NULL")
        if not cursor.fetchone()[0]:
            return False
        cursor.execute("SELECT EXISTS (SELECT FROM users)")
        return bool(cursor.fetchone()[0])


def backup_restore(
    *, path: Path, is_replacing: bool = False, say: Callable[[str], None] = lambda text: None
) -> Restored:
    """The database holds what the backup holds, migrated to this version of the program, with all guards in place.

    Goes into an empty database. `is_replacing` takes what is there out of the way first, and deletes it when the
    restored database is sound; where anything fails, what was there is back.

    Raises: ServersFailed where no fitting pg_restore is found; NotFound `no_backup_file`; Invalid `not_a_backup`,
    `restore_failed`; Conflict `database_not_empty`, `database_in_use`, `backup_too_new`, `guards_missing`.
    """
    connection.ensure_connection()
    target = _Target.of_connection()
    pg_restore = _require_backup(path, target)
    tables = _relations()
    if not is_replacing:
        if tables:
            raise Conflict(
                "database_not_empty",
                f"The database {target.name} is not empty: it has {len(tables)} tables. Restore into an empty one, "
                "or replace its data with --replace.",
                tables=len(tables),
            )
        return _restore(path, pg_restore, target, say)
    _require_replaceable(tables, target)
    with _put_aside():
        return _restore(path, pg_restore, target, say)


def _restore(path: Path, pg_restore: Path, target: _Target, say: Callable[[str], None]) -> Restored:
    say("Restoring ...")
    command = [str(pg_restore), "--single-transaction", "--exit-on-error", "--no-owner", "--no-privileges"]
    command += ["--no-comments", f"--dbname={target.conninfo}", str(path)]
    with _running(command, target, stdout=subprocess.DEVNULL) as process:
        _, said = process.communicate()
    if process.returncode != 0:
        raise Invalid("restore_failed", f"pg_restore failed, nothing was restored: {_text(said)}")
    applied = _require_known_migrations()
    say("Migrating and checking ...")
    call_command("migrate", interactive=False, verbosity=0)
    migrated = len(MigrationLoader(connection).applied_migrations) - applied
    problems = [
        message
        for message in run_checks(tags=[Tags.database], databases=["default"])
        if message.level >= ERROR
    ]
    if problems:
        raise Conflict(
            "guards_missing",
            "The restored database is not sound: " + " ".join(str(problem.msg) for problem in problems),
        )
    with connection.cursor() as cursor:
        # Plans and the estimates on pages need them, and autovacuum takes its time.
        cursor.execute("ANALYZE")
    verified = Verified()
    for ids in snapshot_ids_sample(settings.SCHEMAEVO_VERIFY_SAMPLE):
        verified.add(snapshots_verify(ids))
    return Restored(_row_counts(connection.connection), migrated, verified)


# --- what a database must be like -------------------------------------------------------------------------
def _require_backup(path: Path, target: _Target) -> Path:
    """The pg_restore to use, once it has found our tables in the file."""
    if not path.is_file():
        raise NotFound("no_backup_file", f"There is no file {path}.")
    programs = postgres_clients(target.server_major, needs_tls=target.is_encrypted)
    if programs.major != target.server_major < TOLERANT_MAJOR:
        raise embedded.ServersFailed(
            f"pg_restore {programs.major} cannot restore into PostgreSQL {target.server_major}: "
            f"install its own (apt install postgresql-client-{target.server_major})"
        )
    pg_restore = programs["pg_restore"]
    with _running([str(pg_restore), "--list", str(path)], target, stdout=subprocess.PIPE) as process:
        listed, said = process.communicate()
    if process.returncode != 0:
        raise Invalid("not_a_backup", f"{path} cannot be read as a backup: {_text(said)}")
    if b" django_migrations " not in listed or b" entity_snapshots " not in listed:
        raise Invalid("not_a_backup", f"{path} is a backup of something else: it lacks our tables.")
    return pg_restore


def _relations() -> list[str]:
    """Every table and view in the database, with its schema, that is not part of the system or of an
    extension."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT format('%I.%I', n.nspname, c.relname)
              FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
             WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND n.nspname <> 'information_schema'
               AND n.nspname !~ '^pg_'
               AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass
                                  AND d.objid = c.oid AND d.deptype = 'e')
             ORDER BY 1
            """
        )
        return [name for (name,) in cursor]


def _require_replaceable(tables: list[str], target: _Target) -> None:
    if any(table.startswith(f"{ASIDE}.") for table in tables):
        raise Conflict(
            "database_not_empty",
            f"A restore was killed half-way: what it was to replace is in the schema {ASIDE}. To have it back: "
            f"DROP SCHEMA public CASCADE; ALTER SCHEMA {ASIDE} RENAME TO public;",
        )
    elsewhere = [table for table in tables if not table.startswith("public.")]
    if elsewhere:
        raise Conflict(
            "database_not_empty",
            f"The database {target.name} holds tables of somebody else, such as {elsewhere[0]}; they are not replaced.",
        )
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT count(*) FROM pg_stat_activity
             WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'
            """
        )
        (others,) = cursor.fetchone()
    if others:
        raise Conflict(
            "database_in_use",
            f"Others are connected to the database {target.name} ({others}): stop web, workers and scheduler first. "
            "Where `up` keeps the servers, stop it; restore starts them by itself.",
            connections=others,
        )


@contextmanager
def _put_aside() -> Iterator[None]:
    """What is in the database is out of the way; gone if the block ends well, and back if it does not."""
    aside = sql.Identifier(ASIDE)
    _execute(
        sql.SQL("ALTER SCHEMA public RENAME TO {}").format(aside),
        sql.SQL("CREATE SCHEMA public"),
        sql.SQL("GRANT USAGE ON SCHEMA public TO PUBLIC"),
    )
    try:
        yield
    except BaseException:
        _execute(
            sql.SQL("DROP SCHEMA public CASCADE"),
            sql.SQL("ALTER SCHEMA {} RENAME TO public").format(aside),
        )
        raise
    _execute(sql.SQL("DROP SCHEMA {} CASCADE").format(aside))


def _execute(*statements: sql.SQL | sql.Composed) -> None:
    """All of them in one transaction, on a connection of its own: Django's may be in the middle of something."""
    target = _Target.of_connection()
    connections.close_all()
    with psycopg.connect(target.conninfo, password=target.password) as own:
        for statement in statements:
            own.execute(statement)


def _require_known_migrations() -> int:
    """How many migrations were applied to what was restored. Raises: Conflict `backup_too_new`."""
    loader = MigrationLoader(connection)
    unknown = sorted(
        f"{app}.{name}"
        for app, name in loader.applied_migrations or ()
        if app in OUR_APPS and (app, name) not in (loader.disk_migrations or ())
    )
    if unknown:
        raise Conflict(
            "backup_too_new",
            f"The backup was made by a newer version of the program: this one does not know {', '.join(unknown)}. "
            "Unless --replace was given, the database holds it now, for that newer version.",
            migrations=unknown,
        )
    return len(loader.applied_migrations or ())


# --- the programs ---------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class _Target:
    """The database that Django is connected to, as PostgreSQL's own programs are told of it."""

    conninfo: str
    password: str
    name: str
    server_major: int
    is_encrypted: bool

    @classmethod
    def of_connection(cls) -> _Target:
        connection.ensure_connection()
        info = connection.connection.info
        known = conninfo_to_dict(info.dsn)
        if known.get("sslcertmode") == "allow":
            # The default, which libpq says of every connection, and which programs before 16 do not know.
            del known["sslcertmode"]
        return cls(
            make_conninfo("", **known),
            info.password,
            info.dbname,
            info.server_version // 10_000,
            bool(connection.connection.pgconn.ssl_in_use),
        )


@contextmanager
def _running(command: list[str], target: _Target, *, stdout: int) -> Iterator[subprocess.Popen[bytes]]:
    """The program runs; it is over when the block is, however that ends."""
    # The password stays out of the list of arguments, which every user of the machine can read.
    environment = {**os.environ, "LC_ALL": "C", "PGPASSWORD": target.password}
    if not target.password:
        del environment["PGPASSWORD"]
    if target.is_encrypted:
        # Where the address does not ask for more, libpq would fall back to plain text: never for what came in by TLS.
        environment["PGSSLMODE"] = "require"
    with subprocess.Popen(  # noqa: S603 - a list of ours, no shell
        command,
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=subprocess.PIPE,
        env=environment,
        # Ctrl-C reaches only this process, which then ends the program.
        start_new_session=True,
    ) as process:
        try:
            yield process
        except BaseException:
            process.kill()
            raise


def _text(said: bytes) -> str:
    return said.decode(errors="replace").strip()[-LAST_WORDS:] or "without a word"


def _row_counts(reader: psycopg.Connection) -> dict[str, int]:
    """The rows of every table of ours that is there: an older database may lack some."""
    tables = sorted(
        model._meta.db_table for label in OUR_APPS for model in apps.get_app_config(label).get_models()
    )
    counts: dict[str, int] = {}
    for table in tables:
        (is_there,) = _one(reader, "SELECT to_regclass(%s) IS NOT NULL", [table])
        if is_there:
            (counts[table],) = _one(reader, sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(table)))
    return counts


def _one(
    reader: psycopg.Connection, statement: str | sql.Composed, parameters: list[str] | None = None
) -> tuple[Any, ...]:
    row = reader.execute(statement, parameters).fetchone()
    assert row is not None  # noqa: S101  every statement here gives one row
    return row
