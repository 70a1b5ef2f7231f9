"""Editing a schema: a version that differs by the edits and by nothing else, from a base that still stands."""

from __future__ import annotations

import itertools
from functools import partial
from typing import Any

import pytest
from django.db import transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from registry.domain.definition import Definition
from registry.domain.edits import Edit, edited
from registry.domain.problems import InvalidDocument
from registry.models import SchemaEpoch, SchemaVersion
from registry.services.activation import schema_activate, schema_deactivate, schema_retire
from registry.services.schemas import schema_register, schema_update
from schemaevo.kernel.actors import Actor
from schemaevo.kernel.canonical import Json, canonical_json, decode
from schemaevo.kernel.errors import LockTimeout
from schemaevo.kernel.locks import LockSpace, hold
from tests.domain.strategies import definitions, edits
from tests.factories import SHELL, THING, make_compatibility, make_definition, make_user, make_version
from tests.registry.trail import audited, recomputations, refused
from tests.rounds import rounds
from tests.threads import Aside

pytestmark = pytest.mark.django_db

RICH = make_definition(
    size={
        "type": "number",
        "required": True,
        "description": "in bytes",
        "converters": ["string_to_number"],
        "constraints": {"min": 0, "max": 10},
    },
    tags={"type": "array", "description": "words"},
    policies={"tags": {"strategy": "merge_array"}, "size": {"strategy": "highest_priority"}},
    kinds=["human", "sync"],
)
ADD: list[Json] = [{"op": "add_field", "field": "more", "declaration": {"type": "string"}}]


_kinds = itertools.count()


def update(edits: Json = ADD, base: str = "1.0.0", **options: Any) -> SchemaVersion:
    registered = schema_update(
        **{"entity_type": THING, "edits": edits, "base": base, "actor": SHELL, **options}
    )
    return registered.version


def test_an_update_changes_what_it_was_asked_to_and_nothing_else() -> None:
    make_version(document=RICH)
    version = update(
        [
            {"op": "set_description", "field": "size", "description": "in octets"},
            {"op": "set_constraints", "field": "size", "unset": ["max"]},
        ]
    )
    expected = Definition.from_json(RICH).to_json()
    size = expected["fields"]["size"]  # type: ignore[index,call-overload]
    size["description"] = "in octets"  # type: ignore[index,call-overload]
    size["constraints"] = {"min": 0}  # type: ignore[index,call-overload]
    assert canonical_json(version.definition) == canonical_json(expected)
    assert (version.number, version.is_active) == ("1.1.0", False)


