"""Work is asked for: one live job per kind and target, and a bell only after the commit."""

from datetime import timedelta

import django_rq
import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from schemaevo.kernel import jobs
from schemaevo.kernel.actors import Actor
from schemaevo.kernel.jobs import Lease
from schemaevo.kernel.models import AuditEvent, Job, JobQueue, JobState, User
from tests.threads import side_by_side

pytestmark = pytest.mark.django_db(transaction=True)

IN_AN_HOUR = timedelta(hours=1)


def test_a_request_is_a_pending_job_of_its_kinds_queue(new_kind):
    kind = new_kind(queue=JobQueue.LIFECYCLE)

    job = jobs.job_request(kind=kind, target="t", options={"n": 2**70})

    job.refresh_from_db()
    assert (job.state, job.queue, job.target) == (JobState.PENDING, JobQueue.LIFECYCLE, "t")
    assert job.options == {"n": 2**70}
    assert job.not_before <= timezone.now()


def test_asking_twice_is_one_job_that_is_wanted_twice(new_kind):
    kind = new_kind()

    first, second = jobs.job_request(kind=kind, target="t"), jobs.job_request(kind=kind, target="t")

    assert first.pk == second.pk
    assert second.wanted == 2
    assert jobs.job_request(kind=kind, target="u").pk != first.pk


def test_asking_from_many_sides_at_once_is_one_job(new_kind):
    kind = new_kind()

    made = side_by_side([lambda: jobs.job_request(kind=kind, target="t")] * 8)

    assert len({job.pk for job in made}) == 1
    assert Job.objects.get(kind=kind).wanted == 8


def test_the_database_refuses_a_second_live_job(new_kind):
    job = jobs.job_request(kind=new_kind())

    with pytest.raises(IntegrityError, match="jobs_live_target_uq"):
        Job.objects.create(kind=job.kind, queue=job.queue, state=JobState.PAUSED)


def test_the_database_refuses_a_running_job_without_a_lease(new_kind):
    job = jobs.job_request(kind=new_kind())

    with pytest.raises(IntegrityError, match="jobs_running_has_lease_ck"):
        Job.objects.filter(pk=job.pk).update(state=JobState.RUNNING)


@pytest.mark.parametrize("ended", [JobState.DONE, JobState.FAILED, JobState.CANCELLED])
def test_work_that_ended_is_asked_for_anew(new_kind, ended):
    kind = new_kind()
    old = jobs.job_request(kind=kind)
    Job.objects.filter(pk=old.pk).update(state=ended)

    assert jobs.job_request(kind=kind).pk != old.pk


def test_the_bell_rings_only_after_the_commit(new_kind, bells):
    with transaction.atomic():
        job = jobs.job_request(kind=new_kind())
        assert bells() == []

    assert bells() == [str(job.pk)]
    job.refresh_from_db()
    assert job.rung_at is not None


def test_a_rollback_leaves_neither_job_nor_bell(new_kind, bells):
    kind = new_kind()

    with transaction.atomic():
        jobs.job_request(kind=kind)
        transaction.set_rollback(True)

    assert bells() == []
    assert not Job.objects.filter(kind=kind).exists()


def test_a_bell_carries_nothing_but_the_id_and_is_json(new_kind):
    job = jobs.job_request(kind=new_kind(), options={"secret": "value"})

    queue = django_rq.get_queue("interactive")
    (bell,) = queue.get_jobs()
    assert (bell.func_name, bell.args, bell.kwargs) == ("schemaevo.kernel.jobs.run_job", [str(job.pk)], {})
    assert b"secret" not in b"".join(queue.connection.hgetall(bell.key).values())


def test_without_redis_the_request_stands_and_the_sweeper_rings_later(new_kind, bells, no_redis, monkeypatch):
    job = jobs.job_request(kind=new_kind())

    assert Job.objects.get(pk=job.pk).state == JobState.PENDING
    assert jobs.ring(job.pk) is False
    assert jobs.sweep() == jobs.SweepResult(rung=0, expired=0)
    monkeypatch.undo()
    assert jobs.sweep() == jobs.SweepResult(rung=1, expired=0)
    assert bells() == [str(job.pk)]


