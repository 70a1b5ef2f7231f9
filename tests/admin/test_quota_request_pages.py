"""The inbox of upgrade requests, the page of one, and its decision: by another login, once, with reasons."""

from collections.abc import Callable
from datetime import UTC, datetime
from unittest.mock import ANY

import pytest
from django.test import Client
from django.utils.timezone import now

from registry.models import QuotaGrant, QuotaRequest, RequestState
from registry.services.quota_requests import quota_request_approve, quota_request_reject
from schemaevo.kernel.actors import Actor
from schemaevo.kernel.models import User
from tests.admin.addresses import list_of, page_of, verb_of
from tests.admin.test_pages import read, text_of
from tests.admin.test_quota_pages import owner_with, signed_in
from tests.factories import make_login, make_maximum, make_quota_request, make_user
from tests.quotas import maxima

pytestmark = pytest.mark.django_db


@pytest.fixture
def admin() -> User:
    return make_login(role="schema_admin")


def address(request: QuotaRequest, verb: str) -> str:
    return verb_of(QuotaRequest, verb, request.pk)


# --- the inbox ------------------------------------------------------------------------------------------
def test_the_inbox_shows_usage_beside_what_is_asked_and_why(client_of: Callable[[str], Client]) -> None:
    owner = owner_with(9, username="ada")
    request = make_quota_request(user=owner, max_schemas=20, max_fields=400)
    text = read(client_of("viewer"), list_of(QuotaRequest), state="pending")
    assert f"#{request.pk} ada 9 / 10 10 → asked for: 20 9 / 200 200 → asked for: 400 they grow" in text
    assert str(request.asked_by) in text
    assert "pending" in text


def test_the_inbox_cuts_a_long_reason_and_its_page_has_it_whole(client_of: Callable[[str], Client]) -> None:
    long = QuotaRequest.objects.create(
        user=make_user(), asked_max_schemas=20, reason="because " * 60, asked_by=make_login(role="operator")
    )
    client = client_of("viewer")
    listed = client.get(list_of(QuotaRequest)).content.decode()
    assert listed.count("because") < 20
    assert client.get(page_of(long)).content.decode().count("because") == 60


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({}, 3),
        ({"state": "pending"}, 2),
        ({"state": "rejected"}, 1),
        ({"state": "whim"}, 0),
        ({"mine": "1"}, 1),
        ({"mine": "0"}, 2),
        ({"owner": "ada"}, 1),
        ({"state": "pending", "mine": "1"}, 1),
    ],
)
def test_requests_are_filtered(admin: User, query: dict[str, str], found: int) -> None:
    make_quota_request(user=make_user(username="ada"))
    make_quota_request(user=make_user(), asker=admin)
    decided = make_quota_request(user=make_user())
    quota_request_reject(request_id=decided.pk, actor=Actor.login(admin), note="no")
    html = signed_in(admin).get(list_of(QuotaRequest), query).content.decode()
    assert html.count('class="data-row') == found


@pytest.mark.parametrize(("role", "may"), [("viewer", False), ("operator", False), ("schema_admin", True)])
def test_only_who_decides_can_choose_and_only_what_waits(
    client_of: Callable[[str], Client], admin: User, role: str, may: bool
) -> None:
    waiting, decided = make_quota_request(user=make_user()), make_quota_request(user=make_user())
    quota_request_reject(request_id=decided.pk, actor=Actor.login(admin), note="no")
    html = client_of(role).get(list_of(QuotaRequest)).content.decode()
    assert (f'name="ids" value="{waiting.pk}" form="decide-chosen"' in html) == may
    assert f'name="ids" value="{decided.pk}"' not in html
    assert (f"?ids={waiting.pk}&amp;" in html) == may


# --- the page of a request ------------------------------------------------------------------------------
def test_the_page_shows_usage_history_and_what_the_quota_is_used_for(
    client_of: Callable[[str], Client], admin: User
) -> None:
    owner = owner_with(3, username="ada")
    first = make_quota_request(user=owner, max_schemas=12)
    quota_request_approve(request_id=first.pk, actor=Actor.login(admin), note="fine")
    make_maximum(user=owner, max_fields=250)
    request = make_quota_request(user=owner, max_schemas=20)
    text = read(client_of("viewer"), page_of(request))
    for said in (
        f"Request {request.pk} for ada",
        "they grow",
        "schemas 3 / 12 12 → asked for: 20 3 / 20",
        "fields 3 / 250 – –",
        "type_0 schema 1 field",
        "there is no snapshot yet",
        f"#{first.pk} 12 schemas asked for by",
        f"approved by {admin} 12 schemas in force",
        "they grow fine",
        "Set without a request",
        "It waits for a schema admin to decide.",
    ):
        assert said in text


