"""A recomputation is begun, watched, paused, resumed and cancelled in a real browser, without reloading its page."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta

import django_rq
import pytest
from django.conf import settings
from django.contrib.sessions.models import Session
from django.test import Client
from django.utils import timezone
from playwright.sync_api import Browser, Locator, Page, expect

from schemaevo.kernel.job_log import Line, lines_write
from schemaevo.kernel.jobs import run_job
from schemaevo.kernel.models import Job, JobQueue, JobState, LogLevel, User
from snapshots.models import EntitySnapshot
from snapshots.services import recompute
from snapshots.services.merging import NewSnapshot, snapshots_write
from tests.admin.addresses import list_of, page_of, verb_of
from tests.browser.conftest import Visit
from tests.browser.test_admin import serious_flaws
from tests.factories import THING, make_definition, make_observation, make_recorded, make_user, make_version
from tests.kernel.conftest import Processes
from tests.threads import PATIENCE_S, Aside

pytestmark = pytest.mark.django_db(transaction=True)

KEYS = 40
CHUNK = 4
#: A page looks every two seconds, on a machine that may be busy.
SOON_MS = 30_000


@pytest.fixture
def owner(transactional_db: None) -> Iterator[User]:
    """Somebody with forty entities that wait since a schema came into force; nothing is owed, and no bell hangs."""
    redis = django_rq.get_connection(JobQueue.RECOMPUTE.value)
    redis.flushdb()
    ada = make_user(username="ada")
    make_recorded(
        observations=[make_observation(user=ada, key=f"k{n:02}", fields={"a": n}) for n in range(KEYS)]
    )
    make_version(document=make_definition(a="number"))
    Job.objects.all().delete()
    yield ada
    redis.flushdb()


class Worker:
    """A worker in a thread of its own, which takes as many chunks as it is let through, each its own transaction."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._chunks = threading.Semaphore(0)
        monkeypatch.setattr(recompute, "CHUNK_ENTITIES", CHUNK)
        monkeypatch.setattr(recompute, "snapshots_write", self._write)

    def at(self, job: Job) -> Aside:
        return Aside(lambda: run_job(str(job.pk)))

    def let_through(self, chunks: int) -> None:
        self._chunks.release(chunks)

    def _write(self, rows: Iterable[NewSnapshot]) -> None:
        snapshots_write(rows)
        assert self._chunks.acquire(timeout=PATIENCE_S)


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch) -> Worker:
    return Worker(monkeypatch)


def make_job(state: JobState = JobState.PENDING, **columns: object) -> Job:
    job = Job.objects.create(kind="work", queue="recompute", **{"total_count": 10, **columns})
    move(job, state)
    return job


def move(job: Job, state: JobState, **columns: object) -> None:
    """The job is in another state, as a worker would write it."""
    now = timezone.now()
    lease = {"lease_token": job.pk, "lease_expires_at": now + timedelta(hours=1)}
    running = {"first_mark_at": now - timedelta(minutes=1), "first_mark_count": 0, "started_at": now}
    Job.objects.filter(pk=job.pk).update(
        state=state, **{**(lease | running if state == JobState.RUNNING else {}), **columns}
    )


def fact(page: Page, name: str) -> Locator:
    return page.locator(f'[data-fact="{name}"]')


def reads(where: Locator, text: str) -> None:
    expect(where).to_have_text(text, timeout=SOON_MS)


def stay(page: Page) -> None:
    """From now on `stayed` tells whether the page was left."""
    page.evaluate("window.stayed = true")


def stayed(page: Page) -> bool:
    return bool(page.evaluate("window.stayed === true"))


def state_shown(page: Page) -> Locator:
    return page.locator(".se-states .se-badge")


