"""Schemas change all the while others ingest: no record is split by an outdated one (I6), and nobody waits in vain.

Two web servers and one command put two versions in force by turns. A field `x` is declared by the second version
only, so what became of it tells by which one a record was split; PostgreSQL tells in which order transactions were
committed, and so which version was in force when a record was. An ingest holds the lock until its commit, and a change
commits under the exclusive one: a record whose version is not the one in force at its own commit was split by an
outdated schema.
"""

from __future__ import annotations

import os
import random
import signal
import statistics
import time
from bisect import bisect_right
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest
import redis

from schemaevo.embedded import valkey
from tests.factories import NOON, make_definition, make_file
from tests.long.schema_race import (
    BATCH_SIZE,
    ENTITIES,
    CommandLine,
    Feed,
    Web,
    make_people,
    register,
    running,
)
from tests.long.stores import Store, finished, open_store
from tests.rounds import rounds
from tests.waiting import wait_for

pytestmark = pytest.mark.long

#: A user's own schema of this type changes, by all three in turn; for all others it is undeclared.
OWN = "reading"
#: The global schema of this type changes, by command. One owner extends it.
SHARED = "thing"
RACER = "racer"
OWNERS = (RACER, "extender", "third", "fourth")
WITHOUT_X = make_definition(a="number")
WITH_X = make_definition(a="number", x="string")
REVIEWED = ("--without-review", "a test wants it")


@dataclass(frozen=True)
class Version:
    id: int
    number: str


@dataclass(frozen=True)
class Course:
    """The store on which races are held, the people, and by type the versions without and with `x`."""

    store: Store
    password: str
    owner_ids: dict[str, int]
    versions: dict[str, tuple[Version, Version]]

    def number_in_force(self, entity_type: str, owner: str | None) -> str:
        [(number,)] = self.store.rows(
            "SELECT concat_ws('.', major, minor, patch) FROM schema_registry"
            " WHERE entity_type = %s AND user_id IS NOT DISTINCT FROM %s AND is_active",
            entity_type,
            None if owner is None else self.owner_ids[owner],
        )
        return str(number)

    def begin(self, entity_type: str, owner: str | None) -> None:
        """The version without `x` is in force."""
        given = ("--user", owner) if owner is not None else REVIEWED
        self.store.run("activate_schema", entity_type, self.versions[entity_type][0].number, *given)


@pytest.fixture(scope="module")
def course(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Course]:
    folder = tmp_path_factory.mktemp("race")
    with open_store(folder, fsync=False, options=("track_commit_timestamp",)) as store:
        store.environment["SCHEMAEVO_STATIC_ROOT"] = str(folder / "static")
        store.run("collectstatic", "--no-input", "--verbosity", "0")
        password, owner_ids = make_people(store, OWNERS)
        # Before there is a global schema: from then on it is composed with it.
        register(store, SHARED, make_definition(y="number"), "--user", "extender", "--activate")
        versions = {}
        for entity_type, given in ((OWN, ("--user", RACER)), (SHARED, REVIEWED)):
            ids = [
                register(store, entity_type, WITHOUT_X, *given, "--activate"),
                register(store, entity_type, WITH_X, *given),
            ]
            first, second = (Version(pk, number) for pk, number in zip(ids, ("1.0.0", "1.1.0"), strict=True))
            versions[entity_type] = first, second
        yield Course(store, password, owner_ids, versions)


