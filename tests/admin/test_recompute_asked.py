"""Recomputations are asked for by POST, of one type and all owners or one, on a page that has told how much waits."""

from __future__ import annotations

import re
from collections.abc import Callable
from html import unescape

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from schemaevo.kernel.job_control import job_pause
from schemaevo.kernel.models import AuditEvent, Job, JobState, User
from schemaevo.kernel.pages import estimates
from snapshots import selectors_waiting
from snapshots.models import EntitySnapshot
from snapshots.selectors_waiting import waiting_told
from snapshots.services.observations import RECOMPUTE
from snapshots.services.recomputation import REFRESH
from tests.admin.addresses import list_of, page_of, verb_of
from tests.factories import (
    SHELL,
    THING,
    make_definition,
    make_login,
    make_observation,
    make_recorded,
    make_user,
    make_version,
)

RECOMPUTE_PAGE = verb_of(EntitySnapshot, "recompute")


def make_entities(owner: User, *, count: int, entity_type: str = THING) -> None:
    make_recorded(
        observations=[
            make_observation(user=owner, key=f"k{n}", fields={"a": n}, entity_type=entity_type)
            for n in range(count)
        ]
    )


@pytest.fixture
def owners(db: None) -> list[User]:
    """Ada and Bob with two and three things, which wait since a schema came into force; and Bob's one note, which does
    not. Nothing is owed."""
    ada, bob = make_user(username="ada"), make_user(username="bob")
    make_entities(ada, count=2)
    make_entities(bob, count=3)
    make_entities(bob, count=1, entity_type="note")
    make_version(document=make_definition(a="number"))
    Job.objects.all().delete()
    return [ada, bob]


def text_of(html: str) -> str:
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]+>", " ", html.partition('id="content"')[2])))


def read(client: Client, **query: str) -> str:
    answer = client.get(RECOMPUTE_PAGE, query)
    assert answer.status_code == 200
    return text_of(answer.content.decode())


# --- looking ----------------------------------------------------------------------------------------------
def test_the_page_tells_what_waits_by_type(owners: list[User], client_of: Callable[[str], Client]) -> None:
    text = read(client_of("operator"))
    assert "note 0 1 –" in text
    assert "thing 5 5 –" in text
    assert "Recompute everything" not in text


def test_of_one_owner_the_page_tells_what_is_theirs(
    owners: list[User], client_of: Callable[[str], Client]
) -> None:
    client = client_of("operator")
    text = read(client, owner="ada")
    assert "What waits of ada" in text
    assert "thing 2 2 –" in text
    assert "note" not in text.partition("What waits of ada")[2]
    assert "thing of bob Wait for recomputation 3 Snapshots in all 3" in read(client, type=THING, owner="bob")


def test_what_is_chosen_can_be_asked_for(owners: list[User], client_of: Callable[[str], Client]) -> None:
    text = read(client_of("operator"), type=THING)
    assert "thing of all owners Wait for recomputation 5 Snapshots in all 5" in text
    assert "Recompute what waits" in text
    assert "Recompute everything" in text


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ({"owner": "nobody"}, "There is no user 'nobody'"),
        ({"owner": "a\0b"}, "There is no user"),
        ({"type": "unheard_of"}, "Nothing of the type unheard_of is stored."),
        ({"type": "<b>"}, "Nothing of the type <b> is stored."),
        ({"type": "note", "owner": "ada"}, "Nothing of the type note is stored."),
    ],
)
def test_what_is_not_there_is_said(
    owners: list[User], client_of: Callable[[str], Client], query: dict[str, str], said: str
) -> None:
    text = read(client_of("operator"), **query)
    assert said in text
    assert "Recompute what waits" not in text


def test_an_empty_store_says_what_to_do(client_of: Callable[[str], Client]) -> None:
    assert "Nothing is stored yet" in read(client_of("operator"))


def test_a_job_that_is_owed_is_told_and_linked(
    owners: list[User], client_of: Callable[[str], Client]
) -> None:
    client = client_of("operator")
    client.post(RECOMPUTE_PAGE, {"type": THING, "owner": "", "what": "waiting"})
    job = Job.objects.get()
    html = client.get(RECOMPUTE_PAGE, {"type": THING}).content.decode()
    assert (
        "A job that recomputes what waits is owed already. Asking again makes it look once more."
        in text_of(html)
    )
    assert html.count(f'href="{page_of(job)}"') == 2
    assert "owed already" not in read(client, type=THING, owner="ada")
    job_pause(job_id=job.pk, actor=SHELL)
    assert "It is paused, and asking again does not resume it." in read(client, type=THING)


def test_looking_changes_nothing(owners: list[User], client_of: Callable[[str], Client]) -> None:
    client = client_of("superuser")
    for query in ({}, {"type": THING}, {"type": THING, "what": "everything"}, {"owner": "ada"}):
        client.get(RECOMPUTE_PAGE, query)
    assert not Job.objects.exists()


# --- asking -----------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("what", "owner", "kind", "is_own"),
    [
        ("waiting", "", RECOMPUTE, False),
        ("waiting", "bob", RECOMPUTE, True),
        ("everything", "", REFRESH, False),
        ("everything", "bob", REFRESH, True),
    ],
)
def test_asking_leads_to_the_page_of_the_job(
    owners: list[User], client_of: Callable[[str], Client], what: str, owner: str, kind: str, is_own: bool
) -> None:
    answer = client_of("operator").post(RECOMPUTE_PAGE, {"type": THING, "owner": owner, "what": what})
    job = Job.objects.get()
    assert (answer.status_code, answer.headers["Location"]) == (302, page_of(job))
    assert (job.kind, job.target) == (kind, f"{THING}:{owners[1].pk}" if is_own else THING)
    assert job.state == JobState.PENDING
    event = AuditEvent.objects.get(action="job.request")
    assert event.actor == job.requested_by


