"""Schema changes beside ingest and beside each other, on real connections."""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial
from itertools import pairwise
from typing import Any

import pytest
from django.db import connection, transaction

from registry.errors import ReviewNeeded
from registry.models import SchemaEpoch, SchemaVersion
from registry.services.activation import schema_activate
from registry.services.schemas import schema_register
from schemaevo.kernel.models import AuditEvent, Job, User
from snapshots.models import EntitySnapshot, Observation
from tests.factories import SHELL, THING, make_definition, make_run, make_snapshot, make_user, make_version
from tests.threads import PATIENCE_S, Aside, side_by_side, waiting_for_locks
from tests.waiting import wait_for

pytestmark = pytest.mark.django_db(transaction=True)


def only(name: str, kind: str) -> dict[str, Any]:
    """A definition of one field."""
    return {"fields": {name: {"type": kind}}}


def waiting_for_me() -> int:
    """How many connections wait for a lock that this one holds."""
    with connection.cursor() as cursor:
        # Not from pg_stat_activity: a transaction sees it as it was at the first look.
        cursor.execute(
            "SELECT count(*) FROM pg_locks WHERE NOT granted AND pg_backend_pid() = ANY(pg_blocking_pids(pid))"
        )
        (count,) = cursor.fetchone()
    return int(count)


@pytest.mark.parametrize("is_owners", [False, True])
def test_of_parallel_activations_exactly_one_stays_in_force(is_owners: bool) -> None:
    owner = make_user() if is_owners else None
    versions = [
        make_version(document=only(f"f{n}", "string"), user=owner, is_active=n == 0) for n in range(4)
    ]
    side_by_side(
        [
            partial(schema_activate, version_id=version.pk, actor=SHELL, without_review="a race")
            for version in versions[1:]
            for _ in range(2)
        ]
    )
    [active] = SchemaVersion.objects.filter(is_active=True)
    events = list(AuditEvent.objects.filter(action="schema_version.activate").order_by("id"))
    # The log is one chain: each activation began with what the one before left.
    for before, after in pairwise(events):
        assert isinstance(before.after, dict)
        assert isinstance(after.before, dict)
        assert after.before["in_force"] == before.after["in_force"]
    assert isinstance(events[-1].after, dict)
    assert events[-1].after["in_force"] == active.number
    assert SchemaEpoch.objects.get().epoch == len(events)
    assert Job.objects.get(kind="recompute_snapshots").wanted == len(events)


def test_of_parallel_first_activations_all_but_one_need_a_review() -> None:
    versions = [make_version(document=only(f"f{n}", "string"), is_active=False) for n in range(4)]

    def activate(pk: int) -> str:
        try:
            schema_activate(version_id=pk, actor=SHELL)
        except ReviewNeeded as refusal:
            return refusal.code
        return "activated"

    outcomes = side_by_side([partial(activate, version.pk) for version in versions])
    assert sorted(outcomes) == ["activated", "review_needed", "review_needed", "review_needed"]
    assert SchemaVersion.objects.filter(is_active=True).count() == 1


def test_parallel_registrations_make_one_version_of_each_definition() -> None:
    documents = [make_definition(a="string"), make_definition(b="string"), make_definition(c="string")] * 2
    registered = side_by_side(
        [
            partial(schema_register, entity_type=THING, document=document, actor=SHELL)
            for document in documents
        ]
    )
    assert sum(one.created for one in registered) == 3
    assert sorted(v.number for v in SchemaVersion.objects.all()) == ["1.0.0", "2.0.0", "3.0.0"]


def test_activation_waits_for_an_ingest_that_holds_the_shared_lock() -> None:
    """The ingest is caught in the middle, at a row that the test has locked."""
    owner = make_user()
    make_version(document=make_definition(a="number"))
    make_run(user=owner, records=[{"k": "x", "a": 1}])
    newer = make_version(document=make_definition(b="number"), is_active=False)
    old = SchemaVersion.objects.get(is_active=True)
    seen_by_activation: list[int] = []

    def second_ingest() -> None:
        make_run(user=owner, records=[{"k": "x", "a": 2}], source="second")

    def activate() -> None:
        schema_activate(version_id=newer.pk, actor=SHELL, without_review="a race")
        seen_by_activation.append(Observation.objects.filter(schema_version=old).count())

    with ExitStack() as asides:
        with transaction.atomic():
            EntitySnapshot.objects.select_for_update().get()
            ingesting = asides.enter_context(Aside(second_ingest))
            wait_for(waiting_for_me, "the ingest to wait for the row")
            activating = asides.enter_context(Aside(activate))
            wait_for(waiting_for_locks, "the activation to wait for the ingest")
            assert not activating.done()
            assert SchemaVersion.objects.get(is_active=True) == old
        ingesting.result(PATIENCE_S)
        activating.result(PATIENCE_S)
    assert seen_by_activation == [2]
    assert SchemaVersion.objects.get(is_active=True) == newer
    make_run(user=owner, records=[{"k": "x", "b": 3}], source="third")
    assert Observation.objects.filter(schema_version=old).count() == 2
    assert make_snapshot(user=owner, key="x").values == {"b": 3}


def test_one_users_change_does_not_wait_for_another_users_ingest() -> None:
    owner, other = make_user(), make_user()
    make_run(user=owner, records=[{"k": "x", "a": 1}])
    theirs = make_version(document=make_definition(a="number"), user=other, is_active=False)
    with ExitStack() as asides:
        with transaction.atomic():
            EntitySnapshot.objects.select_for_update().get()
            ingesting = asides.enter_context(
                Aside(lambda: make_run(user=owner, records=[{"k": "x", "a": 2}], source="second"))
            )
            wait_for(waiting_for_me, "the ingest to wait for the row")
            activating = asides.enter_context(
                Aside(lambda: schema_activate(version_id=theirs.pk, actor=SHELL))
            )
            activating.result(PATIENCE_S)
            assert not ingesting.done()
        ingesting.result(PATIENCE_S)
    assert EntitySnapshot.objects.get().observation_count == 2


@pytest.mark.parametrize("is_owners", [False, True])
def test_after_activate_returns_no_record_is_split_by_the_older_version(is_owners: bool) -> None:
    """I6, with two ingests in small batches beside three activations."""
    owners = [make_user(), make_user()]
    schema_owner = owners[0] if is_owners else None
    versions = [
        make_version(document=only(f"f{n}", "number"), user=schema_owner, is_active=n == 0) for n in range(4)
    ]
    told: list[tuple[int, int]] = []

    def ingest_many(user: User, name: str) -> None:
        records = [{"k": n % 5, "f0": n, "f1": n, "f2": n, "f3": n} for n in range(60)]
        make_run(user=user, records=records, source=name, batch_size=3)

    def activate_all() -> None:
        for before, after in pairwise(versions):
            schema_activate(version_id=after.pk, actor=SHELL, without_review="a race")
            told.append((before.pk, Observation.objects.filter(schema_version=before).count()))

    side_by_side([lambda: ingest_many(owners[0], "one"), lambda: ingest_many(owners[1], "two"), activate_all])
    for version_id, count in told:
        assert Observation.objects.filter(schema_version=version_id).count() == count
    assert Observation.objects.count() == 120
    names = {version.pk: f"f{n}" for n, version in enumerate(versions)}
    for observation in Observation.objects.exclude(schema_version=None):
        assert set(observation.fields) == {names[observation.schema_version_id]}  # type: ignore[index]
