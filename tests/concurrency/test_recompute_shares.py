"""Several workers at one recomputation: disjoint entities, one progress, one switch, and an end that nobody misses."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable
from functools import partial

import pytest
from django.db import OperationalError, connection
from pytest_django import Settings

from schemaevo.kernel import leases
from schemaevo.kernel.actors import Actor
from schemaevo.kernel.job_control import job_cancel, job_pause, job_resume
from schemaevo.kernel.jobs import job_request, run_job
from schemaevo.kernel.models import Job, JobState, User
from snapshots import jobs
from snapshots.jobs import SHARE
from snapshots.models import EntitySnapshot
from snapshots.services import recompute
from snapshots.services.merging import NewSnapshot, snapshots_write
from snapshots.services.observations import RECOMPUTE
from snapshots.services.verify import snapshots_verify
from tests.factories import (
    SHELL,
    THING,
    make_compatibility,
    make_definition,
    make_observation,
    make_recorded,
    make_user,
    make_version,
)
from tests.threads import PATIENCE_S, Aside, side_by_side
from tests.waiting import wait_for

pytestmark = pytest.mark.django_db(transaction=True)

OWNERS = 3
KEYS = 20
ALL = OWNERS * KEYS


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Job:
    """The run that is owed after a schema came into force, over entities in chunks of four; it is worth sharing."""
    monkeypatch.setattr(recompute, "CHUNK_ENTITIES", 4)
    monkeypatch.setattr(jobs, "ENTITIES_PER_SHARE", 1)
    for _ in range(OWNERS):
        owner = make_user()
        make_recorded(
            observations=[
                make_observation(user=owner, key=f"k{key}", fields={"a": n}, seconds=n)
                for key in range(KEYS)
                for n in range(2)
            ]
        )
    make_version(document=make_definition(a="number"))
    return Job.objects.get(kind=RECOMPUTE, target=THING)


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each entity is written by a recomputation from now on."""
    counts: Counter[str] = Counter()

    def write(rows: Iterable[NewSnapshot]) -> None:
        listed = list(rows)
        counts.update(row.entity_id for row in listed)
        snapshots_write(listed)

    monkeypatch.setattr(recompute, "snapshots_write", write)
    return counts


class Gate:
    """Stops the first chunk of the thread that asks for it, with its rows locked and written, until it is opened."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.reached = threading.Event()
        self.open = threading.Event()
        self.then: Callable[[], None] = lambda: None
        self._local = threading.local()
        monkeypatch.setattr(recompute, "snapshots_write", self._write)

    def run_job(self, job: Job) -> None:
        """Runs the job in this thread, through the gate."""
        self._local.stops = True
        run_job(str(job.pk))

    def _write(self, rows: Iterable[NewSnapshot]) -> None:
        snapshots_write(rows)
        if getattr(self._local, "stops", False):
            self._local.stops = False
            self.reached.set()
            assert self.open.wait(PATIENCE_S)
            self.then()


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Gate:
    return Gate(monkeypatch)


def make_share(run: Job) -> Job:
    """A job that shares the run, which has begun."""
    assert Job.objects.get(pk=run.pk).cursor is not None
    return job_request(kind=SHARE, target=f"{run.target}/2")


def begin(run: Job) -> None:
    """The run has planned, and rests before its first chunk."""
    lease = leases.claim(run.pk)
    assert lease is not None
    place = recompute.place_at_the_beginning(entity_type=THING)
    jobs._begin_pass(lease, place)
    lease.give_back()
    Job.objects.filter(kind=SHARE).delete()


def assert_all_right() -> None:
    ids = [str(pk) for pk in EntitySnapshot.objects.values_list("pk", flat=True)]
    verified = snapshots_verify(ids)
    assert (verified.checked, verified.waiting, verified.divergent) == (ALL, 0, [])


def row_lock_waiters() -> int:
    """How many connections wait for what another transaction has locked."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_locks WHERE locktype = 'transactionid' AND NOT granted")
        (count,) = cursor.fetchone()
    return int(count)


def test_a_run_that_is_worth_it_asks_for_jobs_that_share_it(run: Job, settings: Settings) -> None:
    settings.SCHEMAEVO_RECOMPUTE_WORKERS = 3
    run_job(str(run.pk))
    shares = Job.objects.filter(kind=SHARE).order_by("target")
    assert [(job.target, job.state, job.wanted) for job in shares] == [
        (f"{THING}/2", JobState.PENDING, 1),
        (f"{THING}/3", JobState.PENDING, 1),
    ]
    # They come too late, and find the run gone.
    for job in shares:
        run_job(str(job.pk))
        job.refresh_from_db()
        assert (job.state, job.result) == (JobState.DONE, {"recomputed": 0})


def test_a_small_run_asks_for_none(run: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "ENTITIES_PER_SHARE", ALL + 1)
    run_job(str(run.pk))
    assert not Job.objects.filter(kind=SHARE).exists()


def test_workers_side_by_side_take_other_entities_and_count_as_one(
    run: Job, written: Counter[str], settings: Settings
) -> None:
    settings.SCHEMAEVO_RECOMPUTE_WORKERS = 3
    begin(run)
    shares = [job_request(kind=SHARE, target=f"{THING}/{number}") for number in (2, 3)]
    side_by_side([partial(run_job, str(job.pk)) for job in (run, *shares)])
    run.refresh_from_db()
    assert (run.state, run.result, run.done_count) == (JobState.DONE, {"recomputed": ALL}, ALL)
    assert len(written) == ALL
    assert set(written.values()) == {1}
    assert_all_right()


