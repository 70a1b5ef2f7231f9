"""Ingest by several processes, and with processes killed: the content is that of one undisturbed run (I2, I11)."""

from __future__ import annotations

import random
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.factories import NOON, make_definition, make_file
from tests.long.stores import Store, finished, open_store
from tests.rounds import rounds
from tests.waiting import wait_for

pytestmark = pytest.mark.long

PROCESSES = 8
OWNERS = 20
SCHEMA = make_definition(
    a="number",
    b={"type": "number", "converters": ["string_to_number"]},
    tags="array",
    at="date",
    policies={"tags": {"strategy": "merge_array"}, "a": {"strategy": "highest_priority"}},
)


def start_ingest(store: Store, file: Path, *options: str) -> subprocess.Popen[str]:
    fields = ("--user-field", "o", "--key-field", "k", "--observed-at-field", "at")
    return store.start(
        "ingest", str(file), "--entity-type", "thing", "--source", "feed", *fields, "--json", *options
    )


def ingest(store: Store, file: Path, *options: str) -> dict[str, Any]:
    return finished(start_ingest(store, file, *options))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    folder = tmp_path_factory.mktemp("store")
    # The server is one that may lose nothing, or killing it would prove nothing.
    with open_store(folder, fsync=True) as store:
        schema = make_file(path=folder / "schema.json", records=[SCHEMA])
        given = ("--entity-type", "thing", "--activate", "--without-review", "a test wants it")
        store.run("register_schema", str(schema), *given)
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
    alone = ingest(store, whole, "--create-users")
    expected = store.content()
    store.forget()
    processes = []
    for number in range(PROCESSES):
        share = [r for at, r in enumerate(records) if at % PROCESSES == number or dice.random() < 0.25]
        file = make_file(path=store.folder / f"share-{number}.jsonl", records=dice.sample(share, len(share)))
        processes.append(start_ingest(store, file, "--batch-size", str(dice.choice([20, 100, 1000]))))
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
    undisturbed = ingest(store, file, "--create-users", "--batch-size", "50")
    expected = store.content()
    half_way = 0
    for number in range(rounds(5)):
        store.forget()
        process = start_ingest(store, file, "--batch-size", "50")
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
        again = ingest(store, file, "--batch-size", "50")
        assert again["records"] == len(records)
        assert store.content() == expected, f"after kill {number}"
    store.assert_is_right()
    print(f"{rounds(5)} kills, {half_way} of them half-way")
