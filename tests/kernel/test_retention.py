"""Own ledgers are trimmed: what is too old goes, in batches that are audited, and what is needed stays."""

import io
import json
from datetime import timedelta

import pytest
from django.core.management import call_command
from django.utils import timezone

from fragments.models import DeadLetter, IngestRun
from fragments.services.runs import default_time_of
from schemaevo.kernel import retention
from schemaevo.kernel.actors import Actor
from schemaevo.kernel.errors import Denied
from schemaevo.kernel.jobs import job_request, request_periodic, run_job
from schemaevo.kernel.models import AuditEvent, Job, JobState
from schemaevo.kernel.retention import TRIM, ledger_trim, ledgers_overdue, ledgers_registered
from tests.factories import NOON, THING, make_login

pytestmark = pytest.mark.django_db

DAY = timedelta(days=1)
#: What is trimmed where nothing is old.
NOTHING = {
    "daily_figures": 0,
    "dead_letters": 0,
    "ingest_runs": 0,
    "jobs": 0,
    "proposal_notices": 0,
    "recompute_failures": 0,
    "verify_outcomes": 0,
}


@pytest.fixture(autouse=True)
def _periods(settings):
    settings.SCHEMAEVO_RETENTION_DAYS_JOBS = 10
    settings.SCHEMAEVO_RETENTION_DAYS_DEAD_LETTERS = 20
    settings.SCHEMAEVO_RETENTION_DAYS_INGEST_RUNS = 30


def make_job(*, days, state=JobState.DONE, kind="work", target=""):
    """A job that was asked for, and ended unless it lives, so many days ago."""
    then = timezone.now() - days * DAY
    ended = then if state in ("done", "completed_with_errors", "failed", "cancelled") else None
    return Job.objects.create(
        kind=kind, target=target, queue="lifecycle", state=state, requested_at=then, finished_at=ended
    )


def make_old_run(*, days, letters=(), name="feed", **columns):
    """A run that ended so many days ago, with dead letters of these ages."""
    then = timezone.now() - days * DAY
    run = IngestRun.objects.create(
        name=name, entity_type=THING, state="done", started_at=then, finished_at=then, **columns
    )
    for line, age in enumerate(letters, start=1):
        DeadLetter.objects.create(
            run=run, line_number=line, code="c", message="m", raw=b"{", created_at=timezone.now() - age * DAY
        )
    return run


def trim():
    """The periodic job, as a worker runs it; gives its row."""
    job = job_request(kind=TRIM)
    run_job(str(job.pk))
    job.refresh_from_db()
    assert job.state == JobState.DONE, job.error
    return job


def test_jobs_that_ended_long_ago_go_and_live_ones_stay():
    live = [make_job(days=99, state=state, target=state) for state in ("pending", "paused")]
    old = [
        make_job(days=11, state=state) for state in ("done", "completed_with_errors", "failed", "cancelled")
    ]
    recent = make_job(days=9)

    job = trim()

    assert job.result == {**NOTHING, "jobs": 4}
    assert set(Job.objects.values_list("pk", flat=True)) == {recent.pk, job.pk, *(j.pk for j in live)}
    assert not Job.objects.filter(pk__in=[j.pk for j in old]).exists()


def test_the_newest_job_of_a_kind_stays_however_old():
    make_job(days=50, kind="verify")
    newest = make_job(days=40, kind="verify")

    trim()

    assert list(Job.objects.filter(kind="verify")) == [newest]


def test_dead_letters_go_before_the_run_that_refused_them():
    run = make_old_run(days=31, letters=[31, 21, 19])

    assert trim().result == {**NOTHING, "dead_letters": 2}
    assert list(run.dead_letters.values_list("line_number", flat=True)) == [3]

    DeadLetter.objects.update(created_at=timezone.now() - 21 * DAY)
    make_job(days=0, kind=TRIM)
    assert trim().result == {**NOTHING, "dead_letters": 1, "ingest_runs": 1}
    assert not IngestRun.objects.exists()


