"""A global definition and a user's extension make one definition, whatever the two say."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given

from registry.domain.composition import (
    Composition,
    ConflictCode,
    Origin,
    compose,
    extension_problems,
    require_extensible,
)
from registry.domain.definition import Declaration, Definition, Field
from registry.domain.extension import EMPTY_EXTENSION, Extension, parse_extension
from registry.domain.fit import fits
from registry.domain.problems import InvalidExtension
from registry.domain.validation import MAX_DEFINITION_BYTES, MAX_FIELDS, parse_definition, validate
from registry.domain.vocabulary import FieldType
from schemaevo.kernel.canonical import Json, canonical_json
from tests.domain.strategies import VALUES, definitions, extensions


def _composed(fields: dict[str, Any], extension: dict[str, Any]) -> Composition:
    return compose(parse_definition({"fields": fields}), parse_extension(extension))


def _conflicts(composition: Composition) -> list[tuple[str, str]]:
    return [(conflict.path, conflict.code.value) for conflict in composition.conflicts]


def _overridden(field: dict[str, Any], override: dict[str, Any]) -> tuple[Any, list[tuple[str, str]]]:
    """The field f as one user sees it, and what did not go together, below its override."""
    composition = _composed({"f": field}, {"field_overrides": {"f": override}})
    above = "/field_overrides/f"
    return composition.definition.fields["f"].to_json(), [
        (path.removeprefix(above), code) for path, code in _conflicts(composition)
    ]


@given(definitions(), definitions())
def test_an_own_schema_read_as_an_extension_adds_and_keeps_but_never_takes_away(
    shared: Definition, own: Definition
):
    composition = compose(shared, Extension.of_own_schema(own))
    result = composition.definition
    assert result.fields.keys() == shared.fields.keys() | own.fields.keys()
    for name, field in result.fields.items():
        is_shared = name in shared.fields and (
            name not in own.fields or own.fields[name].type is shared.fields[name].type
        )
        winner = shared if is_shared else own
        assert field is winner.fields[name]
        assert result.policy_of(name).to_json() == winner.policy_of(name).to_json()
    assert result.kind_order == shared.kind_order


@given(definitions(), extensions())
def test_composition_is_total_and_gives_a_definition(shared: Definition, extension: Extension):
    composition = compose(shared, extension)
    definition = composition.definition
    assert validate(definition.to_json()) == []
    assert composition.origins.keys() == definition.fields.keys()
    assert definition.fields.keys() == shared.fields.keys() | extension.additional_fields.keys()
    for name, origin in composition.origins.items():
        field = definition.fields[name]
        if origin is Origin.GLOBAL:
            assert definition.declaration(name).to_json() == shared.declaration(name).to_json()
        elif origin is Origin.OVERRIDE:
            assert definition.declaration(name).to_json() != shared.declaration(name).to_json()
            _assert_nothing_is_looser(shared.fields[name], field)
        else:
            assert definition.declaration(name).to_json() == extension.declaration(name).to_json()
            assert (origin is Origin.CONFLICT) == (name in shared.fields)
    assert set(composition.absorbed) == {
        name
        for name, field in extension.additional_fields.items()
        if name in shared.fields and shared.fields[name].type is field.type
    }
    conflicting = {
        conflict.field for conflict in composition.conflicts if conflict.code is ConflictCode.TYPE_DIFFERS
    }
    assert conflicting == {n for n, origin in composition.origins.items() if origin is Origin.CONFLICT}
    canonical_json([conflict.to_json() for conflict in composition.conflicts])


def _assert_nothing_is_looser(shared: Field, own: Field) -> None:
    assert own.type is shared.type
    assert own.required or not shared.required
    allowed = [value for value in VALUES[own.type] if fits(value, own) is None]
    assert all(fits(value, shared) is None for value in allowed)


@given(definitions(), extensions())
def test_an_extension_is_written_and_read_back(shared: Definition, extension: Extension):
    read = parse_extension(extension.to_json())
    assert canonical_json(read.to_json()) == canonical_json(extension.to_json())
    assert canonical_json(compose(shared, read).definition.to_json()) == canonical_json(
        compose(shared, extension).definition.to_json()
    )
    assert read.is_empty == (
        not read.to_json()["additional_fields"] and not read.to_json()["field_overrides"]
    )
    assert read.is_empty == extension.is_empty


@given(definitions(), extensions())
def test_absorbing_changes_nothing_and_is_undone(shared: Definition, extension: Extension):
    before = compose(shared, extension)
    absorbed = [extension.declaration(name).to_json() for name in before.absorbed]
    rest = extension.without(before.absorbed)
    after = compose(shared, rest)
    assert after.absorbed == ()
    assert rest.field_count == extension.field_count - len(before.absorbed)
    assert canonical_json(after.definition.to_json()) == canonical_json(before.definition.to_json())
    remembered = [
        Declaration.from_json(name, stored) for name, stored in zip(before.absorbed, absorbed, strict=True)
    ]
    assert canonical_json(rest.with_fields(remembered).to_json()) == canonical_json(extension.to_json())


@given(definitions(), extensions())
def test_what_stands_already_is_not_refused_again(shared: Definition, extension: Extension):
    composition = compose(shared, extension)
    assert len(extension_problems(extension, shared)) == len(composition.conflicts) + len(
        composition.absorbed
    )
    assert extension_problems(extension, shared, before=extension) == []
    assert extension_problems(EMPTY_EXTENSION, shared, before=extension) == []


@given(definitions())
def test_an_empty_extension_leaves_the_global_definition_as_it_is(shared: Definition):
    composition = compose(shared, EMPTY_EXTENSION)
    assert composition.definition.to_json() == shared.to_json()
    assert composition.definition.reduction_hash == shared.reduction_hash
    assert set(composition.origins.values()) <= {Origin.GLOBAL}


def test_each_field_says_where_it_comes_from():
    composition = _composed(
        {name: {"type": "string"} for name in ("shared", "told", "same", "other")},
        {
            "additional_fields": {
                "own": {"type": "date", "merge_policy": {"strategy": "merge_array"}},
                "same": {
                    "type": "string",
                    "description": "mine",
                    "merge_policy": {"strategy": "merge_array"},
                },
                "other": {"type": "array", "merge_policy": {"strategy": "highest_priority"}},
            },
            "field_overrides": {"told": {"description": "here", "merge_policy": {"strategy": "last_write"}}},
        },
    )
    assert composition.origins == {
        "shared": Origin.GLOBAL,
        "told": Origin.OVERRIDE,
        "same": Origin.GLOBAL,
        "other": Origin.CONFLICT,
        "own": Origin.EXTENSION,
    }
    assert composition.absorbed == ("same",)
    assert composition.definition.to_json() == {
        "fields": {
            "shared": {"type": "string"},
            "told": {"type": "string", "description": "here"},
            "same": {"type": "string"},
            "other": {"type": "array"},
            "own": {"type": "date"},
        },
        "merge_policies": {
            "own": {"strategy": "merge_array"},
            "other": {"strategy": "highest_priority"},
        },
    }
    (conflict,) = composition.conflicts
    assert (conflict.code, conflict.path) == (ConflictCode.TYPE_DIFFERS, "/additional_fields/other/type")
    assert (conflict.shared, conflict.own) == ("string", "array")
    assert "stands" in conflict.message


def test_an_override_that_says_what_holds_anyway_is_none():
    composition = _composed(
        {"f": {"type": "number", "required": True, "description": "x", "constraints": {"min": 1}}},
        {
            "field_overrides": {
                "f": {
                    "required": True,
                    "description": "x",
                    "constraints": {"min": 1},
                    "merge_policy": {"strategy": "last_write"},
                    "converters": [],
                }
            }
        },
    )
    assert composition.origins == {"f": Origin.GLOBAL}
    assert composition.conflicts == ()


STRING: dict[str, Any] = {"type": "string"}
NUMBER: dict[str, Any] = {"type": "number"}


@pytest.mark.parametrize(
    ("field", "override", "result", "conflicts"),
    [
        (STRING, {"required": True}, {**STRING, "required": True}, []),
        ({**STRING, "description": "x"}, {"description": ""}, STRING, []),
        (
            {**NUMBER, "converters": ["string_to_number"]},
            {"converters": []},
            NUMBER,
            [],
        ),
        (
            {**NUMBER, "constraints": {"min": 0}},
            {"constraints": {"max": 5}},
            {**NUMBER, "constraints": {"min": 0, "max": 5}},
            [],
        ),
        (
            {**NUMBER, "constraints": {"min": 3, "max": 9}},
            {"constraints": {"min": 0, "max": 5}, "description": "kept"},
            {**NUMBER, "constraints": {"min": 3, "max": 5}, "description": "kept"},
            [("/constraints/min", "override_loosens")],
        ),
        # The global range moved away altogether.
        (
            {**NUMBER, "constraints": {"min": 10}},
            {"constraints": {"max": 5}},
            {**NUMBER, "constraints": {"min": 10}},
            [("/constraints/max", "override_empty")],
        ),
        (
            {**STRING, "constraints": {"max_length": 1}},
            {"constraints": {"min_length": 2, "pattern": "a"}},
            {**STRING, "constraints": {"max_length": 1, "pattern": "a"}},
            [("/constraints/min_length", "override_empty")],
        ),
        (
            {**STRING, "constraints": {"pattern": "a"}},
            {"constraints": {"pattern": "b", "max_length": 3}},
            {**STRING, "constraints": {"pattern": "a", "max_length": 3}},
            [("/constraints/pattern", "override_incomparable")],
        ),
        (
            {**STRING, "constraints": {"enum": ["a", "b"]}},
            {"constraints": {"enum": ["b"]}},
            {**STRING, "constraints": {"enum": ["b"]}},
            [],
        ),
        (
            {**STRING, "constraints": {"enum": ["a", "b"]}},
            {"constraints": {"enum": ["b", "c"]}},
            {**STRING, "constraints": {"enum": ["a", "b"]}},
            [("/constraints/enum", "override_incomparable")],
        ),
        # Both have to hold, and the definition says what is really allowed.
        (
            {**NUMBER, "constraints": {"enum": [1, 5]}},
            {"constraints": {"max": 3}},
            {**NUMBER, "constraints": {"max": 3, "enum": [1]}},
            [],
        ),
        (
            {**NUMBER, "constraints": {"max": 3}},
            {"constraints": {"enum": [1, 5]}},
            {**NUMBER, "constraints": {"max": 3, "enum": [1]}},
            [("/constraints/enum", "override_narrowed")],
        ),
        (
            {**NUMBER, "constraints": {"enum": [1, 5]}},
            {"constraints": {"min": 6}, "required": True},
            {**NUMBER, "constraints": {"enum": [1, 5]}, "required": True},
            [("/constraints/min", "override_empty")],
        ),
        # The global field is of another type now.
        (
            NUMBER,
            {
                "converters": ["number_to_string"],
                "constraints": {"max_length": 3, "enum": ["a"]},
                "description": "kept",
                "merge_policy": {"strategy": "merge_array"},
            },
            {**NUMBER, "description": "kept"},
            [
                ("/converters", "override_unsuited"),
                ("/constraints/max_length", "override_unsuited"),
                ("/constraints/enum", "override_unsuited"),
            ],
        ),
    ],
)
def test_an_override_tightens_or_is_ignored_in_part(field, override, result, conflicts):
    assert _overridden(field, override) == (result, conflicts)


def test_an_override_waits_for_its_field():
    composition = _composed({}, {"field_overrides": {"gone": {"required": True}}})
    assert composition.definition.fields == {}
    assert _conflicts(composition) == [("/field_overrides/gone", "override_of_undeclared")]


def test_a_global_field_that_people_would_confuse_with_an_own_one_is_listed():
    composition = _composed({"Name": STRING}, {"additional_fields": {"name": NUMBER}})
    assert set(composition.definition.fields) == {"Name", "name"}
    assert _conflicts(composition) == [("/additional_fields/name", "ambiguous_name")]
    assert composition.conflicts[0].shared == "Name"


def test_a_writer_is_told_everything_that_does_not_go_together():
    shared = parse_definition(
        {"fields": {"a": STRING, "b": {**NUMBER, "constraints": {"max": 3}}, "Name": STRING}}
    )
    extension = parse_extension(
        {
            "additional_fields": {"a": STRING, "name": STRING},
            "field_overrides": {"b": {"constraints": {"max": 9}}, "gone": {"required": True}},
        }
    )
    with pytest.raises(InvalidExtension) as caught:
        require_extensible(extension, shared)
    assert caught.value.code == "invalid_extension"
    assert [(p["path"], p["rule"], p["value"]) for p in caught.value.context["problems"]] == [
        ("/additional_fields/name", "ambiguous_name", "name"),
        ("/field_overrides/b/constraints/max", "override_loosens", 9),
        ("/field_overrides/gone", "override_of_undeclared", {"required": True}),
        ("/additional_fields/a", "already_declared", "a"),
    ]
    before = parse_extension({"field_overrides": {"b": {"constraints": {"max": 9}}}})
    assert len(extension_problems(extension, shared, before)) == 3
    looser = parse_extension({"field_overrides": {"b": {"constraints": {"max": 10}}}})
    assert len(extension_problems(looser, shared, before)) == 1


def test_a_composition_has_a_largest_size_that_only_the_global_schema_may_pass():
    shared = Definition({f"g{n}": Field(f"g{n}", FieldType.STRING) for n in range(MAX_FIELDS - 1)}, {})
    own = [Declaration(Field(name, FieldType.STRING)) for name in ("a", "b", "c")]
    one, two, three = (EMPTY_EXTENSION.with_fields(own[:count]) for count in (1, 2, 3))
    assert extension_problems(one, shared) == []
    (problem,) = extension_problems(two, shared)
    assert (problem.path, problem.rule, problem.value) == (
        "/additional_fields",
        "too_many_fields",
        MAX_FIELDS + 1,
    )
    # The global schema grew: what is there stays, and may become less.
    assert extension_problems(two, shared, before=three) == []
    assert len(extension_problems(three, shared, before=two)) == 1
    assert len(compose(shared, three).definition.fields) == MAX_FIELDS + 2


@pytest.mark.parametrize(
    ("document", "problems"),
    [
        ([], [("", "wrong_type")]),
        ({"x" * 10: "y" * MAX_DEFINITION_BYTES}, [("", "too_large")]),
        ({"fields": {}}, [("/fields", "unknown_key")]),
        ({"base_schema_version": 1}, [("/base_schema_version", "wrong_type")]),
        ({"base_schema_version": "1.0"}, [("/base_schema_version", "wrong_type")]),
        ({"additional_fields": []}, [("/additional_fields", "wrong_type")]),
        ({"field_overrides": None}, [("/field_overrides", "wrong_type")]),
        (
            {"additional_fields": {f"f{n}": STRING for n in range(10_000)}},
            [("/additional_fields", "too_many_fields")],
        ),
        (
            {
                "additional_fields": {
                    "_a": {"type": "text", "merge_policy": {"strategy": "x"}, "policy": {}},
                    "b": "string",
                    "B": STRING,
                }
            },
            [
                ("/additional_fields/_a", "invalid_name"),
                ("/additional_fields/_a/policy", "unknown_key"),
                ("/additional_fields/_a/type", "unknown_type"),
                ("/additional_fields/_a/merge_policy/strategy", "unknown_strategy"),
                ("/additional_fields/b", "wrong_type"),
                ("/additional_fields/B", "ambiguous_name"),
            ],
        ),
        (
            {
                "additional_fields": {"a": STRING},
                "field_overrides": {
                    "a": {},
                    "A": {"type": "number"},
                    "b": {"required": False, "constraints": {"min": 3, "max": 2}},
                    "c": {"required": "no", "converters": ["x"], "description": 1, "merge_policy": None},
                    "d": [],
                },
            },
            [
                ("/field_overrides/a", "contradiction"),
                ("/field_overrides/A", "ambiguous_name"),
                ("/field_overrides/A/type", "unknown_key"),
                ("/field_overrides/b/constraints/min", "empty_range"),
                ("/field_overrides/b/required", "override_loosens"),
                ("/field_overrides/c/description", "wrong_type"),
                ("/field_overrides/c/merge_policy", "wrong_type"),
                ("/field_overrides/c/converters/0/function", "unknown_converter"),
                ("/field_overrides/c/required", "wrong_type"),
                ("/field_overrides/d", "wrong_type"),
            ],
        ),
    ],
)
def test_a_wrong_extension_is_refused_with_every_problem(document: Json, problems):
    with pytest.raises(InvalidExtension) as caught:
        parse_extension(document)
    assert [(p["path"], p["rule"]) for p in caught.value.context["problems"]] == problems


def test_an_extension_is_stored_normalised():
    document: dict[str, Json] = {
        "additional_fields": {
            "a": {"type": "string", "required": False, "merge_policy": {"strategy": "last_write"}}
        },
        "field_overrides": {
            "b": {},
            "c": {"constraints": {}},
            "d": {"merge_policy": {"strategy": "last_write"}},
        },
    }
    assert parse_extension(document).to_json() == {
        "additional_fields": {"a": {"type": "string"}},
        "field_overrides": {"d": {"merge_policy": {"strategy": "last_write"}}},
    }
    nothing = parse_extension({"base_schema_version": "1.2.3", "field_overrides": {"b": {}}})
    assert nothing.is_empty
    assert parse_extension({}).to_json() == {"additional_fields": {}, "field_overrides": {}}


def test_a_field_that_is_added_is_no_longer_overridden():
    extension = parse_extension(
        {"additional_fields": {"a": STRING}, "field_overrides": {"b": {"required": True}}}
    )
    promoted = extension.with_fields([Declaration(Field("b", FieldType.DATE))])
    assert promoted.to_json() == {
        "additional_fields": {"a": STRING, "b": {"type": "date"}},
        "field_overrides": {},
    }
