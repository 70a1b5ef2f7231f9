"""Dismissing, snoozing and recalling fields, and keeping ignore lists: once, audited, and by whom it may be done."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from fragments.models import DismissalOrigin, FieldDismissal, IgnoredPattern
from fragments.selectors_refusals import patterns_ignored
from fragments.services import ignore_lists
from fragments.services.dismissals import field_dismiss, field_recall, field_snooze
from fragments.services.ignore_lists import pattern_ignore, pattern_recall
from schemaevo.kernel.actors import Actor
from schemaevo.kernel.models import AuditEvent, User
from tests.factories import SHELL, THING, make_login, make_user
from tests.registry.trail import refused

pytestmark = pytest.mark.django_db


@pytest.fixture
def owner() -> User:
    return make_user()


def given(owner: User | None, **more: Any) -> dict[str, Any]:
    return {
        "entity_type": THING,
        "name": "smell",
        "user_id": owner.pk if owner else None,
        "actor": SHELL,
        **more,
    }


def later(days: int = 1) -> datetime:
    return timezone.now() + timedelta(days=days)


def newest(action: str) -> AuditEvent:
    return AuditEvent.objects.filter(action=action).latest("id")


# --- dismissing -----------------------------------------------------------------------------------------------
def test_a_dismissal_says_by_whom_why_and_what_made_it_so(owner: User) -> None:
    login = make_login(role="operator")
    row = field_dismiss(
        **given(owner, actor=Actor.login(login), reason=" no use ", origin=DismissalOrigin.UNDO)
    )
    assert FieldDismissal.objects.get() == row
    assert (row.user_id, row.fragment_key, row.until, row.origin) == (owner.pk, "smell", None, "undo")
    assert (row.reason, row.made_by, row.made_by_name) == ("no use", login, login.username)
    assert row.made_at is not None
    event = newest("field.dismiss")
    assert (event.actor, event.reason, event.before) == (login, "no use", None)
    assert event.after == {"field": "smell", "until": None, "origin": "undo"}
    assert event.target_id == f"{THING}:{owner.pk}"


def test_the_same_again_changes_nothing_and_is_not_audited_again(owner: User) -> None:
    until = later()
    first = field_snooze(**given(owner, until=until))
    assert field_snooze(**given(owner, until=until, actor=Actor.system("another"))) == first
    assert FieldDismissal.objects.get().made_by_name == SHELL.name
    assert AuditEvent.objects.filter(action="field.snooze").count() == 1


def test_another_decision_takes_the_place_of_the_one_before(owner: User) -> None:
    until = later()
    field_snooze(**given(owner, until=until))
    field_dismiss(**given(owner, reason="for good"))
    row = FieldDismissal.objects.get()
    assert (row.until, row.reason) == (None, "for good")
    assert newest("field.dismiss").before == {
        "field": "smell",
        "until": until.isoformat(),
        "origin": "decision",
    }
    field_snooze(**given(owner, until=later(5)))
    assert FieldDismissal.objects.get().until is not None


def test_users_types_fields_and_all_users_have_dismissals_of_their_own(owner: User) -> None:
    field_dismiss(**given(owner))
    field_dismiss(**given(None))
    field_dismiss(**given(make_user()))
    field_dismiss(**given(owner, entity_type="another"))
    field_dismiss(**given(owner, name="Smell"))
    assert FieldDismissal.objects.count() == 5
    field_recall(**given(None))
    assert set(FieldDismissal.objects.values_list("user_id", flat=True)) >= {owner.pk}
    assert not FieldDismissal.objects.filter(user=None).exists()


def test_a_recalled_field_leaves_only_the_audit(owner: User) -> None:
    field_dismiss(**given(owner))
    row = field_recall(**given(owner, reason="it is good after all"))
    assert row is not None
    assert not FieldDismissal.objects.exists()
    event = newest("field.recall")
    assert (event.before, event.after) == ({"field": "smell", "until": None, "origin": "decision"}, None)
    assert event.reason == "it is good after all"
    assert field_recall(**given(owner)) is None
    assert AuditEvent.objects.filter(action="field.recall").count() == 1


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"entity_type": "No"}, "invalid_entity_type"),
        ({"name": ""}, "invalid_field"),
        ({"name": "x" * 1_001}, "invalid_field"),
        ({"name": "ä" * 501}, "invalid_field"),
        ({"name": "a\x00"}, "unstorable_json"),
        ({"reason": "a\x00"}, "unstorable_json"),
        ({"user_id": 987_654}, "user_not_found"),
    ],
)
def test_what_names_nothing_is_refused(owner: User, changed: dict[str, Any], code: str) -> None:
    refused(lambda: field_dismiss(**given(owner, **changed)), code)
    refused(lambda: field_snooze(**given(owner, until=later(), **changed)), code)
    refused(lambda: field_recall(**given(owner, **changed)), code)
    assert not FieldDismissal.objects.exists()


@pytest.mark.parametrize(
    ("until", "code"),
    [
        (datetime(2020, 1, 1, tzinfo=UTC), "until_passed"),
        (datetime(3000, 1, 1, tzinfo=UTC), "until_too_late"),
    ],
)
def test_a_field_is_snoozed_until_a_time_that_comes(owner: User, until: datetime, code: str) -> None:
    refused(lambda: field_snooze(**given(owner, until=until)), code)


def test_over_all_users_only_who_keeps_the_ignore_lists_may_dismiss(owner: User) -> None:
    operator = Actor.login(make_login(role="operator"))
    admin = Actor.login(make_login(role="schema_admin"))
    field_dismiss(**given(owner, actor=operator))
    for act in (field_dismiss, field_recall):
        refused(lambda act=act: act(**given(None, actor=operator)), "permission_denied")  # type: ignore[misc]
    refused(lambda: field_snooze(**given(None, actor=operator, until=later())), "permission_denied")
    field_dismiss(**given(None, actor=admin))
    assert FieldDismissal.objects.count() == 2


# --- ignore lists ---------------------------------------------------------------------------------------------
def listed(user_id: int | None = None) -> list[tuple[str, str]]:
    return [(line.entity_type, line.pattern) for line in patterns_ignored(user_id=user_id)]


def test_a_pattern_is_listed_once_in_its_normalised_form(owner: User) -> None:
    first = pattern_ignore(pattern="X-*", user_id=None, actor=SHELL, reason="extras")
    assert pattern_ignore(pattern="x_*", user_id=None, actor=SHELL) == first
    pattern_ignore(pattern="X-*", user_id=owner.pk, actor=SHELL)
    pattern_ignore(pattern="X-*", user_id=None, entity_type=THING, actor=SHELL)
    assert listed() == [("", "x_*"), (THING, "x_*")]
    assert listed(owner.pk) == [("", "x_*")]
    event = AuditEvent.objects.filter(action="pattern.ignore").earliest("id")
    assert (event.target_id, event.after, event.reason) == (
        "global",
        {"pattern": "x_*", "entity_type": None},
        "extras",
    )
    assert AuditEvent.objects.filter(action="pattern.ignore").count() == 3


def test_a_pattern_is_taken_off_its_own_list_only(owner: User) -> None:
    pattern_ignore(pattern="X-*", user_id=None, actor=SHELL)
    pattern_ignore(pattern="X-*", user_id=owner.pk, actor=SHELL)
    assert pattern_recall(pattern="x-*", user_id=owner.pk, actor=SHELL) is not None
    assert pattern_recall(pattern="x-*", user_id=owner.pk, actor=SHELL) is None
    assert (listed(), listed(owner.pk)) == ([("", "x_*")], [])
    assert newest("pattern.recall").before == {"pattern": "x_*", "entity_type": None}


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"pattern": "*"}, "invalid_pattern"),
        ({"pattern": "x" * 129}, "invalid_pattern"),
        ({"pattern": "x\x00"}, "unstorable_json"),
        ({"entity_type": "No"}, "invalid_entity_type"),
        ({"user_id": 987_654}, "user_not_found"),
        ({"reason": "x\x00"}, "unstorable_json"),
    ],
)
def test_a_line_that_is_none_is_refused(changed: dict[str, Any], code: str) -> None:
    said: dict[str, Any] = {"pattern": "x*", "user_id": None, "actor": SHELL, **changed}
    refused(lambda: pattern_ignore(**said), code)
    refused(lambda: pattern_recall(**said), code)
    assert not IgnoredPattern.objects.exists()


def test_a_list_has_an_end(monkeypatch: pytest.MonkeyPatch, owner: User) -> None:
    monkeypatch.setattr(ignore_lists, "LIST_MAX", 2)
    for pattern in ("a*", "b*"):
        pattern_ignore(pattern=pattern, user_id=owner.pk, actor=SHELL)
    refused(lambda: pattern_ignore(pattern="c*", user_id=owner.pk, actor=SHELL), "list_full")
    assert pattern_ignore(pattern="b*", user_id=owner.pk, actor=SHELL).pattern == "b*"
    pattern_ignore(pattern="c*", user_id=None, actor=SHELL)


@pytest.mark.parametrize("model", [FieldDismissal, IgnoredPattern])
def test_the_database_keeps_one_row_for_all_users_too(model: Any) -> None:
    columns = {"fragment_key": "a"} if model is FieldDismissal else {"pattern": "a"}
    model.objects.create(entity_type=THING, made_by_name="me", **columns)
    with pytest.raises(IntegrityError, match="_uq"), transaction.atomic():
        model.objects.create(entity_type=THING, made_by_name="me", **columns)
