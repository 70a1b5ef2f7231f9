"""The first page: what needs whom, with the lists behind it; what runs; how the store is; and what all of it costs."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
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

from fragments.models import IngestRun, IngestState
from fragments.selectors_counting import REBUILD
from fragments.selectors_runs import ingest_figures
from registry.domain.proposal import State
from registry.models import ExtensionRevision, Proposal
from registry.selectors_conflicts import COUNT_CONFLICTS
from registry.selectors_waiting import proposals_waiting
from registry.services.activation import schema_activate
from registry.services.extensions import extension_save
from registry.services.proposals import proposal_withdraw
from schemaevo.kernel.actors import Actor
from schemaevo.kernel.job_figures import COUNTED_MAX, jobs_left_wrong, queues_figured
from schemaevo.kernel.jobs import job_request, run_job
from schemaevo.kernel.models import Job, JobQueue, JobState, User, VerifyOutcome
from schemaevo.kernel.pause import store_pause
from schemaevo.kernel.verification import Extent
from schemaevo.kernel.verification_runs import verification_make
from tests.admin.addresses import list_of, page_of
from tests.admin.conftest import Store
from tests.admin.test_pages import text_of
from tests.admin.test_verification_pages import wrong
from tests.factories import (
    SHELL,
    make_definition,
    make_extension,
    make_login,
    make_maximum,
    make_quota_request,
    make_user,
    make_version,
)
from tests.proposals.making import approve, make_base, make_in, make_submitted

HOME = "/admin/"
LIVE = "/admin/dashboard/live/"
ROLES = ("viewer", "operator", "schema_admin", "superuser")

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _no_workers() -> Iterator[None]:
    redis = django_rq.get_connection(JobQueue.INTERACTIVE.value)
    redis.flushdb()
    yield
    redis.flushdb()


def browser(login: User) -> Client:
    client = Client()
    client.force_login(login, backend="django.contrib.auth.backends.ModelBackend")
    return client


def needs(client: Client, url: str = LIVE) -> dict[str, tuple[str, str]]:
    """What needs the login: by key, the link and what it says."""
    html = client.get(url).content.decode()
    found = re.findall(r'data-need="([^"]+)".*?href="([^"]+)">(.*?)</a>', html, re.DOTALL)
    return {key: (unescape(link), text_of(said).strip()) for key, link, said in found}


def listed(client: Client, url: str) -> int:
    """How many rows a list shows."""
    answer = client.get(url)
    assert answer.status_code == 200, url
    return len(answer.context["cl"].result_list)


def fact(client: Client, name: str, url: str = LIVE) -> str:
    found = re.search(rf'data-fact="{name}">(.*?)</dd>', client.get(url).content.decode(), re.DOTALL)
    assert found is not None, name
    return text_of(found[1]).strip()


def make_job(state: JobState, *, kind: str = "work", ended: datetime | None = None, **columns: object) -> Job:
    if state == JobState.RUNNING:
        columns = {
            "lease_token": uuid.uuid4(),
            "lease_expires_at": timezone.now() + timedelta(hours=1),
            **columns,
        }
    if state in (JobState.FAILED, JobState.COMPLETED_WITH_ERRORS, JobState.DONE):
        columns["finished_at"] = ended or timezone.now()
    return Job.objects.create(kind=kind, state=state, **{"queue": JobQueue.RECOMPUTE, **columns})


def make_silent_run(**columns: object) -> IngestRun:
    given = {"name": "feed", "content_hash": "h", "entity_type": "thing", "state": IngestState.INTERRUPTED}
    return IngestRun.objects.create(**{**given, "finished_at": timezone.now(), **columns})


def work(*queues: JobQueue) -> Worker:
    """A worker of these queues is alive."""
    worker = Worker(list(queues), connection=django_rq.get_connection(queues[0].value), name=uuid.uuid4().hex)
    worker.register_birth()
    return worker


# --- what needs whom -----------------------------------------------------------------------------------------
def test_jobs_that_went_wrong_need_who_may_retry_them_until_the_same_work_is_done(
    client_of: Callable[[str], Client],
) -> None:
    operator = client_of("operator")
    assert "jobs" not in needs(operator)
    hour_ago = timezone.now() - timedelta(hours=1)
    make_job(JobState.FAILED, kind="went_wrong", target="a", ended=hour_ago)
    make_job(JobState.COMPLETED_WITH_ERRORS, kind="went_half", ended=hour_ago)
    long_ago = make_job(JobState.FAILED, kind="forgotten")
    Job.objects.filter(pk=long_ago.pk).update(requested_at=timezone.now() - timedelta(days=8))
    make_job(JobState.DONE, kind="went_wrong", target="another")
    link, said = needs(operator)["jobs"]
    assert said == "2 jobs went wrong: went_half, went_wrong"
    assert listed(operator, link) == 2
    assert "jobs" not in needs(client_of("viewer"))
    make_job(JobState.DONE, kind="went_wrong", target="a")
    link, said = needs(operator)["jobs"]
    assert said == "1 job went wrong: went_half"
    assert listed(operator, link) == 1
    make_job(JobState.DONE, kind="went_half")
    assert "jobs" not in needs(operator)
    assert listed(operator, f"{list_of(Job)}?outcome=otherwise") == 0


def test_more_than_can_be_counted_says_so(client_of: Callable[[str], Client]) -> None:
    Job.objects.bulk_create(
        Job(kind=f"k{n}", queue="recompute", state=JobState.FAILED, finished_at=timezone.now())
        for n in range(COUNTED_MAX + 5)
    )
    assert needs(client_of("operator"))["jobs"][1].startswith("99+ jobs went wrong: k0, k1, k10 …")


def test_a_run_that_was_interrupted_needs_who_may_ingest_until_the_file_got_through(
    client_of: Callable[[str], Client],
) -> None:
    operator = client_of("operator")
    assert "runs" not in needs(operator)
    make_silent_run()
    make_silent_run(name="other", state=IngestState.FAILED)
    old = make_silent_run(name="old")
    IngestRun.objects.filter(pk=old.pk).update(started_at=timezone.now() - timedelta(days=8))
    link, said = needs(operator)["runs"]
    assert said == "2 ingest runs did not get through"
    assert listed(operator, link) == 2
    assert "runs" not in needs(client_of("viewer"))
    make_silent_run(state=IngestState.DONE)
    make_silent_run(name="other", state=IngestState.RUNNING)
    assert "runs" not in needs(operator)
    assert listed(operator, link) == 0


def test_a_divergence_needs_who_looks_after_the_store_until_it_is_repaired(
    store: Store, client_of: Callable[[str], Client]
) -> None:
    operator = client_of("operator")
    assert "divergence" not in needs(operator)
    wrong(store)
    link, said = needs(operator)["divergence"]
    assert said == "What is stored diverges: snapshots"
    assert listed(operator, link) == VerifyOutcome.objects.filter(divergent__gt=0).count() == 1
    assert "divergence" not in needs(client_of("viewer"))
    verification_make(extent=Extent(), actor=SHELL, is_repair=True)
    assert "divergence" not in needs(operator)


def test_fields_that_are_not_all_counted_need_a_rebuild(client_of: Callable[[str], Client]) -> None:
    operator = client_of("operator")
    make_job(JobState.FAILED, kind=REBUILD)
    link, said = needs(operator)["aggregates"]
    assert said == "Undeclared fields are not all counted"
    assert operator.get(link).status_code == 200
    make_job(JobState.DONE, kind=REBUILD)
    assert "aggregates" not in needs(operator)


def test_a_proposal_needs_reviewers_who_did_not_write_it() -> None:
    make_base()
    author, other = make_login(role="schema_admin"), make_login(role="schema_admin")
    assert "review" not in needs(browser(other))
    proposal = make_submitted(author=author)
    link, said = needs(browser(other))["review"]
    assert said == "1 proposal waits for your review"
    assert listed(browser(other), link) == 1
    assert "review" not in needs(browser(author))
    assert "review" not in needs(browser(make_login(role="operator")))
    Proposal.objects.filter(pk=proposal.pk).update(required_approvals=2)
    approve(proposal, other)
    assert "review" not in needs(browser(other))
    assert "review" in needs(browser(make_login(role="schema_admin")))


def test_an_approved_proposal_needs_somebody_who_applies_it() -> None:
    make_base()
    author, decider = make_login(role="schema_admin"), make_login(role="schema_admin")
    proposal = make_in(State.APPROVED, author=author, decider=decider)
    for login in (author, decider):
        link, said = needs(browser(login))["apply"]
        assert said == "1 approved proposal is not applied yet"
        assert listed(browser(login), link) == 1
    assert "apply" not in needs(browser(make_login(role="operator")))
    proposal_withdraw(proposal_id=proposal.pk, actor=Actor.login(author))
    assert "apply" not in needs(browser(decider))


@pytest.mark.parametrize(
    ("state", "key", "said"),
    [
        (State.CHANGES_REQUESTED, "mine-changes", "1 proposal of yours is to be changed"),
        (State.STALE, "mine-stale", "1 proposal of yours is stale"),
    ],
)
def test_what_came_back_needs_who_wrote_it_and_nobody_else(state: State, key: str, said: str) -> None:
    make_base()
    author, decider = make_login(role="schema_admin"), make_login(role="schema_admin")
    proposal = make_in(state, author=author, decider=decider)
    link, text = needs(browser(author))[key]
    assert text == said
    assert listed(browser(author), link) == 1
    assert key not in needs(browser(decider))
    proposal_withdraw(proposal_id=proposal.pk, actor=Actor.login(author))
    assert key not in needs(browser(author))


def test_a_proposal_that_could_not_be_applied_is_told_once() -> None:
    make_base()
    author, decider = make_login(role="schema_admin"), make_login(role="schema_admin")
    make_in(State.FAILED, author=author, decider=decider)
    found = needs(browser(author))
    assert found["refused"][1] == "1 proposal could not be applied"
    assert listed(browser(author), found["refused"][0]) == 1
    assert "mine-failed" not in found
    # Whoever has lost the permission still has its own.
    author.groups.clear()
    waiting = proposals_waiting(login=User.objects.get(pk=author.pk))
    assert (waiting.refused.count, waiting.mine[State.FAILED].count, waiting.review.count) == (0, 1, 0)


def test_an_upgrade_request_needs_a_decider_who_did_not_ask() -> None:
    asker = make_login(role="schema_admin")
    make_quota_request(user=make_user(), asker=asker)
    decider = browser(make_login(role="schema_admin"))
    link, said = needs(decider)["requests"]
    assert said == "1 upgrade request waits for a decision"
    assert listed(decider, link) == 1
    assert "requests" not in needs(browser(asker))
    assert "requests" not in needs(browser(make_login(role="operator")))


def test_an_owner_who_has_used_up_a_quota_needs_who_can_ask_for_more(
    client_of: Callable[[str], Client],
) -> None:
    owner, operator = make_user(), client_of("operator")
    make_version(document=make_definition(a="string"), user=owner)
    assert "full" not in needs(operator)
    make_maximum(user=owner, max_schemas=1)
    link, said = needs(operator)["full"]
    assert said == "1 owner has used up a quota"
    assert listed(operator, link) == 1
    assert "full" not in needs(client_of("viewer"))
    make_maximum(user=owner, max_schemas=9)
    assert "full" not in needs(operator)


def test_owners_in_conflict_need_who_may_settle_them(client_of: Callable[[str], Client]) -> None:
    make_version(document=make_definition(k="string"))
    make_extension(user=make_user(), document={"additional_fields": {"size": {"type": "number"}}})
    make_version(document=make_definition(k="string", size="string"))
    admin = client_of("schema_admin")
    assert "conflicts-thing" not in needs(admin)
    run_job(str(job_request(kind=COUNT_CONFLICTS).pk))
    link, said = needs(admin)["conflicts-thing"]
    assert said == "1 owner says what the global schema of thing does not admit"
    assert len(admin.get(link).context["page"].owners) == 1
    assert "conflicts-thing" not in needs(client_of("operator"))
    extension_save(
        entity_type="thing", user_id=owner_of_extension(), document={}, actor=SHELL, note="given up"
    )
    run_job(str(job_request(kind=COUNT_CONFLICTS).pk))
    assert "conflicts-thing" not in needs(admin)


def owner_of_extension() -> int:
    return ExtensionRevision.objects.get(is_active=True).user_id


def test_a_change_without_review_needs_reviewers_and_leads_to_its_reason(
    client_of: Callable[[str], Client],
) -> None:
    version = make_version(document=make_definition(k="string"), is_active=False)
    reviewer = client_of("schema_admin")
    assert "unreviewed" not in needs(reviewer)
    schema_activate(version_id=version.pk, actor=SHELL, without_review="the feed changed overnight")
    link, said = needs(reviewer)["unreviewed"]
    assert said == "1 global change was made without review"
    html = reviewer.get(HOME).content.decode()
    assert f'id="{link.removeprefix("#")}"' in html
    assert "the feed changed overnight" in html
    assert "unreviewed" not in needs(client_of("viewer"))


def test_work_that_nobody_does_is_told_with_what_to_do(client_of: Callable[[str], Client]) -> None:
    operator = client_of("operator")
    found = needs(operator)
    assert found["workers"][1] == "No worker runs"
    assert found["scheduler"][1] == "No scheduler was heard of"
    make_job(JobState.PENDING)
    link, said = needs(operator)["workers"]
    assert said == "1 job waits, and no worker runs"
    assert listed(operator, link) == 1
    worker = work(JobQueue.INTERACTIVE, JobQueue.LIFECYCLE)
    found = needs(operator)
    assert "workers" not in found
    link, said = found["unserved-recompute"]
    assert said == "1 job waits in the queue recompute, which no worker serves"
    assert listed(operator, link) == 1
    assert not [key for key in needs(client_of("viewer")) if key.startswith(("unserved", "workers", "sched"))]
    worker.register_death()
    work(*JobQueue)
    assert not [key for key in needs(operator) if key.startswith(("unserved", "workers"))]


def test_a_valkey_that_is_away_needs_you_and_no_worker_is_blamed_for_it(
    client_of: Callable[[str], Client], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(settings.RQ_QUEUES["interactive"], "URL", f"unix://{tmp_path}/nobody-listens.sock")
    found = needs(client_of("operator"))
    assert found["valkey"][1] == "Valkey does not answer"
    assert not {"workers", "scheduler"} & set(found)


def test_where_nothing_needs_the_login_the_page_says_so(client_of: Callable[[str], Client]) -> None:
    text = text_of(client_of("viewer").get(HOME).content.decode())
    assert "Nothing needs you. What you can decide or mend will stand here." in text
    stranger = text_of(client_of("none").get(HOME).content.decode())
    assert "You have no role yet" in stranger
    for hidden in ("Running now", "Queue", "Ingest,"):
        assert hidden not in stranger


def test_the_worst_stands_first(client_of: Callable[[str], Client]) -> None:
    make_quota_request(user=make_user())
    make_silent_run()
    make_job(JobState.FAILED)
    found = list(needs(client_of("schema_admin")))
    assert found.index("jobs") < found.index("runs") < found.index("requests")


# --- what runs -------------------------------------------------------------------------------------------------
def test_what_runs_stands_with_its_progress_before_what_waits(client_of: Callable[[str], Client]) -> None:
    minute = timezone.now() - timedelta(minutes=1)
    make_job(JobState.PENDING, kind="waits", attempts=2)
    make_job(JobState.PAUSED, kind="rests", done_count=1, total_count=4)
    runs = make_job(
        JobState.RUNNING,
        kind="runs_now",
        done_count=60,
        total_count=240,
        first_mark_at=minute,
        first_mark_count=0,
    )
    make_job(JobState.DONE, kind="is_over")
    run = make_silent_run(
        state=IngestState.RUNNING,
        finished_at=None,
        record_count=120,
        started_at=minute,
        alive_at=timezone.now(),
    )
    viewer = client_of("viewer")
    html = viewer.get(LIVE).content.decode()
    text = text_of(html)
    said = (
        "Ingest #",
        "120 records",
        "runs_now",
        "25",
        "60 of 240",
        "left",
        "rests",
        "waits",
        "2 attempts failed",
    )
    places = [text.index(words) for words in said]
    assert places == sorted(places)
    assert "is_over" not in text
    for row in (runs, run):
        assert f'href="{page_of(row)}"' in html
    assert "Running now" not in text_of(client_of("none").get(LIVE).content.decode())


def test_of_many_jobs_the_first_are_listed_and_the_others_counted(client_of: Callable[[str], Client]) -> None:
    for n in range(11):
        make_job(JobState.PENDING, target=str(n))
    text = text_of(client_of("viewer").get(LIVE).content.decode())
    assert "3 more jobs" in text


def test_a_pause_is_told_where_work_would_be(client_of: Callable[[str], Client]) -> None:
    store_pause(actor=SHELL)
    text = text_of(client_of("viewer").get(LIVE).content.decode())
    assert "no job is begun until somebody resumes" in text
    assert "until somebody resumes. No worker" not in text


# --- how the store is --------------------------------------------------------------------------------------------
def test_the_rate_counts_what_was_stored_within_the_window(db: None) -> None:
    now = timezone.now()
    assert ingest_figures().lately_per_s == 0

    def ran(records: int, began_s: int, until_s: int, **columns: object) -> None:
        make_silent_run(
            state=IngestState.DONE,
            record_count=records,
            started_at=now - timedelta(seconds=began_s),
            alive_at=now - timedelta(seconds=until_s),
            finished_at=now - timedelta(seconds=until_s),
            **columns,
        )

    # Half of it before the last five minutes; all of it within the hour.
    ran(6_000, 600, 0, rejected_count=60)
    # In one moment.
    ran(300, 100, 100)
    # Before both.
    ran(1_000_000, 9_000, 8_000)
    found = ingest_figures()
    assert found.lately_per_s == pytest.approx(3_300 / 300, rel=0.02)
    assert found.hour_per_s == pytest.approx(6_300 / 3_600, rel=0.02)
    assert (found.week_records, found.week_rejected, found.is_whole) == (1_006_300, 60, True)
    ran(500, 8 * 86_400, 8 * 86_400 - 5)
    assert ingest_figures().week_records == 1_006_300


def test_health_tells_the_share_of_rejected_records_and_warns(client_of: Callable[[str], Client]) -> None:
    viewer = client_of("viewer")
    assert fact(viewer, "rejected") == "no records"
    make_silent_run(state=IngestState.DONE, record_count=10_000, rejected_count=1)
    assert fact(viewer, "rejected").startswith("0.01")
    assert "Many records are rejected" not in text_of(viewer.get(LIVE).content.decode())
    make_silent_run(state=IngestState.DONE, record_count=10_000, rejected_count=5_000)
    assert fact(viewer, "rejected").startswith("25")
    assert "Many records are rejected: look at the dead letters" in text_of(viewer.get(LIVE).content.decode())


def test_each_queue_stands_with_what_it_owes_and_the_lists_behind_it(
    client_of: Callable[[str], Client],
) -> None:
    long_ago = timezone.now() - timedelta(hours=2)
    make_job(JobState.PENDING, target="due", not_before=long_ago)
    make_job(JobState.PENDING, target="rests", not_before=timezone.now() + timedelta(hours=1))
    make_job(JobState.RUNNING, target="runs", queue=JobQueue.LIFECYCLE)
    make_job(JobState.PAUSED, target="paused")
    found = {figures.queue: figures for figures in queues_figured()}
    owed = found[JobQueue.RECOMPUTE]
    assert (owed.running, owed.due, owed.resting, owed.paused, owed.oldest_due_at) == (0, 1, 1, 1, long_ago)
    assert (found[JobQueue.LIFECYCLE].running, found[JobQueue.INTERACTIVE].pending) == (1, 0)
    viewer = client_of("viewer")
    work(*JobQueue)
    html = viewer.get(LIVE).content.decode()
    for state, queue, count in (
        ("pending", "recompute", 2),
        ("running", "lifecycle", 1),
        ("paused", "recompute", 1),
    ):
        link = f"{list_of(Job)}?state={state}&queue={queue}"
        assert f'href="{link.replace("&", "&amp;")}"><span class="se-number">{count}</span>' in html
        assert listed(viewer, link) == count
    assert "Jobs of recompute wait long before they begin" in text_of(html)


def test_health_says_in_words_what_is_not_well_to_everybody_who_sees_it(
    client_of: Callable[[str], Client],
) -> None:
    viewer = client_of("viewer")
    text = text_of(viewer.get(LIVE).content.decode())
    assert "No worker serves interactive, recompute, lifecycle: start one with manage.py work." in text
    assert "start one with manage.py schedule" in text
    work(*JobQueue)
    assert "No worker serves" not in text_of(viewer.get(LIVE).content.decode())
    make_job(JobState.FAILED)
    assert fact(viewer, "wrong") == "1 work"
    assert "Jobs went wrong and were not made good since" in text_of(viewer.get(LIVE).content.decode())


def test_owners_near_their_quota_stand_with_the_fullest_first(client_of: Callable[[str], Client]) -> None:
    for name, maximum in (("roomy", 10), ("nearly", 5), ("full", 4)):
        owner = make_user(username=name)
        for n in range(4):
            make_version(document=make_definition(a="string"), entity_type=f"t{n}", user=owner)
        make_maximum(user=owner, max_schemas=maximum)
    viewer = client_of("viewer")
    html = viewer.get(HOME).content.decode()
    panel = html.partition('id="near"')[2].partition("</section>")[0]
    assert panel.index(">full<") < panel.index(">nearly<")
    assert "roomy" not in panel
    link = re.findall(r'href="([^"]+)"', panel)
    assert listed(viewer, link[0]) == 2
    assert viewer.get(link[1]).status_code == 200
    assert 'id="near"' not in client_of("none").get(HOME).content.decode()


# --- who, and at what cost -------------------------------------------------------------------------------------------
@pytest.mark.parametrize("role", ROLES)
def test_every_link_of_the_first_page_opens(
    store: Store, client_of: Callable[[str], Client], role: str
) -> None:
    fill(3)
    client = client_of(role)
    html = client.get(HOME).content.decode().partition('class="se-dashboard"')[2]
    links = {unescape(link) for link in re.findall(r'href="(/[^"#]*)"', html)}
    assert len(links) > 15
    for link in sorted(links):
        assert client.get(link).status_code == 200, link


def test_who_has_not_signed_in_follows_nothing(client_of: Callable[[str], Client]) -> None:
    assert Client().get(reverse("dashboard_live")).status_code == 302
    assert client_of("none").get(LIVE).status_code == 200


def fill(count: int) -> None:
    """So many of everything that the page tells of."""
    now = timezone.now()
    author = make_login(role="schema_admin")
    for n in range(count):
        make_job(JobState.FAILED, kind=f"failed-{uuid.uuid4().hex[:8]}", ended=now)
        make_job(JobState.PENDING, kind=f"pending-{uuid.uuid4().hex[:8]}", target=str(n))
        make_job(JobState.RUNNING, kind=f"running-{uuid.uuid4().hex[:8]}", target=str(n))
        make_silent_run(name=uuid.uuid4().hex)
        make_silent_run(name=uuid.uuid4().hex, state=IngestState.RUNNING, finished_at=None)
        owner = make_user()
        make_version(document=make_definition(a="string"), user=owner)
        make_maximum(user=owner, max_schemas=1)
        make_quota_request(user=owner)
        make_submitted(author=author, edits=[adding_one(f"f{uuid.uuid4().hex[:6]}")])


def adding_one(name: str) -> dict[str, object]:
    return {"op": "add_field", "field": name, "declaration": {"type": "string"}}


@pytest.mark.parametrize(("url", "most"), [(HOME, 38), (LIVE, 22)])
def test_one_of_everything_and_fifteen_cost_the_same_number_of_queries(
    store: Store, client_of: Callable[[str], Client], url: str, most: int
) -> None:
    client, counts = client_of("schema_admin"), []
    fill(1)
    client.get(url)
    for _round in range(2):
        with CaptureQueriesContext(connection) as queries:
            client.get(url)
        counts.append(len(queries))
        fill(14)
    assert counts[0] == counts[1]
    assert counts[0] <= most
    assert jobs_left_wrong().count() == 29