def test_asking_twice_is_one_job(owners: list[User], client_of: Callable[[str], Client]) -> None:
    client = client_of("operator")
    for _time in range(2):
        client.post(RECOMPUTE_PAGE, {"type": THING, "owner": "", "what": "waiting"})
    assert Job.objects.get().wanted == 2


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"type": THING, "owner": "nobody", "what": "waiting"}, "There is no user"),
        ({"type": "", "owner": "", "what": "waiting"}, "entity type"),
        ({"type": "Not One", "owner": "", "what": "everything"}, "entity type"),
    ],
)
def test_what_cannot_be_asked_for_is_said_on_the_page(
    owners: list[User], client_of: Callable[[str], Client], given: dict[str, str], said: str
) -> None:
    answer = client_of("operator").post(RECOMPUTE_PAGE, given)
    assert answer.status_code == 200
    assert said in text_of(answer.content.decode())
    assert not Job.objects.exists()


def test_the_owner_on_the_form_is_the_one_on_the_page(
    owners: list[User], client_of: Callable[[str], Client]
) -> None:
    """A number that somebody else has as a username names that user, there and here."""
    ada = owners[0]
    impostor = make_user(username=str(ada.pk))
    make_entities(impostor, count=1)
    client = client_of("operator")
    html = client.get(RECOMPUTE_PAGE, {"type": THING, "owner": str(ada.pk)}).content.decode()
    assert f"thing of {impostor.username}" in text_of(html)
    assert f'name="owner" value="{impostor.username}"' in html
    client.post(RECOMPUTE_PAGE, {"type": THING, "owner": impostor.username, "what": "waiting"})
    assert Job.objects.get(target__contains=":").target == f"{THING}:{impostor.pk}"


def test_who_may_not_control_jobs_sees_no_way_there_and_is_refused(
    owners: list[User], client_of: Callable[[str], Client]
) -> None:
    viewer, entity = client_of("viewer"), EntitySnapshot.objects.get(user=owners[0], entity_key="k0")
    for url in (list_of(EntitySnapshot), page_of(entity)):
        assert RECOMPUTE_PAGE not in viewer.get(url).content.decode()
    assert viewer.get(RECOMPUTE_PAGE).status_code == 403
    assert viewer.post(RECOMPUTE_PAGE, {"type": THING, "what": "waiting"}).status_code == 403
    assert not Job.objects.exists()


def test_the_form_wants_its_token(owners: list[User]) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(make_login(is_superuser=True), backend="django.contrib.auth.backends.ModelBackend")
    assert client.post(RECOMPUTE_PAGE, {"type": THING, "what": "waiting"}).status_code == 403
    assert not Job.objects.exists()


def test_the_list_and_a_waiting_entity_lead_there(
    owners: list[User], client_of: Callable[[str], Client]
) -> None:
    client = client_of("operator")
    assert f'href="{RECOMPUTE_PAGE}"' in client.get(list_of(EntitySnapshot)).content.decode()
    narrowed = client.get(list_of(EntitySnapshot), {"type": THING, "owner": "ada"}).content.decode()
    assert f'href="{RECOMPUTE_PAGE}?type={THING}&amp;owner=ada"' in narrowed
    waiting = EntitySnapshot.objects.get(user=owners[0], entity_key="k0")
    html = client.get(page_of(waiting)).content.decode()
    assert f'href="{RECOMPUTE_PAGE}?type={THING}&amp;owner=ada"' in html
    current = EntitySnapshot.objects.get(entity_type="note")
    assert RECOMPUTE_PAGE not in client.get(page_of(current)).content.decode()


# --- bounds -----------------------------------------------------------------------------------------------
def test_counting_ends_where_it_would_take_long(owners: list[User], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selectors_waiting, "COUNTED_MAX", 4)
    note, thing = waiting_told()
    assert (thing.waiting.value, thing.waiting.is_exact) == (4, False)
    assert (note.waiting.value, note.waiting.is_exact) == (0, True)
    (_note, of_bob) = waiting_told(user_id=owners[1].pk)
    assert (of_bob.waiting.value, of_bob.waiting.is_exact) == (3, True)


def test_only_so_many_owners_are_looked_at(owners: list[User], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selectors_waiting, "OWNERS_MAX", 2)
    note, thing = waiting_told()
    # Ada is found, and that there is another.
    assert (thing.waiting.value, thing.waiting.is_exact) == (5, False)
    assert (note.waiting.value, note.waiting.is_exact) == (0, True)


def test_a_count_that_is_not_exact_says_so(
    owners: list[User], client_of: Callable[[str], Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(selectors_waiting, "COUNTED_MAX", 4)
    monkeypatch.setattr(estimates, "COUNTED_MAX", 3)
    connection.cursor().execute("ANALYZE entity_snapshots")
    assert "thing at least 4 ≈ 5" in read(client_of("operator"))


def test_the_number_of_queries_does_not_depend_on_what_there_is(
    owners: list[User], client_of: Callable[[str], Client]
) -> None:
    client, counts = client_of("operator"), []
    # Definitions are immutable, and read once by each process.
    client.get(RECOMPUTE_PAGE)
    for _round in range(2):
        with CaptureQueriesContext(connection) as queries:
            client.get(RECOMPUTE_PAGE, {"type": THING})
        counts.append(len(queries))
        for n in range(5):
            make_entities(make_user(), count=2, entity_type=f"kind_{n}")
    assert counts[0] == counts[1]
