"""What differs between two definitions, the version number that follows from it, and how it is applied."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given

from registry.domain.definition import Definition
from registry.domain.diff import Difference, StaleDifference, apply, bump, diff, next_version
from registry.domain.problems import InvalidDefinition
from registry.domain.validation import parse_definition
from schemaevo.kernel.canonical import Json, canonical_json, decode
from tests.domain.strategies import definitions
from tests.domain.strategies import fields as random_fields


def _bump(old, new):
    return bump(parse_definition({"fields": old}), parse_definition({"fields": new}))


def _number(**constraints: Json) -> dict[str, Json]:
    return {"f": {"type": "number", "constraints": constraints}}


def _string(**constraints: Json) -> dict[str, Json]:
    return {"f": {"type": "string", "constraints": constraints}}


PLAIN: dict[str, Any] = {"f": {"type": "string"}}
CONVERTED: dict[str, Any] = {"f": {"type": "string", "converters": ["number_to_string"]}}
TWICE: dict[str, Any] = {"f": {"type": "string", "converters": ["number_to_string", "boolean_to_string"]}}
TURNED: dict[str, Any] = {"f": {"type": "string", "converters": ["boolean_to_string", "number_to_string"]}}
REQUIRED: dict[str, Any] = {"f": {"type": "string", "required": True}}


@pytest.mark.parametrize(
    ("old", "new", "size"),
    [
        (PLAIN, {}, "major"),
        (PLAIN, {"f": {"type": "number"}}, "major"),
        (CONVERTED, PLAIN, "major"),
        (CONVERTED, {"f": {"type": "string", "converters": ["boolean_to_string"]}}, "major"),
        (PLAIN, REQUIRED, "major"),
        (PLAIN, {**PLAIN, "g": {"type": "string", "required": True}}, "major"),
        (PLAIN, {**PLAIN, "g": {"type": "string"}}, "minor"),
        (PLAIN, CONVERTED, "minor"),
        (TWICE, TURNED, "minor"),
        (REQUIRED, PLAIN, "minor"),
        (PLAIN, {"f": {"type": "string", "description": "words"}}, "patch"),
        (PLAIN, {"f": {"type": "string", "required": False, "converters": []}}, None),
        (_number(), _number(min=1), "major"),
        (_number(min=1), _number(min=2), "major"),
        (_number(min=2), _number(min=1), "minor"),
        (_number(min=1), _number(), "minor"),
        (_number(max=1), _number(max=2), "minor"),
        (_number(max=2), _number(max=1), "major"),
        (_number(min=1, max=5), _number(min=0, max=4), "major"),
        (_string(min_length=1), _string(min_length=2), "major"),
        (_string(max_length=1), _string(max_length=2), "minor"),
        (_string(), _string(pattern="a"), "major"),
        (_string(pattern="a"), _string(pattern="b"), "major"),
        (_string(pattern="a"), _string(), "minor"),
        (_string(), _string(enum=["a"]), "major"),
        (_string(enum=["a"]), _string(), "minor"),
        (_string(enum=["a"]), _string(enum=["a", "b"]), "minor"),
        (_string(enum=["a", "b"]), _string(enum=["a"]), "major"),
        (_string(enum=["a", "b"]), _string(enum=["b", "c"]), "major"),
        (_string(enum=["a", "b"]), _string(enum=["b", "a"]), "patch"),
        (_string(), _string(min_length=0), "patch"),
        (_string(min_length=0), _string(min_length=1), "major"),
        (_string(min_length=1), _string(min_length=0), "minor"),
    ],
)
def test_size_of_a_change(old, new, size):
    assert _bump(old, new) == size


def test_policies_and_the_kind_order_are_minor_changes():
    plain = parse_definition({"fields": PLAIN})
    changes: list[dict[str, Any]] = [
        {"merge_policies": {"f": {"strategy": "highest_priority"}}},
        {"merge_policies": {"f": {"strategy": "most_specific", "tie_breaker": "source_priority"}}},
        {"observation_source_priority": ["human"]},
        {"observation_source_priority": []},
    ]
    for change in changes:
        assert bump(plain, parse_definition({"fields": PLAIN, **change})) == "minor"
    spelled_out = parse_definition({"fields": PLAIN, "merge_policies": {"f": {"strategy": "last_write"}}})
    assert bump(plain, spelled_out) is None


@given(definitions(), definitions())
def test_only_equal_definitions_need_no_version(old, new):
    assert bump(old, old) is None
    assert (bump(old, new) is None) == (old.to_json() == new.to_json())
    if old.reduction_hash != new.reduction_hash:
        assert bump(old, new) in ("major", "minor")


def test_numbers_count_on_from_the_highest():
    assert bump(None, parse_definition({"fields": PLAIN})) == "major"
    assert next_version(None, "major") == (1, 0, 0)
    assert next_version(None, "patch") == (1, 0, 0)
    assert next_version((1, 4, 7), "major") == (2, 0, 0)
    assert next_version((1, 4, 7), "minor") == (1, 5, 0)
    assert next_version((1, 4, 7), "patch") == (1, 4, 8)


def _changed(old: dict[str, Any], new: dict[str, Any]) -> Difference:
    return diff(parse_definition(old), parse_definition(new))


def test_every_change_says_what_was_and_what_is():
    old: dict[str, Any] = {
        "fields": {
            "gone": {"type": "date", "required": True},
            "kept": {"type": "object"},
            "name": {
                "type": "string",
                "converters": ["number_to_string"],
                "constraints": {"enum": ["a", "b"], "pattern": "[ab]"},
            },
            "size": {"type": "number", "description": "bytes", "constraints": {"min": 1, "max": 9}},
        },
        "merge_policies": {"gone": {"strategy": "merge_array"}},
    }
    new: dict[str, Any] = {
        "fields": {
            "kept": {"type": "object"},
            "name": {
                "type": "string",
                "converters": ["boolean_to_string"],
                "constraints": {"enum": ["b", "c"]},
            },
            "new/1": {"type": "array"},
            "size": {"type": "string", "required": True},
        },
        "merge_policies": {
            "new/1": {"strategy": "merge_array"},
            "name": {"strategy": "most_specific", "tie_breaker": "source_priority"},
        },
        "observation_source_priority": ["human"],
    }
    difference = _changed(old, new)
    converter = {"from": "boolean", "to": "string", "function": "boolean_to_string"}
    assert [
        (c["code"], c["path"], c["old"], c["new"], c["size"])
        for c in map(dict[str, Any], difference.to_json())  # type: ignore[arg-type]
    ] == [
        (
            "field_removed",
            "/fields/gone",
            {"type": "date", "required": True, "merge_policy": {"strategy": "merge_array"}},
            None,
            "major",
        ),
        (
            "converter_removed",
            "/fields/name/converters",
            {"from": "number", "to": "string", "function": "number_to_string"},
            None,
            "major",
        ),
        ("converter_added", "/fields/name/converters/0", None, converter, "minor"),
        ("constraint_changed", "/fields/name/constraints/pattern", "[ab]", None, "minor"),
        ("constraint_changed", "/fields/name/constraints/enum", ["a", "b"], ["b", "c"], "major"),
        (
            "policy_changed",
            "/merge_policies/name",
            {"strategy": "last_write"},
            {"strategy": "most_specific", "tie_breaker": "source_priority"},
            "minor",
        ),
        (
            "field_added",
            "/fields/new~11",
            None,
            {"type": "array", "merge_policy": {"strategy": "merge_array"}},
            "minor",
        ),
        ("type_changed", "/fields/size/type", "number", "string", "major"),
        ("required_changed", "/fields/size/required", False, True, "major"),
        ("description_changed", "/fields/size/description", "bytes", "", "patch"),
        ("constraint_changed", "/fields/size/constraints/min", 1, None, "minor"),
        ("constraint_changed", "/fields/size/constraints/max", 9, None, "minor"),
        (
            "kind_order_changed",
            "/observation_source_priority",
            ["sensor", "workflow_state", "llm_summary", "human", "import", "sync"],
            ["human"],
            "minor",
        ),
    ]
    assert difference.size == "major"
    assert difference.in_words == (
        "removes the field 'gone', a date",
        "no longer converts 'name' by number_to_string",
        "converts 'name' from boolean by boolean_to_string",
        "lifts pattern of 'name', which was [ab] (loosened)",
        'changes enum of \'name\' from ["a","b"] to ["b","c"] (incomparable)',
        "merges 'name' by most_specific (by priority on a tie) instead of last_write",
        "adds the field 'new/1', an array",
        "makes 'size' a string instead of a number",
        "makes 'size' required",
        "no longer describes 'size'",
        "lifts min of 'size', which was 1 (loosened)",
        "lifts max of 'size', which was 9 (loosened)",
        "trusts observation kinds in the order human",
    )
    back = _changed(new, old)
    assert back.changes[-1].code == "kind_order_reset"
    assert len(back) == len(difference)


def test_converters_that_stay_may_change_places():
    old = {"f": {"type": "date", "converters": ["timestamp_s_to_iso", "timestamp_ms_to_iso"]}}
    new = {
        "f": {
            "type": "date",
            "converters": ["timestamp_ms_to_iso", "timestamp_nanos_to_iso", "timestamp_s_to_iso"],
        }
    }
    difference = _changed({"fields": old}, {"fields": new})
    assert [change.code for change in difference] == ["converters_reordered", "converter_added"]
    assert difference.size == "minor"
    assert difference.in_words == (
        "tries the converters of 'f' in the order timestamp_ms_to_iso, timestamp_s_to_iso",
        "converts 'f' from number by timestamp_nanos_to_iso",
    )


@given(definitions())
def test_a_definition_does_not_differ_from_itself(definition: Definition):
    difference = diff(definition, definition)
    assert not difference
    assert difference.size is None
    reread = parse_definition(decode(canonical_json(definition.to_json())))
    assert not diff(definition, reread)
    assert apply(difference, definition).to_json() == definition.to_json()


@given(definitions(), definitions())
def test_the_difference_applied_to_the_old_definition_gives_the_new_one(old: Definition, new: Definition):
    difference = diff(old, new)
    assert canonical_json(apply(difference, old).to_json()) == canonical_json(new.to_json())
    assert bool(difference) == (canonical_json(old.to_json()) != canonical_json(new.to_json()))
    assert [(change.field is None, change.field or "") for change in difference] == sorted(
        (change.field is None, change.field or "") for change in difference
    )
    assert all(change.in_words for change in difference)
    canonical_json(difference.to_json())


@given(definitions(), definitions(), definitions())
def test_a_difference_is_refused_by_a_definition_that_does_not_hold_its_old_side(
    old: Definition, new: Definition, other: Definition
):
    difference = diff(old, new)
    try:
        applied = apply(difference, other)
    except StaleDifference:
        assert canonical_json(old.to_json()) != canonical_json(other.to_json())
    except InvalidDefinition:
        assert canonical_json(old.to_json()) != canonical_json(other.to_json())
    else:
        # What it changed is now as in the new one, and nothing else moved.
        touched = {change.field for change in difference}
        for name in other.fields.keys() - touched:
            assert applied.declaration(name).to_json() == other.declaration(name).to_json()


def test_all_that_a_definition_does_not_hold_is_told_at_once():
    difference = _changed(
        {"fields": {"a": {"type": "string"}, "b": {"type": "number"}}},
        {
            "fields": {
                "a": {"type": "string", "required": True, "constraints": {"max_length": 3}},
                "b": {"type": "number", "converters": ["string_to_number"]},
                "c": {"type": "date"},
            },
            "observation_source_priority": ["human"],
        },
    )
    other = parse_definition(
        {
            "fields": {
                "a": {"type": "string", "constraints": {"max_length": 2}, "required": True},
                "c": {"type": "date"},
            },
            "observation_source_priority": ["sync"],
        }
    )
    with pytest.raises(StaleDifference) as caught:
        apply(difference, other)
    assert caught.value.code == "stale_difference"
    assert [(p["path"], p["rule"], p["value"]) for p in caught.value.context["problems"]] == [
        ("/fields/a/required", "differs", True),
        ("/fields/a/constraints/max_length", "differs", 2),
        ("/fields/b/converters/0", "undeclared_field", None),
        ("/fields/c", "already_declared", {"type": "date"}),
        ("/observation_source_priority", "differs", ["sync"]),
    ]


def test_changes_that_do_not_go_together_are_refused_as_a_definition_is():
    difference = _changed({"fields": _number()}, {"fields": _number(max=1)})
    with pytest.raises(InvalidDefinition) as caught:
        apply(difference, parse_definition({"fields": _number(min=2)}))
    assert [problem["rule"] for problem in caught.value.context["problems"]] == ["empty_range"]


@given(random_fields("f"), random_fields("f"))
def test_the_size_is_that_of_the_largest_change(old, new):
    difference = diff(Definition({"f": old}, {}), Definition({"f": new}, {}))
    sizes = {change.size for change in difference}
    assert (difference.size is None) == (not sizes)
    assert ("major" in sizes) == (difference.size == "major")
    assert (sizes == {"patch"}) == (difference.size == "patch")
