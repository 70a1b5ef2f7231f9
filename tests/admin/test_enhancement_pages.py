"""Auto-enhancement in the browser: what it did or tried and why, and setting how far a schema grows by itself."""

from __future__ import annotations

import re
from collections.abc import Callable
from html import unescape
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from fragments.models import Enhancement, EnhancementMode, EnhancementSetting, EnhancementState, RawFragment
from fragments.selectors_counting import REBUILD
from fragments.services.enhancement import enhancement_set, enhancement_turn
from schemaevo.kernel.canonical import JsonObject
from schemaevo.kernel.jobs import job_request
from schemaevo.kernel.models import AuditEvent, Job, User
from tests.admin.addresses import list_of, page_of, verb_of
from tests.enhancements import make_given_up
from tests.factories import SHELL, THING, make_definition, make_maximum, make_run, make_user, make_version

pytestmark = pytest.mark.django_db

SET = verb_of(EnhancementSetting, "set")


@pytest.fixture
def owner() -> User:
    """An owner of the eligible fields `amount` and `created_at`, and of `rare`, which is not."""
    make_version(document=make_definition(k="string"))
    owner = make_user(username="ada")
    records: list[JsonObject] = [
        {"k": f"k{n}", "amount": n, "created_at": 1_700_000_000 + n} for n in range(10)
    ]
    make_run(user=owner, records=[*records, {"k": "k0", "rare": 1}])
    return owner


def set_mode(owner: User, mode: EnhancementMode) -> None:
    enhancement_set(user_id=owner.pk, entity_type=THING, mode=mode, actor=SHELL)


def turn(owner: User) -> dict[str, Enhancement]:
    """What auto-enhancement noted after one turn, by field."""
    set_mode(owner, EnhancementMode.AUTO)
    enhancement_turn(user_id=owner.pk, entity_type=THING, actor=SHELL)
    return {row.fragment_key: row for row in Enhancement.objects.all()}


def text_of(html: str) -> str:
    """What a reader of a page reads, on one line."""
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]+>", " ", html.partition('id="content"')[2])))


def read(client: Client, url: str, **query: str) -> str:
    answer = client.get(url, query)
    assert answer.status_code == 200
    return text_of(answer.content.decode())


# --- what it did ------------------------------------------------------------------------------------------
def test_the_list_tells_what_was_promoted_and_what_went_wrong(
    owner: User, client_of: Callable[[str], Client]
) -> None:
    make_maximum(user=owner, max_fields=1)
    rows = turn(owner)
    make_given_up(user=owner, field="odd")
    text = read(client_of("viewer"), list_of(Enhancement))
    states = {name: row.state for name, row in rows.items()}
    assert sorted(states.values()) == [EnhancementState.PROMOTED, EnhancementState.WAITING]
    promoted = next(row for row in rows.values() if row.promotion_id)
    assert f"{promoted.fragment_key} ada thing promoted 100 % 10 #{promoted.promotion_id}" in text
    assert "thing will be tried again 92.5 % 10 quota exceeded" in text
    assert "odd ada thing given up 86.5 % 12 ValueError 5 failures" in text


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"owner": "ada"}, 2),
        ({"owner": "bob"}, 0),
        ({"state": "given_up"}, 1),
        ({"state": "waiting"}, 1),
        ({"state": "promoted"}, 0),
        ({"type": "other"}, 1),
        ({"field": "odd"}, 1),
        ({"q": "late"}, 1),
        ({"q": "la"}, 0),
    ],
)
def test_enhancements_are_filtered(
    owner: User, client_of: Callable[[str], Client], query: dict[str, str], found: int
) -> None:
    make_given_up(user=owner, field="odd")
    waiting: dict[str, Any] = {"state": EnhancementState.WAITING, "next_at": timezone.now()}
    make_given_up(user=owner, field="late", entity_type="other", **waiting)
    html = client_of("viewer").get(list_of(Enhancement), query).content.decode()
    assert html.count('class="data-row') == found


