"""A store on servers of its own, worked with from outside: by commands in processes of their own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest

from schemaevo import embedded
from schemaevo.embedded import postgres
from schemaevo.embedded.layout import Layout
from tests.content import CONTENT
from tests.waiting import wait_for

PROJECT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Store:
    """Servers of its own, which may be killed, a folder for files, and the environment of whoever works with them."""

    layout: Layout
    environment: dict[str, str]
    folder: Path

    def start(self, *command: str) -> subprocess.Popen[str]:
        """A command of manage.py runs, with nothing to read."""
        return subprocess.Popen(
            [sys.executable, "manage.py", *command],
            cwd=PROJECT,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *command: str) -> None:
        """A command has done its work."""
        finished(self.start(*command), is_json=False)

    def result(self, *command: str) -> dict[str, Any]:
        """What a command that has done its work prints as JSON."""
        return finished(self.start(*command, "--json"))

    def connect(self) -> psycopg.Connection[Any]:
        """A connection of the application's role, without Django."""
        return psycopg.connect(self.environment["DATABASE_URL"])

    def rows(self, query: str, *parameters: Any) -> list[Any]:
        """What a query finds now."""
        with self.connect() as connection:
            return connection.execute(query, parameters).fetchall()

    def content(self) -> dict[str, list[Any]]:
        """The rows of the tables that hold content, each as one text, in an order that is theirs."""
        return {
            table: self.rows(
                f"SELECT (to_jsonb(t) - %s::text[])::text FROM {table} AS t ORDER BY 1", without.split(", ")
            )
            for table, without in CONTENT.items()
        }

    def forget(self) -> None:
        """Nothing was ever ingested."""
        with self.connect() as connection:
            connection.execute(f"TRUNCATE {', '.join(CONTENT)}, ingest_runs, dead_letters")

    def kill_postgres(self) -> None:
        """PostgreSQL is killed as by the kernel, and started again on what it left."""
        pid = int((self.layout.postgres / "postmaster.pid").read_text().splitlines()[0])
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda: not postgres.is_running(self.layout), "PostgreSQL to be gone")
        postgres.start(self.layout, fsync=True)

    def assert_is_right(self) -> None:
        """No snapshot diverges, and none waits."""
        verified = self.result("verify", "--all")
        assert verified["checked"] == len(self.rows("SELECT 1 FROM entity_snapshots"))
        assert verified["waiting"] == 0


def finished(process: subprocess.Popen[str], *, is_json: bool = True) -> dict[str, Any]:
    """What a command that succeeds prints."""
    out, said = process.communicate()
    assert process.returncode == 0, said
    summary: dict[str, Any] = json.loads(out.splitlines()[-1]) if is_json else {}
    return summary


@contextmanager
def open_store(folder: Path, *, fsync: bool, options: tuple[str, ...] = ()) -> Iterator[Store]:
    """A migrated store, gone at the end. Each of `options` is a server setting that is turned on."""
    with ExitStack() as held:
        with pytest.MonkeyPatch.context() as patch:
            patch.delenv("DATABASE_URL", raising=False)
            patch.delenv("REDIS_URL", raising=False)
            servers = held.enter_context(embedded.throwaway_servers())
        assert servers.layout is not None
        if options:
            with postgres.connect_as_superuser(servers.layout) as connection:
                for option in options:
                    connection.execute(f"ALTER SYSTEM SET {option} = on")
        if fsync or options:
            postgres.stop(servers.layout)
            postgres.start(servers.layout, fsync=fsync)
        environment = {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "schemaevo.settings",
            "DATABASE_URL": servers.database_url,
            "REDIS_URL": servers.redis_url,
        }
        store = Store(servers.layout, environment, folder)
        store.run("migrate", "--verbosity", "0")
        yield store
