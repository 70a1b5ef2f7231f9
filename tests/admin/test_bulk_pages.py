"""The lists lead to a page that tells what a verb comes to for all that they are narrowed to, and that asks for it."""

from __future__ import annotations

import re
from collections.abc import Callable
from html import unescape
from urllib.parse import urlencode

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from fragments import selectors_bulk
from fragments.admin import bulk_asking
from fragments.models import (
    BulkAct,
    BulkState,
    BulkVerb,
    FieldDismissal,
    LifecycleState,
    RawFragment,
    RawFragmentAggregate,
)
from fragments.selectors_bulk import ACT
from schemaevo.kernel.models import Job, JobState, User
from tests.admin.addresses import list_of, page_of, verb_of
from tests.bulk import declare, make_act, put_field, stock, work
from tests.factories import THING, make_maximum, make_run, make_user

FRAGMENTS, FIELDS = verb_of(RawFragment, "bulk"), verb_of(RawFragmentAggregate, "bulk")


@pytest.fixture
def ada(db: None) -> User:
    """An owner of three things with the undeclared fields a, b and c; bob has the same."""
    declare()
    ada = make_user(username="ada")
    for owner in (ada, make_user(username="bob")):
        stock(user=owner, a=..., b="x", c=True)
    return ada


def text_of(html: str) -> str:
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]+>", " ", html.partition('id="content"')[2])))


def read(client: Client, url: str, **query: str) -> str:
    answer = client.get(url, query)
    assert answer.status_code == 200
    return text_of(answer.content.decode())


def facts(client: Client, url: str, **query: str) -> dict[str, str]:
    """What the page tells in numbers."""
    html = client.get(url, query).content.decode()
    found = re.findall(r'data-fact="([a-z-]+)">(.*?)</dd>', html, re.DOTALL)
    return {name: " ".join(unescape(re.sub(r"<[^>]+>", " ", told)).split()) for name, told in found}


# --- the way there ---------------------------------------------------------------------------------------------
def test_a_list_leads_there_with_what_it_is_narrowed_to(
    ada: User, client_of: Callable[[str], Client]
) -> None:
    client = client_of("operator")
    for model, page in ((RawFragment, FRAGMENTS), (RawFragmentAggregate, FIELDS)):
        html = client.get(list_of(model), {"owner": "ada", "field": "a", "p": ""}).content.decode()
        assert f'href="{page}?owner=ada&amp;field=a"' in html
        assert page not in client_of("viewer").get(list_of(model)).content.decode()
        nothing = client.get(list_of(model), {"field": "nobody has it"}).content.decode()
        assert page not in nothing


def test_the_filter_is_told_in_words_and_how_many_rows_it_means(
    ada: User, client_of: Callable[[str], Client]
) -> None:
    client = client_of("operator")
    text = read(client, FRAGMENTS, owner="ada", state="active", q="a")
    assert "Owner ada State active Search a Rows that match 3" in text
    html = client.get(FRAGMENTS, {"q": "a"}).content.decode()
    assert f'href="{list_of(RawFragment)}?q=a"' in html


def test_each_login_is_offered_what_it_may_do(ada: User, client_of: Callable[[str], Client]) -> None:
    operator = client_of("operator")
    text = read(operator, FIELDS, owner="ada")
    assert "Dismiss all of these" in text
    assert "Promote" not in text
    assert "Promote all of these" in read(client_of("schema_admin"), FIELDS, owner="ada")
    assert operator.get(FIELDS, {"do": "promote"}).status_code == 403
    assert operator.post(f"{FIELDS}?do=promote", {"reason": "so"}).status_code == 403
    assert client_of("viewer").get(FRAGMENTS).status_code == 403


# --- previews --------------------------------------------------------------------------------------------------
def test_the_preview_tells_what_would_be_moved_and_why_the_rest_is_not(
    ada: User, client_of: Callable[[str], Client]
) -> None:
    put_field("b", LifecycleState.ARCHIVED)
    put_field("c", LifecycleState.PENDING_DELETION)
    client = client_of("operator")
    assert facts(client, FRAGMENTS, owner="ada") == {"matched": "9", "done": "3", "skipped": "6"}
    text = read(client, FRAGMENTS, owner="ada")
    assert "is archived already 3" in text
    assert "waits for its deletion 3" in text
    assert facts(client, FRAGMENTS, owner="ada", do="restore")["done"] == "3"


