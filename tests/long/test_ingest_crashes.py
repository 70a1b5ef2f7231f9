"""Ingest by several processes, and with processes killed: the content is that of one undisturbed run (I2, I11)."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from schemaevo import embedded
from schemaevo.embedded import postgres
from schemaevo.embedded.layout import Layout
from tests.content import CONTENT
from tests.factories import NOON, make_definition, make_file
from tests.rounds import rounds
from tests.waiting import wait_for

pytestmark = pytest.mark.long

PROJECT = Path(__file__).resolve().parents[2]
PROCESSES = 8
OWNERS = 20
SCHEMA = make_definition(
    a="number",
    b={"type": "number", "converters": ["string_to_number"]},
    tags="array",
    at="date",
    policies={"tags": {"strategy": "merge_array"}, "a": {"strategy": "highest_priority"}},
)


@dataclass(frozen=True)
class Store:
    """A store on servers of its own, which may be killed, worked with by commands only."""

    layout: Layout
    environment: dict[str, str]
    folder: Path

    def start(self, *command: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "manage.py", *command],
            cwd=PROJECT,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def start_ingest(self, file: Path, *options: str) -> subprocess.Popen[str]:
        fields = ("--user-field", "o", "--key-field", "k", "--observed-at-field", "at")
        return self.start(
            "ingest", str(file), "--entity-type", "thing", "--source", "feed", *fields, "--json", *options
        )

    def ingest(self, file: Path, *options: str) -> dict[str, Any]:
        return finished(self.start_ingest(file, *options))

    def run(self, *command: str) -> None:
        finished(self.start(*command), is_json=False)

    def rows(self, query: str, *parameters: Any) -> list[Any]:
        with psycopg.connect(self.environment["DATABASE_URL"]) as connection:
            return connection.execute(query, parameters).fetchall()

    def content(self) -> dict[str, list[Any]]:
        return {
            table: self.rows(
                f"SELECT (to_jsonb(t) - %s::text[])::text FROM {table} AS t ORDER BY 1", without.split(", ")
            )
            for table, without in CONTENT.items()
        }

    def forget(self) -> None:
        with psycopg.connect(self.environment["DATABASE_URL"]) as connection:
            connection.execute(f"TRUNCATE {', '.join(CONTENT)}, ingest_runs, dead_letters")

    def kill_postgres(self) -> None:
        """PostgreSQL is killed as by the kernel, and started again on what it left."""
        pid = int((self.layout.postgres / "postmaster.pid").read_text().splitlines()[0])
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda: not postgres.is_running(self.layout), "PostgreSQL to be gone")
        postgres.start(self.layout, fsync=True)

    def assert_is_right(self) -> None:
        """No snapshot diverges, and none waits."""
        verified = finished(self.start("verify", "--all", "--json"))
        assert verified["checked"] == len(self.rows("SELECT 1 FROM entity_snapshots"))
        assert verified["waiting"] == 0


def finished(process: subprocess.Popen[str], *, is_json: bool = True) -> dict[str, Any]:
    """What a command that succeeds prints."""
    out, said = process.communicate()
    assert process.returncode == 0, said
    summary: dict[str, Any] = json.loads(out.splitlines()[-1]) if is_json else {}
    return summary


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    folder = tmp_path_factory.mktemp("store")
    with ExitStack() as held:
        with pytest.MonkeyPatch.context() as patch:
            patch.delenv("DATABASE_URL", raising=False)
            patch.delenv("REDIS_URL", raising=False)
            servers = held.enter_context(embedded.throwaway_servers())
        assert servers.layout is not None
        # The server is one that may lose nothing, or killing it would prove nothing.
        postgres.stop(servers.layout)
        postgres.start(servers.layout, fsync=True)
        environment = {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "schemaevo.settings",
            "DATABASE_URL": servers.database_url,
            "REDIS_URL": servers.redis_url,
        }
        store = Store(servers.layout, environment, folder)
        store.run("migrate", "--verbosity", "0")
        (folder / "schema.json").write_text(json.dumps(SCHEMA))
        store.run(
            "register_schema",
            str(folder / "schema.json"),
            "--entity-type",
            "thing",
            "--activate",
            "--without-review",
            "a test wants it",
        )
        yield store


def make_records(dice: random.Random, count: int) -> list[dict[str, Any]]:
    """Records of few entities, so that much overlaps; times are often equal, and come in any order."""
    return [
        {
            "k": dice.randrange(count // 50 + 1),
            "o": f"owner-{dice.randrange(OWNERS)}",
            "at": (NOON + timedelta(seconds=dice.randrange(count // 4))).isoformat(),
            "a": dice.randrange(5),
            "b": dice.choice([1, "2", "x", None]),
            "tags": dice.choice([[1], [2, 1], "z", []]),
            "other": dice.choice([1, "1", None, [1]]),
            **({"_deleted": True} if dice.random() < 0.05 else {}),
        }
        for _ in range(count)
    ]


@pytest.mark.parametrize("seed", range(rounds(1)))
def test_eight_processes_with_overlapping_shares_give_the_content_of_one(store: Store, seed: int) -> None:
    """20,000 records, ten times, at scale 10."""
    dice = random.Random(seed)
    records = make_records(dice, rounds(2000))
    whole = make_file(path=store.folder / "whole.jsonl", records=records)
    store.forget()
    alone = store.ingest(whole, "--create-users")
    expected = store.content()
    store.forget()
    processes = []
    for number in range(PROCESSES):
        share = [r for at, r in enumerate(records) if at % PROCESSES == number or dice.random() < 0.25]
        file = make_file(path=store.folder / f"share-{number}.jsonl", records=dice.sample(share, len(share)))
        processes.append(store.start_ingest(file, "--batch-size", str(dice.choice([20, 100, 1000]))))
    summaries = [finished(process) for process in processes]
    assert store.content() == expected
    assert sum(summary["observations"] for summary in summaries) == alone["observations"]
    assert not any(summary["rejected"] for summary in summaries)
    store.assert_is_right()


def test_kills_at_random_moments_cost_nothing_but_another_run(store: Store) -> None:
    """50 kills at scale 10: of the ingest process and of PostgreSQL in turn."""
    dice = random.Random(7)
    records = make_records(dice, 1500)
    records += dice.sample(records, 150)
    file = make_file(path=store.folder / "crash.jsonl", records=records)
    store.forget()
    undisturbed = store.ingest(file, "--create-users", "--batch-size", "50")
    expected = store.content()
    half_way = 0
    for number in range(rounds(5)):
        store.forget()
        process = store.start_ingest(file, "--batch-size", "50")
        wait_for(lambda: store.rows("SELECT 1 FROM ingest_runs"), "the run to begin")
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout=dice.uniform(0, float(undisturbed["seconds"])))
        told = store.rows("SELECT record_count FROM ingest_runs")[0][0]
        if number % 2:
            store.kill_postgres()
        else:
            process.kill()
        process.communicate()
        kept = store.rows("SELECT record_count FROM ingest_runs")[0][0]
        assert kept >= told, "an acknowledged batch was lost"
        half_way += 0 < kept < len(records)
        again = store.ingest(file, "--batch-size", "50")
        assert again["records"] == len(records)
        assert store.content() == expected, f"after kill {number}"
    store.assert_is_right()
    print(f"{rounds(5)} kills, {half_way} of them half-way")
