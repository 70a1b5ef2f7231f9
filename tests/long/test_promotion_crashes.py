"""A promotion while workers and server die, and records go on coming: as if declared from the start (I7, I11)."""

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


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """A store whose leases are short and whose server may lose nothing."""
    with open_store(tmp_path_factory.mktemp("store"), fsync=True) as store:
        store.environment.update(SCHEMAEVO_LEASE_S="5", SCHEMAEVO_SWEEP_INTERVAL_S="1")
        yield store


def records(count: int, seed: int) -> list[dict[str, Any]]:
    """Numbers, texts that a converter reads, texts that none does, and clears, at times that are often equal."""
    dice = random.Random(seed)
    return [
        {
            "o": OWNER,
            "k": f"k{dice.randrange(count // 4)}",
            "n": f"{seed}-{number}",
            "at": (NOON + timedelta(seconds=dice.randrange(count // 20))).isoformat(),
            "size": dice.choice([number, number, str(number), f"{number} or so", None]),
        }
        for number in range(count)
    ]


def ingest(store: Store, name: str, batch: list[dict[str, Any]]) -> None:
    """The records are stored, however often their command is killed with its server."""
    file = make_file(path=store.folder / f"{name}.jsonl", records=batch)

    def is_stored() -> bool:
        process = store.start("ingest", str(file), *GIVEN, "--create-users", "--source", "feed")
        process.communicate()
        return process.returncode == 0

    wait_for(is_stored, "an ingest to get through")


def shown(store: Store) -> list[Any]:
    """What every snapshot shows."""
    return store.rows(
        """
        SELECT entity_key, "values", provenance, deleted, observation_count, last_observation_at,
               last_computed_observation_id FROM entity_snapshots ORDER BY entity_key
        """
    )


def test_whatever_dies_during_a_promotion_it_ends_as_if_the_field_had_always_been_declared(
    store: Store,
) -> None:
    count = rounds(4_000)
    dice = random.Random(7)
    before, meanwhile = records(count, 1), [records(200, seed) for seed in range(2, 8)]
    schema = make_file(
        path=store.folder / "schema.json", records=[make_definition(k="string", n="string", at="date")]
    )
    store.run("register_schema", str(schema), "--entity-type", "thing", "--activate")
    ingest(store, "before", before)
    waiting = store.rows("SELECT count(*) FROM raw_fragments WHERE fragment_key = 'size'")[0][0]
    workers = Workers(store, 2)
    deaths = 0
    shocks: list[Callable[[], object]] = [
        lambda: workers.kill_horse(dice),
        lambda: workers.kill_worker(dice),
        store.kill_postgres,
    ]
    try:
        store.run(
            *("promote_field", "thing", "size", "--user", OWNER, "--type", "number"),
            *("--converter", "string_to_number"),
        )
        for number, batch in enumerate(meanwhile):
            wait_for(lambda: bool(workers.horses()) or not owed(store), "a worker to be at it")
            if owed(store):
                shocks[number % len(shocks)]()
                deaths += 1
            ingest(store, f"meanwhile-{number}", batch)
        while owed(store):
            done = done_count(store)
            wait_for(lambda: not owed(store) or done_count(store) > done, "a job to get further")  # noqa: B023
    finally:
        workers.end()
    promoted = shown(store)
    store.assert_is_right()
    states = dict(
        store.rows(
            "SELECT lifecycle_state, count(*) FROM raw_fragments WHERE fragment_key = 'size' GROUP BY 1"
        )
    )
    ((misfits,),) = store.rows("SELECT count(*) FROM raw_fragments WHERE value::text LIKE %s", "% or so%")
    assert states["active"] == misfits
    print(f"{deaths} deaths while {waiting} fragments of {len(promoted)} entities were promoted: {states}")

    # The same records once more, into an empty store in which all is declared.
    store.forget()
    for number, batch in enumerate([before, *meanwhile]):
        ingest(store, f"again-{number}", batch)
    assert shown(store) == promoted


def done_count(store: Store) -> int:
    """How much all jobs have done. The server may be away for a moment."""
    try:
        return int(store.rows("SELECT coalesce(sum(done_count), 0) FROM jobs")[0][0])
    except psycopg.OperationalError:
        return 0


def owed(store: Store) -> bool:
    """Whether a promotion or recomputation is still to be done. The server may be away for a moment."""
    try:
        found = store.rows(
            f"SELECT 1 FROM jobs WHERE kind IN ('promote_fragments', 'recompute_snapshots') AND state IN {LIVE}"
        )
    except psycopg.OperationalError:
        return True
    return bool(found)
