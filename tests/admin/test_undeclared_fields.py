"""Undeclared fields: listed with what their values are, each with a page, and a word where figures may be wrong."""

from __future__ import annotations

import re
from collections.abc import Callable
from html import unescape
from urllib.parse import urlencode

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from fragments.models import LifecycleState, RawFragment, RawFragmentAggregate
from fragments.selectors_counting import REBUILD, Rebuilds, rebuilds_told
from fragments.services.aggregates import Scope
from fragments.services.aggregates_rebuild import aggregates_rebuild_outlook, aggregates_rebuild_request
from schemaevo.kernel.job_control import job_cancel, job_pause
from schemaevo.kernel.jobs import run_job
from schemaevo.kernel.models import AuditEvent, Job, JobState, User
from schemaevo.kernel.pages import estimates
from tests.admin.addresses import list_of, page_of, verb_of
from tests.factories import (
    SHELL,
    THING,
    make_definition,
    make_login,
    make_run,
    make_user,
    make_version,
)
from tests.lifecycle import put

LIST = list_of(RawFragmentAggregate)
REBUILD_PAGE = verb_of(RawFragmentAggregate, "rebuild")
SECRET = "sesame-2b9d"


@pytest.fixture
def ada(db: None) -> User:
    """The owner of a field `mixed` of three strings, one of them an address, a number and two nulls, and of `plain`."""
    make_version(document=make_definition(k="string"))
    ada = make_user(username="ada")
    values = [SECRET, f"{SECRET}-too", "ada@example.org", 7, None, None]
    make_run(user=ada, records=[{"k": f"k{n}", "mixed": value} for n, value in enumerate(values)])
    make_run(user=ada, source="another", records=[{"k": "k1", "mixed": SECRET}, {"k": "k0", "plain": True}])
    return ada


def text_of(html: str) -> str:
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]+>", " ", html.partition('id="content"')[2])))


def read(client: Client, url: str, **query: str) -> str:
    answer = client.get(url, query)
    assert answer.status_code == 200
    return text_of(answer.content.decode())


def aggregate(field: str, owner: User | None = None) -> RawFragmentAggregate:
    rows = RawFragmentAggregate.objects.filter(fragment_key=field)
    return rows.get(user=owner) if owner else rows.get()


# --- the list -----------------------------------------------------------------------------------------------
def test_the_list_tells_of_each_field_what_its_values_are(
    ada: User, client_of: Callable[[str], Client]
) -> None:
    text = read(client_of("viewer"), LIST)
    # Of the five values that are not null four are strings.
    assert "mixed thing ada 73.2 % string 80 % 7 7 2 " in text
    assert "plain thing ada 83.5 % boolean 100 % 1 1 1 " in text
    assert "2 undeclared fields" in text


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"owner": "ada"}, 2),
        ({"owner": "bob"}, 0),
        ({"type": THING}, 2),
        ({"type": "other"}, 0),
        ({"field": "mixed"}, 1),
        ({"field": "mix"}, 0),
        ({"value_type": "boolean"}, 1),
        ({"value_type": "date"}, 0),
        ({"value_type": "no such"}, 0),
        ({"q": "plain"}, 1),
        ({"q": SECRET}, 0),
    ],
)
def test_the_list_is_filtered(
    ada: User, client_of: Callable[[str], Client], query: dict[str, str], found: int
) -> None:
    make_user(username="bob")
    html = client_of("viewer").get(LIST, query).content.decode()
    assert html.count('class="data-row') == found


def test_a_field_of_which_nothing_waits_is_not_listed_and_its_page_says_so(
    ada: User, client_of: Callable[[str], Client]
) -> None:
    put(LifecycleState.PROMOTED, fragment_key="plain")
    client = client_of("viewer")
    text = read(client, LIST)
    assert "mixed" in text
    assert "plain" not in text
    assert "1 undeclared field" in text
    assert "Nothing waits under this name any more" in read(client, page_of(aggregate("plain")))


def test_where_no_field_waits_the_list_says_so(db: None, client_of: Callable[[str], Client]) -> None:
    client = client_of("viewer")
    assert "No field waits for a schema" in read(client, LIST)
    assert "No field waits for a schema" not in read(client, LIST, q="x")


def test_walking_through_the_list_meets_every_field_once(
    ada: User, client_of: Callable[[str], Client]
) -> None:
    for name in ("bob", "cid"):
        make_run(user=make_user(username=name), records=[{"k": "k", **{f"f{n}": n for n in range(40)}}])
    client, seen, counts = client_of("viewer"), [], []
    url: str | None = ""
    while url is not None:
        with CaptureQueriesContext(connection) as queries:
            html = client.get(LIST + url).content.decode()
        counts.append(len(queries))
        seen += re.findall(r"/rawfragmentaggregate/(\d+)/change/", html)
        following = re.search(r'rel="next" href="([^"]+)"', html)
        url = unescape(following[1]) if following else None
    assert len(seen) == len(set(seen)) == 82
    assert len(set(counts)) == 1
    assert counts[0] <= 15