def test_a_promoted_field_tells_every_reason_and_leads_to_its_promotion(
    owner: User, client_of: Callable[[str], Client]
) -> None:
    row = turn(owner)["created_at"]
    assert row.promotion is not None
    html = client_of("viewer").get(page_of(row)).content.decode()
    text = text_of(html)
    for reason in row.reasons:
        assert f"{reason['factor'].capitalize()} {reason['words']}" in text
    assert "Type 100 % of the values that are not null are of type date" in text
    assert page_of(row.promotion) in html


def test_what_waits_says_for_what(owner: User, client_of: Callable[[str], Client]) -> None:
    client = client_of("viewer")
    make_maximum(user=owner, max_fields=1)
    short = next(row for row in turn(owner).values() if row.state == EnhancementState.WAITING)
    assert "The owner's quota is used up" in read(client, page_of(short))
    assert "quota_exceeded at " in read(client, page_of(short))
    failed = make_given_up(
        user=owner, field="odd", state=EnhancementState.WAITING, attempts=2, next_at=timezone.now()
    )
    assert "It failed, and is tried again later" in read(client, page_of(failed))
    assert "Failures in a row 2 of 5" in read(client, page_of(failed))
    given_up = make_given_up(user=owner, field="odder")
    assert "It failed too often in a row." in read(client, page_of(given_up))


def test_the_fragments_of_a_field_are_a_click_away(owner: User, client_of: Callable[[str], Client]) -> None:
    client, row = client_of("viewer"), make_given_up(user=owner, field="amount")
    html = client.get(page_of(row)).content.decode()
    found = re.search(rf'href="({re.escape(list_of(RawFragment))}\?[^"]*)"', html)
    assert found is not None
    behind = client.get(unescape(found.group(1))).content.decode()
    assert behind.count('class="data-row') == 10


# --- where it does ----------------------------------------------------------------------------------------
def test_the_list_tells_where_something_else_than_the_default_is_set(
    owner: User, client_of: Callable[[str], Client]
) -> None:
    set_mode(owner, EnhancementMode.AUTO)
    enhancement_set(user_id=make_user().pk, entity_type=THING, mode=EnhancementMode.OFF, actor=SHELL)
    client = client_of("viewer")
    assert "thing ada auto the shell" in read(client, list_of(EnhancementSetting))
    for query, found in (({"mode": "off"}, 1), ({"owner": "ada"}, 1), ({"type": "other"}, 0), ({}, 2)):
        html = client.get(list_of(EnhancementSetting), query).content.decode()
        assert html.count('class="data-row') == found, query


def test_who_may_not_set_it_is_offered_nothing(owner: User, client_of: Callable[[str], Client]) -> None:
    set_mode(owner, EnhancementMode.AUTO)
    setting = EnhancementSetting.objects.get()
    for url in (list_of(EnhancementSetting), page_of(setting), page_of(turn(owner)["amount"])):
        assert SET not in client_of("operator").get(url).content.decode(), url
        assert SET in client_of("schema_admin").get(url).content.decode(), url


def test_the_page_tells_what_is_set_and_what_is_eligible(
    owner: User, client_of: Callable[[str], Client]
) -> None:
    client = client_of("schema_admin")
    text = read(client, SET, owner="ada", type=THING)
    assert "thing of ada suggest" in text
    assert "nobody: it is the default" in text
    assert "Eligible now 2" in text
    assert "created_at date timestamp_s_to_iso 100 % 10" in text
    assert "amount number 92.5 % 10" in text
    assert "rare" not in text
    # What is turned off is told too: whoever turns it on again wants to know.
    set_mode(owner, EnhancementMode.OFF)
    text = read(client, SET, owner="ada", type=THING)
    assert "thing of ada off" in text
    assert "Eligible now 2" in text


def test_of_many_eligible_fields_the_best_are_listed(owner: User, client_of: Callable[[str], Client]) -> None:
    many = {f"n{n:02}_id": "x" for n in range(25)}
    make_run(user=owner, records=[{"k": f"k{n}", **many} for n in range(10)])
    text = read(client_of("schema_admin"), SET, owner="ada", type=THING)
    assert "Eligible now 27" in text
    assert "And 7 more." in text