def test_a_job_for_later_is_not_rung_for_and_not_claimed(new_kind, bells):
    ran: list[Lease] = []
    job = jobs.job_request(kind=new_kind(ran.append), not_before=timezone.now() + IN_AN_HOUR)

    jobs.run_job(str(job.pk))

    assert (bells(), ran) == ([str(job.pk)], [])
    Job.objects.filter(pk=job.pk).update(not_before=timezone.now())
    jobs.run_job(str(job.pk))
    assert len(ran) == 1


def test_the_earlier_of_two_times_counts(new_kind):
    kind = new_kind()
    now = timezone.now()
    jobs.job_request(kind=kind, not_before=now + IN_AN_HOUR)

    assert jobs.job_request(kind=kind, not_before=now + 2 * IN_AN_HOUR).not_before == now + IN_AN_HOUR
    assert jobs.job_request(kind=kind, not_before=now).not_before == now


def test_asking_does_not_cut_short_the_rest_after_a_failure(new_kind):
    kind = new_kind()
    later = timezone.now() + IN_AN_HOUR
    job = jobs.job_request(kind=kind)
    Job.objects.filter(pk=job.pk).update(attempts=1, not_before=later)

    assert jobs.job_request(kind=kind).not_before == later


def test_a_paused_job_stays_paused_when_it_is_asked_for(new_kind):
    kind = new_kind()
    job = jobs.job_request(kind=kind)
    Job.objects.filter(pk=job.pk).update(state=JobState.PAUSED)

    again = jobs.job_request(kind=kind)

    assert (again.pk, again.state, again.wanted) == (job.pk, JobState.PAUSED, 2)


def test_a_request_by_a_person_is_audited_and_one_by_the_system_is_not(new_kind):
    kind = new_kind()
    person = User.objects.create_user("ann")

    jobs.job_request(kind=kind, target="system")
    job = jobs.job_request(kind=kind, target="person", requested_by=Actor.login(person))

    event = AuditEvent.objects.get(action="job.request")
    assert (event.actor_id, event.target_id) == (person.pk, str(job.pk))
    assert event.after == {"kind": kind, "target": "person", "state": "pending", "wanted": 1}


def test_asking_for_an_unknown_kind_is_a_bug():
    with pytest.raises(KeyError):
        jobs.job_request(kind="nobody.registered.this")


def test_a_kind_cannot_be_registered_twice_in_two_ways(new_kind):
    kind = new_kind()

    with pytest.raises(ValueError, match="already registered"):
        jobs.job_kind(kind, queue=JobQueue.RECOMPUTE, run=print)


def test_periodic_work_is_one_job_per_interval(new_kind):
    kind = new_kind(every_s=60)

    job = jobs.request_periodic(kind)
    assert jobs.request_periodic(kind).pk == job.pk
    Job.objects.filter(pk=job.pk).update(state=JobState.DONE)
    assert jobs.request_periodic(kind).pk == job.pk

    Job.objects.filter(pk=job.pk).update(requested_at=timezone.now() - timedelta(seconds=61))
    assert jobs.request_periodic(kind).pk != job.pk


def test_periodic_work_that_is_not_done_in_its_interval_is_not_asked_for_again(new_kind):
    kind = new_kind(every_s=60)
    job = jobs.request_periodic(kind)
    Job.objects.filter(pk=job.pk).update(requested_at=timezone.now() - IN_AN_HOUR)

    again = jobs.request_periodic(kind)

    assert (again.pk, again.wanted) == (job.pk, 1)


def test_two_clocks_at_once_make_one_job(new_kind):
    kind = new_kind(every_s=60)

    side_by_side([lambda: jobs.request_periodic(kind)] * 4)

    assert Job.objects.filter(kind=kind).count() == 1


def test_only_a_periodic_kind_can_be_asked_for_periodically(new_kind):
    with pytest.raises(ValueError, match="not periodic"):
        jobs.request_periodic(new_kind())
