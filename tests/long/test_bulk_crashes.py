"""Acts in bulk whose workers, and whose server, are killed: every row is acted on once, as if nobody had died (I11)."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest

from tests.factories import make_definition, make_file
from tests.long.stores import Store, open_store
from tests.long.workers import Workers
from tests.rounds import rounds
from tests.waiting import wait_for

pytestmark = pytest.mark.long

GIVEN = ("--entity-type", "thing", "--user-field", "o", "--key-field", "k", "--observed-at", "2024-05-01")
OWNERS = ("ada", "bob", "eve")
FIELDS = 20
LIVE = "('pending', 'running', 'paused')"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """A store whose leases are short and whose server may lose nothing."""
    with open_store(tmp_path_factory.mktemp("store"), fsync=True) as store:
        store.environment.update(SCHEMAEVO_LEASE_S="5", SCHEMAEVO_SWEEP_INTERVAL_S="1")
        yield store


def asked(store: Store, verb: str, given: dict[str, str]) -> int:
    """The number of an act that was asked for on the server."""
    store.run(
        "shell",
        "-c",
        "from fragments.models import BulkVerb; from tests.bulk import make_act;"
        f" make_act(BulkVerb({verb!r}), {given!r})",
    )
    return int(store.rows("SELECT max(id) FROM bulk_acts")[0][0])


def state(store: Store, act: int) -> tuple[Any, ...]:
    """How far the act is. The server may be away for a moment."""
    try:
        return tuple(
            store.rows(
                "SELECT matched_count, done_count, state,"
                " EXISTS (SELECT FROM jobs WHERE kind = 'act_in_bulk' AND target = bulk_acts.id::text"
                f" AND state IN {LIVE}) FROM bulk_acts WHERE id = %s",
                act,
            )[0]
        )
    except psycopg.OperationalError:
        return (None, None, None, True)


def owed(store: Store) -> bool:
    """Whether a job is still to be done."""
    try:
        return bool(store.rows(f"SELECT 1 FROM jobs WHERE state IN {LIVE} AND not_before < now() + '1 min'"))
    except psycopg.OperationalError:
        return True


def test_whatever_dies_during_an_act_every_row_is_acted_on_once(store: Store) -> None:
    count = rounds(6_000)
    dice = random.Random(11)
    schema = make_file(path=store.folder / "schema.json", records=[make_definition(k="string", o="string")])
    store.run("register_schema", str(schema), "--entity-type", "thing", "--activate")
    records: list[dict[str, Any]] = [
        {"o": owner, "k": f"{owner}-{number}", "size": number, "smell": "x"}
        for number in range(count)
        for owner in OWNERS
    ]
    records += [
        {"o": owner, "k": f"{owner}-{number}", **{f"field_{n}": n for n in range(FIELDS)}}
        for number in range(3)
        for owner in OWNERS
    ]
    file = make_file(path=store.folder / "all.jsonl", records=records)
    store.run("ingest", str(file), *GIVEN, "--create-users")
    workers = Workers(store, 2)
    deaths = 0
    shocks: list[Callable[[], object]] = [
        lambda: workers.kill_horse(dice),
        lambda: workers.kill_worker(dice),
        store.kill_postgres,
    ]

    def through(verb: str, given: dict[str, str]) -> tuple[Any, ...]:
        nonlocal deaths
        act = asked(store, verb, given)
        number = 0
        while (told := state(store, act))[3]:
            if number < 4 and told[0]:
                shocks[number % len(shocks)]()
                deaths += 1
                number += 1
            wait_for(
                lambda: state(store, act)[0] != told[0] or not state(store, act)[3], "an act to get further"
            )
        return state(store, act)

    try:
        rows = len(OWNERS) * count
        assert through("archive", {"field": "size"})[:3] == (rows, rows, "done")
        fields = len(OWNERS) * FIELDS
        promoted = through("promote", {"type": "thing", "value_type": "number"})
        # Those that were archived are evidence as well, and are promoted with the rest.
        assert promoted[:3] == (fields + len(OWNERS), fields + len(OWNERS), "done")
        wait_for(lambda: not owed(store), "all jobs to be done")
    finally:
        workers.end()
    print(f"{deaths} deaths")
    assert deaths > 3
    told = store.rows("SELECT fragment_key, count(*), count(DISTINCT user_id) FROM promotions GROUP BY 1")
    assert {(times, owners) for _field, times, owners in told} == {(len(OWNERS), len(OWNERS))}
    assert len(told) == FIELDS + 1
    states = dict(
        store.rows(
            "SELECT lifecycle_state, count(*) FROM raw_fragments WHERE fragment_key = 'size' GROUP BY 1"
        )
    )
    assert states == {"promoted": rows}
    ends = store.rows("SELECT count(*) FROM audit_events WHERE action = 'bulk_act.end'")
    assert ends == [(2,)]
    store.assert_is_right()