def test_a_run_does_not_end_before_what_a_share_has_in_its_hands(run: Job, gate: Gate) -> None:
    begin(run)
    share = make_share(run)
    with Aside(partial(gate.run_job, share)) as shared, Aside(partial(run_job, str(run.pk))) as ran:
        assert gate.reached.wait(PATIENCE_S)
        wait_for(row_lock_waiters, "the run to wait for the share")
        assert Job.objects.get(pk=run.pk).state == JobState.RUNNING
        gate.open.set()
        shared.result(PATIENCE_S)
        ran.result(PATIENCE_S)
    run.refresh_from_db()
    assert (run.state, run.result) == (JobState.DONE, {"recomputed": ALL})
    assert_all_right()


def test_what_a_dead_share_had_in_its_hands_is_done_by_the_run(run: Job, gate: Gate) -> None:
    begin(run)
    share = make_share(run)

    def die() -> None:
        raise OperationalError("the server is gone")

    gate.then = die
    with Aside(partial(gate.run_job, share)) as shared, Aside(partial(run_job, str(run.pk))) as ran:
        assert gate.reached.wait(PATIENCE_S)
        wait_for(row_lock_waiters, "the run to wait for the share")
        gate.open.set()
        shared.result(PATIENCE_S)
        ran.result(PATIENCE_S)
    run.refresh_from_db()
    assert (run.state, run.result) == (JobState.DONE, {"recomputed": ALL})
    assert Job.objects.get(pk=share.pk).attempts == 1
    assert_all_right()


@pytest.mark.parametrize("verb", [job_pause, job_cancel])
def test_stopping_the_run_stops_its_shares_in_the_middle_of_a_chunk(
    run: Job, gate: Gate, verb: Callable[..., Job]
) -> None:
    begin(run)
    share = make_share(run)
    with Aside(partial(gate.run_job, share)) as shared:
        assert gate.reached.wait(PATIENCE_S)
        verb(job_id=run.pk, actor=SHELL)
        gate.open.set()
        shared.result(PATIENCE_S)
    share.refresh_from_db()
    run.refresh_from_db()
    assert (share.state, share.result) == (JobState.DONE, {"recomputed": 0})
    assert run.done_count == 0
    ids = [str(pk) for pk in EntitySnapshot.objects.values_list("pk", flat=True)]
    assert snapshots_verify(ids).waiting == ALL


def test_a_run_that_is_resumed_is_shared_again_and_counts_on(run: Job, settings: Settings) -> None:
    settings.SCHEMAEVO_RECOMPUTE_WORKERS = 2
    settings.SCHEMAEVO_RUN_BUDGET_S = 0
    run_job(str(run.pk))
    share = Job.objects.get(kind=SHARE)
    run_job(str(share.pk))
    run.refresh_from_db()
    job_pause(job_id=run.pk, actor=SHELL)
    run_job(str(share.pk))
    assert Job.objects.get(pk=share.pk).state == JobState.DONE
    assert run.done_count == Job.objects.get(pk=run.pk).done_count == 8
    job_resume(job_id=run.pk, actor=Actor.system("test"))
    run_job(str(run.pk))
    again = Job.objects.get(kind=SHARE, state=JobState.PENDING)
    assert again.pk != share.pk
    run.refresh_from_db()
    assert run.done_count == 12


def test_a_share_goes_on_while_the_run_rests_and_leaves_the_end_to_it(run: Job) -> None:
    begin(run)
    share = make_share(run)
    run_job(str(share.pk))
    run.refresh_from_db()
    assert (run.state, run.done_count) == (JobState.PENDING, ALL)
    assert Job.objects.get(pk=share.pk).result == {"recomputed": ALL}
    run_job(str(run.pk))
    run.refresh_from_db()
    assert (run.state, run.result) == (JobState.DONE, {"recomputed": ALL})


def test_schemas_that_change_beside_workers_leave_nothing_behind(run: Job, settings: Settings) -> None:
    settings.SCHEMAEVO_RECOMPUTE_WORKERS = 3
    make_compatibility()
    begin(run)
    shares = [job_request(kind=SHARE, target=f"{THING}/{number}") for number in (2, 3)]

    def change() -> None:
        for document in (make_definition(a="number", b="string"), make_definition(a="number", c="string")):
            make_version(document=document)

    work: list[Callable[[], object]] = [partial(run_job, str(job.pk)) for job in (run, *shares)]
    side_by_side([*work, change])
    for owed in Job.objects.filter(kind=RECOMPUTE, state=JobState.PENDING):
        run_job(str(owed.pk))
    assert set(Job.objects.filter(kind=RECOMPUTE).values_list("state", flat=True)) == {JobState.DONE}
    assert_all_right()


def test_a_deadlock_never_comes_of_workers_ingest_and_a_user_of_their_own(run: Job) -> None:
    owner_id = EntitySnapshot.objects.order_by("-user_id").values_list("user_id", flat=True)[0]
    begin(run)
    other = job_request(kind=RECOMPUTE, target=f"{THING}:{owner_id}")
    share = make_share(run)
    users = list(User.objects.filter(pk__in=EntitySnapshot.objects.values("user")))

    def ingest() -> None:
        for second in range(5):
            make_recorded(
                observations=[
                    make_observation(user=user, key=f"k{key}", fields={"a": second}, seconds=10 + second)
                    for user in users
                    for key in range(KEYS)
                ]
            )

    work: list[Callable[[], object]] = [partial(run_job, str(job.pk)) for job in (run, share, other)]
    side_by_side([*work, ingest])
    for owed in Job.objects.filter(kind=RECOMPUTE, state=JobState.PENDING):
        run_job(str(owed.pk))
    assert set(Job.objects.filter(kind=RECOMPUTE).values_list("state", flat=True)) == {JobState.DONE}
    assert_all_right()