def test_who_asked_is_told_why_they_cannot_decide(admin: User) -> None:
    request = make_quota_request(user=make_user(), asker=admin)
    client = signed_in(admin)
    html = client.get(page_of(request)).content.decode()
    assert "You asked for this, so you cannot decide it" in html
    assert address(request, "withdraw") in html
    for verb, given in (("approve", {"max_schemas": "20"}), ("reject", {"note": "no"})):
        assert address(request, verb) not in html
        answer = client.post(address(request, verb), given)
        assert answer.status_code == 403
        assert "somebody else has to" in answer.content.decode()
    request.refresh_from_db()
    assert request.state == RequestState.PENDING
    assert not QuotaGrant.objects.exists()


@pytest.mark.parametrize("role", ["viewer", "operator"])
def test_who_may_not_decide_sees_no_form_and_is_refused(
    client_of: Callable[[str], Client], role: str
) -> None:
    request, client = make_quota_request(user=make_user()), client_of(role)
    html = client.get(page_of(request)).content.decode()
    for verb in ("approve", "reject", "withdraw"):
        assert address(request, verb) not in html
        assert client.post(address(request, verb), {"note": "x", "max_schemas": "20"}).status_code == 403
    request.refresh_from_db()
    assert request.state == RequestState.PENDING


@pytest.mark.parametrize("verb", ["approve", "reject", "withdraw"])
def test_looking_at_the_address_of_a_verb_does_nothing(admin: User, verb: str) -> None:
    request = make_quota_request(user=make_user())
    assert signed_in(admin).get(address(request, verb), {"note": "x"}).status_code == 405
    request.refresh_from_db()
    assert request.state == RequestState.PENDING


@pytest.mark.parametrize("verb", ["approve", "reject"])
def test_a_request_that_is_not_there_cannot_be_decided(admin: User, verb: str) -> None:
    answer = signed_in(admin).post(verb_of(QuotaRequest, verb, 999_999), {"note": "x"}, follow=True)
    assert answer.redirect_chain[0][0] == list_of(QuotaRequest)
    assert "There is no upgrade request 999999." in answer.content.decode()


# --- deciding -------------------------------------------------------------------------------------------
def test_the_form_is_filled_in_with_what_was_asked_and_approves_it(admin: User) -> None:
    owner = make_user()
    request = make_quota_request(user=owner, max_schemas=20, max_fields=400)
    client = signed_in(admin)
    form = client.get(page_of(request)).context["approve"]
    assert form.initial == {}
    typed = {name: str(form[name].value() or "") for name in form.fields}
    assert typed == {"max_schemas": "20", "max_fields": "400", "until": "", "note": ""}
    answer = client.post(address(request, "approve"), typed, follow=True)
    assert answer.redirect_chain[0][0] == page_of(request)
    text = text_of(answer.content.decode())
    assert "Approved: the owner may have 20 schemas and 400 fields." in text
    assert "Decision approved" in text
    assert f"By {admin}" in text
    assert maxima(owner) == (20, 400)


def test_less_is_approved_until_a_time_with_a_note() -> None:
    owner, tokyo = make_user(), make_login(role="schema_admin", time_zone="Asia/Tokyo")
    request = make_quota_request(user=owner, max_schemas=20, max_fields=400)
    client = signed_in(tokyo)
    given = {"max_schemas": "15", "max_fields": "", "until": "2099-01-31T09:00", "note": "15 will do"}
    text = text_of(client.post(address(request, "approve"), given, follow=True).content.decode())
    assert "Granted 15 schemas Until 2099-01-31 09:00:00" in text
    assert "15 will do" in text
    request.refresh_from_db()
    assert (request.granted_max_schemas, request.granted_max_fields) == (15, None)
    assert request.granted_until == datetime(2099, 1, 31, 0, 0, tzinfo=UTC)
    assert maxima(owner) == (15, 200)


def test_an_approval_that_leaves_little_room_warns(admin: User) -> None:
    request = make_quota_request(user=owner_with(9), max_schemas=20)
    answer = signed_in(admin).post(address(request, "approve"), {"max_schemas": "11"}, follow=True)
    assert "The owner uses 9 of 11 schemas (81 %)" in answer.content.decode()