# --- the page of a field ------------------------------------------------------------------------------------
def test_the_page_of_a_field_tells_types_and_formats(ada: User, client_of: Callable[[str], Client]) -> None:
    html = client_of("operator").get(page_of(aggregate("mixed"))).content.decode()
    text = text_of(html)
    assert "Values 7 Seen 7 Sources 2 Type of most string Its share 80 %" in text
    assert "string 80 % 4 text 3 email 1 null – 2 – number 20 % 1 integer 1" in text
    assert '<progress max="10000" value="8000" aria-label="string">' in html
    assert SECRET in text
    first = aggregate("mixed").sample_values[0]["fragment"]
    assert page_of(RawFragment.objects.get(pk=first)) in html


def test_the_page_leads_to_the_fragments_behind_it(ada: User, client_of: Callable[[str], Client]) -> None:
    # A username that is somebody else's number leads to whose it is.
    impostor = make_user(username=str(ada.pk))
    make_run(user=impostor, records=[{"k": "k", "mixed": 1}])
    client = client_of("viewer")
    for owner, count, numbers in ((ada, 7, 1), (impostor, 1, 1)):
        html = client.get(page_of(aggregate("mixed", owner))).content.decode()
        behind = urlencode({"owner": owner.username, "type": THING, "field": "mixed"})
        for query, found in ((behind, count), (f"{behind}&value_type=number", numbers)):
            url = f"{list_of(RawFragment)}?{query}"
            assert url in unescape(html)
            assert client.get(url).content.decode().count('class="data-row') == found
        others = f"{LIST}?{urlencode({'type': THING, 'field': 'mixed'})}"
        assert others in unescape(html)
        assert client.get(others).content.decode().count('class="data-row') == 2


def test_a_share_is_a_hundred_per_cent_only_where_it_is_all(
    ada: User, client_of: Callable[[str], Client]
) -> None:
    RawFragmentAggregate.objects.update(type_counts={"string": 9_999, "number": 1})
    assert "99.9 %" in read(client_of("viewer"), LIST)


def test_a_viewer_sees_no_sample_of_a_field(ada: User, client_of: Callable[[str], Client]) -> None:
    client = client_of("viewer")
    for url in (LIST, page_of(aggregate("mixed"))):
        assert SECRET not in client.get(url).content.decode()
    assert "hidden" in read(client, page_of(aggregate("mixed")))
    for lookup in ("sample_values__icontains", "sample_values__0__value__startswith", "type_counts"):
        assert client.get(f"{LIST}?{urlencode({lookup: SECRET[0]})}").status_code == 400


def test_counts_below_nothing_break_no_page(ada: User, client_of: Callable[[str], Client]) -> None:
    """While the fragments of before are counted, what goes is taken from counts that never had it."""
    RawFragmentAggregate.objects.filter(fragment_key="mixed").update(
        sample_count=-2, type_counts={"string": -3, "number": 1}, format_counts={"string:text": -3}
    )
    client = client_of("operator")
    assert "-2" in read(client, LIST)
    assert "-3" in read(client, page_of(aggregate("mixed")))


# --- figures that may be wrong -------------------------------------------------------------------------------
def test_while_a_rebuild_lives_list_and_page_say_that_they_are_counted(
    ada: User, client_of: Callable[[str], Client]
) -> None:
    client = client_of("viewer")
    pages = (LIST, page_of(aggregate("mixed")))
    for url in pages:
        assert "counted" not in read(client, url).replace("Counted are", "")
    job = aggregates_rebuild_request(actor=SHELL)
    for url in pages:
        html = client.get(url).content.decode()
        assert (
            "Undeclared fields are being counted. Until the job is done, their figures may be wrong."
            in text_of(html)
        )
        assert page_of(job) in html
    job_pause(job_id=job.pk, actor=SHELL)
    assert "The job is paused" in read(client, LIST)


def test_a_rebuild_that_failed_or_was_cancelled_is_told_until_one_is_done(
    ada: User, client_of: Callable[[str], Client]
) -> None:
    client = client_of("viewer")
    job = aggregates_rebuild_request(actor=SHELL)
    job_cancel(job_id=job.pk, actor=SHELL)
    assert "Undeclared fields were not counted to the end. The job was cancelled" in read(client, LIST)
    Job.objects.filter(pk=job.pk).update(state=JobState.FAILED)
    assert "The job has failed; their figures may be wrong." in read(client, LIST)
    # What was done of one owner says nothing of the others.
    run_job(str(aggregates_rebuild_request(actor=SHELL, scope=Scope(user_id=ada.pk)).pk))
    assert len(rebuilds_told().failed) == 1
    run_job(str(aggregates_rebuild_request(actor=SHELL).pk))
    assert rebuilds_told() == Rebuilds((), ())
    assert "to the end" not in read(client, LIST)


