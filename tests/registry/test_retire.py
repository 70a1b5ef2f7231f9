"""Retiring versions: out of force and out of use, until somebody activates them again."""

from __future__ import annotations

from typing import Any

import pytest

from registry.models import SchemaEpoch, SchemaVersion
from registry.selectors import effective_schema, owned_by, version_in_force
from registry.services.activation import schema_activate, schema_retire
from schemaevo.kernel.actors import Actor
from tests.factories import SHELL, THING, make_definition, make_login, make_user, make_version
from tests.registry.trail import audited, recomputations, refused

pytestmark = pytest.mark.django_db

ONE, TWO = make_definition(a="string"), make_definition(a="string", b="number")
REVIEWED = {"without_review": "urgent"}


def retire(number: str | None = None, **options: Any) -> list[SchemaVersion]:
    return schema_retire(
        **{"entity_type": THING, "user_id": None, "actor": SHELL, "number": number, **options}
    )


def states(user_id: int | None = None) -> dict[str, tuple[bool, bool]]:
    """By number, whether a version is in force, and whether it is retired."""
    found = SchemaVersion.objects.filter(owned_by(user_id), entity_type=THING)
    return {version.number: (version.is_active, version.retired_at is not None) for version in found}


def test_a_retired_version_is_out_of_force_and_the_others_are_as_they_were() -> None:
    make_version(document=ONE)
    make_version(document=TWO)
    [version] = retire("1.1.0", **REVIEWED)
    assert (version.number, version.is_active) == ("1.1.0", False)
    assert states() == {"1.0.0": (False, False), "1.1.0": (False, True)}
    assert version_in_force(entity_type=THING, user_id=None) is None
    assert effective_schema(entity_type=THING, user_id=None).definition is None


def test_without_a_number_every_version_is_retired_each_with_its_event() -> None:
    make_version(document=ONE)
    make_version(document=TWO)
    before = SchemaEpoch.objects.get().epoch
    wanted = recomputations()
    with audited() as events:
        retired = retire(**REVIEWED)
    assert [version.number for version in retired] == ["1.1.0", "1.0.0"]
    assert states() == {"1.0.0": (False, True), "1.1.0": (False, True)}
    assert [(event.action, event.target_id, event.before, event.after, event.reason) for event in events] == [
        (
            "schema_version.retire",
            str(version.pk),
            {"in_force": version.number == "1.1.0", "retired": False},
            {
                "in_force": False,
                "retired": True,
                "entity_type": THING,
                "owner": None,
                "number": version.number,
                "without_review": True,
            },
            "urgent",
        )
        for version in retired
    ]
    # What is in force changed once.
    assert SchemaEpoch.objects.get().epoch == before + 1
    assert recomputations() == wanted + 1


def test_again_it_changes_nothing() -> None:
    make_version(document=ONE)
    [version] = retire("1.0.0", **REVIEWED)
    with audited() as events:
        assert retire("1.0.0") == retire() == []
    assert events == []
    again = SchemaVersion.objects.get()
    assert again.retired_at == version.retired_at
    assert SchemaEpoch.objects.get().epoch == 2


def test_a_draft_is_retired_without_a_review_since_nothing_in_force_changes() -> None:
    admin = Actor.login(make_login(role="schema_admin"))
    make_version(document=ONE)
    make_version(document=TWO, is_active=False)
    epoch = SchemaEpoch.objects.get().epoch
    with audited() as events:
        retire("1.1.0", actor=admin, note="nobody wants it")
    assert [(event.reason, event.actor_name) for event in events] == [("nobody wants it", admin.name)]
    assert isinstance(events[0].after, dict)
    assert events[0].after["without_review"] is False
    assert states() == {"1.0.0": (True, False), "1.1.0": (False, True)}
    assert SchemaEpoch.objects.get().epoch == epoch


def test_what_is_in_force_globally_needs_a_review() -> None:
    admin = Actor.login(make_login(role="schema_admin"))
    make_version(document=ONE)
    for number in ("1.0.0", None):
        refused(lambda number=number: retire(number, actor=admin, **REVIEWED), "review_needed")  # type: ignore[misc]
        refused(lambda number=number: retire(number), "review_needed")  # type: ignore[misc]
        refused(lambda number=number: retire(number, without_review=" "), "review_needed")  # type: ignore[misc]
    assert states() == {"1.0.0": (True, False)}


def test_an_owners_schema_is_retired_without_a_review_and_nobody_elses() -> None:
    admin = Actor.login(make_login(role="schema_admin"))
    one, other = make_user(), make_user()
    for owner in (None, one, other):
        make_version(document=ONE, user=owner)
    retire(user_id=one.pk, actor=admin)
    assert states(one.pk) == {"1.0.0": (False, True)}
    assert states(other.pk) == states() == {"1.0.0": (True, False)}


def test_activating_brings_a_retired_version_back() -> None:
    first = make_version(document=ONE)
    retire("1.0.0", **REVIEWED)
    refused(lambda: schema_activate(version_id=first.pk, actor=SHELL), "review_needed")
    with audited() as events:
        again = schema_activate(version_id=first.pk, actor=SHELL, **REVIEWED)
    assert (again.is_active, again.retired_at, again.first_activated_at) == (
        True,
        None,
        first.first_activated_at,
    )
    [event] = events
    assert (event.before, event.after) == (
        {"in_force": None, "retired": True},
        {"in_force": "1.0.0", "entity_type": THING, "owner": None, "without_review": True, "retired": False},
    )


def test_activating_another_one_leaves_the_retired_one_retired() -> None:
    make_version(document=ONE)
    second = make_version(document=TWO, is_active=False)
    retire("1.0.0", **REVIEWED)
    stamp = SchemaVersion.objects.get(minor=0).retired_at
    schema_activate(version_id=second.pk, actor=SHELL, **REVIEWED)
    assert states() == {"1.0.0": (False, True), "1.1.0": (True, False)}
    assert SchemaVersion.objects.get(minor=0).retired_at == stamp


@pytest.mark.parametrize("number", ["9.9.9", "", "1", "1.0", "1.0.0 ", "-1.0.0", "1.0.٠"])
def test_a_version_that_is_not_there_is_not_found(number: str) -> None:
    make_version(document=ONE)
    assert refused(lambda: retire(number, **REVIEWED), "schema_not_found")["number"] == number


def test_a_schema_that_is_not_there_is_not_found() -> None:
    make_version(document=ONE)
    refused(lambda: retire(entity_type="nothing"), "schema_not_found")
    refused(lambda: retire(user_id=make_user().pk), "schema_not_found")


@pytest.mark.parametrize("option", ["note", "without_review"])
def test_a_note_that_no_row_can_hold_is_refused(option: str) -> None:
    make_version(document=ONE)
    refused(lambda: retire("1.0.0", **{**REVIEWED, option: "a\0b"}), "unstorable_json")
