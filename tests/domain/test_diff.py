"""The version number follows from the real difference between two definitions."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given

from registry.domain.diff import bump, next_version
from registry.domain.validation import parse_definition
from schemaevo.kernel.canonical import Json
from tests.domain.histories import definitions


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