@pytest.mark.parametrize(
    "is_redis_reliable", [True, False], ids=["redis_runs", "redis_is_flushed_and_stopped"]
)
def test_no_record_is_split_by_an_outdated_schema(course: Course, is_redis_reliable: bool) -> None:
    """2,000 rounds at scale 10; each puts the other version of both types in force."""
    store = course.store
    store.forget()
    for entity_type, owner in ((OWN, RACER), (SHARED, None)):
        course.begin(entity_type, owner)
    first_event = store.rows("SELECT coalesce(max(id), 0) FROM audit_events")[0][0]
    count = max(6, rounds(200))
    dice = random.Random(count)
    taken: list[float] = []
    with ExitStack() as held:
        command = CommandLine(store, SHARED, [course.owner_ids[owner] for owner in OWNERS])
        held.enter_context(running(command))
        held.callback(valkey.start, store.layout)
        webs = [Web(store, f"web-{n}") for n in range(2)]
        held.enter_context(running(*webs))
        for web in webs:
            web.sign_in(course.password)
        feeds = [Feed(store, kind, f"feed-{n}", OWNERS) for n, kind in enumerate((OWN, OWN, SHARED))]
        held.enter_context(running(*feeds))
        _wait_for_more(store, 0)
        for number in range(count):
            before = _record_count(store)
            if not is_redis_reliable:
                _disturb_redis(store, number / count)
            taken.append(_round(course, number, [*webs, command], command))
            if dice.random() < 0.5:
                # Else the next change comes at once.
                _wait_for_more(store, before)
        sent = [(feed.end_of_input(), feed.sent) for feed in feeds]
        watched = command.end_of_input()
    assert watched["outdated"] == 0, watched
    for summary, records in sent:
        assert (summary["observations"], summary["rejected"]) == (records, 0)
    changes = _changes(store, first_event)
    assert {kind: len(found) for kind, found in changes.items()} == {OWN: count, SHARED: count}
    fates = _fates(store)
    assert len(fates) == sum(records for _, records in sent)
    reigns = _assert_no_fate_is_outdated(course, fates, changes)
    _assert_what_waits_can_be_computed(store)
    print(
        f"{count} rounds, {len(fates)} records in {reigns} of {2 * count + 2} reigns, {watched['loads']} loads beside; "
        f"a round's changes took {statistics.median(taken) * 1e3:.0f} ms, at most {max(taken) * 1e3:.0f} ms"
    )


def _round(course: Course, number: int, changers: list[Any], command: CommandLine) -> float:
    """Both types have the other version in force; the two changes are made at the same time."""
    began = time.monotonic()
    own, shared = (course.versions[kind][(number + 1) % 2] for kind in (OWN, SHARED))
    changer = changers[number % len(changers)]
    command.ask(SHARED, shared.number, None)
    if isinstance(changer, Web):
        changer.activate(own.id)
        assert course.number_in_force(OWN, RACER) == own.number
    assert command.answer() == shared.number
    if changer is command:
        command.ask(OWN, own.number, course.owner_ids[RACER])
        assert command.answer() == own.number
    return time.monotonic() - began


def _disturb_redis(store: Store, progress: float) -> None:
    """Redis at that point of the race: emptied again and again, then away, then there and empty."""
    if 1 / 3 <= progress < 2 / 3:
        valkey.stop(store.layout)
        return
    valkey.start(store.layout)
    with redis.Redis.from_url(store.environment["REDIS_URL"]) as client:
        client.flushall()


def _record_count(store: Store) -> int:
    [(count,)] = store.rows("SELECT coalesce(sum(record_count), 0) FROM ingest_runs")
    return int(count)


def _wait_for_more(store: Store, before: int) -> None:
    wait_for(lambda: _record_count(store) > before, "more records to be stored")


@dataclass(frozen=True)
class Fate:
    """What became of a record: when it was committed, by which version it was split, and where `x` is."""

    entity_type: str
    owner_id: int
    at: Any
    version_id: int | None
    fields: frozenset[str]
    has_fragment: bool


def _fates(store: Store) -> list[Fate]:
    return [
        Fate(kind, owner, at, version, frozenset(fields), has_fragment)
        for kind, owner, at, version, fields, has_fragment in store.rows(
            "SELECT o.entity_type, o.user_id, pg_xact_commit_timestamp(o.xmin), o.schema_version_id,"
            " ARRAY(SELECT jsonb_object_keys(o.fields)), f.id IS NOT NULL"
            " FROM observations AS o LEFT JOIN raw_fragments AS f"
            " ON f.observation_id = o.id AND f.fragment_key = 'x'"
        )
    ]


