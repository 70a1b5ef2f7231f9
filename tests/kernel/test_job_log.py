"""What becomes of a job stands in its log, in few lines without values, in the transaction of what it tells."""

import logging
from datetime import timedelta

import pytest
from django.db import transaction
from django.utils import timezone

from schemaevo.kernel import job_log, jobs, leases
from schemaevo.kernel.errors import Invalid
from schemaevo.kernel.job_control import job_cancel, job_pause, job_resume, job_retry
from schemaevo.kernel.job_log import LINE_MAX, LINES_PER_LEVEL, Line, lines_write
from schemaevo.kernel.jobs import LeaseLost
from schemaevo.kernel.models import Job, JobLogLine, JobState, LogLevel
from schemaevo.kernel.pause import store_pause
from schemaevo.kernel.retention import TRIM
from tests.factories import SHELL
from tests.threads import side_by_side

pytestmark = pytest.mark.django_db(transaction=True)


def ask(kind):
    return jobs.job_request(kind=kind)


def run(job):
    jobs.run_job(str(job.pk))
    job.refresh_from_db()


def log_of(job, *levels):
    lines = JobLogLine.objects.filter(job=job).order_by("id")
    return [line.text for line in (lines.filter(level__in=levels) if levels else lines)]


def test_a_job_tells_who_began_it_and_how_it_ended(new_kind):
    job = ask(new_kind())
    assert log_of(job) == []
    run(job)
    assert log_of(job) == [
        f"Started by worker {job_log.worker_name()}, at the beginning.",
        "Ended: done.",
    ]


def test_a_job_that_passed_something_over_ends_with_a_warning(new_kind):
    job = ask(new_kind(lambda lease: lease.mark_errors()))
    run(job)
    assert log_of(job, LogLevel.WARNING) == ["Ended: completed with errors."]


def test_a_rest_tells_why(new_kind, settings):
    settings.SCHEMAEVO_RUN_BUDGET_S = 0

    def work(lease):
        for step in range(int(str(lease.cursor or 0)), 2):
            with lease.batch() as batch:
                batch.cursor = step + 1

    job = ask(new_kind(work))
    run(job)
    assert log_of(job)[-1] == "Rests: the time budget is used up."
    run(job)
    assert log_of(job)[2].endswith(", from where it was.")


def test_a_rest_for_the_pause_of_everything_says_so(new_kind):
    def work(lease):
        store_pause(actor=SHELL)
        lease.stop_if_asked()

    job = ask(new_kind(work))
    run(job)
    assert log_of(job)[-1] == "Rests: everything is paused."


def test_asked_for_again_it_tells_that_it_begins_another_pass(new_kind):
    passes = []

    def work(lease):
        passes.append(1)
        if len(passes) == 1:
            ask(lease.kind)

    job = ask(new_kind(work))
    run(job)
    assert log_of(job)[1] == "Begins another pass: it was asked for again meanwhile."
    assert len(passes) == 2


def test_a_failure_tells_its_kind_and_place_and_never_what_it_quotes(new_kind, settings):
    settings.SCHEMAEVO_JOB_MAX_ATTEMPTS = 2

    def work(lease):
        raise ValueError("cannot read sesame-7f3a")

    job = ask(new_kind(work))
    run(job)
    Job.objects.filter(pk=job.pk).update(not_before=timezone.now())
    run(job)
    first, last = log_of(job, LogLevel.WARNING, LogLevel.ERROR)
    assert first.startswith("Attempt 1 failed: ValueError at tests/kernel/test_job_log.py:")
    assert first.endswith(" in work. The next one follows in 5 s.")
    assert last.startswith("Failed for good at attempt 2: ValueError at tests/kernel/test_job_log.py:")
    assert "sesame" in job.error
    assert "sesame" not in str(log_of(job))


def test_a_refusal_is_told_by_its_code(new_kind):
    def work(lease):
        raise Invalid("not_so", "sesame-7f3a is not so")

    job = ask(new_kind(work))
    run(job)
    assert "failed: not_so at " in log_of(job, LogLevel.WARNING)[0]


@pytest.mark.parametrize(("attempts", "level"), [(0, LogLevel.WARNING), (4, LogLevel.ERROR)])
def test_a_dead_worker_is_told(new_kind, settings, attempts, level):
    settings.SCHEMAEVO_JOB_MAX_ATTEMPTS = 5
    job = ask(new_kind())
    leases.claim(job.pk)
    ago = timezone.now() - timedelta(seconds=1)
    Job.objects.filter(pk=job.pk).update(lease_expires_at=ago, attempts=attempts)
    leases.expire()
    assert log_of(job, level) == [
        f"Taken from a worker that died without a word; attempt {attempts + 1} ended so."
    ]


