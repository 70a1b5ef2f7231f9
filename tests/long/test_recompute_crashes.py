"""Recomputation while everything dies in turn, ingest going on: every snapshot comes out right (I1, I11)."""

from __future__ import annotations

import random
import subprocess
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
import redis

from schemaevo.embedded import valkey
from tests.factories import NOON, make_definition, make_file
from tests.long.stores import Store, open_store
from tests.long.workers import Workers
from tests.rounds import rounds
from tests.waiting import wait_for

pytestmark = pytest.mark.long

LEASE_S = 5
SWEEP_S = 1
#: By how much a sweep may come late where everything is killed and two cores do all of it.
LATE_S = 3
OWNERS = 10
EACH = 4
GIVEN = ("--entity-type", "thing", "--user-field", "o", "--key-field", "k", "--observed-at-field", "at")
LIVE = ("pending", "running", "paused")
#: Two schemas by which every entity is reduced to something else; in force by turns, each begins a run.
SCHEMAS = [
    make_definition(
        a="number", tags="array", policies={"tags": {"strategy": "merge_array"}, "a": {"strategy": policy}}
    )
    for policy in ("highest_priority", "most_specific")
]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """Entities of some observations each, in a store whose leases are short and whose server may lose nothing."""
    folder = tmp_path_factory.mktemp("store")
    with open_store(folder, fsync=True) as store:
        store.environment.update(
            SCHEMAEVO_LEASE_S=str(LEASE_S),
            SCHEMAEVO_SWEEP_INTERVAL_S=str(SWEEP_S),
            SCHEMAEVO_RUN_BUDGET_S="10",
            SCHEMAEVO_RECOMPUTE_WORKERS="3",
        )
        for number, schema in enumerate(SCHEMAS):
            make_file(path=folder / f"schema-{number}.json", records=[schema])
        dice = random.Random(1)
        records = [record(dice, key) for key in range(rounds(2000)) for _ in range(EACH)]
        file = make_file(path=folder / "records.jsonl", records=records)
        store.run("ingest", str(file), *GIVEN, "--create-users")
        yield store


def record(dice: random.Random, key: int) -> dict[str, Any]:
    """Something about an entity, at times that are often equal and come in any order."""
    return {
        "k": key,
        "o": f"owner-{key % OWNERS}",
        "at": (NOON + timedelta(seconds=dice.randrange(50))).isoformat(),
        "a": dice.randrange(9),
        "tags": dice.choice([[1], [2, 1], "z", []]),
        **({"_deleted": True} if dice.random() < 0.05 else {}),
    }