def test_while_fragments_are_counted_nothing_is_eligible(
    owner: User, client_of: Callable[[str], Client]
) -> None:
    job_request(kind=REBUILD)
    text = read(client_of("schema_admin"), SET, owner="ada", type=THING)
    assert "Eligible now 0" in text
    assert "are being counted anew" in text


@pytest.mark.parametrize("mode", [EnhancementMode.AUTO, EnhancementMode.OFF])
def test_a_mode_is_set_and_taken_back(
    owner: User, client_of: Callable[[str], Client], mode: EnhancementMode
) -> None:
    client = client_of("schema_admin")
    given = {"owner": "ada", "type": THING, "mode": mode.value}
    answer = client.post(SET, given, follow=True)
    assert answer.redirect_chain == [(f"{SET}?owner=ada&type={THING}", 302)]
    assert f"thing of ada: the mode is now {mode.value}." in answer.content.decode()
    setting = EnhancementSetting.objects.get()
    event = AuditEvent.objects.get(action="enhancement.set")
    assert (setting.user, setting.mode, setting.set_by) == (owner, mode, event.actor)
    client.post(SET, {**given, "mode": "suggest"})
    assert not EnhancementSetting.objects.exists()
    assert AuditEvent.objects.filter(action="enhancement.set").count() == 2


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"owner": "nobody", "type": THING, "mode": "auto"}, "There is no user 'nobody'"),
        ({"owner": "a\0b", "type": THING, "mode": "auto"}, "There is no user"),
        ({"owner": "", "type": THING, "mode": "auto"}, "Name an owner and an entity type."),
        ({"owner": "ada", "type": "", "mode": "auto"}, "Name an owner and an entity type."),
        ({"owner": "ada", "type": "Not One", "mode": "auto"}, "entity type"),
        ({"owner": "ada", "type": "a\0b", "mode": "auto"}, "entity type"),
        ({"owner": "ada", "type": THING, "mode": "always"}, "Choose one of the modes."),
    ],
)
def test_what_cannot_be_set_is_said_on_the_page(
    owner: User, client_of: Callable[[str], Client], given: dict[str, str], said: str
) -> None:
    answer = client_of("schema_admin").post(SET, given)
    assert answer.status_code == 200
    assert said in text_of(answer.content.decode())
    assert not EnhancementSetting.objects.exists()
    assert not AuditEvent.objects.filter(action="enhancement.set").exists()


def test_looking_changes_nothing(owner: User, client_of: Callable[[str], Client]) -> None:
    client, before = client_of("schema_admin"), (AuditEvent.objects.count(), Job.objects.count())
    for query in ({}, {"owner": "ada"}, {"owner": "ada", "type": THING, "mode": "auto"}, {"type": "a b"}):
        assert client.get(SET, query).status_code == 200
    assert client.put(SET).status_code == 405
    assert (AuditEvent.objects.count(), Job.objects.count()) == before
    assert not EnhancementSetting.objects.exists()


def test_the_number_of_queries_does_not_depend_on_the_rows(
    owner: User, client_of: Callable[[str], Client]
) -> None:
    client, counts = client_of("superuser"), []
    for count in (2, 30):
        for n in range(count):
            other = make_user()
            set_mode(other, EnhancementMode.OFF)
            newest = make_given_up(user=other, field=f"f{n}")
        fields = {f"f{count}_{n}_id": "x" for n in range(count)}
        make_run(user=owner, records=[{"k": f"k{n}", **fields} for n in range(10)])
        counted = []
        for url in (
            list_of(Enhancement),
            page_of(newest),
            list_of(EnhancementSetting),
            page_of(EnhancementSetting.objects.latest("pk")),
            f"{SET}?owner=ada&type={THING}",
        ):
            with CaptureQueriesContext(connection) as queries:
                assert client.get(url).status_code == 200
            counted.append(len(queries))
        counts.append(counted)
    assert counts[0] == counts[1]
    assert all(count <= 25 for count in counts[0]), counts
