"""The page of queues tells what is owed, what Valkey holds of it and who serves it, and what to do about it."""

import re
import uuid
from collections.abc import Callable, Iterator
from datetime import timedelta
from html import unescape
from pathlib import Path

import django_rq
import pytest
from django.conf import settings
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone
from rq import Worker

from schemaevo.cron import Scheduler
from schemaevo.kernel import jobs
from schemaevo.kernel.models import Job, JobQueue, JobState
from schemaevo.kernel.pause import store_pause
from tests.factories import SHELL

URL = reverse("admin:kernel_job_queues")


@pytest.fixture(autouse=True)
def _silent_queues() -> Iterator[None]:
    """Nobody else's bells are counted, and these are nobody else's."""

    def silence() -> None:
        for queue in JobQueue:
            django_rq.get_queue(queue.value).empty()

    silence()
    yield
    silence()


@pytest.fixture
def client(client_of: Callable[[str], Client]) -> Client:
    return client_of("viewer")


def read(client: Client) -> str:
    """The page as one reads it."""
    html = client.get(URL).content.decode()
    text = re.sub(r"<[^>]+>", " ", html[html.index("se-queues") :])
    return re.sub(r"\s+", " ", unescape(text))


def make_job(state: JobState = JobState.PENDING, *, not_before_s: int = 0, lease_s: int = 60) -> Job:
    now = timezone.now()
    leased = {"lease_token": uuid.uuid4(), "lease_expires_at": now + timedelta(seconds=lease_s)}
    return Job.objects.create(
        kind="work",
        target=uuid.uuid4().hex,
        queue="recompute",
        state=state,
        not_before=now + timedelta(seconds=not_before_s),
        **(leased if state == JobState.RUNNING else {}),
    )


@pytest.fixture
def worker() -> Iterator[Worker]:
    """Somebody who serves all queues, as far as Valkey knows."""
    queues = [django_rq.get_queue(queue.value) for queue in JobQueue]
    worker = Worker(queues, connection=queues[0].connection, serializer=queues[0].serializer)
    worker.register_birth()
    yield worker
    worker.register_death()


@pytest.fixture
def scheduler() -> Iterator[Scheduler]:
    """A scheduler that has just made a round."""
    scheduler = Scheduler()
    scheduler.register_birth()
    scheduler.heartbeat()
    yield scheduler
    scheduler.register_death()


def test_each_queue_tells_what_it_owes(client: Client, worker: Worker, scheduler: Scheduler) -> None:
    make_job(not_before_s=-3600)
    make_job(not_before_s=-60)
    make_job(not_before_s=3600)
    make_job(JobState.RUNNING)
    make_job(JobState.DONE)
    text = read(client)
    assert "recompute 2 an hour ago 1 1 0 0 1" in text
    assert "interactive 0 – 0 0 0 0 1" in text
    html = client.get(URL).content.decode()
    assert "?queue=recompute&amp;state=pending" in html
    assert "?queue=recompute&amp;state=running" in html


def test_a_worker_and_the_job_that_it_works_on_are_told(
    client: Client, worker: Worker, scheduler: Scheduler
) -> None:
    job = make_job(JobState.RUNNING)
    bell = django_rq.get_queue("recompute").enqueue(jobs.run_job, str(job.pk), description=f"job {job.pk}")
    worker.set_state("busy")
    worker.prepare_execution(bell)
    text = read(client)
    assert f"interactive, recompute, lifecycle busy work {job.target}" in text
    assert reverse("admin:kernel_job_change", args=[job.pk]) in client.get(URL).content.decode()
    job.delete()
    assert "interactive, recompute, lifecycle busy –" in read(client)


def test_what_nobody_serves_says_how_it_is_served(client: Client, scheduler: Scheduler) -> None:
    make_job()
    make_job()
    text = read(client)
    assert "Nobody serves the queue recompute, and 2 jobs wait in it. Start manage.py work." in text
    assert "No worker is there." in text


def test_a_lost_bell_is_told_with_who_rings_again(
    client: Client, worker: Worker, scheduler: Scheduler
) -> None:
    job = make_job()
    assert "no bell for them is in Valkey" not in read(client)  # it was owed a moment ago
    Job.objects.update(not_before=timezone.now() - timedelta(minutes=1))
    assert "no bell for them is in Valkey" in read(client)
    jobs.ring(job.pk)
    assert "no bell for them is in Valkey" not in read(client)


def test_a_run_whose_lease_ended_is_told(client: Client, worker: Worker, scheduler: Scheduler) -> None:
    make_job(JobState.RUNNING)
    assert "not heard of since" not in read(client)
    make_job(JobState.RUNNING, lease_s=-5)
    assert "1 run of the queue recompute was not heard of since its lease ended." in read(client)


def test_a_scheduler_is_told_and_missed(client: Client, worker: Worker) -> None:
    assert "No scheduler was heard of of late" in read(client)
    scheduler = Scheduler()
    scheduler.register_birth()
    try:
        scheduler.heartbeat()
        text = read(client)
        assert "No scheduler was heard of" not in text
        assert "alive" in text
    finally:
        scheduler.register_death()


def test_while_everything_is_paused_no_queue_is_called_idle(client: Client, scheduler: Scheduler) -> None:
    make_job()
    store_pause(actor=SHELL)
    text = read(client)
    assert "Nobody serves" not in text


def test_without_valkey_the_ledger_is_told(
    client: Client, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    make_job(not_before_s=-60)
    with monkeypatch.context() as away:
        away.setitem(settings.RQ_QUEUES["interactive"], "URL", f"unix://{tmp_path}/nobody-listens.sock")
        text = read(client)
    assert "Valkey does not answer, so no worker hears of new jobs." in text
    assert "recompute 1 a minute ago 0 0 – – –" in text
    assert "nothing is known of workers" in text


def test_the_number_of_queries_does_not_depend_on_what_is_owed(client: Client, worker: Worker) -> None:
    def queries() -> int:
        with CaptureQueriesContext(connection) as captured:
            client.get(URL)
        return len(captured)

    before = queries()
    for state in (JobState.PENDING, JobState.RUNNING, JobState.DONE):
        for _n in range(5):
            make_job(state)
    assert queries() == before


def test_the_entry_of_the_navigation_is_marked_on_its_page_alone(client: Client) -> None:
    def marked(path: str) -> list[str]:
        html = client.get(path).content.decode()
        return re.findall(r'<a href="([^"]+)"[^>]*class="[^"]*\bactive\b', html)

    assert marked(URL) == [URL]
    assert URL not in marked(reverse("admin:kernel_job_changelist"))


def test_nobody_without_the_right_to_see_jobs_gets_it(client_of: Callable[[str], Client]) -> None:
    assert client_of("none").get(URL).status_code == 403
