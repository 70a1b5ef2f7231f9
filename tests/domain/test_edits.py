"""Edits change what they name and nothing else, and say all at once why they cannot be made."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.domain.definition import Definition
from registry.domain.diff import diff
from registry.domain.edit_documents import parse_edits
from registry.domain.edits import ChangeType, Edit, RemoveField, ResetKindOrder, SetKindOrder, edited
from registry.domain.problems import InvalidDefinition, InvalidEdits
from registry.domain.validation import MAX_DEFINITION_BYTES, validate
from schemaevo.kernel.canonical import Json, canonical_json
from tests.domain.strategies import NAMES, definitions, edits

SIZE: dict[str, Any] = {
    "type": "number",
    "required": True,
    "description": "bytes",
    "converters": ["string_to_number"],
    "constraints": {"min": 0, "max": 9, "enum": [1, 2]},
}
NAME: dict[str, Any] = {
    "type": "string",
    "converters": ["number_to_string", "boolean_to_string"],
    "constraints": {"max_length": 10},
}
START: dict[str, Any] = {
    "fields": {"size": SIZE, "Name": NAME, "at": {"type": "date"}},
    "merge_policies": {"size": {"strategy": "highest_priority"}},
}


def _edited(*documents: Json, start: dict[str, Any] = START) -> dict[str, Any]:
    assert validate(start) == []
    result: Any = edited(Definition.from_json(start), parse_edits(list(documents))).to_json()
    return dict(result)


def _field(document: dict[str, Any], name: str) -> dict[str, Any]:
    return dict(document["fields"][name])


@pytest.mark.parametrize(
    ("edit", "field", "key", "value"),
    [
        ({"op": "set_required", "field": "size", "required": False}, "size", "required", None),
        ({"op": "set_required", "field": "Name", "required": True}, "Name", "required", True),
        ({"op": "set_description", "field": "size", "description": "x"}, "size", "description", "x"),
        ({"op": "set_description", "field": "size", "description": ""}, "size", "description", None),
        (
            {"op": "set_constraints", "field": "size", "set": {"max": 5, "min": 1}, "unset": ["enum"]},
            "size",
            "constraints",
            {"min": 1, "max": 5},
        ),
        ({"op": "set_constraints", "field": "Name", "unset": ["max_length"]}, "Name", "constraints", None),
        (
            {"op": "remove_converter", "field": "size", "converter": "string_to_number"},
            "size",
            "converters",
            None,
        ),
        (
            {
                "op": "order_converters",
                "field": "Name",
                "converters": ["boolean_to_string", "number_to_string"],
            },
            "Name",
            "converters",
            [
                {"from": "boolean", "to": "string", "function": "boolean_to_string"},
                {"from": "number", "to": "string", "function": "number_to_string"},
            ],
        ),
        (
            {
                "op": "add_converter",
                "field": "at",
                "converter": {"function": "timestamp_s_to_iso"},
                "position": 0,
            },
            "at",
            "converters",
            [{"from": "number", "to": "date", "function": "timestamp_s_to_iso"}],
        ),
    ],
)
def test_an_edit_changes_one_thing(edit, field, key, value):
    before = Definition.from_json(START).to_json()
    after = _edited(edit)
    assert _field(after, field).get(key) == value
    expected: Any = {**before["fields"]}  # type: ignore[dict-item]
    expected[field] = {**expected[field], key: value}
    if value is None:
        del expected[field][key]
    assert after == {**before, "fields": expected}


def test_fields_come_and_go_with_their_policies():
    after = _edited(
        {"op": "remove_field", "field": "size"},
        {
            "op": "add_field",
            "field": "tags",
            "declaration": {"type": "array"},
            "merge_policy": {"strategy": "merge_array"},
        },
        {"op": "add_field", "field": "note", "declaration": {"type": "string"}},
        {"op": "set_policy", "field": "Name", "merge_policy": {"strategy": "most_specific"}},
    )
    assert set(after["fields"]) == {"Name", "at", "tags", "note"}
    assert after["merge_policies"] == {
        "tags": {"strategy": "merge_array"},
        "Name": {"strategy": "most_specific"},
    }
    again = _edited({"op": "set_policy", "field": "size", "merge_policy": None})
    assert again["merge_policies"] == {}


def test_the_kind_order_is_set_and_reset():
    after = _edited({"op": "set_kind_order", "kinds": ["human", "probe"]})
    assert after["observation_source_priority"] == ["human", "probe"]
    assert "observation_source_priority" not in _edited({"op": "reset_kind_order"}, start=after)


def test_a_type_change_keeps_what_the_new_type_can_have():
    start: dict[str, Any] = {
        "fields": {
            "f": {
                "type": "string",
                "required": True,
                "description": "when",
                "constraints": {"enum": ["2024-01-01"]},
            }
        },
        "merge_policies": {"f": {"strategy": "highest_priority"}},
    }
    after = _edited({"op": "change_type", "field": "f", "type": "date"}, start=start)
    assert after["fields"]["f"] == {**start["fields"]["f"], "type": "date"}
    assert after["merge_policies"] == start["merge_policies"]


def test_what_the_new_type_cannot_have_is_refused():
    with pytest.raises(InvalidDefinition) as caught:
        _edited({"op": "change_type", "field": "size", "type": "string"})
    assert [(problem["path"], problem["rule"]) for problem in caught.value.context["problems"]] == [
        ("/fields/size/converters/0", "wrong_end"),
        ("/fields/size/constraints/min", "unsuited_constraint"),
        ("/fields/size/constraints/max", "unsuited_constraint"),
    ]


def test_it_may_be_dropped_by_the_edit_or_by_others_before_or_after_it():
    change: dict[str, Json] = {"op": "change_type", "field": "size", "type": "string"}
    rest: list[dict[str, Json]] = [
        {"op": "remove_converter", "field": "size", "converter": "string_to_number"},
        {"op": "set_constraints", "field": "size", "unset": ["min", "max", "enum"]},
    ]
    expected = {"type": "string", "required": True, "description": "bytes"}
    assert _field(_edited({**change, "drop_invalid": True}), "size") == expected
    assert _field(_edited(change, *rest), "size") == expected
    assert _field(_edited(*rest, change), "size") == expected


def test_an_enum_is_dropped_as_a_whole_and_what_still_suits_stays():
    start = {
        "fields": {
            "f": {"type": "string", "constraints": {"max_length": 4, "enum": ["2024", "soon"]}},
            "g": {"type": "string", "constraints": {"enum": ["2024-01-01", "soon"]}},
        }
    }
    after = _edited(
        {"op": "change_type", "field": "f", "type": "array", "drop_invalid": True},
        {"op": "change_type", "field": "g", "type": "date", "drop_invalid": True},
        start=start,
    )
    assert after["fields"] == {
        "f": {"type": "array", "constraints": {"max_length": 4}},
        "g": {"type": "date"},
    }


def test_every_edit_that_cannot_be_made_is_told_at_once():
    with pytest.raises(InvalidEdits) as caught:
        _edited(
            {"op": "set_required", "field": "none", "required": True},
            {"op": "set_description", "field": "none", "description": "only told once"},
            {"op": "add_field", "field": "size", "declaration": {"type": "string"}},
            {"op": "add_field", "field": "NAME", "declaration": {"type": "string"}},
            {"op": "add_converter", "field": "at", "converter": "timestamp_s_to_iso", "position": 2},
            {"op": "set_kind_order", "kinds": ["human"]},
            {"op": "remove_converter", "field": "Name", "converter": "string_to_number"},
        )
    assert caught.value.code == "invalid_edits"
    assert [(p["path"], p["rule"], p["value"]) for p in caught.value.context["problems"]] == [
        ("/0/field", "undeclared_field", "none"),
        ("/2/field", "already_declared", "size"),
        ("/3/field", "ambiguous_name", "NAME"),
        ("/4/position", "no_such_position", 2),
        ("/6/converter", "not_set", "string_to_number"),
    ]


@pytest.mark.parametrize(
    ("edit", "path", "rule"),
    [
        ({"op": "add_converter", "field": "size", "converter": "string_to_number"}, "/converter", "already_declared"),
        ({"op": "order_converters", "field": "Name", "converters": []}, "/converters", "other_converters"),
        (
            {"op": "order_converters", "field": "Name", "converters": ["number_to_string"] * 2},
            "/converters",
            "other_converters",
        ),
        ({"op": "set_constraints", "field": "Name", "unset": ["min_length"]}, "/unset", "not_set"),
        ({"op": "remove_field", "field": "name"}, "/field", "undeclared_field"),
        ({"op": "change_type", "field": "x", "type": "date"}, "/field", "undeclared_field"),
        ({"op": "set_policy", "field": "x", "merge_policy": None}, "/field", "undeclared_field"),
    ],
)  # fmt: skip
def test_an_edit_of_what_is_not_there_is_refused(edit, path, rule):
    with pytest.raises(InvalidEdits) as caught:
        _edited(edit)
    assert [(p["path"], p["rule"]) for p in caught.value.context["problems"]] == [(f"/0{path}", rule)]


def test_a_name_is_free_again_once_its_field_is_removed():
    after = _edited(
        {"op": "remove_field", "field": "Name"},
        {"op": "add_field", "field": "name", "declaration": {"type": "string"}},
    )
    assert set(after["fields"]) == {"size", "name", "at"}


@pytest.mark.parametrize(
    ("edit", "problems"),
    [
        ("remove", [("", "wrong_type")]),
        ({}, [("/op", "missing_key")]),
        ({"op": "drop_field"}, [("/op", "unknown_op")]),
        ({"op": "remove_field"}, [("/field", "missing_key")]),
        ({"op": "remove_field", "field": 1}, [("/field", "wrong_type")]),
        ({"op": "remove_field", "field": "a", "type": "x"}, [("/type", "unknown_key")]),
        (
            {"op": "add_field", "field": " a", "declaration": {"type": "text", "converters": ["x"]}},
            [
                ("/field", "invalid_name"),
                ("/declaration/type", "unknown_type"),
                ("/declaration/converters/0/function", "unknown_converter"),
            ],
        ),
        (
            {"op": "add_field", "field": "a", "declaration": {"type": "date"}, "merge_policy": {"strategy": "x"}},
            [("/merge_policy/strategy", "unknown_strategy")],
        ),
        (
            {"op": "add_field", "field": 1, "declaration": []},
            [("/field", "wrong_type"), ("/declaration", "wrong_type")],
        ),
        ({"op": "change_type", "field": "a", "type": "int"}, [("/type", "unknown_type")]),
        (
            {"op": "change_type", "field": "a", "type": "date", "drop_invalid": 1},
            [("/drop_invalid", "wrong_type")],
        ),
        ({"op": "set_required", "field": "a", "required": "no"}, [("/required", "wrong_type")]),
        ({"op": "set_description", "field": "a", "description": None}, [("/description", "wrong_type")]),
        ({"op": "set_constraints", "field": "a"}, [("/set", "missing_key")]),
        (
            {"op": "set_constraints", "field": "a", "set": {"min": None, "pattern": "(", "most": 1}},
            [("/set/most", "unknown_key"), ("/set/min", "wrong_type"), ("/set/pattern", "bad_pattern")],
        ),
        (
            {"op": "set_constraints", "field": "a", "set": {"min": 1}, "unset": ["min", "least", "max", "max"]},
            [("/unset/1", "unknown_constraint"), ("/unset/3", "duplicate"), ("/unset/0", "contradiction")],
        ),
        ({"op": "set_constraints", "field": "a", "unset": "min"}, [("/unset", "wrong_type")]),
        (
            {"op": "set_policy", "field": "a", "merge_policy": {"strategy": 1}},
            [("/merge_policy/strategy", "unknown_strategy")],
        ),
        (
            {"op": "add_converter", "field": "a", "converter": "magic", "position": -1},
            [("/converter/function", "unknown_converter"), ("/position", "wrong_type")],
        ),
        ({"op": "remove_converter", "field": "a", "converter": {}}, [("/converter", "wrong_type")]),
        ({"op": "order_converters", "field": "a", "converters": [1]}, [("/converters", "wrong_type")]),
        ({"op": "set_kind_order", "kinds": ["a", "a"]}, [("/kinds/1", "duplicate")]),
        ({"op": "reset_kind_order", "kinds": []}, [("/kinds", "unknown_key")]),
    ],
)  # fmt: skip
def test_a_wrongly_written_edit_is_refused(edit, problems):
    with pytest.raises(InvalidEdits) as caught:
        parse_edits([{"op": "remove_field", "field": "fine"}, edit])
    assert [(p["path"], p["rule"]) for p in caught.value.context["problems"]] == [
        (f"/1{path}", rule) for path, rule in problems
    ]


def test_a_document_that_is_no_list_of_edits_is_refused():
    documents: list[tuple[Json, str]] = [({}, "wrong_type"), (["x" * MAX_DEFINITION_BYTES], "too_large")]
    for document, rule in documents:
        with pytest.raises(InvalidEdits) as caught:
            parse_edits(document)
        assert [problem["rule"] for problem in caught.value.context["problems"]] == [rule]
    assert parse_edits([]) == ()


def _touched(edit: Edit) -> str | None:
    return None if isinstance(edit, (SetKindOrder, ResetKindOrder)) else edit.field


@given(definitions(), st.lists(edits(), max_size=4))
def test_what_no_edit_names_is_as_it_was(definition: Definition, changes: list[Edit]):
    written: Json = [edit.to_json() for edit in changes]
    read = parse_edits(written)
    try:
        after = edited(definition, changes)
    except (InvalidEdits, InvalidDefinition) as refusal:
        with pytest.raises(type(refusal)):
            edited(definition, read)
        return
    assert canonical_json(edited(definition, read).to_json()) == canonical_json(after.to_json())
    assert validate(after.to_json()) == []
    touched = {_touched(edit) for edit in changes}
    assert {change.field for change in diff(definition, after)} <= touched


@given(definitions(), st.sampled_from(NAMES), edits())
def test_a_type_change_that_drops_loses_nothing_else(definition: Definition, name: str, edit: Edit):
    if name not in definition.fields:
        return
    change = ChangeType(
        name, edit.type if isinstance(edit, ChangeType) else definition.fields[name].type, True
    )
    before, after = definition.fields[name], edited(definition, [change]).fields[name]
    assert replace(after, type=before.type, converters=(), constraints=before.constraints) == replace(
        before, converters=()
    )
    if after.type is before.type:
        assert after.to_json() == before.to_json()


@given(definitions())
def test_no_edits_and_no_fields_are_edits_too(definition: Definition):
    assert edited(definition, []).to_json() == definition.to_json()
    emptied = edited(definition, [RemoveField(name) for name in definition.fields])
    assert not emptied.fields
    assert emptied.kind_order == definition.kind_order
