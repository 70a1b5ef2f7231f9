"""The compatibility mode of an entity type: who sets it, and what every version has to agree with from then on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from registry.domain.compatibility import Mode
from registry.models import SchemaCompatibility, SchemaVersion
from registry.selectors import compatibility_mode
from registry.services.activation import schema_activate, schema_deactivate
from registry.services.compatibility import compatibility_set
from registry.services.schemas import schema_register, schema_update
from schemaevo.kernel.canonical import Json
from tests.factories import SHELL, THING, make_compatibility, make_definition, make_user, make_version
from tests.registry.trail import audited, refused

pytestmark = pytest.mark.django_db

BASE = make_definition(
    a="string",
    b={"type": "number", "required": True, "constraints": {"min": 1, "max": 5}},
    c={"type": "string", "constraints": {"pattern": "a"}},
)
BREAKING = make_definition(
    a="array",
    b={"type": "number", "constraints": {"min": 2, "max": 9}},
    c={"type": "string", "required": True, "constraints": {"pattern": "b"}},
    d={"type": "date", "required": True},
)
BACKWARD_REASONS = {
    ("/fields/a/type", "type_changed"),
    ("/fields/b/constraints/min", "constraint_tightened"),
    ("/fields/c/required", "became_required"),
    ("/fields/c/constraints/pattern", "constraint_incomparable"),
    ("/fields/d", "required_field_added"),
}
FORWARD_REASONS = {
    ("/fields/a/type", "type_changed"),
    ("/fields/b/required", "became_optional"),
    ("/fields/b/constraints/max", "constraint_loosened"),
    ("/fields/c/constraints/pattern", "constraint_incomparable"),
}


def register(document: Json = BREAKING, **options: Any) -> SchemaVersion:
    return schema_register(**{"entity_type": THING, "document": document, "actor": SHELL, **options}).version


def reasons_of(context: dict[str, Any]) -> list[tuple[str, str, str, str]]:
    return [(one["direction"], one["against"], one["path"], one["rule"]) for one in context["reasons"]]


# --- setting it -----------------------------------------------------------------------------------------------
def test_a_type_is_backward_compatible_until_somebody_says_otherwise() -> None:
    assert compatibility_mode(entity_type=THING) is Mode.BACKWARD
    with audited() as events:
        before = compatibility_set(entity_type=THING, mode="FULL", actor=SHELL, reason="an agreement")
    assert (before, compatibility_mode(entity_type=THING)) == (Mode.BACKWARD, Mode.FULL)
    assert compatibility_mode(entity_type="other") is Mode.BACKWARD
    [event] = events
    assert (event.action, event.target_type, event.target_id, event.before, event.after, event.reason) == (
        "compatibility.set",
        "entity_type",
        THING,
        {"mode": "BACKWARD"},
        {"mode": "FULL"},
        "an agreement",
    )


@pytest.mark.parametrize("mode", Mode)
def test_every_mode_can_be_set_and_setting_it_again_changes_nothing(mode: Mode) -> None:
    compatibility_set(entity_type=THING, mode=mode.value, actor=SHELL)
    with audited() as events:
        assert compatibility_set(entity_type=THING, mode=mode.value, actor=SHELL) is mode
    assert events == []
    assert compatibility_mode(entity_type=THING) is mode


def test_the_default_can_be_set_again_after_another() -> None:
    make_compatibility(mode=Mode.NONE)
    assert compatibility_set(entity_type=THING, mode="BACKWARD", actor=SHELL) is Mode.NONE
    assert SchemaCompatibility.objects.get().mode == "BACKWARD"


@pytest.mark.parametrize("mode", ["", "backward", "BACKWARDS", "NONE ", "x" * 5000])
def test_an_unknown_mode_is_refused(mode: str) -> None:
    context = refused(lambda: compatibility_set(entity_type=THING, mode=mode, actor=SHELL), "unknown_mode")
    assert context["mode"] == mode
    assert not SchemaCompatibility.objects.exists()


def test_a_wrong_type_or_reason_is_refused() -> None:
    refused(lambda: compatibility_set(entity_type="No", mode="NONE", actor=SHELL), "invalid_entity_type")
    refused(
        lambda: compatibility_set(entity_type=THING, mode="NONE", actor=SHELL, reason="\0"), "unstorable_json"
    )


# --- what it does ---------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        (Mode.BACKWARD, {"BACKWARD": BACKWARD_REASONS}),
        (Mode.FORWARD, {"FORWARD": FORWARD_REASONS}),
        (Mode.FULL, {"BACKWARD": BACKWARD_REASONS, "FORWARD": FORWARD_REASONS}),
        (Mode.BACKWARD_TRANSITIVE, {"BACKWARD": BACKWARD_REASONS}),
        (Mode.FORWARD_TRANSITIVE, {"FORWARD": FORWARD_REASONS}),
        (Mode.FULL_TRANSITIVE, {"BACKWARD": BACKWARD_REASONS, "FORWARD": FORWARD_REASONS}),
    ],
)
@pytest.mark.parametrize("is_owners", [False, True])
def test_a_refusal_lists_every_reason_typed(
    mode: Mode, expected: dict[str, set[tuple[str, str]]], is_owners: bool
) -> None:
    owner = make_user() if is_owners else None
    make_version(document=BASE, user=owner)
    make_compatibility(mode=mode)
    context = refused(lambda: register(user_id=owner.pk if owner else None), "incompatible_change")
    assert context["mode"] == mode.value
    assert sorted(reasons_of(context)) == sorted(
        (direction, "1.0.0", path, rule) for direction, reasons in expected.items() for path, rule in reasons
    )
    assert all({"field", "old", "new", "message"} <= set(reason) for reason in context["reasons"])
    assert SchemaVersion.objects.count() == 1


def test_none_admits_everything() -> None:
    make_version(document=BASE)
    make_compatibility()
    assert register().number == "2.0.0"


def test_an_update_is_held_to_it_too() -> None:
    make_version(document=BASE)
    edits: Json = [{"op": "set_required", "field": "a", "required": True}]

    def update() -> SchemaVersion:
        return schema_update(entity_type=THING, edits=edits, base="1.0.0", actor=SHELL).version

    [reason] = refused(update, "incompatible_change")["reasons"]
    assert (reason["rule"], reason["field"], reason["old"], reason["new"]) == (
        "became_required",
        "a",
        False,
        True,
    )
    make_compatibility()
    assert update().number == "2.0.0"


def test_what_was_registered_before_the_mode_is_held_to_it_when_it_comes_into_force() -> None:
    make_compatibility()
    make_version(document=BASE)
    draft = register()
    make_compatibility(mode=Mode.BACKWARD)

    def activate() -> SchemaVersion:
        return schema_activate(version_id=draft.pk, actor=SHELL, without_review="now")

    assert {rule for *_, rule in reasons_of(refused(activate, "incompatible_change"))} == {
        rule for _, rule in BACKWARD_REASONS
    }
    make_compatibility()
    assert activate().is_active


def test_a_definition_that_is_registered_already_is_returned_whatever_the_mode() -> None:
    make_compatibility()
    make_version(document=BASE)
    draft = register()
    make_compatibility(mode=Mode.FULL_TRANSITIVE)
    assert register().pk == draft.pk


def test_a_transitive_mode_compares_with_whatever_was_ever_in_force_and_with_nothing_else() -> None:
    make_compatibility()
    make_version(document=make_definition(a="string"))
    make_version(document=make_definition(a="number"))
    make_version(document=make_definition(a="boolean"), is_active=False)
    make_version(document=make_definition(b="date"))
    back = make_definition(b="date", a="string")
    make_compatibility(mode=Mode.BACKWARD_TRANSITIVE)
    assert reasons_of(refused(lambda: register(back), "incompatible_change")) == [
        ("BACKWARD", "2.0.0", "/fields/a/type", "type_changed")
    ]
    make_compatibility(mode=Mode.BACKWARD)
    assert register(back).number == "4.1.0"


@pytest.mark.parametrize(
    ("mode", "is_refused"), [(Mode.FULL, False), (Mode.FULL_TRANSITIVE, True), (Mode.NONE, False)]
)
def test_with_nothing_in_force_only_a_transitive_mode_has_something_to_say(
    mode: Mode, is_refused: bool
) -> None:
    make_version(document=BASE)
    schema_deactivate(entity_type=THING, user_id=None, actor=SHELL, without_review="off")
    make_compatibility(mode=mode)
    act: Callable[[], SchemaVersion] = register
    if is_refused:
        refused(act, "incompatible_change")
    else:
        schema_activate(version_id=act().pk, actor=SHELL, without_review="on")


def test_owners_are_compared_with_their_own_versions_alone() -> None:
    one, other = make_user(), make_user()
    make_version(document=BASE)
    make_version(document=make_definition(z="date"), user=other)
    make_version(document=BREAKING, user=one)
    assert SchemaVersion.objects.filter(is_active=True).count() == 3
