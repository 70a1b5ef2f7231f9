"""A retraction and its undo while workers and server die, and the source goes on being ingested (I1, I3, I11)."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import psycopg
import pytest

from tests.factories import NOON, make_definition, make_file
from tests.long.stores import Store, open_store
from tests.long.workers import Workers
from tests.rounds import rounds
from tests.waiting import wait_for

pytestmark = pytest.mark.long

OWNER = "owner"
GIVEN = ("--entity-type", "thing", "--user-field", "o", "--key-field", "k", "--observed-at-field", "at")
LIVE = "('pending', 'running', 'paused')"
KINDS = "('settle_retraction', 'promote_fragments', 'recompute_snapshots')"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """A store whose leases are short and whose server may lose nothing."""
    with open_store(tmp_path_factory.mktemp("store"), fsync=True) as store:
        store.environment.update(SCHEMAEVO_LEASE_S="5", SCHEMAEVO_SWEEP_INTERVAL_S="1")
        yield store


def records(count: int, seed: int) -> list[dict[str, Any]]:
    """Values of a declared field and of one that is not, at times that are often equal."""
    dice = random.Random(seed)
    return [
        {
            "o": OWNER,
            "k": f"k{dice.randrange(count // 4)}",
            "n": f"{seed}-{number}",
            "at": (NOON + timedelta(seconds=dice.randrange(count // 20))).isoformat(),
            "size": dice.choice([number, number, None]),
            "smell": dice.choice(["x", "y", number]),
        }
        for number in range(count)
    ]


def ingest(store: Store, name: str, source: str, batch: list[dict[str, Any]]) -> None:
    """The records are stored, however often their command is killed with its server."""
    file = make_file(path=store.folder / f"{name}.jsonl", records=batch)

    def is_stored() -> bool:
        process = store.start("ingest", str(file), *GIVEN, "--create-users", "--source", source)
        process.communicate()
        return process.returncode == 0

    wait_for(is_stored, "an ingest to get through")


def shown(store: Store) -> list[Any]:
    """What every snapshot shows of which something is left, and what the fields that wait come to."""
    snapshots = store.rows(
        """
        SELECT entity_key, "values", provenance, deleted, observation_count, last_observation_at,
               last_computed_observation_id FROM entity_snapshots WHERE observation_count > 0 ORDER BY entity_key
        """
    )
    fields = store.rows(
        """
        SELECT fragment_key, sample_count, frequency_total, type_counts, unique_sources FROM raw_fragment_aggregates
         WHERE sample_count > 0 ORDER BY fragment_key
        """
    )
    return [snapshots, fields]


def test_whatever_dies_during_a_retraction_it_ends_as_if_the_source_had_never_been_there(
    store: Store,
) -> None:
    count = rounds(4_000)
    dice = random.Random(7)
    right, wrong = records(count, 1), records(count, 2)
    meanwhile = [records(200, seed) for seed in range(3, 9)]
    document = make_definition(k="string", n="string", at="date", size="number")
    schema = make_file(path=store.folder / "schema.json", records=[document])
    store.run("register_schema", str(schema), "--entity-type", "thing", "--activate")
    ingest(store, "right", "right", right)
    ingest(store, "wrong", "wrong", wrong)
    workers = Workers(store, 2)
    deaths = 0
    shocks: list[Callable[[], object]] = [
        lambda: workers.kill_horse(dice),
        lambda: workers.kill_worker(dice),
        store.kill_postgres,
    ]

    def turn_round(*how: str) -> None:
        nonlocal deaths
        store.run("retract", "--source", "wrong", "--user", OWNER, *how)
        for number in range(3):
            wait_for(lambda: bool(workers.horses()) or not owed(store), "a worker to be at it")
            if owed(store):
                shocks[number % len(shocks)]()
                deaths += 1
            if meanwhile:
                ingest(store, f"meanwhile-{len(meanwhile)}", "wrong", meanwhile.pop())
        while owed(store):
            done = done_count(store)
            wait_for(lambda: not owed(store) or done_count(store) > done, "a job to get further")  # noqa: B023

    try:
        turn_round("--reason", "the wrong file")
        without = shown(store)
        store.assert_is_right()
        turn_round("--undo")
        whole = shown(store)
        store.assert_is_right()
    finally:
        workers.end()
    ((states,),) = store.rows("SELECT jsonb_agg(state) FROM retractions")
    assert states == ["given_back"]
    print(f"{deaths} deaths while {len(without[0])} and {len(whole[0])} entities were computed anew")

    # The same records once more, into an empty store.
    store.rows("DELETE FROM retractions RETURNING 1")
    store.forget()
    ingest(store, "again-right", "right", right)
    assert shown(store) == without
    ingest(store, "again-wrong", "wrong", wrong)
    for number, seed in enumerate(range(3, 9)):
        ingest(store, f"again-{number}", "wrong", records(200, seed))
    assert shown(store) == whole


def done_count(store: Store) -> int:
    """How much all jobs have done. The server may be away for a moment."""
    try:
        return int(store.rows("SELECT coalesce(sum(done_count), 0) FROM jobs")[0][0])
    except psycopg.OperationalError:
        return 0


def owed(store: Store) -> bool:
    """Whether a job is still to be done. The server may be away for a moment."""
    try:
        return bool(store.rows(f"SELECT 1 FROM jobs WHERE kind IN {KINDS} AND state IN {LIVE}"))
    except psycopg.OperationalError:
        return True