def test_what_people_do_is_told_with_their_name_and_once(new_kind):
    job = ask(new_kind())
    for act in (job_pause, job_pause, job_resume, job_cancel, job_retry):
        act(job_id=job.pk, actor=SHELL)
    name = SHELL.name
    assert log_of(job) == [
        f"Paused by {name}.",
        f"Resumed by {name}.",
        f"Cancelled by {name}.",
        f"Asked to try again by {name}.",
    ]


# --- lines of a kind of work ------------------------------------------------------------------------------------
def test_a_line_of_a_batch_is_kept_with_it_and_lost_with_it(new_kind):
    def work(lease):
        with lease.batch() as batch:
            lease.log("kept")
            batch.cursor = 1
        lease.log("between", LogLevel.WARNING)
        with lease.batch():
            lease.log("lost")
            raise ZeroDivisionError

    job = ask(new_kind(work))
    run(job)
    lines = log_of(job)
    assert lines[1:3] == ["kept", "between"]
    assert lines[3].startswith("Attempt 1 failed: ZeroDivisionError")
    assert len(lines) == 4
    assert log_of(job, LogLevel.WARNING)[0] == "between"


def test_a_line_of_a_batch_locks_nothing_before_its_end(new_kind):
    """The job's row is the last that a batch locks; whoever pauses the job would wait for the whole batch."""
    others = []

    def work(lease):
        with lease.batch():
            lease.log("said early")
            others.extend(side_by_side([lambda: job_pause(job_id=lease.job_id, actor=SHELL).state]))

    job = ask(new_kind(work))
    run(job)
    assert others == [JobState.PAUSED]
    assert "said early" not in log_of(job)


def test_after_a_batch_that_failed_a_line_is_written_at_once(new_kind):
    def work(lease):
        try:
            with lease.batch():
                raise ZeroDivisionError
        except ZeroDivisionError:
            lease.log("went on")

    job = ask(new_kind(work))
    run(job)
    assert "went on" in log_of(job)


def test_who_lost_the_lease_writes_no_line(new_kind):
    job = ask(new_kind())
    lease = leases.claim(job.pk)
    assert lease is not None
    job_pause(job_id=job.pk, actor=SHELL)
    with pytest.raises(LeaseLost):
        lease.log("too late")
    with pytest.raises(LeaseLost), lease.batch():
        lease.log("too late")
    assert "too late" not in log_of(job)
    assert Job.objects.get(pk=job.pk).state == JobState.PAUSED


# --- bounds -----------------------------------------------------------------------------------------------------
def test_the_newest_lines_of_each_level_are_kept(new_kind):
    job, other = ask(new_kind()), ask(new_kind())
    lines_write(other.pk, [Line("another job's")])
    lines_write(job.pk, [Line("bad", LogLevel.ERROR), Line("odd", LogLevel.WARNING)])
    lines_write(job.pk, [Line(f"line {n}") for n in range(LINES_PER_LEVEL)])
    for n in range(3):
        lines_write(job.pk, [Line(f"more {n}")])
    lines = log_of(job, LogLevel.INFO)
    assert (len(lines), lines[0], lines[-1]) == (LINES_PER_LEVEL, "line 3", "more 2")
    assert log_of(job, LogLevel.WARNING, LogLevel.ERROR) == ["bad", "odd"]
    assert log_of(other) == ["another job's"]


def test_any_text_can_be_a_line_and_a_long_one_is_cut(new_kind):
    job = ask(new_kind())
    lines_write(job.pk, [Line("\0 \ud800" + "x" * 10_000)])
    (text,) = log_of(job)
    assert text.startswith("\\0 \\ud800xxx")
    assert len(text) == LINE_MAX


def test_lines_are_in_the_log_of_the_process_too(new_kind, caplog):
    job = ask(new_kind())
    with caplog.at_level(logging.INFO):
        lines_write(job.pk, [Line("a pass begins"), Line("it is odd", LogLevel.WARNING)])
    said = [
        (record.levelname, record.message) for record in caplog.records if record.name == job_log.__name__
    ]
    assert said == [("INFO", f"Job {job.pk}: a pass begins"), ("WARNING", f"Job {job.pk}: it is odd")]


def test_what_is_rolled_back_was_never_told(new_kind):
    job = ask(new_kind())
    with transaction.atomic():
        job_pause(job_id=job.pk, actor=SHELL)
        transaction.set_rollback(True)
    assert log_of(job) == []


# --- retention --------------------------------------------------------------------------------------------------
def test_the_log_goes_with_its_job_and_no_other_does(new_kind, settings):
    settings.SCHEMAEVO_RETENTION_DAYS_JOBS = 10
    kind = new_kind()
    old, newest = ask(kind), jobs.job_request(kind=kind, target="newest")
    for job in (old, newest):
        run(job)
    long_ago = timezone.now() - timedelta(days=11)
    Job.objects.filter(pk=old.pk).update(requested_at=long_ago, finished_at=long_ago)

    run(jobs.job_request(kind=TRIM))

    assert not Job.objects.filter(pk=old.pk).exists()
    assert log_of(old) == []
    assert len(log_of(newest)) == 2
