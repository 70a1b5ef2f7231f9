"""One policy changes: as many snapshots are reduced anew as depend on it, each once, and no other."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.factories import NOON, make_definition, make_file
from tests.long.stores import Store, open_store
from tests.long.workers import Workers
from tests.rounds import rounds
from tests.waiting import wait_for

pytestmark = pytest.mark.long

OWNERS = 10
#: The owner who says for themselves how the field merges.
STUBBORN = "owner-9"
GIVEN = ("--user-field", "o", "--key-field", "k", "--observed-at-field", "at", "--create-users")
#: Written down by the database itself: every snapshot whose rules become others, and every one that is written by what
#: recomputes, whether they do or not. An ingest writes what it merges under the rules that were there.
NOTES = """
    CREATE TABLE reductions (id bigserial PRIMARY KEY, entity_id uuid NOT NULL, rules_moved boolean NOT NULL);
    CREATE FUNCTION reductions_noted() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        INSERT INTO reductions (entity_id, rules_moved) VALUES (NEW.id, OLD.reduction_hash <> NEW.reduction_hash);
        RETURN NULL;
    END $$;
    CREATE TRIGGER reductions_noted AFTER UPDATE ON entity_snapshots FOR EACH ROW EXECUTE FUNCTION reductions_noted();
    """


def definition(policy: str, **texts: str) -> dict[str, Any]:
    """The schema, in which `a` merges by that policy."""
    return make_definition(a={"type": "number", **texts}, b="string", policies={"a": {"strategy": policy}})


def records(keys: range, second: int) -> Iterator[dict[str, Any]]:
    """Something about each entity; owners take turns."""
    at = (NOON + timedelta(seconds=second)).isoformat()
    for key in keys:
        yield {"k": key, "o": f"owner-{key % OWNERS}", "at": at, "a": key % 7 + second, "b": "x"}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """Entities of two observations each, of two types that declare the same, in a store without workers."""
    with open_store(tmp_path_factory.mktemp("store"), fsync=False) as store:
        store.environment.update(SCHEMAEVO_SWEEP_INTERVAL_S="1", SCHEMAEVO_RECOMPUTE_WORKERS="2")
        yield store


def put_in_force(store: Store, document: dict[str, Any], entity_type: str = "thing") -> None:
    file = make_file(path=store.folder / "schema.json", records=[document])
    store.run(
        *("register_schema", str(file), "--entity-type", entity_type),
        *("--activate", "--without-review", "a test wants it"),
    )


def ingest(store: Store, name: str, keys: range, second: int, entity_type: str = "thing") -> None:
    file: Path = make_file(path=store.folder / f"{name}.jsonl", records=records(keys, second))
    store.run("ingest", str(file), "--entity-type", entity_type, *GIVEN)


def work(store: Store) -> int:
    """All that is owed is done by two workers; gives how many snapshots they counted."""
    workers = Workers(store, 2)
    try:
        wait_for_runs(store)
    finally:
        workers.end()
    ((states, count),) = store.rows(
        "SELECT array_agg(DISTINCT state), coalesce(sum(done_count), 0)::bigint FROM jobs"
        " WHERE kind = 'recompute_snapshots'"
    )
    assert states == ["done"]
    return int(count)


def wait_for_runs(store: Store) -> None:
    """No run lives; each look that finds one further gives it patience anew."""

    def progress() -> tuple[int, int]:
        ((live, done),) = store.rows(
            "SELECT count(*) FILTER (WHERE state IN ('pending', 'running')), coalesce(sum(done_count), 0)::bigint"
            " FROM jobs WHERE kind = 'recompute_snapshots'"
        )
        return live, done

    while (seen := progress())[0]:
        wait_for(lambda seen=seen: progress() != seen, "a run to get further")  # type: ignore[misc]


def test_as_many_are_recomputed_as_depend_on_a_changed_policy(store: Store) -> None:
    """100,000 entities at scale 10."""
    entities = rounds(10_000)
    others = max(OWNERS, entities // 20)
    touched = range(0, entities, 10 * OWNERS + 1)
    for entity_type in ("thing", "other"):
        put_in_force(store, definition("last_write"), entity_type)
    for second in (0, 1):
        ingest(store, f"thing-{second}", range(entities), second)
        ingest(store, f"other-{second}", range(others), second, "other")
    extension = make_file(
        path=store.folder / "extension.json",
        records=[{"field_overrides": {"a": {"merge_policy": {"strategy": "most_specific"}}}}],
    )
    store.run("extend_schema", str(extension), "--entity-type", "thing", "--user", STUBBORN)
    before = work(store)
    with store.connect() as connection:
        connection.execute(NOTES)

    put_in_force(store, definition("highest_priority"))
    put_in_force(store, definition("highest_priority", description="words"))
    # Those that come now are reduced by ingest, and new ones are born under what is in force.
    ingest(store, "meanwhile", touched, 2)
    ingest(store, "new", range(entities, entities + others), 2)
    by_ingest = [entity for (entity,) in store.rows("SELECT entity_id FROM reductions WHERE rules_moved")]
    stubborn = [key for key in touched if key % OWNERS == OWNERS - 1]
    assert len(by_ingest) == len(touched) - len(stubborn)
    ((merged,),) = store.rows("SELECT count(*) FROM reductions WHERE NOT rules_moved")
    assert merged == len(stubborn)
    counted = work(store) - before

    needed = entities - entities // OWNERS
    ((written, moved, distinct),) = store.rows(
        "SELECT count(*) - %s, count(*) FILTER (WHERE rules_moved),"
        " count(DISTINCT entity_id) FILTER (WHERE rules_moved) FROM reductions",
        merged,
    )
    print(
        f"{entities + others} entities of the type; {needed} depended on the policy: "
        f"{len(by_ingest)} were reduced by ingest, {counted} by two workers"
    )
    assert written == moved == distinct == needed
    assert counted == needed - len(by_ingest)
    # There and back again before anybody worked: nothing is to be done.
    put_in_force(store, definition("last_write"))
    put_in_force(store, definition("highest_priority", description="words"))
    assert work(store) - before == counted
    ((written,),) = store.rows("SELECT count(*) - %s FROM reductions", merged)
    assert written == needed
    store.assert_is_right()
