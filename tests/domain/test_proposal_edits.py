"""The edits of proposals: what they may be, found between any two definitions, and moved to another base."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from registry.domain.definition import NO_FIELDS, Definition
from registry.domain.edits import edited
from registry.domain.problems import InvalidDefinition, InvalidEdits
from registry.domain.proposal_edits import (
    PROPOSABLE_OPS,
    edits_between,
    parse_proposal_edits,
    rebased_edits,
)
from registry.domain.validation import parse_definition
from tests.domain.strategies import definitions
from tests.factories import make_definition


def alike(one: Definition, other: Definition) -> bool:
    """Whether both say the same."""
    return one.to_json() == other.to_json()


def defined(**parts: Any) -> Definition:
    return parse_definition(make_definition(**parts))


def moved(base: Definition, edits: list[Any], theirs: Definition) -> tuple[list[Any], tuple[str, ...]]:
    """The edits, as they are written, that rebasing gives; and the clashes."""
    result = rebased_edits(base, parse_proposal_edits(edits), theirs)
    return [edit.to_json() for edit in result.edits], result.clashes


@pytest.mark.parametrize(
    "edit",
    [
        {"op": "change_type", "field": "a", "type": "number"},
        {"op": "set_required", "field": "a", "required": True},
        {"op": "set_constraints", "field": "a", "set": {"min": 1}},
        {"op": "remove_converter", "field": "a", "converter": "number_to_string"},
        {"op": "order_converters", "field": "a", "converters": []},
        {"op": "set_kind_order", "kinds": []},
        {"op": "reset_kind_order"},
    ],
)
def test_what_no_proposal_may_do_is_refused_where_it_stands(edit: dict[str, Any]) -> None:
    removal: dict[str, Any] = {"op": "remove_field", "field": "b"}
    with pytest.raises(InvalidEdits) as refusal:
        parse_proposal_edits([removal, edit])
    [problem] = refusal.value.context["problems"]
    assert (problem["path"], problem["rule"]) == ("/1/op", "op_not_proposable")


@given(definitions(), definitions())
def test_edits_between_two_definitions_made_to_one_come_to_the_other(one, other) -> None:
    after = replace(other, observation_source_priority=one.observation_source_priority)
    edits = edits_between(one, after)
    assert alike(edited(one, edits), after)
    # They can be written, read, and be part of a proposal.
    assert parse_proposal_edits([edit.to_json() for edit in edits]) == edits
    assert {edit.op for edit in edits} <= set(PROPOSABLE_OPS)


@given(definitions())
def test_between_a_definition_and_itself_there_are_no_edits(one) -> None:
    assert edits_between(one, one) == ()


def test_another_kind_order_is_no_matter_of_a_proposal() -> None:
    with pytest.raises(ValueError, match="kind order"):
        edits_between(defined(a="string"), defined(a="string", kinds=["human"]))


def test_what_can_be_reached_is_edited_and_not_replaced() -> None:
    before = defined(a="string", b="number")
    after = defined(
        a={"type": "string", "description": "x", "converters": ["number_to_string"]},
        b="number",
        policies={"b": {"strategy": "highest_priority"}},
    )
    assert [edit.op for edit in edits_between(before, after)] == [
        "add_converter",
        "set_description",
        "set_policy",
    ]


@st.composite
def changed(draw: st.DrawFn) -> tuple[Definition, Definition, Definition]:
    """A base, and two others with its kind order."""
    base, mine, theirs = (draw(definitions()) for _ in range(3))
    kinds = base.observation_source_priority
    return base, replace(mine, observation_source_priority=kinds), theirs


@given(changed())
def test_moved_to_their_base_the_edits_do_all_that_does_not_clash(three) -> None:
    base, mine, theirs = three
    edits = edits_between(base, mine)
    try:
        result = rebased_edits(base, edits, theirs)
    except InvalidDefinition:
        assume(False)
    together = edited(theirs, result.edits)
    assert together.kind_order == theirs.kind_order
    for name in {*base.fields, *mine.fields, *theirs.fields}:
        sides = [name in side.fields and side.declaration(name) for side in (base, mine, theirs, together)]
        if sides[0] == sides[1]:
            # What they did alone stands.
            assert sides[3] == sides[2]
        elif sides[0] == sides[2]:
            assert sides[3] == sides[1]


@given(changed())
def test_moved_to_the_same_base_they_do_the_same_and_moved_to_their_result_nothing(three) -> None:
    base, mine, _theirs = three
    edits = edits_between(base, mine)
    same = rebased_edits(base, edits, base)
    assert alike(edited(base, same.edits), mine)
    assert same.clashes == ()
    assert rebased_edits(base, edits, mine) == type(same)((), ())


def test_converters_of_both_sides_stand_together() -> None:
    base = defined(a="string")
    theirs = defined(a={"type": "string", "converters": ["boolean_to_string"]})
    edit = {"op": "add_converter", "field": "a", "converter": "number_to_string"}
    edits, clashes = moved(base, [edit], theirs)
    assert [(one["op"], one["position"]) for one in edits] == [("add_converter", 1)]
    assert clashes == ()


def test_a_converter_that_suits_the_type_no_more_is_left_out_and_told() -> None:
    edit = {"op": "add_converter", "field": "a", "converter": "number_to_string"}
    other = {"op": "add_field", "field": "b", "declaration": {"type": "string"}}
    edits, clashes = moved(defined(a="string"), [edit, other], defined(a="boolean"))
    assert [one["op"] for one in edits] == ["add_field"]
    assert clashes == ("/fields/a/converters",)


def test_a_policy_of_a_field_that_they_removed_is_left_out_and_told() -> None:
    edit = {"op": "set_policy", "field": "a", "merge_policy": {"strategy": "merge_array"}}
    edits, clashes = moved(defined(a="string", b="string"), [edit], defined(b="string"))
    assert (edits, clashes) == ([], ("/merge_policies/a",))


def test_a_field_that_both_added_otherwise_is_as_the_edits_want_it_and_told() -> None:
    edit = {"op": "add_field", "field": "a", "declaration": {"type": "string"}}
    edits, clashes = moved(NO_FIELDS, [edit], defined(a="number"))
    assert [one["op"] for one in edits] == ["remove_field", "add_field"]
    assert clashes == ("/fields/a/type",)


def test_a_field_that_both_added_alike_is_there_already() -> None:
    edit = {"op": "add_field", "field": "a", "declaration": {"type": "string"}}
    assert moved(NO_FIELDS, [edit], defined(a="string", b="number")) == ([], ())


def test_without_a_schema_in_force_only_what_was_added_is_left() -> None:
    edits, clashes = moved(
        defined(a="string"),
        [
            {"op": "add_field", "field": "b", "declaration": {"type": "string"}},
            {"op": "set_description", "field": "a", "description": "x"},
        ],
        NO_FIELDS,
    )
    # The description was to be changed of a field that is gone: it is declared again.
    assert [(one["op"], one["field"]) for one in edits] == [("add_field", "a"), ("add_field", "b")]
    assert clashes == ("/fields/a",)