def test_the_first_run_of_a_file_stays_because_it_gives_the_time_of_its_records():
    columns = {"content_hash": "a" * 64, "default_observed_at": NOON}
    without_time = make_old_run(days=60, content_hash="a" * 64)
    first = make_old_run(days=50, **columns)
    again = make_old_run(days=40, **(columns | {"default_observed_at": NOON + DAY}))
    other_file = make_old_run(days=35, content_hash="b" * 64, default_observed_at=NOON)
    stream = make_old_run(days=35, default_observed_at=NOON)
    recent = make_old_run(days=1, **columns)

    trim()

    assert set(IngestRun.objects.all()) == {first, other_file, recent}
    assert not IngestRun.objects.filter(pk__in=[without_time.pk, again.pk, stream.pk]).exists()
    known = default_time_of(content_hash="a" * 64, entity_type=THING, modified_at=timezone.now())
    assert known == NOON


def test_a_run_whose_process_died_goes_too():
    IngestRun.objects.create(name="x", entity_type=THING, started_at=timezone.now() - 31 * DAY)

    assert ledgers_overdue()["ingest_runs"] == 1
    trim()
    assert not IngestRun.objects.exists()


def test_every_batch_is_audited_and_the_log_itself_is_kept(monkeypatch):
    monkeypatch.setattr(retention, "BATCH_SIZE", 2)
    for days in range(15, 20):
        make_job(days=days)
    newest = make_job(days=14)

    job = trim()

    events = AuditEvent.objects.filter(action="ledger.trim").order_by("id")
    assert [(e.target_id, e.after["deleted"], e.actor_name) for e in events] == [
        ("jobs", 2, "system:trim_ledgers"),
        ("jobs", 2, "system:trim_ledgers"),
        ("jobs", 1, "system:trim_ledgers"),
    ]
    assert (job.result["jobs"], job.done_count) == (5, 5)
    assert Job.objects.filter(kind="work").get() == newest
    before = AuditEvent.objects.count()
    make_job(days=0, kind=TRIM)
    trim()
    assert AuditEvent.objects.count() > before


def test_an_interrupted_run_goes_on_and_counts_all(monkeypatch, settings):
    monkeypatch.setattr(retention, "BATCH_SIZE", 2)
    settings.SCHEMAEVO_RUN_BUDGET_S = 0
    for days in range(14, 20):
        make_job(days=days)
    job = job_request(kind=TRIM)
    runs = 0
    while job.state == JobState.PENDING:
        run_job(str(job.pk))
        job.refresh_from_db()
        runs += 1
    assert runs > 2
    assert (job.state, job.result["jobs"]) == (JobState.DONE, 5)


def test_nothing_goes_where_the_period_is_zero(settings):
    for name in ("JOBS", "VERIFY", "DEAD_LETTERS", "INGEST_RUNS", "FIGURES"):
        setattr(settings, f"SCHEMAEVO_RETENTION_DAYS_{name}", 0)
    make_job(days=5000)
    make_job(days=4000)
    make_old_run(days=5000, letters=[5000])

    assert set(ledgers_overdue().values()) == {0}
    assert trim().result == {}
    assert (Job.objects.filter(kind="work").count(), DeadLetter.objects.count()) == (2, 1)


def test_a_dry_run_says_what_the_command_then_does():
    make_job(days=50)
    make_job(days=45)
    make_old_run(days=50, letters=[50, 50])

    def run(*arguments):
        out = io.StringIO()
        call_command("trim_ledgers", "--json", *arguments, stdout=out, stderr=io.StringIO())
        return json.loads(out.getvalue())

    counts = {**NOTHING, "jobs": 1, "dead_letters": 2}
    assert run("--dry-run") == {"dry_run": True, **counts}
    assert (Job.objects.count(), DeadLetter.objects.count()) == (2, 2)
    # With its last letter the run becomes free as well, in the same pass.
    assert run() == {"dry_run": False, **counts, "ingest_runs": 1}
    assert (Job.objects.count(), DeadLetter.objects.count(), IngestRun.objects.count()) == (1, 0, 0)


def test_the_periodic_job_is_asked_for_once_per_interval():
    job = request_periodic(TRIM)
    assert request_periodic(TRIM) == job


def test_only_who_may_control_jobs_trims():
    ledger = ledgers_registered()[0]
    with pytest.raises(Denied):
        ledger_trim(ledger=ledger, cutoff=timezone.now(), actor=Actor.login(make_login(role="viewer")))