@pytest.mark.parametrize(
    ("scope", "said"),
    [
        (Scope(THING), "Fields of the type thing are being counted."),
        (Scope(user_id=1), "Fields of ada are being counted."),
        (Scope(THING, 1), "Fields of the type thing of ada are being counted."),
    ],
)
def test_it_is_told_whose_fields_are_counted(
    ada: User, client_of: Callable[[str], Client], scope: Scope, said: str
) -> None:
    whose = Scope(scope.entity_type, scope.user_id and ada.pk)
    aggregates_rebuild_request(actor=SHELL, scope=whose)
    assert said in read(client_of("viewer"), LIST)


# --- asking for a rebuild -------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("given", "target"),
    [
        ({"type": "", "owner": ""}, ""),
        ({"type": THING, "owner": ""}, THING),
        ({"type": "", "owner": "ada"}, ":{ada}"),
        ({"type": THING, "owner": "ada"}, "thing:{ada}"),
    ],
)
def test_an_operator_asks_for_a_rebuild_and_is_led_to_its_job(
    ada: User, client_of: Callable[[str], Client], given: dict[str, str], target: str
) -> None:
    answer = client_of("operator").post(REBUILD_PAGE, given)
    job = Job.objects.get(kind=REBUILD)
    assert (answer.status_code, answer.headers["Location"]) == (302, page_of(job))
    assert job.target == target.format(ada=ada.pk)
    assert AuditEvent.objects.get(action="job.request").actor == job.requested_by


@pytest.mark.parametrize(
    ("asked", "title", "fields", "fragments"),
    [
        ({"type": "", "owner": ""}, "All undeclared fields", 3, 9),
        ({"type": THING}, "Fields of the type thing of all owners", 3, 9),
        ({"owner": "ada"}, "All fields of ada", 2, 8),
        ({"type": THING, "owner": "bob"}, "Fields of the type thing of bob", 1, 1),
        ({"type": "other", "owner": "bob"}, "Fields of the type other of bob", 0, 0),
    ],
)
def test_before_it_is_asked_for_it_is_told_how_much_there_is(
    ada: User,
    client_of: Callable[[str], Client],
    asked: dict[str, str],
    title: str,
    fields: int,
    fragments: int,
) -> None:
    make_run(user=make_user(username="bob"), records=[{"k": "k", "mixed": 1}])
    html = client_of("operator").get(REBUILD_PAGE, asked).content.decode()
    text = text_of(html)
    assert title in text
    assert f"Undeclared fields {fields} Fragments to go through {fragments} Asking" in text


def test_nothing_is_counted_anew_that_was_not_chosen(ada: User, client_of: Callable[[str], Client]) -> None:
    html = client_of("operator").get(REBUILD_PAGE).content.decode()
    assert "Count anew" not in text_of(html)
    assert 'method="post"' not in html.partition('id="ask"')[2]


def test_of_many_fragments_only_the_planner_is_asked(ada: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(estimates, "COUNTED_MAX", 5)
    with CaptureQueriesContext(connection) as queries:
        outlook = aggregates_rebuild_outlook(Scope(THING))
    assert not outlook.fragments.is_exact
    # No look at raw_fragments by a condition that no index knows.
    looks = [query["sql"] for query in queries if '"entity_type" = ' in query["sql"]]
    assert [sql.startswith("EXPLAIN") for sql in looks if 'FROM "raw_fragments"' in sql] == [True]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"owner": "nobody"}, "There is no user 'nobody'"),
        ({"owner": "a\0b"}, "There is no user"),
        ({"type": "Not One"}, "entity type"),
        ({"type": "a\0b"}, "entity type"),
    ],
)
def test_what_cannot_be_asked_for_is_said(
    ada: User, client_of: Callable[[str], Client], given: dict[str, str], said: str
) -> None:
    operator = client_of("operator")
    for answer in (operator.get(REBUILD_PAGE, given), operator.post(REBUILD_PAGE, given)):
        assert answer.status_code == 200
        assert said in text_of(answer.content.decode())
        assert "Fragments to go through" not in answer.content.decode()
    assert not Job.objects.filter(kind=REBUILD).exists()


def test_only_who_controls_jobs_is_led_to_a_rebuild(ada: User, client_of: Callable[[str], Client]) -> None:
    assert REBUILD_PAGE not in client_of("viewer").get(LIST).content.decode()
    narrowed = client_of("operator").get(LIST, {"type": THING, "owner": "ada"}).content.decode()
    assert f'href="{REBUILD_PAGE}?type={THING}&amp;owner=ada"' in narrowed


def test_a_rebuild_is_not_asked_for_by_looking_or_without_a_token(
    ada: User, client_of: Callable[[str], Client]
) -> None:
    assert client_of("superuser").get(REBUILD_PAGE, {"type": THING, "owner": "ada"}).status_code == 200
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(make_login(is_superuser=True), backend="django.contrib.auth.backends.ModelBackend")
    assert strict.post(REBUILD_PAGE, {"type": ""}).status_code == 403
    assert not Job.objects.filter(kind=REBUILD).exists()
