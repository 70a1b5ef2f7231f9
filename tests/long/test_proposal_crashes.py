"""A proposal is applied, and undone, while workers and server die: its jobs go on, and all comes back (I10, I11)."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest

from tests.factories import make_definition, make_file
from tests.long.stores import Store, finished, open_store
from tests.long.workers import Workers
from tests.rounds import rounds
from tests.waiting import wait_for

pytestmark = pytest.mark.long

OWNERS = rounds(150)
EACH = 12
GIVEN = ("--entity-type", "thing", "--user-field", "o", "--key-field", "k", "--create-users")
LIVE = "('pending', 'running', 'paused')"
#: What the undo has to bring back.
CONTENT = {
    "in force": "SELECT user_id, definition_hash FROM schema_registry WHERE is_active",
    "extensions": """SELECT user_id, additional_fields FROM user_schema_extensions
                      WHERE is_active AND additional_fields <> '{}'""",
    "quotas": "SELECT user_id, schema_count, total_fields FROM user_schema_quotas",
    "snapshots": """SELECT id, "values", provenance, merge_state, observation_count, reduction_hash
                      FROM entity_snapshots""",
    "fragments": "SELECT id, fragment_key, value, lifecycle_state, reason FROM raw_fragments",
    "aggregates": """SELECT user_id, fragment_key, sample_count, type_counts, unique_sources
                       FROM raw_fragment_aggregates WHERE sample_count > 0""",
}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """A store whose leases are short and whose server may lose nothing."""
    with open_store(tmp_path_factory.mktemp("store"), fsync=True) as store:
        store.environment.update(SCHEMAEVO_LEASE_S="5", SCHEMAEVO_SWEEP_INTERVAL_S="1")
        yield store


def content(store: Store) -> dict[str, Any]:
    """The hash of each part."""
    return {
        part: store.rows(f"SELECT md5(string_agg(md5(t::text), '' ORDER BY t::text)) FROM ({query}) AS t")
        for part, query in CONTENT.items()
    }


def populate(store: Store) -> None:
    """Owners of whom every second declares the field, and all of whom send it: numbers, texts, and nothing."""
    dice = random.Random(5)
    schema = make_file(path=store.folder / "schema.json", records=[make_definition(k="string")])
    store.run("register_schema", str(schema), "--entity-type", "thing", "--activate")
    records = [
        {"o": f"o{owner}", "k": f"k{n}", "size": dice.choice([n, str(n), f"{n} or so", None])}
        for owner in range(OWNERS)
        for n in range(EACH)
    ]
    store.run("ingest", str(make_file(path=store.folder / "records.jsonl", records=records)), *GIVEN)
    with store.connect() as connection:
        # As many commands as owners would take minutes.
        connection.execute(
            """
            INSERT INTO user_schema_extensions (user_id, entity_type, revision, base_schema_version, additional_fields,
                                                field_overrides, content_hash, is_active, cause, absorbed, note)
            SELECT id, 'thing', 1, '1.0.0', '{"size": {"type": "number"}}', '{}', md5(id::text), true, 'edit', '{}', ''
              FROM users WHERE username ~ '^o[0-9]*[02468]$'
            """
        )
    store.run("recompute_snapshots", "--entity-type", "thing", "--inline", "--refresh")


def act(store: Store, command: str, *options: str) -> dict[str, Any]:
    """What a command about the proposal says, once the server takes connections."""
    said: list[dict[str, Any]] = []

    def is_done() -> bool:
        process = store.start(command, *options, "--json")
        try:
            said.append(finished(process))
        except AssertionError:
            return False
        return True

    wait_for(is_done, f"{command} to get through")
    return said[0]


def owed(store: Store) -> bool:
    """Whether a job is still to be done. The server may be away for a moment."""
    try:
        return bool(store.rows(f"SELECT 1 FROM jobs WHERE target = 'thing' AND state IN {LIVE}"))
    except psycopg.OperationalError:
        return True


def done_count(store: Store) -> int:
    """How much all jobs have done. The server may be away for a moment."""
    try:
        return int(store.rows("SELECT coalesce(sum(done_count), 0) FROM jobs")[0][0])
    except psycopg.OperationalError:
        return 0


def get_through(store: Store) -> None:
    """All jobs end, as long as one of them gets further now and then."""
    while owed(store):
        done = done_count(store)
        wait_for(lambda: not owed(store) or done_count(store) > done, "a job to get further")  # noqa: B023


def disturb(store: Store, workers: Workers, dice: random.Random) -> int:
    """Workers and server die again and again until all jobs are done; how often."""
    shocks: list[Callable[[], object]] = [
        lambda: workers.kill_horse(dice),
        lambda: workers.kill_worker(dice),
        store.kill_postgres,
        lambda: workers.kill_horse(dice),
    ]
    deaths = 0
    while owed(store) and deaths < rounds(6):
        wait_for(lambda: bool(workers.horses()) or not owed(store), "a worker to be at it")
        shocks[deaths % len(shocks)]()
        deaths += 1
    get_through(store)
    return deaths


def test_whatever_dies_the_jobs_of_a_proposal_go_on_and_its_undo_brings_all_back(store: Store) -> None:
    for login in ("ann", "bob"):
        store.run("reset_admin", "--username", login)
    populate(store)
    edits: Any = [
        {
            "op": "add_field",
            "field": "size",
            "declaration": {"type": "number", "converters": ["string_to_number"]},
        }
    ]
    file = make_file(path=store.folder / "edits.json", records=[edits])
    workers = Workers(store, 2)
    dice = random.Random(9)
    try:
        get_through(store)
        before = content(store)
        number = str(
            store.result("draft_proposal", "thing", str(file), "--title", "Sizes", "--as", "ann")["proposal"]
        )
        store.run("decide_proposal", number, "--submit", "--as", "ann")
        store.run("try_proposal", number, "--wait", "--as", "ann")
        shown = store.result("show_proposal", number)
        approval = ("decide_proposal", number, "--approve", "--content", shown["content"], "--as", "bob")
        store.run(*approval)
        act(store, "apply_proposal", number, "--as", "bob")
        deaths = disturb(store, workers, dice)
        ((absorbed, promoted, converted),) = store.rows(
            "SELECT absorbed, promoted, converted FROM schema_proposal_effects WHERE act = 'apply'"
        )
        ((states,),) = store.rows(
            """SELECT array_agg(DISTINCT value ~ ' or so') FROM raw_fragments
                WHERE fragment_key = 'size' AND lifecycle_state = 'active'""".replace(
                "value ~", "value::text ~"
            )
        )
        assert states == [True], "only what does not fit waits"
        assert absorbed == store.rows("SELECT count(*) FROM users WHERE username ~ '^o[0-9]*[02468]$'")[0][0]
        store.assert_is_right()
        act(store, "undo_proposal", number, "--as", "ann")
        deaths += disturb(store, workers, dice)
    finally:
        workers.end()
    store.assert_is_right()
    assert content(store) == before
    print(f"{deaths} deaths; {absorbed} absorbed, {promoted} promoted, {converted} of them converted")
