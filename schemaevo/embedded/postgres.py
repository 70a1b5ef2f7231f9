"""The embedded PostgreSQL: its cluster, its process, and the application's role and database."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import psycopg
from psycopg import sql

from schemaevo.embedded.binaries import PostgresPrograms, postgres_programs
from schemaevo.embedded.layout import Layout
from schemaevo.embedded.memory import MIB, memory, shared_buffers
from schemaevo.embedded.processes import (
    HAS_PROC,
    ServersFailed,
    ServerUser,
    lives_in,
    residents,
    run_as,
    server_user,
    wait_until,
)

ROLE = "schemaevo"
DATABASE = "schemaevo"
# No server listens on this port: it only names the socket.
PORT = 5432
# Recovery after a kill replays the log; it is never stopped half-way because of a clock of ours.
START_TIMEOUT_S = 600
STOP_TIMEOUT_S = 60
LEFTOVER_TIMEOUT_S = 30

CONFIGURATION = """\
# Written at every start; changes of your own belong into postgresql.conf, below the line including this.
listen_addresses = ''
port = {port}
unix_socket_directories = '{sockets}'
unix_socket_permissions = 0700
max_connections = 100
shared_buffers = {buffers_mib}MB
max_wal_size = 2GB
jit = off
timezone = 'UTC'
log_timezone = 'UTC'
logging_collector = on
log_directory = 'log'
log_filename = 'postgres-%a.log'
log_truncate_on_rotation = on
log_rotation_age = 1d
log_rotation_size = 0
"""
THROWAWAY = """\
fsync = off
synchronous_commit = off
full_page_writes = off
"""


def socket_path(sockets: Path) -> Path:
    """The socket that clients connect to."""
    return sockets / f".s.PGSQL.{PORT}"


def is_running(layout: Layout) -> bool:
    """Whether the server of this home runs and its socket is there."""
    return _postmaster(layout) is not None and socket_path(layout.sockets).exists()


def start(layout: Layout, *, fsync: bool) -> None:
    """Make the server run, with the application's role and database in it."""
    user = server_user(layout.postgres)
    if not (is_running(layout) and _has_joined(layout)):
        stop(layout)  # it runs, but its socket was removed: nobody can reach it until it starts again
        programs = postgres_programs(layout.postgres, layout.data / "bin", user)
        _prepare_log(layout, user)
        _make_cluster(layout, programs, user, fsync=fsync)
        _clear_stale_locks(layout)
        log = layout.logs / "postgres.log"
        result = run_as(
            user,
            [programs["pg_ctl"], "start", "-w", "-t", str(START_TIMEOUT_S), "-D", layout.postgres, "-l", log],
        )
        if result.returncode != 0:
            raise ServersFailed(f"PostgreSQL did not start:\n{result.stdout}{_last_words(layout)}")
    _make_role_and_database(layout, may_create_databases=not fsync)


def stop(layout: Layout) -> None:
    """Stop the server (fast: transactions are rolled back, what was committed is kept)."""
    if _postmaster(layout) is None:
        return
    user = server_user(layout.postgres)
    pg_ctl = postgres_programs(layout.postgres, layout.data / "bin", user)["pg_ctl"]
    for mode in ("fast", "immediate"):
        result = run_as(
            user, [pg_ctl, "stop", "-w", "-t", str(STOP_TIMEOUT_S), "-m", mode, "-D", layout.postgres]
        )
        if result.returncode == 0 or _postmaster(layout) is None:
            return
    raise ServersFailed(f"PostgreSQL in {layout.postgres} does not stop:\n{result.stdout}")


def connect_as_superuser(layout: Layout) -> psycopg.Connection:
    """Connect as the cluster's superuser; only who may enter the socket directory can."""
    return psycopg.connect(
        host=str(layout.sockets),
        port=PORT,
        user="postgres",
        dbname="postgres",
        autocommit=True,
        connect_timeout=10,
    )


def _postmaster(layout: Layout) -> int | None:
    """Give the pid of the server that runs on this very directory, whatever a stale pid file says."""
    try:
        pid = int((layout.postgres / "postmaster.pid").read_text().splitlines()[0])
    except (FileNotFoundError, NotADirectoryError, IndexError, ValueError):
        return None
    return pid if lives_in(pid, layout.postgres) else None


