"""The forms that ask for more quota for an owner, and that set an owner's maxima."""

from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from django.test import Client

from registry.models import QuotaGrant, QuotaRequest, UserQuota
from tests.admin.addresses import list_of, page_of, verb_of
from tests.admin.test_pages import read, text_of
from tests.admin.test_quota_pages import owner_with, quota_page, signed_in
from tests.factories import make_login, make_quota_request, make_user
from tests.quotas import maxima

pytestmark = pytest.mark.django_db


# --- asking for more ------------------------------------------------------------------------------------
def test_an_operator_asks_for_more(client_of: Callable[[str], Client]) -> None:
    owner, client = owner_with(9, username="ada"), client_of("operator")
    ask = verb_of(UserQuota, "ask", owner.pk)
    assert "9 / 10" in read(client, ask)
    answer = client.post(ask, {"max_schemas": "20", "max_fields": "", "note": "two feeds"}, follow=True)
    request = QuotaRequest.objects.get()
    assert answer.redirect_chain[0][0] == page_of(request)
    assert f"Upgrade request {request.pk} waits for a decision." in answer.content.decode()
    assert (request.user, request.asked_max_schemas, request.asked_max_fields) == (owner, 20, None)
    assert request.reason == "two feeds"
    assert request.asked_by == answer.wsgi_request.user
    assert maxima(owner) == (10, 200)


@pytest.mark.parametrize(
    ("given", "at", "said"),
    [
        ({"max_schemas": "10"}, "max_schemas", "The owner may have 10 schemas already."),
        ({"max_fields": "7"}, "max_fields", "The owner may have 200 fields already."),
        ({"max_schemas": "many"}, "max_schemas", "Enter a whole number."),
        ({"max_schemas": "9" * 5000}, "max_schemas", "Enter a whole number."),
        ({"max_schemas": "1000001"}, None, "A maximum is a number from 1 to 1000000."),
        ({"note": " "}, "note", "This field is required."),
        ({"note": "a\0b"}, "note", "Null characters are not allowed."),
        ({"max_schemas": ""}, None, "Give a maximum of schemas, of fields, or both."),
    ],
)
def test_what_makes_no_sense_is_refused_at_its_field_and_kept(
    client_of: Callable[[str], Client], given: dict[str, str], at: str | None, said: str
) -> None:
    ask = verb_of(UserQuota, "ask", make_user().pk)
    answer = client_of("operator").post(ask, {"max_schemas": "20", "note": "what was typed", **given})
    assert answer.status_code == 200
    assert answer.context["form"].errors.get(at or "__all__") == [said]
    html = answer.content.decode()
    assert said in html
    if "note" not in given:
        assert "what was typed" in html
    assert not QuotaRequest.objects.exists()


def test_asking_twice_is_refused_with_the_way_to_the_first(client_of: Callable[[str], Client]) -> None:
    waiting = make_quota_request(user=make_user())
    ask, client = verb_of(UserQuota, "ask", waiting.user_id), client_of("operator")
    html = client.get(ask).content.decode()
    assert page_of(waiting) in html
    assert 'name="note"' not in html
    answer = client.post(ask, {"max_schemas": "50", "note": "more still"})
    assert f"Upgrade request {waiting.pk} for this owner waits" in answer.content.decode()
    assert "more still" in answer.content.decode()
    assert QuotaRequest.objects.count() == 1


@pytest.mark.parametrize("verb", ["ask", "maxima"])
def test_nobody_asks_or_sets_anything_for_an_owner_that_is_not_there(
    client_of: Callable[[str], Client], verb: str
) -> None:
    client = client_of("schema_admin")
    for method in (client.get, client.post):
        answer = method(verb_of(UserQuota, verb, 999_999), follow=True)
        assert answer.redirect_chain[0][0] == list_of(UserQuota)
        assert "There is no user 999999." in answer.content.decode()


# --- setting maxima -------------------------------------------------------------------------------------
def test_a_schema_admin_sets_maxima_until_a_time_of_their_own_zone() -> None:
    owner, admin = make_user(), make_login(role="schema_admin", time_zone="Asia/Tokyo")
    client, address = signed_in(admin), verb_of(UserQuota, "maxima", owner.pk)
    assert "Asia/Tokyo" in read(client, address)
    answer = client.post(
        address, {"max_fields": "500", "until": "2099-01-31T09:00", "note": "a trial"}, follow=True
    )
    assert answer.redirect_chain[0][0] == quota_page(owner)
    assert "The owner may have 10 schemas and 500 fields." in answer.content.decode()
    grant = QuotaGrant.objects.get()
    assert grant.until == datetime(2099, 1, 31, 0, 0, tzinfo=UTC)
    assert (grant.max_schemas, grant.max_fields, grant.granted_by, grant.note) == (
        None,
        500,
        admin,
        "a trial",
    )
    assert maxima(owner) == (10, 500)


def test_lowering_below_the_usage_leaves_what_exists_and_warns(client_of: Callable[[str], Client]) -> None:
    owner = owner_with(3)
    answer = client_of("schema_admin").post(
        verb_of(UserQuota, "maxima", owner.pk), {"max_schemas": "2", "note": "too many"}, follow=True
    )
    text = text_of(answer.content.decode())
    assert "The owner uses 3 of 2 schemas (150 %)" in text
    assert "above the maximum" in text
    assert maxima(owner) == (2, 200)
    assert UserQuota.objects.get(user=owner).schema_count == 3


@pytest.mark.parametrize(
    ("given", "at", "said"),
    [
        ({}, None, "Give a maximum of schemas, of fields, or both."),
        ({"max_schemas": "-1"}, None, "A maximum is a number from 0 to 1000000."),
        ({"max_schemas": "5", "note": ""}, "note", "This field is required."),
        (
            {"max_schemas": "5", "until": "1999-01-01T00:00"},
            "until",
            "The end of a grant lies in the future.",
        ),
        (
            {"max_schemas": "5", "until": "9999-12-31T23:59"},
            "until",
            "A grant ends before the year 3000, or has no end.",
        ),
        ({"max_schemas": "5", "until": "0001-01-01T00:00"}, "until", None),
        ({"max_schemas": "5", "until": "soon"}, "until", "Enter a valid date/time."),
    ],
)
def test_maxima_that_make_no_sense_are_refused_at_their_field(
    client_of: Callable[[str], Client], given: dict[str, str], at: str | None, said: str | None
) -> None:
    owner = make_user()
    answer = client_of("schema_admin").post(
        verb_of(UserQuota, "maxima", owner.pk), {"note": "what was typed", **given}
    )
    assert answer.status_code == 200
    errors = answer.context["form"].errors.get(at or "__all__")
    assert errors == [said] if said else errors
    assert maxima(owner) == (10, 200)


def test_whoever_asked_for_an_owner_lowers_but_does_not_raise() -> None:
    owner, admin = make_user(), make_login(role="schema_admin")
    make_quota_request(user=owner, asker=admin)
    client, address = signed_in(admin), verb_of(UserQuota, "maxima", owner.pk)
    assert "You have asked for more for this owner" in read(client, address)
    answer = client.post(address, {"max_schemas": "15", "note": "why wait"})
    assert answer.status_code == 403
    assert "somebody else has to" in answer.content.decode()
    assert "why wait" in answer.content.decode()
    assert maxima(owner) == (10, 200)
    assert client.post(address, {"max_schemas": "5", "note": "less"}).status_code == 302
    assert maxima(owner) == (5, 200)
