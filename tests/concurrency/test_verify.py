"""Verifications beside each other and ingest: what diverges is repaired once, and nothing right is found wrong."""

from __future__ import annotations

import threading
from functools import partial

import pytest
from django.db import connection, transaction

from schemaevo.kernel.models import AuditEvent, User, VerifyOutcome
from schemaevo.kernel.verification import Extent, Repair
from schemaevo.kernel.verification_runs import Verification, verification_make
from snapshots.models import EntitySnapshot
from snapshots.services.merging import snapshots_lock_for_update
from snapshots.services.verify import SNAPSHOTS, Divergence, snapshot_repair, snapshots_verify
from tests.factories import (
    SHELL,
    THING,
    make_definition,
    make_observation,
    make_recorded,
    make_user,
    make_version,
)
from tests.threads import PATIENCE_S, Aside, side_by_side
from tests.waiting import wait_for

pytestmark = pytest.mark.django_db(transaction=True)

ENTITIES = 60


@pytest.fixture
def owner() -> User:
    """The owner of entities under a schema."""
    owner = make_user()
    make_version(document=make_definition(a="number"))
    make_recorded(
        observations=[make_observation(user=owner, key=f"e{n}", fields={"a": n}) for n in range(ENTITIES)]
    )
    return owner


def falsify() -> None:
    EntitySnapshot.objects.filter(entity_key__endswith="1").update(observation_count=987_654)


def test_two_repairs_at_once_repair_each_snapshot_once(owner: User) -> None:
    falsify()
    wrong = EntitySnapshot.objects.filter(observation_count=987_654).count()
    repair = partial(verification_make, extent=Extent(), actor=SHELL, kinds=[SNAPSHOTS], is_repair=True)
    both: list[Verification] = side_by_side([repair, repair])
    assert sum(dict(one.done)[SNAPSHOTS].repaired for one in both) == wrong
    assert all(one.left == 0 for one in both)
    events = AuditEvent.objects.filter(action="snapshot.repair")
    assert events.count() == events.values("target_id").distinct().count() == wrong
    assert (
        VerifyOutcome.objects.count() == AuditEvent.objects.filter(action="verification.repair").count() == 2
    )
    assert verification_make(extent=Extent(), actor=SHELL).left == 0


def waits_for_me() -> bool:
    """Whether another connection waits for a lock of this one."""
    with connection.cursor() as cursor:
        # Within a transaction the server's activity stays as it was at the first look.
        cursor.execute("SELECT pg_stat_clear_snapshot()")
        cursor.execute(
            "SELECT EXISTS (SELECT FROM pg_stat_activity"
            " WHERE wait_event_type = 'Lock' AND pg_backend_pid() = ANY(pg_blocking_pids(pid)))"
        )
        return bool(cursor.fetchone()[0])


def test_a_repair_waits_for_whoever_has_the_snapshot_and_looks_again(owner: User) -> None:
    """Both have found it; the one that comes second finds it right."""
    falsify()
    row = EntitySnapshot.objects.get(entity_key="e1")
    repair = partial(
        snapshot_repair,
        divergence=Divergence(str(row.pk), THING, owner.pk, ("observation_count",)),
        actor=SHELL,
    )
    is_held = threading.Event()

    def second() -> Repair:
        is_held.wait(PATIENCE_S)
        return repair()

    with Aside(second) as future:
        with transaction.atomic():
            snapshots_lock_for_update([str(row.pk)])
            is_held.set()
            wait_for(waits_for_me, "the second repair")
            assert repair() is Repair.DONE
        assert future.result(PATIENCE_S) is Repair.NOT_NEEDED
    assert AuditEvent.objects.filter(action="snapshot.repair").count() == 1


def test_what_ingest_is_writing_is_not_found_divergent(owner: User) -> None:
    """Looked at without a lock, a snapshot and its history may be of two moments."""

    def ingest() -> int:
        for second in range(1, 40):
            make_recorded(
                observations=[
                    make_observation(user=owner, key=f"e{n}", fields={"a": second}, seconds=second)
                    for n in range(ENTITIES)
                ]
            )
        return 0

    def verify() -> int:
        ids = [str(pk) for pk in EntitySnapshot.objects.values_list("pk", flat=True)]
        return sum(len(snapshots_verify(ids).divergent) for _round in range(15))

    assert side_by_side([ingest, verify]) == [0, 0]
    assert verification_make(extent=Extent(), actor=SHELL).left == 0
