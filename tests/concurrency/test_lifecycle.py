"""Cleanup beside others: a run that dies goes on, whoever is busy stops nobody else, and what is seen again stays."""

from __future__ import annotations

from contextlib import ExitStack
from datetime import datetime, timedelta
from threading import Event

import pytest
from django.db import OperationalError, transaction
from django.utils import timezone
from pytest_django import Settings

from fragments.jobs import CLEAN_UP
from fragments.models import LifecycleState, RawFragment
from fragments.services import lifecycle, lifecycle_runs
from fragments.services.lifecycle import Group, Move, fragments_move, fragments_restore
from schemaevo.kernel.jobs import job_request, run_job
from schemaevo.kernel.locks import LockSpace, hold
from schemaevo.kernel.models import Job, JobState, User
from tests.factories import SHELL, THING, make_definition, make_run, make_user, make_version
from tests.lifecycle import DAY, put
from tests.threads import PATIENCE_S, Aside, waiting_for_locks
from tests.waiting import wait_for

pytestmark = pytest.mark.django_db(transaction=True)
PROMOTED, PENDING = LifecycleState.PROMOTED, LifecycleState.PENDING_DELETION


@pytest.fixture
def owners(monkeypatch: pytest.MonkeyPatch) -> list[User]:
    """Five owners of six fragments each, which expired; two of them are moved at once."""
    monkeypatch.setattr(lifecycle, "PAGE_ROWS", 9)
    monkeypatch.setattr(lifecycle, "MOVED_AT_ONCE", 2)
    make_version(document=make_definition(k="string"))
    owners = [make_user() for _ in range(5)]
    for owner in owners:
        make_run(user=owner, records=[{"k": f"k{n}", "other": n} for n in range(6)])
    put(PROMOTED, since=timezone.now() - DAY)
    return owners


def run(job: Job) -> Job:
    Job.objects.filter(pk=job.pk).update(not_before=timezone.now())
    run_job(str(job.pk))
    job.refresh_from_db()
    return job


def test_a_run_that_fails_anywhere_goes_on_and_counts_each_fragment_once(
    owners: list[User], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[Group] = []

    def failing(move: Move, until: datetime, group: Group) -> int:
        calls.append(group)
        moved = fragments_move(move, until, group)
        if len(calls) % 2 == 0:
            raise OperationalError("the server is gone, just before the commit")
        return moved

    monkeypatch.setattr(lifecycle_runs, "fragments_move", failing)
    job = job_request(kind=CLEAN_UP)
    runs = 0
    while run(job).state == JobState.PENDING:
        runs += 1
    assert (job.state, job.result, job.done_count) == (JobState.DONE, {"expire": 30}, 30)
    assert runs > 5
    assert RawFragment.objects.filter(lifecycle_state=PENDING).count() == 30


def test_who_is_busy_stops_nobody_else(owners: list[User], settings: Settings) -> None:
    settings.SCHEMAEVO_LOCK_TIMEOUT_S = 0.05
    is_held, may_go = Event(), Event()

    def busy() -> None:
        with transaction.atomic():
            hold(LockSpace.FRAGMENTS, [(owners[2].pk, THING)])
            is_held.set()
            may_go.wait(PATIENCE_S)

    with ExitStack() as stack:
        future = stack.enter_context(Aside(busy))
        stack.callback(may_go.set)
        assert is_held.wait(PATIENCE_S)
        job = run(job_request(kind=CLEAN_UP))
        assert (job.state, job.result) == (JobState.DONE, {"expire": 24, "busy": 6})
    future.result(PATIENCE_S)
    assert list(
        RawFragment.objects.filter(lifecycle_state=PROMOTED).values_list("user_id", flat=True).distinct()
    ) == [owners[2].pk]
    assert run(job_request(kind=CLEAN_UP)).result == {"expire": 6}


def test_what_is_seen_again_while_it_is_looked_for_is_active(owners: list[User]) -> None:
    owner = owners[0]
    is_held, may_go = Event(), Event()

    def sees_again() -> None:
        with transaction.atomic():
            hold(LockSpace.FRAGMENTS, [(owner.pk, THING)])
            is_held.set()
            may_go.wait(PATIENCE_S)
            make_run(user=owner, records=[{"k": "k0", "other": 0, "another": 1}])

    def cleans() -> Job:
        return run(job_request(kind=CLEAN_UP))

    with Aside(sees_again) as seen:
        assert is_held.wait(PATIENCE_S)
        with Aside(cleans) as cleaned:
            wait_for(waiting_for_locks, "the cleanup to wait for the lock")
            may_go.set()
            job = cleaned.result(PATIENCE_S)
        seen.result(PATIENCE_S)
    assert isinstance(job, Job)
    assert job.result == {"expire": 29}
    [active] = RawFragment.objects.filter(user=owner, lifecycle_state="active", fragment_key="other")
    assert (active.frequency_count, active.expires_at) == (2, None)
    assert active.last_seen_at > timezone.now() - timedelta(minutes=5)


def test_what_is_seen_again_while_it_is_restored_stays_active(owners: list[User]) -> None:
    owner = owners[0]
    put(PENDING, since=timezone.now(), user=owner)
    is_held, may_go = Event(), Event()

    def sees_again() -> None:
        with transaction.atomic():
            hold(LockSpace.FRAGMENTS, [(owner.pk, THING)])
            is_held.set()
            may_go.wait(PATIENCE_S)
            make_run(user=owner, records=[{"k": "k0", "other": 0, "another": 1}])

    def restores() -> object:
        return fragments_restore(user_id=owner.pk, entity_type=THING, actor=SHELL)

    with Aside(sees_again) as seen:
        assert is_held.wait(PATIENCE_S)
        with Aside(restores) as restored:
            wait_for(waiting_for_locks, "the restoration to wait for the lock")
            may_go.set()
            assert restored.result(PATIENCE_S) == (5, 0)
        seen.result(PATIENCE_S)
    [active] = RawFragment.objects.filter(user=owner, lifecycle_state="active", fragment_key="other")
    assert (active.frequency_count, active.expires_at, active.promoted_at) == (2, None, None)
