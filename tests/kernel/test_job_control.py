"""People pause, resume, cancel and retry jobs, if they may, and the audit log says so."""

import uuid

import pytest
from django.contrib.auth.models import Permission

from schemaevo.kernel import jobs
from schemaevo.kernel.actors import Actor
from schemaevo.kernel.errors import Conflict, Denied, NotFound
from schemaevo.kernel.job_control import job_cancel, job_pause, job_resume, job_retry
from schemaevo.kernel.models import AuditEvent, Job, JobState, User

pytestmark = pytest.mark.django_db

VERBS = {"pause": job_pause, "resume": job_resume, "cancel": job_cancel, "retry": job_retry}


@pytest.fixture
def operator():
    user = User.objects.create_user("olga")
    user.user_permissions.add(Permission.objects.get(codename="control_job"))
    return Actor.login(user)


@pytest.fixture
def make_job(new_kind):
    def make(state):
        job = jobs.job_request(kind=new_kind())
        lease = {"lease_token": uuid.uuid4(), "lease_expires_at": job.requested_at}
        Job.objects.filter(pk=job.pk).update(
            state=state, attempts=3, **(lease if state == JobState.RUNNING else {})
        )
        return job

    return make


MOVES = [
    ("pause", JobState.PENDING, JobState.PAUSED),
    ("pause", JobState.RUNNING, JobState.PAUSED),
    ("resume", JobState.PAUSED, JobState.PENDING),
    ("cancel", JobState.PENDING, JobState.CANCELLED),
    ("cancel", JobState.RUNNING, JobState.CANCELLED),
    ("cancel", JobState.PAUSED, JobState.CANCELLED),
    ("retry", JobState.FAILED, JobState.PENDING),
    ("retry", JobState.CANCELLED, JobState.PENDING),
    ("retry", JobState.PENDING, JobState.PENDING),
]
REPEATS = [
    ("pause", JobState.PAUSED),
    ("resume", JobState.PENDING),
    ("resume", JobState.RUNNING),
    ("cancel", JobState.CANCELLED),
]


@pytest.mark.parametrize(("verb", "before", "after"), MOVES)
def test_a_move_is_made_and_audited(operator, make_job, verb, before, after):
    job = VERBS[verb](job_id=make_job(before).pk, actor=operator, reason="because")

    assert (job.state, job.lease_token) == (after, None)
    assert (job.finished_at is not None) == (after == JobState.CANCELLED)
    if after == JobState.PENDING:
        assert job.attempts == 0
    event = AuditEvent.objects.get(action=f"job.{verb}")
    assert (event.actor_id, event.reason) == (operator.user.pk, "because")
    assert (event.before["state"], event.after["state"]) == (before, after)


@pytest.mark.parametrize(("verb", "state"), REPEATS)
def test_a_repeated_move_changes_nothing(operator, make_job, verb, state):
    job = make_job(state)

    assert VERBS[verb](job_id=job.pk, actor=operator).state == state
    assert not AuditEvent.objects.exists()


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("state", JobState)
def test_every_other_move_is_refused(operator, make_job, verb, state):
    if (verb, state) in {*REPEATS, *((verb, before) for verb, before, _ in MOVES)}:
        return
    with pytest.raises(Conflict) as refusal:
        VERBS[verb](job_id=make_job(state).pk, actor=operator)

    assert refusal.value.code == "job_state"


@pytest.mark.parametrize("verb", VERBS)
def test_who_may_not_control_jobs_is_refused(make_job, verb):
    job = make_job(JobState.PENDING)

    with pytest.raises(Denied) as refusal:
        VERBS[verb](job_id=job.pk, actor=Actor.login(User.objects.create_user("vic")))

    assert refusal.value.code == "permission_denied"
    assert Job.objects.get(pk=job.pk).state == JobState.PENDING


def test_a_job_that_does_not_exist_is_not_found(operator):
    with pytest.raises(NotFound) as refusal:
        job_cancel(job_id=uuid.uuid4(), actor=operator)

    assert refusal.value.code == "job_not_found"


def test_failed_work_that_was_asked_for_again_is_not_retried_beside_it(operator, make_job):
    job = make_job(JobState.FAILED)
    jobs.job_request(kind=job.kind)

    with pytest.raises(Conflict) as refusal:
        job_retry(job_id=job.pk, actor=operator)

    assert refusal.value.code == "job_is_owed_again"


@pytest.mark.django_db(transaction=True)
def test_a_resumed_job_is_rung_for(operator, make_job, bells):
    job = make_job(JobState.PAUSED)

    job_resume(job_id=job.pk, actor=operator)

    assert bells() == [str(job.pk)] * 2