@pytest.mark.rounds
@settings(
    max_examples=rounds(40),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(start=definitions(), some=st.lists(edits(), min_size=1, max_size=4))
def test_what_the_service_stores_is_what_the_edits_say(start: Definition, some: list[Edit]) -> None:
    """Any definition, any edits; what the domain refuses is refused here, and leaves nothing behind."""
    kind = f"t{next(_kinds)}"
    make_compatibility(entity_type=kind)
    before = make_version(document=start.to_json(), entity_type=kind)
    documents: Json = [edit.to_json() for edit in some]
    expected = _expected(start, some)
    if isinstance(expected, InvalidDocument):
        context = refused(lambda: update(documents, before.number, entity_type=kind), expected.code)
        # They come in the order of the fields, which an object that was stored does not keep.
        assert sorted(context["problems"], key=canonical_json) == sorted(
            expected.context["problems"], key=canonical_json
        )
        assert SchemaVersion.objects.filter(entity_type=kind).count() == 1
        return
    with audited() as events:
        after = update(documents, before.number, entity_type=kind)
    assert canonical_json(after.definition) == canonical_json(expected.to_json())
    assert after.parsed.to_json() == expected.to_json()
    assert (after.pk == before.pk) == (events == []) == (expected.to_json() == start.to_json())
    # Exported and registered again it is the same version, byte for byte.
    again = schema_register(entity_type=kind, document=decode(canonical_json(after.definition)), actor=SHELL)
    assert (again.version.pk, again.created) == (after.pk, False)


def _expected(start: Definition, some: list[Edit]) -> Definition | InvalidDocument:
    try:
        return edited(start, some)
    except InvalidDocument as refusal:
        return refusal


def test_an_update_is_in_the_audit_log_and_puts_nothing_in_force() -> None:
    make_version(document=RICH)
    epochs = list(SchemaEpoch.objects.values_list("user_id", "epoch"))
    wanted = recomputations()
    with audited() as events:
        version = update(note="they asked for it")
    [event] = events
    assert (event.action, event.target_id, event.actor_name, event.reason, event.before) == (
        "schema_version.register",
        str(version.pk),
        SHELL.name,
        "they asked for it",
        None,
    )
    assert event.after == {
        "entity_type": THING,
        "owner": None,
        "number": "1.1.0",
        "change": "minor",
        "definition_hash": version.definition_hash,
    }
    assert list(SchemaEpoch.objects.values_list("user_id", "epoch")) == epochs
    assert recomputations() == wanted


def test_edits_that_come_to_nothing_are_the_version_that_is_there() -> None:
    first = make_version(document=RICH)
    with audited() as events:
        again = schema_update(
            entity_type=THING,
            edits=[{"op": "set_description", "field": "tags", "description": "words"}],
            base="1.0.0",
            actor=SHELL,
        )
    assert (again.version.pk, again.created, events) == (first.pk, False, [])


# --- a stale base ---------------------------------------------------------------------------------------------
def test_of_two_updates_from_one_base_the_second_is_refused_though_nothing_is_in_force_yet() -> None:
    make_version(document=RICH)
    update()
    other: list[Json] = [{"op": "remove_field", "field": "tags"}]
    context = refused(lambda: update(other), "stale_base")
    assert context == {"entity_type": THING, "given": "1.0.0", "present": "1.1.0"}
    assert update(other, "1.1.0").definition["fields"].keys() == {"size", "more"}


def test_the_base_is_what_is_in_force_once_the_draft_is() -> None:
    make_version(document=RICH)
    draft = update()
    schema_activate(version_id=draft.pk, actor=SHELL, without_review="now")
    refused(lambda: update([{"op": "remove_field", "field": "tags"}]), "stale_base")
    assert update([{"op": "remove_field", "field": "tags"}], "1.1.0").number == "2.0.0"


def test_going_back_gives_up_what_came_after_and_a_retired_draft_stands_in_nobodys_way() -> None:
    first = make_version(document=RICH)
    second = make_version(document=make_definition(**RICH["fields"], more="string"))
    schema_activate(version_id=first.pk, actor=SHELL, without_review="back")
    assert update([{"op": "set_kind_order", "kinds": ["sync"]}], first.number).number == "1.2.0"
    refused(lambda: update([{"op": "reset_kind_order"}], first.number), "stale_base")
    schema_retire(entity_type=THING, user_id=None, actor=SHELL, number="1.2.0")
    assert update([{"op": "reset_kind_order"}], first.number).number == "1.3.0"
    assert second.number == "1.1.0"


def test_where_none_is_in_force_the_newest_is_the_base() -> None:
    make_version(document=RICH)
    make_version(document=make_definition(**RICH["fields"], more="string"), is_active=False)
    schema_deactivate(entity_type=THING, user_id=None, actor=SHELL, without_review="off")
    refused(lambda: update(base="1.0.0"), "stale_base")
    assert update([{"op": "remove_field", "field": "more"}], "1.1.0").number == "2.0.0"


def test_a_whole_definition_may_name_its_base_too() -> None:
    def register(base: str | None) -> object:
        document = make_definition(**RICH["fields"], extra="date")
        return schema_register(entity_type=THING, document=document, actor=SHELL, base=base)

    assert refused(lambda: register("1.0.0"), "stale_base")["present"] is None
    make_version(document=RICH)
    update()
    assert refused(lambda: register("1.0.0"), "stale_base")["present"] == "1.1.0"
    register("1.1.0")
    assert SchemaVersion.objects.count() == 3


@pytest.mark.parametrize("base", ["", "1", "1.0", "01.0.0", "1.0.0 ", "9.9.9", "1.0.0\0"])
def test_a_base_that_is_not_there_is_stale(base: str) -> None:
    make_version(document=RICH)
    assert refused(lambda: update(base=base), "stale_base")["present"] == "1.0.0"


# --- what else is refused -------------------------------------------------------------------------------------
def test_there_has_to_be_a_schema_of_that_owner() -> None:
    make_version(document=RICH)
    owner = make_user()
    refused(lambda: update(user_id=owner.pk), "schema_not_found")
    refused(lambda: update(entity_type="nothing"), "schema_not_found")
    assert refused(lambda: update(entity_type="No"), "invalid_entity_type") == {"entity_type": "No"}
    refused(lambda: update(note="a\0b"), "unstorable_json")


def test_an_owners_update_leaves_the_global_schema_and_other_owners_alone() -> None:
    one, other = make_user(), make_user()
    for owner in (None, one, other):
        make_version(document=RICH, user=owner)
    version = update(user_id=one.pk)
    assert (version.user_id, version.number) == (one.pk, "1.1.0")
    assert {v.user_id for v in SchemaVersion.objects.filter(minor=1)} == {one.pk}


@pytest.mark.parametrize(
    ("edits", "code", "problems"),
    [
        (
            [
                {"op": "paint_field", "field": "size"},
                {"op": "add_field", "field": "x", "declaration": {"type": "text"}},
                {"op": "set_required", "field": "size", "required": "yes"},
                7,
            ],
            "invalid_edits",
            {
                ("/0/op", "unknown_op"),
                ("/1/declaration/type", "unknown_type"),
                ("/2/required", "wrong_type"),
                ("/3", "wrong_type"),
            },
        ),
        (
            [
                {"op": "remove_field", "field": "nope"},
                {"op": "add_field", "field": "size", "declaration": {"type": "date"}},
            ],
            "invalid_edits",
            {("/0/field", "undeclared_field"), ("/1/field", "already_declared")},
        ),
        (
            [{"op": "change_type", "field": "size", "type": "string"}],
            "invalid_definition",
            {
                ("/fields/size/converters/0", "wrong_end"),
                ("/fields/size/constraints/min", "unsuited_constraint"),
                ("/fields/size/constraints/max", "unsuited_constraint"),
            },
        ),
        ({"op": "remove_field"}, "invalid_edits", {("", "wrong_type")}),
    ],
)
def test_every_problem_is_told_at_once(edits: Json, code: str, problems: set[tuple[str, str]]) -> None:
    make_version(document=RICH)
    context = refused(lambda: update(edits), code)
    assert {(problem["path"], problem["rule"]) for problem in context["problems"]} == problems
    assert all({"path", "rule", "value", "message"} <= set(problem) for problem in context["problems"])
    assert SchemaVersion.objects.count() == 1


def test_a_denied_actor_is_told_nothing_about_the_edits() -> None:
    refused(lambda: update([7], actor=Actor.login(make_user())), "permission_denied")


@pytest.mark.django_db(transaction=True)
def test_an_update_waits_for_the_lock_of_its_own_type_and_owner_alone(settings: Any) -> None:
    owner, other = make_user(), make_user()
    for user in (None, owner, other):
        make_version(document=RICH, user=user)
    settings.SCHEMAEVO_LOCK_TIMEOUT_S = 0.2

    def outcome(user_id: int | None) -> str:
        try:
            return update(user_id=user_id).number
        except LockTimeout as timeout:
            return timeout.code

    with transaction.atomic():
        hold(LockSpace.SCHEMA_TYPE, [(THING,)], shared=True)
        hold(LockSpace.SCHEMA_OWNER, [(THING, owner.pk)], shared=True)
        found = []
        for user_id in (None, owner.pk, other.pk):
            with Aside(partial(outcome, user_id)) as future:
                found.append(future.result(60))
    assert found == ["lock_timeout", "lock_timeout", "1.1.0"]
