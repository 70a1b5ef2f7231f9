"""A recomputation tells in the log of its job what it does, in few lines however many chunks it takes."""

from __future__ import annotations

import logging

import pytest
from pytest_django import Settings

from schemaevo.kernel.jobs import run_job
from schemaevo.kernel.models import Job, JobLogLine
from snapshots import jobs
from snapshots.jobs import SHARE
from snapshots.services import recompute
from snapshots.services.observations import RECOMPUTE
from snapshots.services.recomputation import recomputation_request
from tests.factories import (
    SHELL,
    THING,
    make_definition,
    make_observation,
    make_recorded,
    make_user,
    make_version,
)

pytestmark = pytest.mark.django_db

KEYS = 9


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Job:
    """The run that is owed over nine entities, in chunks of two."""
    monkeypatch.setattr(recompute, "CHUNK_ENTITIES", 2)
    owner = make_user()
    make_recorded(
        observations=[make_observation(user=owner, key=f"k{n}", fields={"a": n}) for n in range(KEYS)]
    )
    make_version(document=make_definition(a="number"))
    return Job.objects.get(kind=RECOMPUTE)


def told_by(job: Job) -> list[str]:
    """What its log says after it has run, but for how it began and ended."""
    run_job(str(job.pk))
    lines = [line.text for line in JobLogLine.objects.filter(job=job).order_by("id")]
    assert lines[0].startswith("Started by worker ")
    return lines[1:]


def test_a_run_tells_its_passes_and_what_waits(run: Job) -> None:
    assert told_by(run) == [
        f"A pass begins, the newest owners first: {KEYS} snapshots wait.",
        "A pass begins, over all owners: 0 snapshots wait.",
        "A pass begins, over all owners, waiting for other workers: 0 snapshots wait.",
        "Ended: done.",
    ]


def test_a_run_tells_how_many_it_asked_to_share_the_work_and_they_whose_work_it_is(
    run: Job, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "ENTITIES_PER_SHARE", 1)
    settings.SCHEMAEVO_RECOMPUTE_WORKERS = 3
    settings.SCHEMAEVO_RUN_BUDGET_S = 0
    told = told_by(run)
    assert "Asked for 2 more jobs to share the work." in told
    assert told[-1] == "Rests: the time budget is used up."
    share = Job.objects.get(kind=SHARE, target=f"{THING}/2")
    settings.SCHEMAEVO_RUN_BUDGET_S = 60
    assert told_by(share) == [f"Shares the work of job {run.pk}.", "Ended: done."]


def test_what_was_passed_over_is_counted_in_one_line(
    run: Job, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)
    monkeypatch.setattr(recompute, "merged", refuse)
    told = told_by(run)
    assert told[-2:] == [
        f"{KEYS} entities were passed over and wait on; the table of this job lists them.",
        "Ended: completed with errors.",
    ]
    assert len(told) < KEYS


def test_a_run_that_is_given_up_tells_why(
    run: Job, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, settings: Settings
) -> None:
    caplog.set_level(logging.CRITICAL)
    settings.SCHEMAEVO_RECOMPUTE_FAILURES_MAX = 1
    monkeypatch.setattr(recompute, "merged", refuse)
    told = told_by(run)
    assert told[-2] == "Given up: 2 entities failed, so something else is wrong."
    assert told[-1].startswith("Failed for good at attempt 1: too_many_failures at snapshots/jobs.py:")


def test_refreshing_tells_how_many_it_reduces(run: Job) -> None:
    run_job(str(run.pk))
    job = recomputation_request(entity_type=THING, user_id=None, actor=SHELL, is_refresh=True)
    assert told_by(job) == [f"Reduces all {KEYS} snapshots anew.", "Ended: done."]


def refuse(*args: object, **kwargs: object) -> None:
    raise ZeroDivisionError
