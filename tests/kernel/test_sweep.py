"""Work is found again: what nobody was rung for, and what its worker left behind."""

import logging
from datetime import timedelta

import django_rq
import pytest
from django.conf import settings as project
from django.core.management import call_command
from django.utils import timezone

from schemaevo.kernel import jobs
from schemaevo.kernel.jobs import SweepResult
from schemaevo.kernel.models import AuditEvent, Job, JobState
from tests.threads import side_by_side

pytestmark = pytest.mark.django_db(transaction=True)

NOTHING = SweepResult(rung=0, expired=0)


def seconds_ago(seconds):
    return timezone.now() - timedelta(seconds=seconds)


def leased_until(job, moment, **columns):
    Job.objects.filter(pk=job.pk).update(
        state=JobState.RUNNING, lease_token=job.pk, lease_expires_at=moment, wanted_seen=1, **columns
    )


def test_a_job_that_was_just_rung_for_is_left_alone(new_kind):
    jobs.job_request(kind=new_kind())

    assert jobs.sweep() == NOTHING


def test_a_bell_that_was_lost_is_rung_again(new_kind, bells):
    job = jobs.job_request(kind=new_kind())
    lost_after = project.SCHEMAEVO_SWEEP_INTERVAL_S * jobs.SWEEPS_PER_BELL
    Job.objects.filter(pk=job.pk).update(
        not_before=seconds_ago(lost_after + 2), rung_at=seconds_ago(lost_after + 1)
    )

    assert jobs.sweep() == SweepResult(rung=1, expired=0)
    assert bells() == [str(job.pk)] * 2
    assert jobs.sweep() == NOTHING


def test_a_job_whose_time_has_come_is_rung_for_though_it_was_rung_for_before(new_kind):
    job = jobs.job_request(kind=new_kind())
    Job.objects.filter(pk=job.pk).update(rung_at=seconds_ago(10), not_before=seconds_ago(1))

    assert jobs.sweep() == SweepResult(rung=1, expired=0)


def test_a_job_that_is_not_due_or_does_not_wait_is_left_alone(new_kind):
    kind = new_kind()
    jobs.job_request(kind=kind, target="later")
    Job.objects.filter(target="later").update(rung_at=None, not_before=seconds_ago(-60))
    for state in (JobState.PAUSED, JobState.DONE, JobState.FAILED, JobState.CANCELLED):
        jobs.job_request(kind=kind, target=state)
        Job.objects.filter(target=state).update(state=state, rung_at=None)

    assert jobs.sweep() == NOTHING


def test_the_job_of_a_dead_worker_is_pending_again_and_rung_for(new_kind, bells, caplog):
    job = jobs.job_request(kind=new_kind())
    leased_until(job, seconds_ago(1), cursor={"at": 7})
    alive = jobs.job_request(kind=job.kind, target="alive")
    leased_until(alive, seconds_ago(-60))

    with caplog.at_level(logging.WARNING):
        assert jobs.sweep() == SweepResult(rung=1, expired=1)

    job.refresh_from_db()
    assert (job.state, job.attempts, job.cursor) == (JobState.PENDING, 1, {"at": 7})
    assert job.lease_token is None
    assert "died" in caplog.text
    event = AuditEvent.objects.get(action="job.retry_later")
    assert (event.before["state"], event.after["state"]) == ("running", "pending")
    assert Job.objects.get(pk=alive.pk).state == JobState.RUNNING


def test_a_job_that_keeps_killing_its_workers_fails(new_kind):
    job = jobs.job_request(kind=new_kind())
    leased_until(job, seconds_ago(1), attempts=project.SCHEMAEVO_JOB_MAX_ATTEMPTS - 1)

    assert jobs.sweep() == SweepResult(rung=0, expired=1)

    job.refresh_from_db()
    assert (job.state, job.attempts) == (JobState.FAILED, project.SCHEMAEVO_JOB_MAX_ATTEMPTS)
    assert "died" in job.error
    assert job.finished_at is not None
    assert AuditEvent.objects.get(action="job.fail").target_id == str(job.pk)


def test_a_bell_finds_the_job_of_a_dead_worker_without_a_sweep(new_kind):
    ran = []
    job = jobs.job_request(kind=new_kind(lambda lease: ran.append(lease.cursor)))
    leased_until(job, seconds_ago(1), cursor=5)

    jobs.run_job(str(job.pk))

    assert ran == [5]
    assert Job.objects.get(pk=job.pk).state == JobState.DONE


def test_two_sweepers_at_once_count_one_death(new_kind):
    job = jobs.job_request(kind=new_kind())
    leased_until(job, seconds_ago(1))

    results = side_by_side([jobs.sweep] * 4)

    assert sum(result.expired for result in results) == 1
    assert Job.objects.get(pk=job.pk).attempts == 1


def test_a_flushed_redis_loses_no_work(new_kind, bells):
    made = [jobs.job_request(kind=new_kind()) for _ in range(3)]
    django_rq.get_connection("interactive").flushdb()
    Job.objects.update(rung_at=seconds_ago(3600))

    assert jobs.sweep() == SweepResult(rung=3, expired=0)
    assert bells() == [str(job.pk) for job in made]


def test_bells_that_nobody_answers_do_not_fill_redis(new_kind, bells, monkeypatch):
    monkeypatch.setattr(jobs, "QUEUE_LENGTH_MAX", 3)
    kind = new_kind()
    for number in range(5):
        jobs.job_request(kind=kind, target=str(number))
    django_rq.get_connection("interactive").flushdb()
    Job.objects.update(rung_at=None)

    assert jobs.sweep() == SweepResult(rung=3, expired=0)
    assert jobs.sweep() == NOTHING
    assert len(bells()) == 3


def test_the_command_says_what_it_found(new_kind, capsys):
    jobs.job_request(kind=new_kind())
    Job.objects.update(rung_at=None)

    call_command("sweep_jobs", "--json")

    assert capsys.readouterr().out.splitlines()[-1] == '{"expired":0,"rung":1}'
