"""A transaction that has stored its observation and commits late is skipped by nobody (I1).

Its observation is older, by the clock and by its place in every index, than what others commit and recompute
meanwhile. Nothing here asks for "what is newer than"; what waits is found by the state of the snapshot's row.
"""

from __future__ import annotations

import threading
from collections.abc import Collection
from functools import partial

import pytest
from django.db import connection, transaction
from pytest_django import Settings

from schemaevo.kernel.jobs import job_request, run_job
from schemaevo.kernel.models import Job, JobState, User
from snapshots.models import EntitySnapshot, Observation
from snapshots.services import observations
from snapshots.services.merging import snapshots_present
from snapshots.services.observations import RECOMPUTE
from snapshots.services.verify import snapshots_verify
from tests.factories import (
    THING,
    make_definition,
    make_observation,
    make_recorded,
    make_snapshot,
    make_user,
    make_version,
)
from tests.threads import PATIENCE_S, Aside
from tests.waiting import wait_for

pytestmark = pytest.mark.django_db(transaction=True)

KEYS = ("early", "late", "other")


@pytest.fixture
def owner() -> User:
    """The owner of three entities of three observations each, which wait since a schema came into force."""
    owner = make_user()
    make_recorded(
        observations=[
            make_observation(user=owner, key=key, fields={"a": n, "b": "x"}, seconds=n)
            for key in KEYS
            for n in range(3)
        ]
    )
    make_version(document=make_definition(a="number"))
    return owner


def run() -> Job:
    """A run that has ended, and no other is owed."""
    for job in Job.objects.filter(kind=RECOMPUTE, state=JobState.PENDING):
        run_job(str(job.pk))
    job = Job.objects.filter(kind=RECOMPUTE).latest("requested_at")
    assert job.state == JobState.DONE
    return job


def who_waits_for_me() -> int:
    """How many connections wait for this transaction to end."""
    with connection.cursor() as cursor:
        # Within a transaction the server's activity stays as it was at the first look.
        cursor.execute("SELECT pg_stat_clear_snapshot()")
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE wait_event_type = 'Lock' AND pg_backend_pid() = ANY(pg_blocking_pids(pid))"
        )
        (count,) = cursor.fetchone()
    return int(count)


def assert_all_right(owner: User, *, late: int) -> None:
    """Nothing waits, everything is the full reduction, and the late observation won."""
    ids = [str(pk) for pk in EntitySnapshot.objects.values_list("pk", flat=True)]
    verified = snapshots_verify(ids)
    assert (verified.checked, verified.waiting, verified.divergent) == (len(KEYS), 0, [])
    assert make_snapshot(user=owner, key="late").values == {"a": late}


class Halfway:
    """An ingest that has stored its observation, and neither looked at a snapshot nor committed, until let go."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.has_stored = threading.Event()
        self.may_go_on = threading.Event()
        self._local = threading.local()
        monkeypatch.setattr(observations, "snapshots_present", self._present)

    def record(self, new: observations.NewObservation) -> None:
        self._local.stops = True
        make_recorded(observations=[new])

    def _present(self, entity_ids: Collection[str]) -> set[str]:
        if getattr(self._local, "stops", False):
            self._local.stops = False
            self.has_stored.set()
            assert self.may_go_on.wait(PATIENCE_S)
        return snapshots_present(entity_ids)


@pytest.mark.parametrize("inline_max", [0, 10_000])
def test_stored_before_a_whole_run_and_committed_after_it(
    owner: User, inline_max: int, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.SCHEMAEVO_INLINE_RECOMPUTE_MAX = inline_max
    ingest = Halfway(monkeypatch)
    new = make_observation(user=owner, key="late", fields={"a": 77}, seconds=50)
    with Aside(partial(ingest.record, new)) as recorded:
        assert ingest.has_stored.wait(PATIENCE_S)
        # Others commit what is newer by the clock, and everything is recomputed without the late one.
        make_recorded(
            observations=[make_observation(user=owner, key=key, fields={"a": 5}, seconds=20) for key in KEYS]
        )
        assert run().result == {"recomputed": 0 if inline_max else len(KEYS)}
        assert make_snapshot(user=owner, key="late").values == {"a": 5}
        ingest.may_go_on.set()
        recorded.result(PATIENCE_S)
    newest = Observation.objects.order_by("-recorded_at").first()
    assert newest is not None
    assert str(newest.pk) != new.id
    assert_all_right(owner, late=77)


def test_what_is_left_waiting_by_a_late_commit_is_waited_for(owner: User, settings: Settings) -> None:
    """The ingest holds the snapshot's row and the job's: the run waits for both, and for what they will say."""
    settings.SCHEMAEVO_INLINE_RECOMPUTE_MAX = 0
    job = Job.objects.get(kind=RECOMPUTE)
    held = threading.Event()

    def run_once_held() -> None:
        assert held.wait(PATIENCE_S)
        run_job(str(job.pk))

    with Aside(run_once_held) as ran:
        with transaction.atomic():
            make_recorded(
                observations=[make_observation(user=owner, key="late", fields={"a": 77}, seconds=50)]
            )
            held.set()
            wait_for(who_waits_for_me, "the run to wait for the ingest")
        ran.result(PATIENCE_S)
    job.refresh_from_db()
    assert (job.state, job.wanted, job.wanted_seen) == (JobState.DONE, 2, 2)
    assert_all_right(owner, late=77)


def test_a_run_that_is_asked_for_by_a_late_commit_is_not_lost(owner: User, settings: Settings) -> None:
    """The run looks, finds nothing that is committed, and is about to end when the ingest commits."""
    run()
    settings.SCHEMAEVO_INLINE_RECOMPUTE_MAX = 0
    EntitySnapshot.objects.filter(entity_key="late").update(reduction_hash="")
    job = job_request(kind=RECOMPUTE, target=THING)
    held = threading.Event()

    def run_once_held() -> None:
        assert held.wait(PATIENCE_S)
        run_job(str(job.pk))

    with Aside(run_once_held) as ran:
        with transaction.atomic():
            make_recorded(
                observations=[make_observation(user=owner, key="late", fields={"a": 78}, seconds=51)]
            )
            held.set()
            wait_for(who_waits_for_me, "the run to wait for the ingest")
        ran.result(PATIENCE_S)
    assert_all_right(owner, late=78)
    assert set(Job.objects.filter(kind=RECOMPUTE).values_list("state", flat=True)) == {JobState.DONE}
