"""Several upgrade requests decided at once: shown first, with one note, and what came of each told."""

from collections.abc import Callable, Iterable
from datetime import UTC, datetime

import pytest
from django.test import Client

from registry.models import QuotaRequest, RequestState
from registry.services.quota_requests import quota_request_reject
from schemaevo.kernel.actors import Actor
from schemaevo.kernel.models import User
from tests.admin.addresses import list_of, verb_of
from tests.admin.test_pages import read, text_of
from tests.admin.test_quota_pages import owner_with, signed_in
from tests.factories import make_login, make_quota_request, make_user
from tests.quotas import maxima

pytestmark = pytest.mark.django_db


@pytest.fixture
def admin() -> User:
    return make_login(role="schema_admin")


def decide_address(*requests: QuotaRequest) -> str:
    return verb_of(QuotaRequest, "decide") + "?" + "&".join(f"ids={request.pk}" for request in requests)


def test_several_are_shown_before_anything_is_decided(admin: User) -> None:
    ada, own = make_quota_request(user=owner_with(9, username="ada")), make_quota_request(
        user=make_user(username="bob"), asker=admin
    )  # fmt: skip
    text = read(signed_in(admin), decide_address(ada, own))
    assert f"#{ada.pk} ada pending 9 / 10 10 → asked for: 20" in text
    assert f"#{own.pk} bob pending You asked for it: somebody else has to decide." in text
    assert "Decide the one that waits" in text
    assert set(QuotaRequest.objects.values_list("state", flat=True)) == {"pending"}


def test_several_are_approved_until_a_time_and_each_refusal_is_told(admin: User) -> None:
    fine, own = make_quota_request(user=make_user()), make_quota_request(user=make_user(), asker=admin)
    late = make_quota_request(user=make_user())
    quota_request_reject(request_id=late.pk, actor=Actor.login(make_login(role="schema_admin")), note="no")
    answer = signed_in(admin).post(
        verb_of(QuotaRequest, "decide"),
        {
            "ids": [fine.pk, own.pk, late.pk, 999_999],
            "decision": "approve",
            "note": "all of them",
            "until": "2099-01-01T00:00",
        },
    )
    text = text_of(answer.content.decode())
    assert "1 request is decided." in text
    assert f"#{fine.pk} {fine.user} approved" in text
    assert f"#{own.pk} {own.user} pending Who asked for more quota for an owner cannot decide" in text
    assert f"#{late.pk} {late.user} rejected Upgrade request {late.pk} is rejected already." in text
    assert "There is no upgrade request 999999." in text
    fine.refresh_from_db()
    assert (fine.decision_note, fine.granted_until) == ("all of them", datetime(2099, 1, 1, tzinfo=UTC))
    assert maxima(fine.user) == (20, 200)
    assert maxima(own.user) == (10, 200)


def test_several_are_rejected_with_one_note(admin: User) -> None:
    requests = [make_quota_request(user=make_user()) for _n in range(3)]
    answer = signed_in(admin).post(
        verb_of(QuotaRequest, "decide"),
        {"ids": [one.pk for one in requests], "decision": "reject", "note": "not this year"},
    )
    assert "3 requests are decided." in text_of(answer.content.decode())
    assert set(QuotaRequest.objects.values_list("state", "decision_note")) == {("rejected", "not this year")}


@pytest.mark.parametrize(
    ("given", "at", "said"),
    [
        ({"note": ""}, "note", "This field is required."),
        ({"decision": "perhaps"}, "__all__", "Approve or reject: nothing was decided."),
        ({"decision": ""}, "__all__", "Approve or reject: nothing was decided."),
        ({"until": "1999-01-01T00:00"}, "until", "The end of a grant lies in the future."),
        (
            {"decision": "reject", "until": "2099-01-01T00:00"},
            "until",
            "Only an approval has an end.",
        ),
    ],
)
def test_a_decision_about_several_that_makes_no_sense_decides_none(
    admin: User, given: dict[str, str], at: str, said: str
) -> None:
    request = make_quota_request(user=make_user())
    typed = {"ids": [request.pk], "decision": "approve", "note": "what was typed", **given}
    answer = signed_in(admin).post(verb_of(QuotaRequest, "decide"), typed)
    assert answer.status_code == 200
    assert answer.context["form"].errors[at] == [said]
    assert f'name="ids" value="{request.pk}"' in answer.content.decode()
    request.refresh_from_db()
    assert request.state == RequestState.PENDING


@pytest.mark.parametrize("ids", [[], ["x", "-1", "9" * 40], range(1, 102)])
def test_none_or_too_many_lead_back_to_the_list(admin: User, ids: Iterable[str | int]) -> None:
    client = signed_in(admin)
    for method in (client.get, client.post):
        answer = method(verb_of(QuotaRequest, "decide"), {"ids": [*ids]}, follow=True)
        assert answer.redirect_chain[0][0] == list_of(QuotaRequest)
        assert "Choose from 1 to 100 requests" in answer.content.decode()


def test_what_nobody_can_decide_any_more_has_no_form(admin: User) -> None:
    request = make_quota_request(user=make_user())
    quota_request_reject(request_id=request.pk, actor=Actor.login(admin), note="no")
    html = signed_in(admin).get(decide_address(request)).content.decode()
    assert "None of these waits for you to decide." in html
    assert 'name="decision"' not in html


@pytest.mark.parametrize("role", ["viewer", "operator"])
def test_only_who_decides_gets_to_the_page_of_several(client_of: Callable[[str], Client], role: str) -> None:
    request, client = make_quota_request(user=make_user()), client_of(role)
    assert client.get(decide_address(request)).status_code == 403
    given = {"ids": [request.pk], "decision": "approve", "note": "x"}
    assert client.post(verb_of(QuotaRequest, "decide"), given).status_code == 403
    request.refresh_from_db()
    assert request.state == RequestState.PENDING
