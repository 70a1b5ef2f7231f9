"""The page of a job tells how far it is and what became of it, and gives it to whoever follows it."""

import re
import uuid
from collections.abc import Callable
from datetime import timedelta
from html import unescape

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from schemaevo.kernel.job_log import LINES_PER_LEVEL, Line, lines_write
from schemaevo.kernel.models import Job, JobLogLine, JobState, LogLevel
from schemaevo.kernel.pages.display import duration
from schemaevo.kernel.pages.job_progress import rate_in_words
from tests.admin.addresses import list_of, page_of, verb_of

SECRET = "sesame-7f3a"


def make_job(state: JobState = JobState.RUNNING, **columns: object) -> Job:
    """A job of which 300 pieces were done in the last minute, as far as anything is said of it."""
    now = timezone.now()
    made: dict[str, object] = {"done_count": 1300, "total_count": 2500, "requested_at": now}
    if state == JobState.RUNNING:
        made |= {"lease_token": uuid.uuid4(), "lease_expires_at": now + timedelta(minutes=5)}
    made |= {"first_mark_at": now - timedelta(seconds=60), "first_mark_count": 1000}
    return Job.objects.create(
        kind="work", target=uuid.uuid4().hex, queue="recompute", state=state, **made | columns
    )


def live(job: Job) -> str:
    return verb_of(Job, "live", job.pk)


def fact(html: str, name: str) -> str:
    """What stands in one of the facts of the page, as one reads it."""
    (found,) = re.findall(rf'<dd data-fact="{name}">(.*?)</dd>', html, re.DOTALL)
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]+>", " ", found))).strip()


def test_a_running_job_tells_rate_and_time_left(client_of: Callable[[str], Client]) -> None:
    job, client = make_job(), client_of("viewer")
    for url in (page_of(job), live(job)):
        html = client.get(url).content.decode()
        assert fact(html, "done") == "1,300 of 2,500"
        assert re.fullmatch(r"(5\.0|4\.[89]) / s", fact(html, "rate"))
        assert re.fullmatch(r"about [45] min", fact(html, "left"))
        assert "52&#8239;%" in html
        assert "data-live-over" not in html
    listed = client.get(list_of(Job)).content.decode()
    assert re.search(r"about [45] min left", listed)
    assert "data-live-over" not in listed


@pytest.mark.parametrize("state", [JobState.PENDING, JobState.PAUSED])
def test_a_job_that_rests_tells_no_rate(client_of: Callable[[str], Client], state: JobState) -> None:
    html = client_of("viewer").get(live(make_job(state))).content.decode()
    assert (fact(html, "rate"), fact(html, "left")) == ("–", "–")
    assert "data-live-over" not in html


@pytest.mark.parametrize(
    "state", [JobState.DONE, JobState.COMPLETED_WITH_ERRORS, JobState.FAILED, JobState.CANCELLED]
)
def test_what_has_ended_is_followed_no_more(client_of: Callable[[str], Client], state: JobState) -> None:
    job, client = make_job(state), client_of("viewer")
    for url in (page_of(job), live(job), list_of(Job)):
        html = client.get(url).content.decode()
        assert "data-live-over" in html, url
        assert "Rate of late" not in html


def test_an_end_that_is_not_known_is_not_told(client_of: Callable[[str], Client]) -> None:
    html = client_of("viewer").get(live(make_job(total_count=None))).content.decode()
    assert fact(html, "done") == "1,300"
    assert fact(html, "rate") != "–"
    assert fact(html, "left") == "–"
    assert "<progress" not in html


def test_what_is_followed_is_what_the_page_shows(client_of: Callable[[str], Client]) -> None:
    job, client = make_job(), client_of("operator")
    page, followed = (client.get(url).content.decode() for url in (page_of(job), live(job)))
    pieces = re.findall(r'id="([^"]+)"[^>]*data-live[ >]', followed)
    assert pieces == ["job-progress", "job-control", "job-outcome", "job-table", "job-log"]
    assert all(f'id="{piece}"' in page for piece in pieces)
    assert f'data-live-from="{live(job)}"' in page
    assert "schemaevo/live.js" in page
    assert "<html" not in followed
    assert "no-store" in client.get(live(job)).headers["Cache-Control"]