def test_a_recomputation_is_begun_watched_paused_resumed_and_cancelled(
    owner: User, worker: Worker, visit: Callable[..., Visit], login_of: Callable[[str], User]
) -> None:
    operator, opened = login_of("operator"), visit()
    opened.sign_in(operator)
    page = opened.go(list_of(EntitySnapshot))
    expect(page.locator("#result_list")).to_contain_text("waiting")
    page.get_by_role("link", name="Recompute").click()
    page.locator("#waits").locator("xpath=..").get_by_role("link", name=THING).click()
    reads(fact(page, "waiting"), str(KEYS))
    page.get_by_role("button", name="Recompute what waits").click()
    expect(state_shown(page)).to_have_text("pending")
    job = Job.objects.get()
    assert job.requested_by == operator

    stay(page)
    with worker.at(job):
        worker.let_through(2)
        reads(fact(page, "done"), f"8 of {KEYS}")
        expect(state_shown(page)).to_have_text("running")
        expect(page.locator("#job-log")).to_contain_text(f"the newest owners first: {KEYS} snapshots wait.")
        Job.objects.update(first_mark_at=timezone.now() - timedelta(seconds=60))
        worker.let_through(3)
        reads(fact(page, "done"), f"20 of {KEYS}")
        expect(page.locator(".se-job-bar")).to_contain_text("50")
        expect(fact(page, "rate")).to_contain_text("/ min")
        expect(fact(page, "left")).to_contain_text("min")
        assert stayed(page)

        page.get_by_role("button", name="Pause").click()
        expect(page.locator("body")).to_contain_text("The job is now paused.")
        expect(state_shown(page)).to_have_text("paused")
        expect(fact(page, "rate")).to_have_text("–")
        # What the worker has in its hands is refused, and it lets go.
        worker.let_through(1)
    assert Job.objects.get().done_count == 20
    assert not stayed(page)

    page.get_by_role("button", name="Resume").click()
    expect(state_shown(page)).to_have_text("pending")
    stay(page)
    with worker.at(job):
        worker.let_through(1)
        reads(fact(page, "done"), f"24 of {KEYS}")
        expect(page.locator("#job-log")).to_contain_text(f"Resumed by {operator.username}.")
        assert stayed(page)
        page.get_by_role("button", name="Cancel").click()
        expect(state_shown(page)).to_have_text("cancelled")
        worker.let_through(1)
    expect(page.get_by_role("button", name="Retry now")).to_be_visible()
    page = opened.go(page_of(job))
    expect(fact(page, "done")).to_have_text(f"24 of {KEYS}")
    assert EntitySnapshot.objects.filter(schema_version__isnull=False).count() == 24


def test_a_real_worker_ends_what_was_asked_for_while_one_watches(
    owner: User, visit: Callable[..., Visit], login_of: Callable[[str], User]
) -> None:
    processes = Processes()
    try:
        opened = visit()
        opened.sign_in(login_of("operator"))
        page = opened.go(verb_of(EntitySnapshot, "recompute") + f"?type={THING}&owner=ada")
        page.get_by_role("button", name="Recompute everything").click()
        expect(state_shown(page)).to_have_text("pending")
        stay(page)
        processes.start("work")
        expect(state_shown(page)).to_have_text("done", timeout=60_000)
        assert fact(page, "done").inner_text() == f"{KEYS} of {KEYS}"
        expect(page.locator("#job-outcome")).to_contain_text(f'"recomputed": {KEYS}')
        expect(page.locator("#job-log")).to_contain_text("Ended: done.")
        expect(page.get_by_role("status")).to_have_text("done")
        expect(page.get_by_role("button", name="Pause")).to_have_count(0)
        assert stayed(page)
    finally:
        processes.end()
    assert Job.objects.get().state == JobState.DONE


def test_the_list_follows_its_jobs_until_they_have_ended(
    visit: Callable[..., Visit], login_of: Callable[[str], User]
) -> None:
    job, opened = make_job(), visit()
    opened.sign_in(login_of("viewer"))
    page = opened.go(list_of(Job))
    row = page.locator("#result_list .data-row")
    expect(row).to_contain_text("pending")
    stay(page)
    move(job, JobState.RUNNING, done_count=4)
    # A time may have a 40 in it as well.
    expect(row).to_contain_text("left", timeout=SOON_MS)
    expect(row).to_contain_text("40")
    move(job, JobState.DONE, done_count=10)
    expect(row).to_contain_text("done", timeout=SOON_MS)
    assert stayed(page)


