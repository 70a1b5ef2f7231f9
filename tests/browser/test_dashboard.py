"""The first page in a real browser: it follows what runs, stands without a script, and reads well in every size."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from datetime import timedelta

import django_rq
import pytest
from django.conf import settings
from django.test import Client
from django.utils import timezone
from playwright.sync_api import Browser, expect

from fragments.models import IngestRun, IngestState
from schemaevo.kernel.models import Job, JobQueue, JobState, User
from tests.browser.conftest import Visit
from tests.browser.test_admin import serious_flaws
from tests.browser.test_job_pages import SOON_MS, Worker, stay, stayed
from tests.factories import (
    THING,
    make_definition,
    make_maximum,
    make_observation,
    make_quota_request,
    make_recorded,
    make_user,
    make_version,
)
from tests.kernel.conftest import Processes
from tests.proposals.making import make_submitted

pytestmark = pytest.mark.django_db(transaction=True)

KEYS = 20


@pytest.fixture(autouse=True)
def _no_bells() -> Iterator[None]:
    redis = django_rq.get_connection(JobQueue.RECOMPUTE.value)
    redis.flushdb()
    yield
    redis.flushdb()


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch) -> Worker:
    return Worker(monkeypatch)


@pytest.fixture
def owed(transactional_db: None) -> Job:
    """A recomputation of twenty entities that nobody has begun."""
    ada = make_user(username="ada")
    make_recorded(
        observations=[make_observation(user=ada, key=f"k{n:02}", fields={"a": n}) for n in range(KEYS)]
    )
    make_version(document=make_definition(a="number"))
    return Job.objects.get(kind="recompute_snapshots")


@pytest.fixture
def busy(transactional_db: None) -> None:
    """Something of everything that the page tells of, with long names."""
    now = timezone.now()
    lease = {"lease_token": uuid.uuid4(), "lease_expires_at": now + timedelta(hours=1)}
    marks = {"first_mark_at": now - timedelta(minutes=1), "first_mark_count": 0}
    for n, state in enumerate((JobState.RUNNING, JobState.PAUSED, JobState.PENDING)):
        Job.objects.create(
            kind="recompute_snapshots",
            target=f"{THING}/an-owner-with-a-rather-long-name-{'x' * 40}-{n}",
            queue=JobQueue.RECOMPUTE,
            state=state,
            done_count=700,
            total_count=50_000,
            **(lease | marks if state == JobState.RUNNING else {}),
        )
    Job.objects.create(
        kind="went_wrong", queue=JobQueue.LIFECYCLE, state=JobState.FAILED, finished_at=now, error="odd"
    )
    for run_state in (IngestState.RUNNING, IngestState.INTERRUPTED):
        IngestRun.objects.create(
            name="/data/feeds/" + "a-file-with-a-long-name-" * 3,
            entity_type=THING,
            state=run_state,
            record_count=12_345,
            rejected_count=2_000,
            started_at=now - timedelta(minutes=4),
        )
    owner = make_user(username="an-owner-with-a-rather-long-name-" + "x" * 60)
    make_version(document=make_definition(a="string"), user=owner)
    make_maximum(user=owner, max_schemas=1, max_fields=1)
    make_quota_request(user=owner)
    make_version(document=make_definition(k="string"))
    make_submitted()


def test_a_real_job_is_watched_from_the_first_page_until_it_has_ended(
    owed: Job, visit: Callable[..., Visit], login_of: Callable[[str], User]
) -> None:
    opened = visit()
    page = opened.sign_in(login_of("operator"))
    running = page.locator("#running")
    expect(running.locator(f'[data-job="{owed.pk}"]')).to_contain_text("pending")
    expect(page.locator('[data-need="workers"]')).to_be_visible()
    stay(page)
    processes = Processes()
    try:
        processes.start("work")
        expect(page.locator('[data-need="workers"]')).to_have_count(0, timeout=SOON_MS)
        expect(running.locator(f'[data-job="{owed.pk}"]')).to_have_count(0, timeout=SOON_MS)
        assert stayed(page)
    finally:
        processes.end()
    assert Job.objects.get(pk=owed.pk).state == JobState.DONE


def test_the_progress_of_a_job_moves_without_reloading_and_the_keyboard_stays_where_it_is(
    owed: Job, visit: Callable[..., Visit], login_of: Callable[[str], User]
) -> None:
    now = timezone.now()
    Job.objects.filter(pk=owed.pk).update(
        state=JobState.RUNNING,
        lease_token=uuid.uuid4(),
        lease_expires_at=now + timedelta(hours=1),
        done_count=5,
        total_count=20,
        first_mark_at=now - timedelta(minutes=1),
        first_mark_count=0,
    )
    opened = visit()
    page = opened.sign_in(login_of("viewer"))
    row = page.locator(f'[data-job="{owed.pk}"]')
    expect(row).to_contain_text("25")
    row.locator("a").focus()
    stay(page)
    Job.objects.filter(pk=owed.pk).update(done_count=15)
    expect(row.locator("progress")).to_have_attribute("value", "75", timeout=SOON_MS)
    expect(row).to_contain_text("left")
    expect(row.locator("a")).to_be_focused()
    assert stayed(page)


def test_what_comes_up_is_said_once_to_those_who_listen(
    visit: Callable[..., Visit], login_of: Callable[[str], User]
) -> None:
    Job.objects.create(kind="waits", queue=JobQueue.RECOMPUTE)
    opened = visit()
    page = opened.sign_in(login_of("schema_admin"))
    # That no worker and no scheduler runs.
    expect(page.locator(".se-need")).to_have_count(2)
    expect(page.get_by_role("status").last).to_have_text("")
    make_quota_request(user=make_user())
    expect(page.locator('[data-need="requests"]')).to_be_visible(timeout=SOON_MS)
    expect(page.locator("[data-live-say]")).to_have_text("3 things need you")


def test_without_a_script_the_page_stands_and_is_reloaded(
    owed: Job, chromium: Browser, live_server: object, login_of: Callable[[str], User]
) -> None:
    client = Client()
    client.force_login(login_of("operator"), backend="django.contrib.auth.backends.ModelBackend")
    context = chromium.new_context(java_script_enabled=False)
    cookie = client.cookies[settings.SESSION_COOKIE_NAME].value
    context.add_cookies([{"name": settings.SESSION_COOKIE_NAME, "value": cookie, "url": str(live_server)}])
    page = context.new_page()
    page.goto(f"{live_server}/admin/")
    expect(page.locator(f'[data-job="{owed.pk}"]')).to_contain_text("pending")
    Job.objects.filter(pk=owed.pk).update(state=JobState.PAUSED)
    page.locator("#running").get_by_role("link", name="Reload").click()
    expect(page.locator(f'[data-job="{owed.pk}"]')).to_contain_text("paused")
    page.locator('[data-need="workers"] a').click()
    expect(page.locator("h1").first).to_contain_text("Jobs")
    context.close()


@pytest.mark.long
@pytest.mark.parametrize(("width", "theme"), [(1440, "light"), (1440, "dark"), (390, "light"), (390, "dark")])
@pytest.mark.parametrize("role", ["schema_admin", "none"])
def test_the_first_page_is_read_without_complaint_or_overflow(
    busy: None,
    visit: Callable[..., Visit],
    login_of: Callable[[str], User],
    role: str,
    width: int,
    theme: str,
) -> None:
    opened = visit(width=width, theme=theme)
    login = login_of("viewer" if role == "none" else role)
    if role == "none":
        login.groups.clear()
    page = opened.sign_in(login)
    expect(page.locator(".se-need")).to_have_count(0 if role == "none" else 8)
    assert opened.overflow() <= 0
    assert serious_flaws(page) == []
