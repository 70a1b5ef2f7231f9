"""The verbs of a job's page: POSTed forms, for those who may control jobs."""

import uuid
from collections.abc import Callable

import pytest
from django.db.models.functions import Now
from django.test import Client

from schemaevo.kernel.models import AuditEvent, Job, JobState
from tests.admin.addresses import page_of, verb_of
from tests.factories import make_login

VERBS = ("retry", "resume", "pause", "cancel")
OFFERED = [
    (JobState.PENDING, 0, {"pause", "cancel"}),
    (JobState.PENDING, 2, {"retry", "pause", "cancel"}),
    (JobState.RUNNING, 0, {"pause", "cancel"}),
    (JobState.PAUSED, 0, {"resume", "cancel"}),
    (JobState.FAILED, 5, {"retry"}),
    (JobState.CANCELLED, 0, {"retry"}),
    (JobState.DONE, 0, set()),
    (JobState.COMPLETED_WITH_ERRORS, 0, set()),
]


def make_job(state: JobState, *, attempts: int = 0) -> Job:
    lease = {"lease_token": uuid.uuid4(), "lease_expires_at": Now()} if state == JobState.RUNNING else {}
    return Job.objects.create(kind="work", queue="recompute", state=state, attempts=attempts, **lease)


@pytest.mark.parametrize(("state", "attempts", "verbs"), OFFERED)
def test_the_page_offers_what_fits_the_state_and_it_works(
    client_of: Callable[[str], Client], state: JobState, attempts: int, verbs: set[str]
) -> None:
    job, client = make_job(state, attempts=attempts), client_of("operator")
    html = client.get(page_of(job)).content.decode()
    assert {verb for verb in VERBS if f'action="{verb_of(Job, verb, job.pk)}"' in html} == verbs
    for verb in verbs:
        again = make_job(state, attempts=attempts) if state not in ("pending", "running", "paused") else job
        Job.objects.filter(pk=again.pk).update(state=state, lease_token=uuid.uuid4(), lease_expires_at=Now())
        answer = client.post(verb_of(Job, verb, again.pk))
        assert (answer.status_code, answer.headers["Location"]) == (302, page_of(again))
        assert AuditEvent.objects.filter(action=f"job.{verb}", target_id=str(again.pk)).count() == 1
        Job.objects.filter(pk=again.pk).exclude(pk=job.pk).update(state=JobState.DONE)


@pytest.mark.parametrize("verb", VERBS)
def test_reading_an_address_of_a_verb_changes_nothing(client_of: Callable[[str], Client], verb: str) -> None:
    job = make_job(JobState.PENDING)
    client = client_of("superuser")
    assert client.get(verb_of(Job, verb, job.pk)).status_code == 405
    assert Job.objects.get().state == JobState.PENDING
    assert not AuditEvent.objects.exists()


@pytest.mark.parametrize("verb", VERBS)
def test_who_may_not_control_jobs_is_offered_nothing_and_refused(
    client_of: Callable[[str], Client], verb: str
) -> None:
    job, client = make_job(JobState.PENDING, attempts=1), client_of("viewer")
    assert verb_of(Job, verb, job.pk) not in client.get(page_of(job)).content.decode()
    assert client.post(verb_of(Job, verb, job.pk)).status_code == 403
    assert Client().post(verb_of(Job, verb, job.pk)).status_code == 302
    assert not AuditEvent.objects.exists()


@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_wants_the_token_of_its_form(db: None, verb: str) -> None:
    job = make_job(JobState.PENDING)
    client = Client(enforce_csrf_checks=True)
    client.force_login(make_login(is_superuser=True), backend="django.contrib.auth.backends.ModelBackend")
    assert client.post(verb_of(Job, verb, job.pk)).status_code == 403
    assert not AuditEvent.objects.exists()


def test_what_is_not_possible_is_said(client_of: Callable[[str], Client]) -> None:
    job, client = make_job(JobState.DONE), client_of("operator")
    answer = client.post(verb_of(Job, "cancel", job.pk), follow=True)
    assert "cancel is not possible" in answer.content.decode()
    assert Job.objects.get().state == JobState.DONE