class Looks:
    """How often a page asked for what it follows, on a clock that goes only when it is told to."""

    def __init__(self, opened: Visit, job: Job) -> None:
        self.count = 0
        self.page = opened.page
        address = verb_of(Job, "live", job.pk)
        self.page.on("requestfinished", lambda request: self._hear(request.url.endswith(address)))
        self.page.clock.install()

    def _hear(self, is_it: bool) -> None:
        self.count += is_it

    def in_s(self, seconds: int) -> int:
        """How often it looks in so many seconds, each look being answered before the clock goes on."""
        before = self.count
        for _second in range(seconds):
            self.page.clock.run_for(1000)
            self.page.wait_for_load_state("networkidle")
        return self.count - before


def test_a_page_that_nobody_sees_does_not_look(
    visit: Callable[..., Visit], login_of: Callable[[str], User]
) -> None:
    job, opened = make_job(), visit()
    opened.sign_in(login_of("viewer"))
    looks = Looks(opened, job)
    page = opened.go(page_of(job))
    hide = """hidden => {
        Object.defineProperty(document, "hidden", {value: hidden, configurable: true});
        document.dispatchEvent(new Event("visibilitychange"));
    }"""
    page.evaluate(hide, True)
    assert looks.in_s(20) == 0
    move(job, JobState.DONE, done_count=10)
    page.evaluate(hide, False)
    with page.expect_response(lambda answer: answer.url.endswith(verb_of(Job, "live", job.pk))):
        page.clock.run_for(10)
    reads(state_shown(page), "done")
    assert looks.in_s(20) == 0, "what has ended is not looked at"


def test_who_is_signed_out_is_told_that_the_page_stands_still(
    visit: Callable[..., Visit], login_of: Callable[[str], User]
) -> None:
    job, opened = make_job(), visit()
    opened.sign_in(login_of("viewer"))
    page = opened.go(page_of(job))
    notice = page.locator("[data-live-stopped]")
    expect(notice).to_be_hidden()
    Session.objects.all().delete()
    expect(notice).to_be_visible(timeout=SOON_MS)
    expect(notice).to_contain_text("This page does not follow the job any more.")
    expect(state_shown(page)).to_have_text("pending")


def test_without_a_script_all_of_it_works_by_reloading(
    chromium: Browser, live_server: object, login_of: Callable[[str], User]
) -> None:
    job, login = make_job(), login_of("operator")
    # Unfold's own page for signing in needs a script.
    client = Client()
    client.force_login(login, backend="django.contrib.auth.backends.ModelBackend")
    context = chromium.new_context(java_script_enabled=False)
    cookie = client.cookies[settings.SESSION_COOKIE_NAME].value
    context.add_cookies([{"name": settings.SESSION_COOKIE_NAME, "value": cookie, "url": str(live_server)}])
    page = context.new_page()
    page.goto(f"{live_server}{page_of(job)}")
    move(job, JobState.RUNNING, done_count=7)
    page.get_by_role("link", name="Reload").click()
    expect(fact(page, "done")).to_have_text("7 of 10")
    page.get_by_role("button", name="Pause").click()
    expect(state_shown(page)).to_have_text("paused")
    context.close()


@pytest.mark.long
@pytest.mark.parametrize(("width", "theme"), [(1440, "light"), (390, "dark")])
def test_pages_of_jobs_are_read_without_complaint_or_overflow(
    owner: User, visit: Callable[..., Visit], login_of: Callable[[str], User], width: int, theme: str
) -> None:
    job = make_job(options={"a": 1}, error="ValueError: " + "x" * 300, attempts=2)
    move(job, JobState.RUNNING, done_count=7)
    lines_write(
        job.pk,
        [
            Line("A sentence of a log that is as long as they come. " * 4),
            *(Line("odd", level) for level in LogLevel),
        ],
    )
    ended = make_job(JobState.DONE, target="ended", result={"recomputed": 7})
    opened = visit(width=width, theme=theme)
    opened.sign_in(login_of("operator"))
    recomputing = verb_of(EntitySnapshot, "recompute")
    for path in (
        page_of(job),
        page_of(ended),
        list_of(Job),
        recomputing,
        f"{recomputing}?type={THING}&owner=ada",
        f"{recomputing}?type={THING}&owner=nobody",
    ):
        page = opened.go(path)
        assert opened.overflow() <= 0, path
        assert serious_flaws(page) == [], path