def _changes(store: Store, after_event: int) -> dict[str, list[tuple[Any, int]]]:
    """By type the moments in which versions came into force, in their order. The audit row is written with it."""
    found: dict[str, list[tuple[Any, int]]] = {OWN: [], SHARED: []}
    for kind, at, version_id in store.rows(
        "SELECT after->>'entity_type', pg_xact_commit_timestamp(xmin), target_id::bigint FROM audit_events"
        " WHERE action = 'schema_version.activate' AND id > %s ORDER BY 2",
        after_event,
    ):
        found[kind].append((at, version_id))
    return found


def _assert_no_fate_is_outdated(
    course: Course, fates: list[Fate], changes: dict[str, list[tuple[Any, int]]]
) -> int:
    """Every record was split by what was in force when it was committed. Gives in how many reigns some were."""
    moments = {kind: [at for at, _ in found] for kind, found in changes.items()}
    outdated: list[Fate] = []
    broken: list[Fate] = []
    reigns: set[tuple[str, int]] = set()
    for fate in fates:
        kind, fields = fate.entity_type, {"a"}
        without_x, with_x = course.versions[kind]
        if kind == OWN and fate.owner_id != course.owner_ids[RACER]:
            expected, fields, has_x = None, {"k", "o", "at", "a", "x", "y"}, True
        else:
            reign = bisect_right(moments[kind], fate.at)
            reigns.add((kind, reign))
            expected = changes[kind][reign - 1][1] if reign else without_x.id
            has_x = fate.version_id == with_x.id
            if has_x:
                fields.add("x")
            if kind == SHARED and fate.owner_id == course.owner_ids["extender"]:
                fields.add("y")
        if fate.version_id != expected:
            outdated.append(fate)
        if fate.fields != fields or fate.has_fragment is has_x:
            broken.append(fate)
    for wrong in (outdated, broken):
        assert len(wrong) == 0, f"{len(wrong)} of {len(fates)}, such as {wrong[0]}"
    return len(reigns)


def _assert_what_waits_can_be_computed(store: Store) -> None:
    """No job was lost, whatever Redis did: the sweeper finds them all, and then no snapshot diverges."""
    valkey.start(store.layout)

    def are_done() -> bool:
        store.run("sweep_jobs")
        store.run("work", "--burst")
        return not store.rows("SELECT 1 FROM jobs WHERE state <> 'done'")

    wait_for(are_done, "all jobs to be done")
    store.assert_is_right()