def _make_cluster(layout: Layout, programs: PostgresPrograms, user: ServerUser, *, fsync: bool) -> None:
    if not (layout.postgres / "PG_VERSION").exists():
        draft = layout.data / "postgres.new"
        if draft.exists():
            shutil.rmtree(draft)
        draft.mkdir(mode=0o700)
        _give(draft, user)
        options = ["-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8"]
        options += [] if fsync else ["--no-sync"]
        result = run_as(user, [programs["initdb"], *options, "-D", draft])
        if result.returncode != 0:
            raise ServersFailed(f"initdb failed:\n{result.stdout}")
        with (draft / "postgresql.conf").open("a") as file:
            file.write("\ninclude_if_exists = 'schemaevo.conf'\n")
        # Only a finished cluster gets the name, so a killed first start is begun anew.
        draft.rename(layout.postgres)
    configuration = layout.postgres / "schemaevo.conf"
    buffers_mib = shared_buffers(memory()) // MIB
    text = CONFIGURATION.format(port=PORT, sockets=layout.sockets, buffers_mib=buffers_mib)
    text += "" if fsync else THROWAWAY
    configuration.write_text(text)
    _give(configuration, user)


def _clear_stale_locks(layout: Layout) -> None:
    """Nothing keeps PostgreSQL from starting that is not a live server of this directory.

    Its own check asks whether the pid in a lock file is alive, and takes a zombie, or a stranger that was
    given the same pid, for a server. Processes that a killed server left end by themselves; until then the
    directory is theirs.
    """
    if not wait_until(lambda: not residents(layout.postgres), LEFTOVER_TIMEOUT_S):
        raise ServersFailed(
            f"processes of a PostgreSQL that was killed still use {layout.postgres}: "
            f"{', '.join(map(str, residents(layout.postgres)))}"
        )
    if HAS_PROC:
        socket = socket_path(layout.sockets)
        for lock in (layout.postgres / "postmaster.pid", socket, socket.with_name(f"{socket.name}.lock")):
            lock.unlink(missing_ok=True)


def _has_joined(layout: Layout) -> bool:
    """Whether a server that runs answers in the end. It may be recovering; or it is stopping, or was killed a moment
    ago: then it does not, and can be started once it is gone."""

    def answers() -> bool:
        try:
            connect_as_superuser(layout).close()
        except psycopg.OperationalError:
            return False
        return True

    if not wait_until(lambda: _postmaster(layout) is None or answers(), START_TIMEOUT_S):
        raise ServersFailed(f"PostgreSQL in {layout.postgres} runs but does not answer")
    return _postmaster(layout) is not None


def _make_role_and_database(layout: Layout, *, may_create_databases: bool) -> None:
    """The application owns its database but is no superuser."""
    with connect_as_superuser(layout) as connection:
        if connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [ROLE]).fetchone() is None:
            right = sql.SQL("CREATEDB" if may_create_databases else "NOCREATEDB")
            statement = sql.SQL("CREATE ROLE {} LOGIN NOSUPERUSER {}")
            connection.execute(statement.format(sql.Identifier(ROLE), right))
        if connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE]).fetchone() is None:
            statement = sql.SQL("CREATE DATABASE {} OWNER {}")
            connection.execute(statement.format(sql.Identifier(DATABASE), sql.Identifier(ROLE)))


def _prepare_log(layout: Layout, user: ServerUser) -> None:
    layout.logs.mkdir(exist_ok=True)
    _give(layout.logs, user)
    layout.logs.chmod(0o700)


def _give(path: Path, user: ServerUser) -> None:
    if user.is_other:
        os.chown(path, user.uid, user.gid)


def _last_words(layout: Layout) -> str:
    """Give the end of what the server wrote: to its start log, then to the log that it opens itself."""
    logs = [layout.logs / "postgres.log", *(layout.postgres / "log").glob("*.log")]
    said = []
    for log in sorted((log for log in logs if log.exists()), key=lambda log: log.stat().st_mtime)[-2:]:
        said += [f"{log}:", *log.read_text(errors="replace").splitlines()[-12:]]
    return "\n".join(said)
