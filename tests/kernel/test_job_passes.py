"""Passes that count on, work that several jobs share, and locks that nobody holds in their sleep."""

import pytest
from django.db import InternalError, connection, connections

from schemaevo.kernel import jobs, leases
from schemaevo.kernel.actors import Actor
from schemaevo.kernel.job_control import job_pause, job_resume
from schemaevo.kernel.models import Job, JobState
from tests.kernel.workload.kinds import note, notes
from tests.threads import side_by_side
from tests.waiting import wait_for

pytestmark = pytest.mark.django_db(transaction=True)


def ask(kind):
    return jobs.job_request(kind=kind)


def run(job):
    jobs.run_job(str(job.pk))
    job.refresh_from_db()
    return job


def test_a_kind_that_finds_its_work_in_the_data_counts_on_where_it_begins_again(new_kind):
    seen = []

    def work(lease):
        seen.append(lease.cursor)
        lease.again_from = "again"
        with lease.batch() as batch:
            batch.cursor = "behind"
            batch.done(2)
        if len(seen) == 1:
            ask(lease.kind)

    job = run(ask(new_kind(work)))

    assert seen == [None, "again"]
    assert (job.state, job.done_count, job.wanted_seen) == (JobState.DONE, 4, 2)


def test_a_pass_begun_by_the_run_sees_what_was_asked_for_until_then_and_counts_on(new_kind):
    passes = []

    def work(lease):
        passes.append(lease.cursor)
        with lease.batch() as batch:
            batch.done(2)
        ask(lease.kind)
        lease.begin_pass("second", left=3)
        at_work = Job.objects.get(pk=lease.job_id)
        assert (at_work.cursor, at_work.done_count, at_work.total_count) == ("second", 2, 5)
        assert lease.left() == 3

    job = run(ask(new_kind(work)))

    assert passes == [None]
    assert (job.state, job.wanted_seen) == (JobState.DONE, 2)


def test_jobs_that_share_the_work_of_another_count_for_it_as_long_as_it_is_at_work(new_kind):
    kind = new_kind(lambda lease: {"counted": lease.counted()})
    job = ask(kind)
    assert jobs.job_at_work(kind, "") == jobs.job_alive(kind, "") == job
    jobs.count_towards(job.pk, 3)
    Job.objects.filter(pk=job.pk).update(cursor="on the way", wanted_seen=1)
    job_pause(job_id=job.pk, actor=Actor.system("test"))
    assert (jobs.job_at_work(kind, ""), jobs.job_alive(kind, "")) == (None, job)
    with pytest.raises(jobs.WorkEnded):
        jobs.count_towards(job.pk, 3)
    job_resume(job_id=job.pk, actor=Actor.system("test"))
    jobs.count_towards(job.pk, 4)
    run(job)
    assert job.result == {"counted": 7}
    assert jobs.job_alive(kind, "") is None
    with pytest.raises(jobs.WorkEnded):
        jobs.count_towards(job.pk, 0)


def test_a_worker_that_sleeps_in_a_batch_loses_its_connection_and_its_locks(new_kind, settings):
    """Held up by nothing but its silence: it may be stopped, and others wait for what it holds."""
    settings.SCHEMAEVO_LEASE_S = 1
    job = ask(new_kind())
    lease = leases.claim(job.pk)
    assert lease is not None

    def sleep() -> None:
        with lease.batch():
            note(str(job.pk), 1)
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_backend_pid()")
                (mine,) = cursor.fetchone()
            wait_for(lambda: not is_connected(mine), "the server to close the connection")
            note(str(job.pk), 2)

    with pytest.raises(InternalError, match="idle-in-transaction"):
        side_by_side([sleep])
    assert notes(job.pk) == []


def is_connected(pid: int) -> bool:
    """Asked on a connection of its own."""
    aside = connections.create_connection("default")
    try:
        with aside.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE pid = %s", [pid])
            return bool(cursor.fetchone()[0])
    finally:
        aside.close()
