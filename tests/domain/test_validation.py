"""A document becomes a definition, or every rule that it breaks is named at once."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.domain.definition import UNDECLARED_REDUCTION_HASH, Definition, FieldType, Strategy
from registry.domain.edit_documents import parse_edits
from registry.domain.extension import parse_extension
from registry.domain.names import confusable_form, normalised_name
from registry.domain.problems import MAX_LISTED_PROBLEMS, InvalidEdits, InvalidExtension, Problem
from registry.domain.validation import (
    MAX_DEFINITION_BYTES,
    MAX_FIELDS,
    InvalidDefinition,
    entity_type_problem,
    field_name_problem,
    parse_definition,
    validate,
)
from schemaevo.kernel.canonical import Json, canonical_json, decode
from tests.domain.histories import values
from tests.domain.strategies import definitions

STRING = {"type": "string"}
NUMBER = {"type": "number"}


def _rules(document):
    return [(problem.path, problem.rule) for problem in validate(document)]


def _field_rules(field):
    return [(path.removeprefix("/fields/f"), rule) for path, rule in _rules({"fields": {"f": field}})]


def test_a_full_definition_is_accepted_and_stored_normalised():
    document = decode(
        """{"fields": {"Ruby-Versions": {"type": "string", "required": false, "description": ""},
        "size": {"type": "number", "required": true, "description": "bytes",
          "constraints": {"min": 0.0, "max": 1e3}, "converters": ["string_to_number"]},
        "at": {"type": "date", "converters": [{"function": "timestamp_s_to_iso"},
          {"from": "number", "to": "date", "function": "timestamp_ms_to_iso", "deterministic": true}]},
        "tags": {"type": "array", "constraints": {"max_length": 5}}},
        "merge_policies": {"tags": {"strategy": "merge_array", "tie_breaker": "source_priority"},
          "size": {"strategy": "last_write"},
          "at": {"strategy": "most_specific", "tie_breaker": "source_priority"}},
        "observation_source_priority": ["sensor","workflow_state","llm_summary","human","import","sync"]}"""
    )
    assert validate(document) == []
    assert canonical_json(parse_definition(document).to_json()) == canonical_json(
        decode(
            """{"fields": {"Ruby-Versions": {"type": "string"},
            "size": {"type": "number", "required": true, "description": "bytes",
              "constraints": {"min": 0, "max": 1000},
              "converters": [{"from": "string", "to": "number", "function": "string_to_number"}]},
            "at": {"type": "date", "converters": [
              {"from": "number", "to": "date", "function": "timestamp_s_to_iso"},
              {"from": "number", "to": "date", "function": "timestamp_ms_to_iso"}]},
            "tags": {"type": "array", "constraints": {"max_length": 5}}},
            "merge_policies": {"tags": {"strategy": "merge_array"},
              "at": {"strategy": "most_specific", "tie_breaker": "source_priority"}}}"""
        )
    )


def test_every_problem_is_listed_at_once():
    document: dict[str, Any] = {
        "fields": {
            "_id": {"type": "strng"},
            "name": {"type": "string", "requird": True, "constraints": {"min": 1, "pattern": "("}},
            "size": {"type": "number", "converters": ["no_such", "number_to_string"]},
        },
        "merge_policies": {"gone": {"strategy": "newest", "tie_breaker": "dice"}},
        "observation_source_priority": ["a", "a", ""],
        "notes": "x",
    }
    assert _rules(document) == [
        ("/notes", "unknown_key"),
        ("/fields/_id", "invalid_name"),
        ("/fields/_id/type", "unknown_type"),
        ("/fields/name/requird", "unknown_key"),
        ("/fields/name/constraints/min", "unsuited_constraint"),
        ("/fields/name/constraints/pattern", "bad_pattern"),
        ("/fields/size/converters/0/function", "unknown_converter"),
        ("/fields/size/converters/1", "wrong_end"),
        ("/merge_policies/gone", "undeclared_field"),
        ("/merge_policies/gone/strategy", "unknown_strategy"),
        ("/merge_policies/gone/tie_breaker", "unknown_tie_breaker"),
        ("/observation_source_priority/2", "wrong_type"),
        ("/observation_source_priority/1", "duplicate"),
    ]
    with pytest.raises(InvalidDefinition) as caught:
        parse_definition(document)
    assert caught.value.code == "invalid_definition"
    problems = caught.value.context["problems"]
    assert len(problems) == 13
    assert problems[2]["value"] == "strng"
    assert set(problems[2]) == {"path", "rule", "value", "message"}
    assert "12 more" in caught.value.message


@pytest.mark.parametrize(
    ("document", "rules"),
    [
        (None, [("", "wrong_type")]),
        ([], [("", "wrong_type")]),
        ({}, [("/fields", "missing_key")]),
        ({"fields": []}, [("/fields", "wrong_type")]),
        ({"fields": {"f": "string"}}, [("/fields/f", "wrong_type")]),
        ({"fields": {}, "merge_policies": []}, [("/merge_policies", "wrong_type")]),
        ({"fields": {"f": STRING}, "merge_policies": {"f": "x"}}, [("/merge_policies/f", "wrong_type")]),
        (
            {"fields": {"f": STRING}, "merge_policies": {"f": {}}},
            [("/merge_policies/f/strategy", "missing_key")],
        ),
        (
            {"fields": {}, "observation_source_priority": "x"},
            [("/observation_source_priority", "wrong_type")],
        ),
        (
            {"fields": {}, "observation_source_priority": None},
            [("/observation_source_priority", "wrong_type")],
        ),
        ({"fields": {"Name": STRING, "name": STRING}}, [("/fields/name", "ambiguous_name")]),
        ({"fields": {"Straße": STRING, "STRASSE": STRING}}, [("/fields/STRASSE", "ambiguous_name")]),
        ({"fields": {"a/b~c": {}}}, [("/fields/a~1b~0c/type", "missing_key")]),
    ],
)
def test_wrong_document_is_refused(document, rules):
    assert _rules(document) == rules


@pytest.mark.parametrize(
    ("field", "rules"),
    [
        ({**STRING, "required": "yes"}, [("/required", "wrong_type")]),
        ({**STRING, "description": None}, [("/description", "wrong_type")]),
        ({"type": ["string"]}, [("/type", "unknown_type")]),
        ({**STRING, "converters": {}}, [("/converters", "wrong_type")]),
        ({**STRING, "converters": [1]}, [("/converters/0", "wrong_type")]),
        ({**STRING, "converters": [{}]}, [("/converters/0/function", "missing_key")]),
        ({**STRING, "converters": [{"function": 1}]}, [("/converters/0/function", "unknown_converter")]),
        (
            {**NUMBER, "converters": [{"function": "string_to_number", "from": "boolean", "to": "string"}]},
            [("/converters/0/from", "contradiction"), ("/converters/0/to", "contradiction")],
        ),
        ({**NUMBER, "converters": ["string_to_number"] * 2}, [("/converters/1/function", "duplicate")]),
        (
            {**NUMBER, "converters": [{"function": "string_to_number", "deterministic": False}]},
            [("/converters/0/deterministic", "contradiction")],
        ),
        ({**NUMBER, "constraints": []}, [("/constraints", "wrong_type")]),
        ({**NUMBER, "constraints": {"minimum": 1}}, [("/constraints/minimum", "unknown_key")]),
        ({**NUMBER, "constraints": {"min": "1"}}, [("/constraints/min", "wrong_type")]),
        ({**NUMBER, "constraints": {"min": True}}, [("/constraints/min", "wrong_type")]),
        ({**NUMBER, "constraints": {"min": 2, "max": 1}}, [("/constraints/min", "empty_range")]),
        ({**NUMBER, "constraints": {"pattern": "a"}}, [("/constraints/pattern", "unsuited_constraint")]),
        ({**STRING, "constraints": {"min_length": -1}}, [("/constraints/min_length", "wrong_type")]),
        (
            {**STRING, "constraints": {"min_length": 2, "max_length": 1}},
            [("/constraints/min_length", "empty_range")],
        ),
        ({**STRING, "constraints": {"pattern": "(?=a)"}}, [("/constraints/pattern", "bad_pattern")]),
        ({**STRING, "constraints": {"enum": []}}, [("/constraints/enum", "wrong_type")]),
        ({**STRING, "constraints": {"enum": ["a", "a"]}}, [("/constraints/enum/1", "duplicate")]),
        ({**STRING, "constraints": {"enum": ["a", 1]}}, [("/constraints/enum/1", "enum_misfit")]),
        ({**NUMBER, "constraints": {"max": 1, "enum": [1, 2]}}, [("/constraints/enum/1", "enum_misfit")]),
        ({"type": "date", "constraints": {"enum": ["soon"]}}, [("/constraints/enum/0", "enum_misfit")]),
    ],
)
def test_wrong_field_is_refused(field, rules):
    assert _field_rules(field) == rules


def test_a_definition_that_is_too_large_is_refused_without_repeating_it():
    many = {"fields": {f"f{number}": STRING for number in range(MAX_FIELDS + 1)}}
    assert _rules(many) == [("/fields", "too_many_fields")]
    assert _rules({"fields": {"f": {**STRING, "description": "x" * MAX_DEFINITION_BYTES}}}) == [
        ("", "too_large")
    ]


def _deep(levels: int) -> Json:
    value: Json = 1
    for _ in range(levels):
        value = [value]
    return value


BAD_INPUT: list[tuple[str, Json, list[tuple[str, str, Json]]]] = [
    (
        "unknown type",
        {"fields": {"f": {"type": "integer"}}},
        [("/fields/f/type", "unknown_type", "integer")],
    ),
    (
        "unknown converter",
        {"fields": {"f": {"type": "string", "converters": ["to_upper"]}}},
        [("/fields/f/converters/0/function", "unknown_converter", "to_upper")],
    ),
    (
        "converter that ends elsewhere",
        {"fields": {"f": {"type": "date", "converters": [{"function": "string_to_number"}]}}},
        [("/fields/f/converters/0", "wrong_end", "string_to_number")],
    ),
    (
        "policy for an undeclared field",
        {"fields": {}, "merge_policies": {"f": {"strategy": "last_write"}}},
        [("/merge_policies/f", "undeclared_field", "f")],
    ),
    (
        "unknown strategy and tie breaker",
        {
            "fields": {"f": {"type": "array"}},
            "merge_policies": {"f": {"strategy": "sum", "tie_breaker": "coin"}},
        },
        [
            ("/merge_policies/f/strategy", "unknown_strategy", "sum"),
            ("/merge_policies/f/tie_breaker", "unknown_tie_breaker", "coin"),
        ],
    ),
    (
        "10,000 fields",
        {"fields": {f"f{number}": {"type": "string"} for number in range(10_000)}},
        [("/fields", "too_many_fields", 10_000)],
    ),
    (
        "names that differ only by case",
        {"fields": {"Name": {"type": "string"}, "NAME": {"type": "date"}}},
        [("/fields/NAME", "ambiguous_name", "NAME")],
    ),
    (
        "names that differ only by Unicode form",
        {"fields": {"caf\u00e9": {"type": "string"}, "cafe\u0301": {"type": "string"}}},
        [
            ("/fields/cafe\u0301", "invalid_name", "cafe\u0301"),
            ("/fields/cafe\u0301", "ambiguous_name", "cafe\u0301"),
        ],
    ),
    (
        "a pattern that looks back",
        {"fields": {"f": {"type": "string", "constraints": {"pattern": r"(a+)+\1$"}}}},
        [("/fields/f/constraints/pattern", "bad_pattern", r"(a+)+\1$")],
    ),
    (
        "a pattern that is too large",
        {"fields": {"f": {"type": "string", "constraints": {"pattern": "((a{100}){100}){100}"}}}},
        [("/fields/f/constraints/pattern", "bad_pattern", "((a{100}){100}){100}")],
    ),
    (
        "a definition of 5 MB",
        {"fields": {f"f{n}": {"type": "string", "description": "x" * 5_000} for n in range(1_000)}},
        [("", "too_large", 5_041_902)],
    ),
    (
        "a text that cannot be stored",
        {"fields": {"f": {"type": "string", "description": "\0"}, "g": {"type": "x"}}},
        [("", "unstorable_json", None)],
    ),
    ("a lone surrogate", {"fields": {"\ud800": {"type": "string"}}}, [("", "unstorable_json", None)]),
    (
        "a value nested too deep",
        {"fields": {"f": {"type": "array", "constraints": {"enum": [_deep(200)]}}}},
        [("", "unstorable_json", None)],
    ),
]


@pytest.mark.parametrize(
    ("document", "problems"), [row[1:] for row in BAD_INPUT], ids=[row[0] for row in BAD_INPUT]
)
def test_bad_input_gets_a_code_a_path_and_the_value(document, problems):
    with pytest.raises(InvalidDefinition) as caught:
        parse_definition(document)
    listed = caught.value.context["problems"]
    assert [(problem["path"], problem["rule"], problem["value"]) for problem in listed] == problems
    assert all(problem["message"] for problem in listed)
    assert caught.value.context["problem_count"] == len(problems)


def test_a_pattern_that_would_run_for_ever_elsewhere_runs_in_linear_time_here():
    parse_definition({"fields": {"f": {"type": "string", "constraints": {"pattern": "^(a+)+$"}}}})


def test_patterns_that_are_too_large_together_are_refused_without_compiling_them_all():
    letters: dict[int, Any] = {
        n: {"type": "string", "constraints": {"pattern": f"\\pL{{200}}{n}"}} for n in range(1_000)
    }
    assert _rules({"fields": {f"f{n}": field for n, field in letters.items()}}) == [
        ("/fields/f4/constraints/pattern", "patterns_too_large")
    ]
    with pytest.raises(InvalidExtension) as extension:
        parse_extension({"additional_fields": {f"f{n}": field for n, field in letters.items()}})
    with pytest.raises(InvalidEdits) as edits:
        parse_edits(
            [
                {"op": "set_constraints", "field": "f", "set": field["constraints"]}
                for field in letters.values()
            ]
        )
    assert [p["path"] for p in extension.value.context["problems"]] == [
        "/additional_fields/f4/constraints/pattern"
    ]
    assert [p["path"] for p in edits.value.context["problems"]] == ["/4/set/pattern"]
    assert _rules({"fields": {"f": letters[0], "g": letters[1]}}) == []


def test_long_values_are_told_in_short():
    name = "x" * 5_000
    document: dict[str, Any] = {"fields": {"f": {"type": ["y" * 1_000]}, name: STRING}}
    told = [problem.to_json() for problem in validate(document)]
    assert [len(str(problem["value"])) for problem in told] == [201, 201]
    assert str(told[0]["value"]).endswith("…")
    assert told[1]["path"] == f"/fields/{name}"
    assert Problem("", "x", [1, True], "y" * 1_000).to_json() == {
        "path": "",
        "rule": "x",
        "value": [1, True],
        "message": "y" * 500 + "…",
    }


def test_a_hundred_thousand_problems_are_counted_and_the_first_are_told():
    document: dict[str, Any] = {"fields": {"f": {"type": "string", **{f"k{n}": 1 for n in range(60_000)}}}}
    with pytest.raises(InvalidDefinition) as caught:
        parse_definition(document)
    assert caught.value.context["problem_count"] == 60_000
    assert len(caught.value.context["problems"]) == MAX_LISTED_PROBLEMS
    assert "59999 more" in caught.value.message


@pytest.mark.parametrize(
    "name",
    [
        "Ruby-Versions",
        "lint-staged",
        "createdAt",
        "Straße",
        "a b",
        "x" * 128,
        "constructor",
        "1",
        "@type",
        "名",
    ],
)
def test_real_names_may_be_declared(name):
    assert field_name_problem(name) is None


@pytest.mark.parametrize(
    "name",
    [
        "",
        "x" * 129,
        "_deleted",
        " a",
        "a ",
        "a\n",
        "a\tb",
        "a\0",
        "e\u0301",
        "a\u200b",
        "a\u00a0b",
        "\ud800",
        "\u3000a",
    ],
)
def test_names_that_cannot_be_told_apart_may_not(name):
    assert field_name_problem(name)


def test_entity_type_names():
    for name in ("a", "package", "npm_2", "x" * 63):
        assert entity_type_problem(name) is None
    for name in ("", "Package", "2a", "_a", "a-b", "x" * 64, "a\n", "ä"):
        assert entity_type_problem(name)


@pytest.mark.parametrize(
    ("name", "normalised"),
    [
        ("Ruby-Versions", "ruby_versions"),
        ("lint-staged", "lint_staged"),
        ("createdAt", "created_at"),
        ("created.at", "created_at"),
        ("HTTPServer", "http_server"),
        ("userIDs", "user_ids"),
        ("sha256Sum", "sha256_sum"),
        ("is_active", "is_active"),
        ("Straße", "straße"),
        ("ÜberÄnderung", "über_änderung"),
        ("--", ""),
    ],
)
def test_rules_about_names_see_one_form(name, normalised):
    assert normalised_name(name) == normalised


@given(st.text(max_size=40))
def test_any_text_has_a_verdict_as_a_name(name):
    assert normalised_name(name) == normalised_name(normalised_name(name)) or not name.isascii()
    field_name_problem(name)
    if name.isprintable():
        assert confusable_form(confusable_form(name)) == confusable_form(name)


@given(definitions())
def test_what_is_stored_is_valid_and_reads_back(definition):
    stored = definition.to_json()
    assert validate(stored) == []
    read_back = Definition.from_json(stored)
    assert canonical_json(read_back.to_json()) == canonical_json(stored)
    assert read_back.reduction_hash == definition.reduction_hash
    assert definition.reduction_hash != UNDECLARED_REDUCTION_HASH


@given(
    st.recursive(
        values,
        lambda inner: st.dictionaries(
            st.sampled_from(
                [
                    "fields",
                    "merge_policies",
                    "f",
                    "type",
                    "converters",
                    "constraints",
                    "function",
                    "enum",
                    "min",
                    "max",
                ]
            ),
            inner | st.sampled_from(["string", "number", "string_to_number", "merge_array"]),
        ),
    )
)
def test_any_document_has_a_verdict(document):
    problems = validate(document)
    if problems:
        assert all(problem.rule and problem.message for problem in problems)
    else:
        parse_definition(document)


def test_the_reduction_hash_follows_what_reduction_depends_on():
    document: dict[str, Any] = {
        "fields": {"f": {**NUMBER, "converters": ["string_to_number"]}, "g": STRING},
        "merge_policies": {"f": {"strategy": "most_specific"}},
    }
    definition = parse_definition(document)
    field = definition.fields["f"]
    policy = definition.merge_policies["f"]
    others = [
        replace(definition, fields={"f": field}),
        replace(definition, fields={**definition.fields, "f": replace(field, type=FieldType.STRING)}),
        replace(definition, fields={**definition.fields, "f": replace(field, converters=())}),
        replace(definition, merge_policies={}),
        replace(definition, merge_policies={"f": replace(policy, strategy=Strategy.MERGE_ARRAY)}),
        parse_definition(
            {
                **document,
                "merge_policies": {"f": {"strategy": "most_specific", "tie_breaker": "source_priority"}},
            }
        ),
        replace(definition, observation_source_priority=()),
        replace(definition, observation_source_priority=("import",)),
    ]
    hashes = {other.reduction_hash for other in others}
    assert len(hashes) == len(others)
    assert definition.reduction_hash not in hashes


def test_the_kind_order_ranks_unknown_kinds_last():
    definition = parse_definition({"fields": {}})
    assert [definition.kind_rank(kind) for kind in ("sensor", "sync", "probe", None)] == [0, 5, 6, 6]
    own = parse_definition({"fields": {}, "observation_source_priority": ["probe", "human"]})
    assert [own.kind_rank(kind) for kind in ("probe", "human", "sensor", None)] == [0, 1, 2, 2]
    equal = parse_definition({"fields": {}, "observation_source_priority": []})
    assert {equal.kind_rank(kind) for kind in ("sensor", "sync", "probe", None)} == {0}
