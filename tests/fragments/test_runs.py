"""An ingest run ends even if its process cannot say so, and a process that is only slow has the last word."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import connection, transaction
from django.utils import timezone

from fragments.jobs import INTERRUPT
from fragments.models import IngestRun, IngestState
from fragments.services.ingest import Input, ingest
from fragments.services.records import IngestOptions, Line
from fragments.services.runs import runs_interrupt_silent
from schemaevo.kernel.jobs import job_request, periodic_kinds, run_job
from schemaevo.kernel.models import Job, JobState
from tests.factories import NOON, SHELL, THING, make_lines, make_user
from tests.threads import PATIENCE_S, Aside
from tests.waiting import wait_for

pytestmark = pytest.mark.django_db(transaction=True)

PROJECT = Path(__file__).resolve().parents[2]
SILENCE_S = 600


@pytest.fixture(autouse=True)
def _silence(settings: Any) -> None:
    settings.SCHEMAEVO_INGEST_SILENCE_S = SILENCE_S


def make_silent(run: IngestRun, *, seconds: int = SILENCE_S + 1) -> None:
    """As if the run had last been heard of so long ago."""
    IngestRun.objects.filter(pk=run.pk).update(alive_at=timezone.now() - timedelta(seconds=seconds))


def make_running(**columns: Any) -> IngestRun:
    """A run of which nobody knows whether its process lives."""
    return IngestRun.objects.create(name="feed", entity_type=THING, **columns)


@contextmanager
def ingesting() -> Iterator[subprocess.Popen[bytes]]:
    """A process that ingests what it is fed, and stores every line as it comes."""
    make_user(username="ann")
    address = f"{os.environ['DATABASE_URL'].rpartition('/')[0]}/{connection.settings_dict['NAME']}"
    command = ["manage.py", "ingest", "-", "--entity-type", THING, "--user", "ann", "--key-field", "k"]
    with subprocess.Popen(
        [sys.executable, *command, "--observed-at", "2024-05-01", "--batch-size", "1"],
        cwd=PROJECT,
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "schemaevo.settings", "DATABASE_URL": address},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def feed(process: subprocess.Popen[bytes], number: int) -> IngestRun:
    """The process has stored so many records; gives its run."""
    assert process.stdin is not None
    process.stdin.write(b'{"k": %d}\n' % number)
    process.stdin.flush()
    return wait_for(lambda: IngestRun.objects.filter(record_count=number).first(), "the record to be stored")


def test_a_run_whose_process_was_killed_is_interrupted() -> None:
    with ingesting() as process:
        run = feed(process, 1)
        assert runs_interrupt_silent() == 0
        process.kill()
        process.wait()
    heard_of = IngestRun.objects.get(pk=run.pk).alive_at
    assert run.started_at < heard_of
    # Not at once: it might be alive.
    assert runs_interrupt_silent() == 0
    make_silent(run)

    assert runs_interrupt_silent() == 1

    run.refresh_from_db()
    assert (run.state, run.record_count, run.observation_count) == (IngestState.INTERRUPTED, 1, 1)
    assert run.finished_at == run.alive_at
    assert "its process was killed" in run.error
    assert runs_interrupt_silent() == 0


def test_a_run_that_was_only_slow_goes_on_and_its_end_is_the_one_that_counts() -> None:
    with ingesting() as process:
        run = feed(process, 1)
        make_silent(run)
        assert runs_interrupt_silent() == 1

        run = feed(process, 2)
        assert (run.state, run.finished_at, run.error) == (IngestState.RUNNING, None, "")
        assert runs_interrupt_silent() == 0

        make_silent(run)
        assert runs_interrupt_silent() == 1
        out, _ = process.communicate(timeout=PATIENCE_S)
    assert b"2 records" in out
    run.refresh_from_db()
    assert (run.state, run.error) == (IngestState.DONE, "")
    assert run.finished_at is not None
    assert run.finished_at > run.alive_at


def test_a_run_that_fails_after_it_was_interrupted_has_failed() -> None:
    def broken() -> Iterator[Line]:
        yield from make_lines(records=[{"k": 1}])
        make_silent(IngestRun.objects.get())
        assert runs_interrupt_silent() == 1
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        ingest(
            source=Input(broken(), "stream", default_observed_at=NOON),
            options=IngestOptions(entity_type=THING, key_field="k", user_id=make_user().pk, batch_size=1),
            actor=SHELL,
        )
    run = IngestRun.objects.get()
    assert (run.state, run.error, run.record_count) == (IngestState.FAILED, "OSError: the disk is gone", 1)


def test_runs_that_ended_or_were_heard_of_are_left_alone() -> None:
    silent = make_running()
    make_silent(silent)
    make_silent(make_running(state=IngestState.DONE))
    make_silent(make_running(state=IngestState.FAILED, error="told"))
    make_silent(make_running(), seconds=SILENCE_S - 30)
    make_running()

    assert runs_interrupt_silent() == 1

    assert list(IngestRun.objects.filter(state=IngestState.INTERRUPTED)) == [silent]
    assert IngestRun.objects.get(state=IngestState.FAILED).error == "told"


def test_a_run_that_is_storing_a_batch_at_this_moment_is_alive() -> None:
    run = make_running()
    make_silent(run)
    with transaction.atomic():
        IngestRun.objects.filter(pk=run.pk).update(record_count=1)
        with Aside(runs_interrupt_silent) as sweeping:
            # It does not even wait.
            assert sweeping.result(PATIENCE_S) == 0


def test_a_periodic_job_ends_silent_runs_and_tells_how_many() -> None:
    (kind,) = [kind for kind in periodic_kinds() if kind.name == INTERRUPT]
    assert kind.every_s == SILENCE_S
    for _ in range(2):
        make_silent(make_running())
    job = job_request(kind=INTERRUPT)
    run_job(str(job.pk))
    job = Job.objects.get(pk=job.pk)
    assert (job.state, job.result) == (JobState.DONE, {"interrupted": 2})
