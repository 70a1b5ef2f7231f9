"""An erasure whose workers, and whose server, are killed: it ends as if nobody had been (I11)."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from tests.factories import make_definition, make_file
from tests.long.stores import Store, open_store
from tests.long.workers import Workers
from tests.rounds import rounds
from tests.waiting import wait_for

pytestmark = pytest.mark.long

GONE, STAYS = "goes-away", "stays-here"
GIVEN = ("--entity-type", "thing", "--user-field", "o", "--key-field", "k", "--observed-at", "2024-05-01")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """A store whose leases are short and whose server may lose nothing."""
    with open_store(tmp_path_factory.mktemp("store"), fsync=True) as store:
        store.environment.update(SCHEMAEVO_LEASE_S="5", SCHEMAEVO_SWEEP_INTERVAL_S="1")
        yield store


def state(store: Store) -> tuple[Any, ...]:
    """How much is gone, and what the job is. The server may be away for a moment."""
    try:
        return tuple(
            store.rows(
                "SELECT (SELECT count(*) FROM entity_snapshots AS s JOIN users AS u ON u.id = s.user_id"
                "         WHERE u.username IN (%s, 'erased-' || u.id)), j.state FROM jobs AS j WHERE j.kind = 'erase'",
                GONE,
            )[0]
        )
    except psycopg.OperationalError:
        return (None, None)


def of_who_stays(store: Store, number: int) -> dict[str, list[Any]]:
    """The content of the owner who stays."""
    return {
        table: [row for (row,) in rows if f'"user_id": {number},' in row]
        for table, rows in store.content().items()
    }


def test_whatever_dies_during_an_erasure_it_ends_and_nobody_else_loses_anything(store: Store) -> None:
    count = rounds(20_000)
    dice = random.Random(5)
    schema = make_file(path=store.folder / "schema.json", records=[make_definition(k="string", o="string")])
    store.run("register_schema", str(schema), "--entity-type", "thing", "--activate")
    records = [
        {"o": owner, "k": f"{owner}-{number % (count // 3)}", "size": number, "secret": f"of-{owner}"}
        for number in range(count)
        for owner in (GONE, STAYS)
    ]
    store.run(
        "ingest", str(make_file(path=store.folder / "all.jsonl", records=records)), *GIVEN, "--create-users"
    )
    ((stays,),) = store.rows("SELECT id FROM users WHERE username = %s", STAYS)
    before = of_who_stays(store, stays)
    workers = Workers(store, 2)
    deaths = 0
    shocks = [lambda: workers.kill_horse(dice), lambda: workers.kill_worker(dice), store.kill_postgres]
    try:
        store.run("erase", "--user", GONE, "--reason", "asked", "--yes")
        for shock in [*shocks, *shocks]:
            wait_for(lambda: bool(workers.horses()) or state(store)[1] == "done", "a worker to be at it")
            if state(store)[1] != "done":
                shock()
                deaths += 1
        wait_for(lambda: state(store)[1] == "done", "the erasure to end")
    finally:
        workers.end()
    assert state(store) == (0, "done")
    assert of_who_stays(store, stays) == before
    for table in ("observations", "raw_fragments", "raw_fragment_aggregates", "sources"):
        assert store.rows(f"SELECT count(*) FROM {table} WHERE user_id <> %s", stays) == [(0,)]
    ((counted,),) = store.rows("SELECT counts ->> 'observations' FROM erasures")
    assert int(counted) == count
    store.assert_is_right()
    print(f"{deaths} deaths while {count} observations were erased")