class Progress:
    """What the rows of the runs say, looked at again and again."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.counts: dict[str, list[int]] = defaultdict(list)
        #: The longest time for which a lease had run out, with a server there, and nobody took the job from its worker.
        self.overdue_s = 0.0
        #: The longest time for which a live run got no further.
        self.rest_s = 0.0
        self._there_since = time.monotonic()

    def server_is_back(self) -> None:
        """PostgreSQL takes connections again: until now nobody could have taken a job from its worker."""
        self._there_since = time.monotonic()

    def look(self) -> tuple[int, bool]:
        """How much is done of all runs, and whether one of them lives. The server may be away for a moment."""
        try:
            rows = self._store.rows(
                "SELECT id::text, state, done_count FROM jobs WHERE kind = 'recompute_snapshots'"
            )
            ((overdue_s,),) = self._store.rows(
                "SELECT coalesce(max(extract(epoch FROM clock_timestamp() - lease_expires_at)), 0)::float FROM jobs"
                " WHERE state = 'running'"
            )
        except psycopg.OperationalError:
            return 0, True
        self.overdue_s = max(self.overdue_s, min(overdue_s, time.monotonic() - self._there_since))
        for identity, _, done_count in rows:
            self.counts[identity].append(done_count)
        return sum(row[2] for row in rows), any(row[1] in LIVE for row in rows)

    def wait_for_more(self) -> None:
        """The runs have got further, or have ended."""
        first, _ = self.look()
        began = time.monotonic()

        def got_further() -> bool:
            count, lives = self.look()
            return count > first or not lives

        wait_for(got_further, "a run to get further")
        self.rest_s = max(self.rest_s, time.monotonic() - began)

    def wait_for_end(self) -> None:
        """No run lives. Each look that finds it further gives it patience anew."""
        while self.look()[1]:
            self.wait_for_more()

    def assert_never_went_back(self, entities: int) -> None:
        """Done counts only rise, and no entity was recomputed twice in one run."""
        for counts in self.counts.values():
            assert counts == sorted(counts)
            assert counts[-1] <= entities


class Feed:
    """Ingest that goes on all the time: when one command has ended, or was killed with its server, the next begins."""

    def __init__(self, store: Store, dice: random.Random, entities: int) -> None:
        self._store = store
        self._dice = dice
        self._entities = entities
        self._process: subprocess.Popen[str] | None = None
        self._file: Path | None = None
        self._number = 0
        self.finished = 0

    def tend(self) -> None:
        """Some of it is under way."""
        if self._process is not None:
            if self._process.poll() is None:
                return
            self._process.communicate()
            if self._process.returncode == 0:
                self.finished += 1
                self._file = None
        if self._file is None:
            self._number += 1
            records = [record(self._dice, self._dice.randrange(self._entities)) for _ in range(300)]
            self._file = make_file(path=self._store.folder / f"feed-{self._number}.jsonl", records=records)
        self._process = self._store.start("ingest", str(self._file), *GIVEN, "--batch-size", "20")

    def end(self) -> None:
        """The last of it is stored, whatever killed it before."""
        while self._process is not None:
            _, said = self._process.communicate()
            if self._process.returncode == 0:
                self.finished += 1
                return
            assert "OperationalError" in said or "AdminShutdown" in said or "server" in said, said
            self._process = self._store.start("ingest", str(self._file), *GIVEN, "--batch-size", "20")


def flush(store: Store) -> None:
    """Redis has forgotten everything."""
    redis.Redis.from_url(store.environment["REDIS_URL"]).flushall()


def restart_valkey(store: Store) -> None:
    """Valkey was killed, and is there again with nothing in it."""
    valkey.stop(store.layout)
    valkey.start(store.layout)


def test_whatever_dies_during_recomputations_they_end_and_everything_is_right(store: Store) -> None:
    """80 shocks over 20,000 entities at scale 10."""
    dice = random.Random(11)
    entities = len(store.rows("SELECT 1 FROM entity_snapshots"))
    assert entities == rounds(2000)
    workers = Workers(store, 2)
    progress = Progress(store)
    feed = Feed(store, dice, entities)

    def outlast_the_lease() -> bool:
        if not workers.stop_horse(dice):
            return False
        wait_for(
            lambda: (
                store.rows(
                    "SELECT 1 FROM jobs WHERE state = 'running' AND lease_expires_at < now()"
                    " UNION ALL SELECT 1 FROM audit_events WHERE action = 'job.retry_later'"
                    "   AND at > now() - interval '1 second'"
                )
                or not progress.look()[1]
            ),
            "a lease to run out",
        )
        workers.let_go()
        return True

    def kill_postgres() -> None:
        store.kill_postgres()
        progress.server_is_back()

    shocks: list[Callable[[], object]] = [
        lambda: workers.kill_horse(dice),
        lambda: workers.kill_worker(dice),
        outlast_the_lease,
        lambda: flush(store),
        lambda: restart_valkey(store),
        kill_postgres,
    ]
    runs = half_way = 0
    order: list[Callable[[], object]] = []
    try:
        for _ in range(rounds(8)):
            if not progress.look()[1]:
                name = f"schema-{runs % 2}.json"
                store.run(
                    *("register_schema", str(store.folder / name), "--entity-type", "thing"),
                    *("--activate", "--without-review", "another run"),
                )
                runs += 1
            order = order or dice.sample(shocks, len(shocks))
            feed.tend()
            # Right behind a chunk: what was just committed, and its cursor, must both be there.
            progress.wait_for_more()
            half_way += progress.look()[1]
            order.pop()()
            progress.look()
        feed.end()
        progress.wait_for_end()
    finally:
        workers.end()
    print(
        f"{rounds(8)} shocks, {half_way} of them in the middle of one of {runs} runs over {entities} entities; "
        f"{feed.finished} ingests beside them; no lease was overdue for more than {progress.overdue_s:.1f} s, "
        f"and no run rested for more than {progress.rest_s:.1f} s"
    )
    states = dict(
        store.rows("SELECT state, count(*) FROM jobs WHERE kind = 'recompute_snapshots' GROUP BY 1")
    )
    assert set(states) == {"done"}
    progress.assert_never_went_back(entities)
    # I11: what a dead worker held is taken back by the first sweep after its lease.
    assert progress.overdue_s < SWEEP_S + LATE_S
    store.assert_is_right()