def test_without_a_script_the_page_says_of_when_it_is_and_how_to_reload(
    client_of: Callable[[str], Client],
) -> None:
    html = client_of("viewer").get(page_of(make_job())).content.decode()
    assert re.search(r"As of\s+<time", html)
    assert re.search(r'<noscript><a class="se-link" href="">Reload</a></noscript>', html)


def test_verbs_are_followed_with_a_token_of_their_own(client_of: Callable[[str], Client]) -> None:
    job = make_job()
    html = client_of("operator").get(live(job)).content.decode()
    assert f'action="{verb_of(Job, "pause", job.pk)}"' in html
    assert "csrfmiddlewaretoken" in html
    assert "<form" not in client_of("viewer").get(live(job)).content.decode()


def test_the_log_is_shown_newest_first_and_escaped(client_of: Callable[[str], Client]) -> None:
    job, client = make_job(), client_of("viewer")
    assert "Nothing has happened to it yet" in client.get(page_of(job)).content.decode()
    lines_write(
        job.pk, [Line("first"), Line("<b>second</b>", LogLevel.WARNING), Line("third", LogLevel.ERROR)]
    )
    html = client.get(live(job)).content.decode()
    assert html.index("third") < html.index("&lt;b&gt;second") < html.index(">first<")
    assert '<span class="se-badge se-warn">warning</span>' in html
    assert "lines are kept" not in html
    lines_write(job.pk, [Line("more")] * LINES_PER_LEVEL)
    assert f"the newest {LINES_PER_LEVEL} lines are kept" in client.get(live(job)).content.decode()


@pytest.mark.parametrize("role", ["viewer", "operator"])
def test_results_and_errors_are_for_those_who_may_see_values(
    client_of: Callable[[str], Client], role: str
) -> None:
    job = make_job(JobState.FAILED, error=f"ValueError: {SECRET} 1", result={"found": f"{SECRET} 2"})
    client = client_of(role)
    for url in (page_of(job), live(job)):
        html = client.get(url).content.decode()
        assert html.count(SECRET) == (2 if role == "operator" else 0)
        assert html.count("se-hidden") == (0 if role == "operator" else 2)


def test_who_may_not_see_jobs_follows_none(client_of: Callable[[str], Client]) -> None:
    job = make_job()
    assert client_of("none").get(live(job)).status_code == 403
    assert Client().get(live(job)).status_code == 302
    assert client_of("viewer").get(verb_of(Job, "live", uuid.uuid4())).status_code == 404


def test_following_costs_the_same_number_of_queries_however_long_the_log(
    client_of: Callable[[str], Client],
) -> None:
    job, client, counts = make_job(), client_of("operator"), []
    for _round in range(2):
        with CaptureQueriesContext(connection) as queries:
            client.get(live(job))
        counts.append(len(queries))
        lines_write(job.pk, [Line("more")] * 50)
    assert counts[0] == counts[1]
    assert counts[0] <= 8
    assert JobLogLine.objects.count() == 100


@pytest.mark.parametrize(
    ("per_s", "words"),
    [(1234.5, "1,234 / s"), (5.04, "5.0 / s"), (0.5, "30 / min"), (0.02, "1.2 / min"), (0.001, "3.6 / h")],
)
def test_a_rate_stands_in_the_unit_in_which_it_can_be_read(per_s: float, words: str) -> None:
    assert rate_in_words(per_s) == words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.0, "less than a minute"),
        (59.9, "less than a minute"),
        (60.0, "about 1 min"),
        (61.0, "about 2 min"),
        (5399.0, "about 1 h 30 min"),
        (3 * 86_400.0, "about 3 days"),
        (10.0**30, "more than a year"),
    ],
)
def test_a_duration_stands_in_words(seconds: float, words: str) -> None:
    assert duration(seconds) == words
