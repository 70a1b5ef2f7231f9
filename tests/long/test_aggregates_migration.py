"""A store from before there were aggregates: migrated, counted while fragments arrive, and back, and forth again."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import count

import pytest

from tests.factories import make_definition, make_file
from tests.long.stores import PROJECT, Store, open_store
from tests.long.workers import Workers
from tests.rounds import rounds
from tests.waiting import wait_for

pytestmark = pytest.mark.long

#: The last migration of fragments without aggregates.
BEFORE = "0008"
OWNERS = 20
KEYS = 15
GIVEN = ("--entity-type", "thing", "--user-field", "o", "--key-field", "k", "--create-users")
#: Values of several types, formats, reasons and sources, of owners and fields by turns; every one is another value.
FILL = """
    INSERT INTO raw_fragments (user_id, entity_type, entity_id, fragment_key, source_id, value, value_hash, value_type,
                               value_format, reason, priority, specificity, frequency_count, observation_id,
                               observed_at)
    SELECT owners.ids[1 + n %% cardinality(owners.ids)], 'thing', gen_random_uuid(),
           'field_' || n / cardinality(owners.ids) %% %(keys)s, md5((n %% 7)::text)::uuid,
           CASE n %% 3 WHEN 0 THEN to_jsonb(n) WHEN 1 THEN to_jsonb(n::text) ELSE to_jsonb('a text ' || n) END,
           sha256(n::text::bytea),
           CASE n %% 3 WHEN 0 THEN 'number' ELSE 'string' END,
           CASE n %% 3 WHEN 0 THEN 'integer' WHEN 1 THEN 'numeric' ELSE 'text' END,
           CASE n %% 11 WHEN 0 THEN 'type_mismatch' WHEN 1 THEN 'constraint' WHEN 2 THEN 'invalid_name'
                       ELSE 'unknown_field' END,
           100, 1, 1 + n %% 4, gen_random_uuid(), now()
      FROM generate_series(1, %(rows)s) AS n,
           (SELECT array_agg(id ORDER BY id) AS ids FROM users WHERE username LIKE 'owner-%%') AS owners
"""
CONTENT = """
    SELECT count(*), sum(frequency_count), count(DISTINCT observation_id),
           md5(string_agg(value_hash, ''::bytea ORDER BY id))
      FROM raw_fragments
"""
JUDGE = """
import django
django.setup()
from tests.aggregates import assert_aggregates_are_right, stored
assert_aggregates_are_right()
assert stored()
"""


@pytest.fixture
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """A store whose owners have a schema and a record each, without workers."""
    with open_store(tmp_path_factory.mktemp("store"), fsync=False) as store:
        store.environment["SCHEMAEVO_SWEEP_INTERVAL_S"] = "1"
        schema = make_file(
            path=store.folder / "schema.json", records=[make_definition(k="string", o="string")]
        )
        store.run("register_schema", str(schema), "--entity-type", "thing", "--activate")
        ingest(store, 0)
        yield store


def ingest(store: Store, number: int) -> None:
    """One more record of every owner, whose fields nobody declared; some of them are those of before."""
    records = [
        {
            "k": f"{number}",
            "o": f"owner-{owner}",
            "field_1": number,
            "field_2": str(number),
            f"new_{number}": True,
        }
        for owner in range(OWNERS)
    ]
    file = make_file(path=store.folder / f"{number}.jsonl", records=records)
    store.run("ingest", str(file), *GIVEN)


def assert_aggregates_are_right(store: Store) -> None:
    """I3, counted by a process of its own in Python."""
    judged = subprocess.run(
        [sys.executable, "-c", JUDGE],
        cwd=PROJECT,
        env=store.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert judged.returncode == 0, judged.stderr


def rebuilds(store: Store) -> list[str]:
    """The states of the jobs that count, oldest first."""
    return [
        state
        for (state,) in store.rows(
            "SELECT state FROM jobs WHERE kind = 'rebuild_aggregates' ORDER BY requested_at"
        )
    ]


def wait_until_counted(store: Store) -> None:
    """No rebuild lives; each look that finds one further gives it patience anew."""

    def progress() -> tuple[int, int]:
        ((live, done),) = store.rows(
            "SELECT count(*) FILTER (WHERE state IN ('pending', 'running')), coalesce(sum(done_count), 0)::bigint"
            " FROM jobs WHERE kind = 'rebuild_aggregates'"
        )
        return live, done

    while (seen := progress())[0]:
        wait_for(lambda seen=seen: progress() != seen, "the rebuild to get further")  # type: ignore[misc]


def aggregates_missing(store: Store) -> bool:
    return store.rows("SELECT to_regclass('raw_fragment_aggregates')") == [(None,)]


def test_fragments_of_before_are_counted_while_others_arrive_and_the_way_back_loses_none(
    store: Store,
) -> None:
    """1,000,000 fragments at scale 10."""
    rows, began = rounds(100_000), time.monotonic()
    took: list[str] = []

    def note(what: str) -> None:
        took.append(f"{what} after {time.monotonic() - began:.0f} s")

    store.run("migrate", "fragments", BEFORE, "--verbosity", "0")
    assert aggregates_missing(store)
    with store.connect() as connection:
        connection.execute(FILL, {"rows": rows, "keys": KEYS})
    content = store.rows(CONTENT)
    note("filled")

    store.run("migrate", "--verbosity", "0")
    note("migrated")
    assert store.rows(CONTENT) == content
    assert store.rows("SELECT DISTINCT lifecycle_state FROM raw_fragments") == [("active",)]
    assert store.rows("SELECT count(*) FROM raw_fragment_aggregates") == [(0,)]
    assert rebuilds(store) == ["pending"]

    workers = Workers(store, 1)
    try:
        for number in count(1):
            ingest(store, number)
            if rebuilds(store) == ["done"]:
                break
    finally:
        workers.end()
    note(f"counted beside {number} ingests")
    assert_aggregates_are_right(store)
    note("judged")

    content = store.rows(CONTENT)
    store.run("migrate", "fragments", BEFORE, "--verbosity", "0")
    assert aggregates_missing(store)
    assert store.rows(CONTENT) == content
    store.run("migrate", "--verbosity", "0")
    note("back and forth")
    assert store.rows(CONTENT) == content
    assert rebuilds(store) == ["done", "pending"]
    workers = Workers(store, 1)
    try:
        wait_until_counted(store)
    finally:
        workers.end()
    assert rebuilds(store) == ["done", "done"]
    assert_aggregates_are_right(store)
    note("counted and judged again")
    print(f"{rows} fragments: {', '.join(took)}")