def test_who_has_too_many_fields_to_look_at_is_told(
    ada: User, client_of: Callable[[str], Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    client, said = client_of("schema_admin"), "has more than"
    query = {"owner": "ada", "confidence": "low"}
    assert said not in read(client, FIELDS, **query)
    monkeypatch.setattr("fragments.selectors_fields.FIELDS_READ", 1)
    assert said in read(client, FIELDS, **query)
    assert said not in read(client, FIELDS, owner="ada")


def test_the_preview_of_promotions_tells_eligibility_fragments_and_quotas(
    ada: User, client_of: Callable[[str], Client]
) -> None:
    make_maximum(user=ada, max_fields=2)
    make_run(user=ada, records=[{"k": "k0", "rare": 1, "nothing": None}])
    client = client_of("schema_admin")
    told = facts(client, FIELDS, do="promote")
    assert told == {
        "matched": "8",
        "done": "5",
        "skipped": "3",
        "fragments": "15",
        "eligible": "6",
        "others": "1",
    }
    text = read(client, FIELDS, do="promote")
    assert "2 owners: schemas + 2 , fields + 5 in all" in text
    assert "bob 0 → 1 of 10 0 → 3 of 200" in text
    assert "ada 0 → 1 of 10 0 → 2 of 2" in text
    assert "would pass its owner's quota 1" in text
    assert "all values are null 1" in text
    others = read(client, FIELDS, do="promote", others="1")
    assert "Fields that are not eligible are promoted as well" in others
    assert "would pass its owner's quota 2" in others


def test_of_very_many_the_preview_tells_the_first_and_says_so(
    ada: User, client_of: Callable[[str], Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(selectors_bulk, "FIELDS_FORESEEN_MAX", 2)
    monkeypatch.setattr(selectors_bulk, "FORESEEN_MAX", 4)
    client = client_of("schema_admin")
    assert "What it would come to of 2 of them" in read(client, FIELDS, do="promote")
    assert "What it would come to of" in read(client, FRAGMENTS)


def test_looking_changes_nothing_and_costs_the_same_however_much_there_is(
    ada: User, client_of: Callable[[str], Client]
) -> None:
    client, counts = client_of("superuser"), []
    asked = [(FRAGMENTS, "archive"), (FIELDS, "promote"), (FIELDS, "dismiss")]
    for number in range(2):
        before = list(RawFragment.objects.order_by("pk").values_list("pk", "lifecycle_state"))
        with CaptureQueriesContext(connection) as queries:
            for url, verb in asked:
                client.get(url, {"do": verb, "type": THING})
        counts.append(len(queries))
        assert list(RawFragment.objects.order_by("pk").values_list("pk", "lifecycle_state")) == before
        for owner in range(3):
            stock(user=make_user(username=f"more-{number}-{owner}"), **{f"more{n}": n for n in range(20)})
    assert counts[0] == counts[1]
    assert not BulkAct.objects.exists()
    assert not FieldDismissal.objects.exists()


# --- asking ----------------------------------------------------------------------------------------------------
def test_it_is_asked_for_and_its_page_tells_what_came_of_it(
    ada: User, client_of: Callable[[str], Client]
) -> None:
    put_field("b", LifecycleState.PROMOTED)
    client = client_of("operator")
    answer = client.post(f"{FRAGMENTS}?owner=ada&do=archive", {"reason": "nobody needs them"})
    act = BulkAct.objects.get()
    assert answer["Location"] == page_of(act)
    assert (act.verb, act.filter, act.reason) == ("archive", {"owner": ada.pk}, "nobody needs them")
    text = read(client, page_of(act))
    assert "running" in text
    assert "Looked at 0 of 9" in text
    work(act)
    text = read(client, page_of(act))
    for said in (
        "Archive: fragments",
        "done",
        "Looked at 9",
        "Archived 6",
        "Skipped 3",
        "is promoted 3",
        "Owner ada",
    ):
        assert said in text
    assert "nobody needs them" in text
    listed = read(client, list_of(BulkAct))
    assert f"#{act.pk} archive fragments ada done 9 6 3" in listed
    live = client.get(verb_of(BulkAct, "live", act.pk)).content.decode()
    assert "data-live-over" in live


def test_without_a_filter_every_row_has_to_be_meant(ada: User, client_of: Callable[[str], Client]) -> None:
    client = client_of("operator")
    assert "every row of the list is meant, of all owners" in read(client, FRAGMENTS)
    refused = client.post(FRAGMENTS, {"reason": "so"})
    assert "No filter is set: say that every row is meant." in text_of(refused.content.decode())
    assert not BulkAct.objects.exists()
    client.post(FRAGMENTS, {"reason": "so", "everything": "on"})
    assert BulkAct.objects.get().filter == {}


def test_a_snooze_wants_a_time_in_the_future(ada: User, client_of: Callable[[str], Client]) -> None:
    client, url = client_of("operator"), f"{FIELDS}?owner=ada&do=snooze"
    for until, said in (
        ("", "This field is required."),
        ("soon", "Enter a valid date/time."),
        ("2020-01-01", "until a time in the future"),
        ("3500-01-01", "before the year 3000"),
    ):
        answer = client.post(url, {"reason": "so", "until": until})
        assert said in text_of(answer.content.decode()), until
    assert not BulkAct.objects.exists()
    client.post(url, {"reason": "so", "until": "2900-01-01"})
    assert BulkAct.objects.get().options == {"until": "2900-01-01T00:00:00+00:00"}
    assert "Until 2900-01-01 00:00:00" in read(client, page_of(BulkAct.objects.get()))


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ({"user_id": "1"}, 302),
        ({"value__startswith": "x"}, 302),
        ({"do": "erase"}, 302),
        ({"do": "promote"}, 302),
        ({"do": "\0"}, 302),
        ({"field": "\0"}, 200),
        ({"q": "\0"}, 200),
        ({"q": "9" * 3000}, 200),
        ({"owner": "9" * 3000}, 200),
        ({"entity": "not-an-id"}, 200),
        ({"p": ">nonsense"}, 200),
    ],
)
def test_a_crafted_address_means_nothing_and_breaks_nothing(
    ada: User, client_of: Callable[[str], Client], query: dict[str, str], status: int
) -> None:
    client = client_of("operator")
    assert client.get(FRAGMENTS, query).status_code == status
    answer = client.post(f"{FRAGMENTS}?{urlencode(query)}", {"reason": "so"})
    assert answer.status_code in {200, 302}
    assert not BulkAct.objects.exists()


def test_a_reason_that_cannot_be_stored_is_refused(ada: User, client_of: Callable[[str], Client]) -> None:
    client = client_of("operator")
    for reason in ("", "a\0b", "x" * (bulk_asking.REASON_MAX + 1)):
        assert client.post(f"{FRAGMENTS}?owner=ada", {"reason": reason}).status_code == 200
    assert not BulkAct.objects.exists()


def test_only_get_and_post_are_answered(ada: User, client_of: Callable[[str], Client]) -> None:
    client = client_of("operator")
    act = make_act(BulkVerb.ARCHIVE)
    assert client.put(FRAGMENTS).status_code == 405
    for verb in ("cancel", "resume"):
        assert client.get(verb_of(BulkAct, verb, act.pk)).status_code == 405
        assert client.post(verb_of(BulkAct, verb, act.pk + 1)).status_code == 404
    assert client.get(verb_of(BulkAct, "live", act.pk + 1)).status_code == 404


# --- cancelling and resuming ------------------------------------------------------------------------------------
def test_it_is_cancelled_and_gone_on_with_on_its_page(ada: User, client_of: Callable[[str], Client]) -> None:
    client, act = client_of("operator"), make_act(BulkVerb.ARCHIVE, {"owner": "ada"})
    assert "Cancelled, it rests after the piece" in read(client, page_of(act))
    text = text_of(client.post(verb_of(BulkAct, "cancel", act.pk), follow=True).content.decode())
    assert "It rests" in text
    assert work(act).state == BulkState.CANCELLED
    client.post(verb_of(BulkAct, "resume", act.pk))
    assert work(act).state == BulkState.DONE
    refused = client.post(verb_of(BulkAct, "cancel", act.pk), follow=True)
    assert "is done already" in refused.content.decode()


def test_the_list_tells_which_act_stands_still(ada: User, client_of: Callable[[str], Client]) -> None:
    worked_on, standing, resting = (make_act(BulkVerb.ARCHIVE, {"owner": "ada"}) for _n in range(3))
    Job.objects.filter(kind=ACT, target=standing.pk).update(state=JobState.FAILED, finished_at=timezone.now())
    client = client_of("operator")
    client.post(verb_of(BulkAct, "cancel", resting.pk))
    listed = read(client, list_of(BulkAct))
    for act, state in ((worked_on, "running"), (standing, "stands still"), (resting, "cancelled")):
        assert f"#{act.pk} archive fragments ada {state} 0 0 0" in listed


def test_who_only_looks_sees_no_button(ada: User, client_of: Callable[[str], Client]) -> None:
    act = make_act(BulkVerb.ARCHIVE, {"owner": "ada"})
    viewer = client_of("viewer")
    assert "<button" not in viewer.get(verb_of(BulkAct, "live", act.pk)).content.decode()
    assert viewer.post(verb_of(BulkAct, "cancel", act.pk)).status_code == 403


@pytest.mark.parametrize(("asked", "is_known"), [(0, False), (2, True)])
def test_an_act_of_which_nobody_knows_how_much_is_left_says_so(
    ada: User, client_of: Callable[[str], Client], asked: int, is_known: bool
) -> None:
    act = make_act(BulkVerb.ARCHIVE, {"owner": "ada"})
    BulkAct.objects.update(asked_count=asked, is_asked_exact=False, matched_count=5, done_count=5)
    client = client_of("operator")
    assert "<progress" not in client.get(page_of(act)).content.decode()
    told = facts(client, page_of(act))
    assert told["matched"] == ("5 of ≈ 2" if is_known else "5")
    assert told["asked"] == ("≈ 2" if is_known else "not known: counting took too long")