@pytest.mark.parametrize("entity_type", [OWN, SHARED])
def test_an_activation_waits_for_the_batch_in_progress_and_not_for_the_next(
    course: Course, entity_type: str
) -> None:
    """Of a large ingest two batches are caught at rows that the test has locked. The activation begins while the
    first of them is in progress, and has returned while the ingest stands at the second."""
    store = course.store
    store.forget()
    owner = RACER if entity_type == OWN else None
    course.begin(entity_type, owner)
    newer = course.versions[entity_type][1]
    gates = [BATCH_SIZE * batch + BATCH_SIZE // 2 for batch in (10, 15)]
    records = [
        {"k": n if n in gates else -1 - n % ENTITIES, "a": n, "x": f"x-{n}"} for n in range(BATCH_SIZE * 40)
    ]
    options = [*_given(entity_type, RACER), "--batch-size", str(BATCH_SIZE)]
    first = make_file(path=store.folder / "gates.jsonl", records=[{"k": gate} for gate in gates])
    finished(store.start("ingest", str(first), *options, "--source", "gates"))
    large = make_file(path=store.folder / f"large-{entity_type}.jsonl", records=records)
    with ExitStack() as held:
        locks = [held.enter_context(_locked(store, gate)) for gate in gates]
        ingesting = store.start("ingest", str(large), *options, "--source", "large")
        held.callback(ingesting.kill)
        wait_for(lambda: _waits_for(store, locks[0]), "the ingest to stand at the first row")
        given = ("--user", owner) if owner else REVIEWED
        activating = store.start("activate_schema", entity_type, newer.number, *given)
        held.callback(activating.kill)
        wait_for(lambda: _waiting_changes(store), "the activation to wait for the batch")
        assert course.number_in_force(entity_type, owner) == "1.0.0"
        locks[0].rollback()
        wait_for(lambda: _waits_for(store, locks[1]), "the ingest to stand at the second row")
        # Whoever asked first is served first: had the activation waited for another batch, it would wait still.
        finished(activating, is_json=False)
        assert course.number_in_force(entity_type, owner) == newer.number
        locks[1].rollback()
        assert finished(ingesting)["observations"] == len(records)
    older = course.versions[entity_type][0]
    counts = dict(
        store.rows(
            "SELECT o.schema_version_id, count(*) FROM observations AS o JOIN sources AS s ON s.id = o.source_id"
            " WHERE s.name = 'large' GROUP BY 1"
        )
    )
    in_time = 11 * BATCH_SIZE
    assert counts == {older.id: in_time, newer.id: len(records) - in_time}


def test_a_users_own_change_waits_for_no_other_users_ingest_and_not_for_redis(course: Course) -> None:
    """Redis is frozen, which is worse than stopped: it takes what is sent, and never answers."""
    store = course.store
    store.forget()
    course.begin(OWN, RACER)
    newer = course.versions[OWN][1]
    options = _given(OWN, "third")
    first = make_file(path=store.folder / "first.jsonl", records=[{"k": 1}])
    second = make_file(path=store.folder / "second.jsonl", records=[{"k": 1, "a": 1}])
    finished(store.start("ingest", str(first), *options))
    with ExitStack() as held:
        lock = held.enter_context(_locked(store, 1))
        ingesting = store.start("ingest", str(second), *options)
        held.callback(ingesting.kill)
        wait_for(lambda: _waits_for(store, lock), "the ingest to stand at the row")
        held.enter_context(_frozen_valkey(store))
        store.run("activate_schema", OWN, newer.number, "--user", RACER)
        assert course.number_in_force(OWN, RACER) == newer.number
        assert _waits_for(store, lock), "the other user's ingest went on"
        lock.rollback()
        assert finished(ingesting)["observations"] == 1


def _given(entity_type: str, owner: str) -> list[str]:
    """The options of an ingest of records of one owner, without a time of their own."""
    named = ["--entity-type", entity_type, "--user", owner, "--key-field", "k", "--json"]
    return [*named, "--observed-at", NOON.isoformat()]


@contextmanager
def _locked(store: Store, key: int) -> Iterator[psycopg.Connection[Any]]:
    """A connection that holds the snapshot row of that entity key, until it rolls back."""
    with store.connect() as connection:
        found = connection.execute(
            "SELECT 1 FROM entity_snapshots WHERE entity_key = %s FOR UPDATE", [str(key)]
        ).fetchall()
        assert len(found) == 1
        yield connection


def _waits_for(store: Store, connection: psycopg.Connection[Any]) -> bool:
    """Whether somebody waits for a lock that this connection holds."""
    pid = connection.info.backend_pid
    return bool(
        store.rows("SELECT 1 FROM pg_locks WHERE NOT granted AND %s = ANY(pg_blocking_pids(pid))", pid)
    )


def _waiting_changes(store: Store) -> bool:
    """Whether somebody waits to change a schema."""
    return bool(
        store.rows(
            "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND mode = 'ExclusiveLock' AND NOT granted"
        )
    )


@contextmanager
def _frozen_valkey(store: Store) -> Iterator[None]:
    pid = int((store.layout.valkey / "valkey.pid").read_text())
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)