@pytest.mark.parametrize(
    ("given", "at", "said"),
    [
        ({"max_schemas": "21"}, "max_schemas", "Not more can be granted than was asked for."),
        ({"max_fields": "401"}, "max_fields", "Not more can be granted than was asked for."),
        ({"max_schemas": "10"}, "max_schemas", "The owner may have 10 schemas already."),
        ({"max_schemas": "0"}, None, "A maximum is a number from 1 to 1000000."),
        ({"max_schemas": "", "max_fields": ""}, None, "Say how much is granted, or reject the request."),
        ({"until": "1999-01-01T00:00"}, "until", "The end of a grant lies in the future."),
        ({"until": "9999-12-31T23:59"}, "until", "A grant ends before the year 3000, or has no end."),
        ({"until": "tomorrow"}, "until", "Enter a valid date/time."),
        ({"note": "x" * 2001}, "note", ANY),
    ],
)
def test_an_approval_that_makes_no_sense_is_refused_at_its_field_and_kept(
    admin: User, given: dict[str, str], at: str | None, said: str
) -> None:
    owner = make_user()
    request = make_quota_request(user=owner, max_schemas=20, max_fields=400)
    typed = {"max_schemas": "20", "max_fields": "400", "note": "what was typed", **given}
    answer = signed_in(admin).post(address(request, "approve"), typed)
    assert answer.status_code == 200
    form = answer.context["approve"]
    assert form.errors.get(at or "__all__") == [said]
    assert {name: form[name].value() for name in typed} == typed
    assert form.errors[at or "__all__"][0] in text_of(answer.content.decode())
    assert "Reject" in answer.content.decode()
    assert maxima(owner) == (10, 200)


def test_a_limit_that_was_not_asked_for_is_in_no_form(admin: User) -> None:
    request = make_quota_request(user=make_user(), max_schemas=None, max_fields=300)
    client = signed_in(admin)
    assert 'name="max_schemas"' not in client.get(page_of(request)).content.decode()
    answer = client.post(address(request, "approve"), {"max_fields": ""})
    assert answer.context["approve"].errors["max_fields"] == ["This field is required."]
    client.post(address(request, "approve"), {"max_fields": "300", "max_schemas": "50"})
    assert maxima(request.user) == (10, 300)


def test_a_rejection_says_why(admin: User) -> None:
    request, client = make_quota_request(user=make_user()), signed_in(admin)
    answer = client.post(address(request, "reject"), {"note": " "})
    assert answer.context["reject"].errors["note"] == ["This field is required."]
    assert answer.context["approve"].is_bound is False
    text = text_of(
        client.post(address(request, "reject"), {"note": "retire some first"}, follow=True).content.decode()
    )
    assert "Decision rejected" in text
    assert "retire some first" in text
    request.refresh_from_db()
    assert (request.state, request.decided_by) == ("rejected", admin)


def test_who_comes_second_is_told_who_came_first_and_sees_no_form(admin: User) -> None:
    request, other = make_quota_request(user=make_user()), make_login(role="schema_admin")
    client = signed_in(other)
    quota_request_reject(request_id=request.pk, actor=Actor.login(admin), note="no")
    answer = client.post(address(request, "approve"), {"max_schemas": "20"})
    text = text_of(answer.content.decode())
    assert f"Upgrade request {request.pk} is rejected already." in text
    assert f"By {admin}" in text
    assert address(request, "approve") not in answer.content.decode()
    assert maxima(request.user) == (10, 200)


def test_who_asked_withdraws_and_nobody_else_does(admin: User) -> None:
    asker = make_login(role="operator")
    request = make_quota_request(user=make_user(), asker=asker)
    assert signed_in(admin).post(address(request, "withdraw")).status_code == 403
    answer = signed_in(asker).post(address(request, "withdraw"), {"note": "not needed"}, follow=True)
    text = text_of(answer.content.decode())
    assert "Withdrawn. Nobody needs to decide any more." in text
    assert "Decision withdrawn" in text
    assert f"By {asker}" in text
    assert "not needed" in text
    quota_decided = signed_in(asker).post(address(request, "withdraw"), follow=True)
    assert quota_decided.status_code == 200
    request.refresh_from_db()
    assert request.state == RequestState.WITHDRAWN


def test_withdrawing_what_was_decided_meanwhile_tells_so(admin: User) -> None:
    asker = make_login(role="operator")
    request = make_quota_request(user=make_user(), asker=asker)
    quota_request_approve(request_id=request.pk, actor=Actor.login(admin))
    answer = signed_in(asker).post(address(request, "withdraw"), follow=True)
    assert f"Upgrade request {request.pk} is approved already." in answer.content.decode()


def test_decisions_want_the_token_of_a_form(admin: User) -> None:
    request, client = make_quota_request(user=make_user()), Client(enforce_csrf_checks=True)
    client.force_login(admin, backend="django.contrib.auth.backends.ModelBackend")
    for url in [address(request, verb) for verb in ("approve", "reject", "withdraw")] + [
        verb_of(QuotaRequest, "decide")
    ]:
        given = {"ids": [request.pk], "decision": "approve", "note": "x", "max_schemas": "20"}
        assert client.post(url, given).status_code == 403
    request.refresh_from_db()
    assert (request.state, request.decided_at) == (RequestState.PENDING, None)
    assert request.asked_at < now()
