"""Upgrade requests: asked by one, decided once by another, whoever and whatever they come through (I4, I12)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from django.utils.timezone import now

from registry.models import QuotaGrant, QuotaRequest, RequestState
from registry.services.quota_requests import (
    quota_request_approve,
    quota_request_create,
    quota_request_reject,
    quota_request_withdraw,
    quota_requests_decide,
)
from schemaevo.kernel.actors import Actor
from schemaevo.kernel.models import User
from tests.factories import SHELL, make_login, make_maximum, make_quota_request, make_user
from tests.quotas import maxima
from tests.registry.trail import audited, refused

pytestmark = pytest.mark.django_db


@pytest.fixture
def admin() -> Actor:
    return Actor.login(make_login(role="schema_admin"))


def create(owner: User, asker: User, **given: Any) -> QuotaRequest:
    return quota_request_create(
        **{
            "user_id": owner.pk,
            "actor": Actor.login(asker),
            "reason": "they grow",
            "max_schemas": 20,
            **given,
        }
    )


# --- asking ---------------------------------------------------------------------------------------------------
def test_asking_changes_no_maximum_and_asking_again_is_the_same_request() -> None:
    owner, asker = make_user(), make_login(role="operator")
    with audited() as events:
        request = create(owner, asker, max_fields=300)
        assert create(owner, asker, max_fields=300, reason="again") == request
    assert (request.state, request.asked_by, request.reason) == (RequestState.PENDING, asker, "they grow")
    assert [(event.action, event.actor, event.reason) for event in events] == [
        ("quota_request.create", asker, "they grow")
    ]
    assert events[0].after == {"owner": owner.pk, "max_schemas": 20, "max_fields": 300}
    assert maxima(owner) == (10, 200)


def test_an_owner_has_one_request_that_waits() -> None:
    owner, asker = make_user(), make_login(role="operator")
    request = create(owner, asker)
    for other in (
        lambda: create(owner, asker, max_schemas=30),
        lambda: create(owner, make_login(role="operator")),
    ):
        assert refused(other, "request_pending") == {"request_id": request.pk}
    quota_request_withdraw(request_id=request.pk, actor=Actor.login(asker))
    assert create(owner, asker, max_schemas=30).state == RequestState.PENDING


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"max_schemas": None}, "maximum_needed"),
        ({"max_schemas": 0}, "maximum_out_of_range"),
        ({"max_schemas": 10**7}, "maximum_out_of_range"),
        ({"max_schemas": 10}, "not_more"),
        ({"max_fields": 200}, "not_more"),
        ({"reason": " \n"}, "note_needed"),
        ({"reason": "\ud800"}, "unstorable_json"),
        ({"user_id": -1}, "user_not_found"),
        ({"actor": SHELL}, "login_needed"),
    ],
)
def test_a_request_that_makes_no_sense_is_refused(given: dict[str, Any], code: str) -> None:
    refused(lambda: create(make_user(), make_login(role="operator"), **given), code)
    assert not QuotaRequest.objects.exists()


# --- deciding -------------------------------------------------------------------------------------------------
def test_approved_as_asked(admin: Actor) -> None:
    owner = make_user()
    request = make_quota_request(user=owner, max_schemas=20, max_fields=400)
    with audited() as events:
        decided = quota_request_approve(request_id=request.pk, actor=admin, note="fine")
    assert (decided.state, decided.decided_by, decided.decision_note) == ("approved", admin.user, "fine")
    assert maxima(owner) == (20, 400)
    grant = QuotaGrant.objects.get()
    assert (grant.request, grant.granted_by, grant.until) == (request, admin.user, None)
    assert [event.action for event in events] == ["quota_request.approve", "quota.maximum"]
    assert events[0].before == {"state": "pending"}
    assert events[1].before == {"max_schemas": 10, "max_fields": 200}
    assert {event.actor for event in events} == {admin.user}


def test_approved_with_less_and_until_a_time(admin: Actor) -> None:
    owner = make_user()
    request = make_quota_request(user=owner, max_schemas=20, max_fields=400)
    until = now() + timedelta(days=30)
    decided = quota_request_approve(request_id=request.pk, actor=admin, max_schemas=15, until=until)
    assert (decided.granted_max_schemas, decided.granted_max_fields, decided.granted_until) == (
        15,
        None,
        until,
    )
    assert maxima(owner) == (15, 200)
    assert QuotaGrant.objects.get().until == until


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"max_schemas": 21}, "more_than_asked"),
        ({"max_fields": 300}, "more_than_asked"),
        ({"max_schemas": 10}, "not_more"),
        ({"max_schemas": 0}, "maximum_out_of_range"),
        ({"until": now()}, "until_passed"),
        ({"until": datetime(3000, 1, 1, tzinfo=UTC)}, "until_too_late"),
        ({"until": datetime.max.replace(tzinfo=timezone(timedelta(hours=-12)))}, "until_too_late"),
        ({"note": "\x00"}, "unstorable_json"),
        ({"request_id": -1}, "request_not_found"),
    ],
)
def test_an_approval_that_makes_no_sense_is_refused(admin: Actor, given: dict[str, Any], code: str) -> None:
    request = make_quota_request(user=make_user())
    refused(lambda: quota_request_approve(**{"request_id": request.pk, "actor": admin, **given}), code)
    request.refresh_from_db()
    assert request.state == RequestState.PENDING


def test_an_approval_never_lowers_what_the_owner_got_meanwhile(admin: Actor) -> None:
    owner = make_user()
    request = make_quota_request(user=owner, max_schemas=20)
    make_maximum(user=owner, max_schemas=50)
    refused(lambda: quota_request_approve(request_id=request.pk, actor=admin), "not_more")
    assert maxima(owner) == (50, 200)


def test_rejected_with_a_note_and_not_without(admin: Actor) -> None:
    owner = make_user()
    request = make_quota_request(user=owner)
    refused(lambda: quota_request_reject(request_id=request.pk, actor=admin, note=" "), "note_needed")
    decided = quota_request_reject(request_id=request.pk, actor=admin, note="clean up first")
    assert (decided.state, decided.decision_note) == ("rejected", "clean up first")
    assert maxima(owner) == (10, 200)


def test_the_same_decision_once_more_changes_nothing_and_another_comes_too_late(admin: Actor) -> None:
    request = make_quota_request(user=make_user())
    first = quota_request_approve(request_id=request.pk, actor=admin)
    with audited() as events:
        assert quota_request_approve(request_id=request.pk, actor=admin) == first
    assert events == []
    other = Actor.login(make_login(role="schema_admin"))
    late: list[Callable[[], object]] = [
        lambda: quota_request_approve(request_id=request.pk, actor=other),
        lambda: quota_request_approve(request_id=request.pk, actor=admin, max_schemas=15),
        lambda: quota_request_reject(request_id=request.pk, actor=admin, note="no"),
        lambda: quota_request_withdraw(request_id=request.pk, actor=Actor.login(request.asked_by)),
    ]
    for act in late:
        assert refused(act, "already_decided")["state"] == "approved"
    assert QuotaGrant.objects.count() == 1


def test_only_the_asker_withdraws_and_once_more_changes_nothing(admin: Actor) -> None:
    request = make_quota_request(user=make_user())
    refused(lambda: quota_request_withdraw(request_id=request.pk, actor=admin), "not_own_request")
    asker = Actor.login(request.asked_by)
    with audited() as events:
        assert (
            quota_request_withdraw(request_id=request.pk, actor=asker, note="done without").state
            == "withdrawn"
        )
        quota_request_withdraw(request_id=request.pk, actor=asker)
    assert [(event.action, event.reason) for event in events] == [("quota_request.withdraw", "done without")]
    refused(lambda: quota_request_approve(request_id=request.pk, actor=admin), "already_decided")


def test_several_are_approved_until_the_same_time_and_rejected_without_one(admin: Actor) -> None:
    owners = [make_user(), make_user()]
    requests = [make_quota_request(user=owner) for owner in owners]
    ids, until = [request.pk for request in requests], now() + timedelta(days=7)
    many: dict[str, Any] = {"request_ids": ids, "actor": admin, "note": "a trial"}
    refused(lambda: quota_requests_decide(decision="reject", until=until, **many), "until_of_rejection")
    refused(lambda: quota_requests_decide(decision="approve", until=now(), **many), "until_passed")
    outcomes = quota_requests_decide(decision="approve", until=until, **many)
    assert [one.request.granted_until for one in outcomes if one.request] == [until, until]
    assert [maxima(owner) for owner in owners] == [(20, 200), (20, 200)]
    with audited() as events:
        assert [one.refusal for one in quota_requests_decide(decision="approve", until=until, **many)] == [
            None,
            None,
        ]
    assert events == []


def test_several_are_decided_with_one_note_and_what_is_refused_stays(admin: Actor) -> None:
    owners = [make_user() for _ in range(4)]
    mine = make_quota_request(user=owners[3], asker=admin.user)
    requests = [make_quota_request(user=owner) for owner in owners[:3]]
    quota_request_reject(
        request_id=requests[1].pk, actor=Actor.login(make_login(role="schema_admin")), note="no"
    )
    ids = [request.pk for request in (*requests, mine)]
    outcomes = quota_requests_decide(
        request_ids=[*ids, 10**9], decision="approve", actor=admin, note="all of you"
    )
    codes = {one.request_id: one.refusal.code if one.refusal else None for one in outcomes}
    assert codes == {
        requests[0].pk: None,
        requests[1].pk: "already_decided",
        requests[2].pk: None,
        mine.pk: "own_request",
        10**9: "request_not_found",
    }
    assert [maxima(owner)[0] for owner in owners] == [20, 10, 20, 10]
    assert set(QuotaRequest.objects.filter(state="approved").values_list("decision_note", flat=True)) == {
        "all of you"
    }
    outcomes = quota_requests_decide(request_ids=[mine.pk], decision="reject", actor=admin, note="no")
    assert outcomes[0].refusal is not None
    other = Actor.login(make_login(role="schema_admin"))
    outcomes = quota_requests_decide(request_ids=[mine.pk], decision="reject", actor=other, note="no")
    assert outcomes[0].request is not None
    assert outcomes[0].request.state == RequestState.REJECTED
