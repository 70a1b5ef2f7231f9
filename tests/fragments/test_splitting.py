"""What goes into an observation and what becomes a fragment, and why."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from fragments.domain.inference import infer
from fragments.domain.splitting import Fragment, split
from registry.domain.validation import parse_definition
from schemaevo.kernel.canonical import Json
from tests.factories import make_definition

DEFINITION = parse_definition(
    make_definition(
        name={"type": "string", "constraints": {"max_length": 5}},
        size={"type": "number", "converters": ["string_to_number"], "constraints": {"max": 100}},
        born="date",
        tags="array",
        Straße="object",
        flag={"type": "boolean", "converters": ["string_to_boolean"]},
    )
)


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("name", "toolong", "constraint"),
        ("name", 7, "type_mismatch"),
        ("name", ["a"], "type_mismatch"),
        ("size", True, "type_mismatch"),
        ("size", "12abc", "type_mismatch"),
        ("size", 101, "constraint"),
        ("size", "101", "type_mismatch"),
        ("born", "2024-02-30", "type_mismatch"),
        ("born", "yesterday", "type_mismatch"),
        ("born", 5, "type_mismatch"),
        ("tags", "[1]", "type_mismatch"),
        ("Straße", [], "type_mismatch"),
        ("Name", "x", "unknown_field"),
        ("strasse", {}, "unknown_field"),
        ("unknown", None, "unknown_field"),
        ("lint-staged", 1, "unknown_field"),
        ("_private", 1, "invalid_name"),
        ("_Deleted", True, "invalid_name"),
        ("", 1, "invalid_name"),
        (" name", 1, "invalid_name"),
        ("a\nb", 1, "invalid_name"),
        ("a" * 129, 1, "invalid_name"),
        ("e\u0301", 1, "invalid_name"),
    ],
)
def test_what_does_not_fit_is_a_fragment_with_its_reason(name: str, value: Json, reason: Any) -> None:
    assert split({name: value}, DEFINITION, ()) == ({}, [Fragment(name, value, reason)])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("name", "fits"),
        ("name", None),
        ("size", Decimal("99.5")),
        ("born", "2024-02-29"),
        ("born", "2024-02-29T12:00:00.5+02:00"),
        ("tags", []),
        ("Straße", {}),
        ("flag", False),
        ("_deleted", True),
        ("_deleted", "whatever"),
    ],
)
def test_what_fits_is_in_the_observation_alone(name: str, value: Json) -> None:
    assert split({name: value}, DEFINITION, ()) == ({name: value}, [])


def test_a_converted_value_is_in_both_the_original_as_a_fragment() -> None:
    fields, fragments = split({"size": " 12 ", "flag": "YES"}, DEFINITION, ())
    assert fields == {"size": 12, "flag": True}
    assert fragments == [
        Fragment("size", " 12 ", "converted_original"),
        Fragment("flag", "YES", "converted_original"),
    ]


def test_control_fields_are_observed_if_declared_and_never_fragments() -> None:
    record: dict[str, Json] = {"name": "x", "size": "12", "born": 5, "other": 1, "_own": 2}
    fields, fragments = split(record, DEFINITION, record.keys())
    assert fields == {"name": "x", "size": 12}
    assert fragments == []


def test_where_nothing_is_declared_everything_is_observed() -> None:
    record: dict[str, Json] = {"_private": 1, "": None, "a\nb": [{}], "_deleted": True}
    assert split(record, None, ("",)) == (record, [])


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("a", None, ("null", "")),
        ("a", True, ("boolean", "")),
        ("a", [], ("array", "")),
        ("a", {}, ("object", "")),
        ("a", 1, ("number", "integer")),
        ("a", -(2**70), ("number", "integer")),
        ("a", Decimal("1.5"), ("number", "decimal")),
        ("a", 1_700_000_000, ("number", "integer")),
        ("count", 1_700_000_000, ("number", "integer")),
        ("created_at", 1_700_000_000, ("date", "epoch_s")),
        ("createdAt", 1_700_000_000_000, ("date", "epoch_ms")),
        ("Build-Date", 1_700_000_000, ("date", "epoch_s")),
        ("timestamp", 631_152_000, ("date", "epoch_s")),
        ("timestamp", 631_151_999, ("number", "integer")),
        ("timestamp", 4_102_444_800, ("date", "epoch_s")),
        ("timestamp", 4_102_444_801, ("number", "integer")),
        ("timestamp", Decimal("1700000000.5"), ("number", "decimal")),
        ("created_at", True, ("boolean", "")),
        ("format", 1_700_000_000, ("number", "integer")),
        ("a", "", ("string", "text")),
        ("a", "1", ("string", "numeric")),
        ("a", "0", ("string", "numeric")),
        ("a", "-1.5e10", ("string", "numeric")),
        ("a", "١", ("string", "text")),
        ("a", "1 ", ("string", "text")),
        ("a", "yes", ("string", "text")),
        ("a", "12abc", ("string", "text")),
        ("a", "2024-02-29", ("date", "date")),
        ("a", "2023-02-29", ("string", "text")),
        ("a", "2024-02-29T00:00:00Z", ("date", "datetime")),
        ("a", "2024-02-29 00:00:00+01:00", ("date", "datetime")),
        ("a", "2024-02-29T00:00", ("string", "text")),
        ("a", "20240229", ("string", "numeric")),
        ("a", "ada@example.org", ("string", "email")),
        ("a", "ada@localhost", ("string", "text")),
        ("a", "a b@example.org", ("string", "text")),
        ("a", "https://example.org/x?y=1", ("string", "url")),
        ("a", "git+ssh://git@example.org/x", ("string", "url")),
        ("a", "https:// example.org", ("string", "text")),
        ("a", "mailto:ada@example.org", ("string", "email")),
        ("a", "0190b5c8-7f6e-7000-8000-0123456789AB", ("string", "uuid")),
        ("a", "0190b5c87f6e700080000123456789ab", ("string", "text")),
        ("a", "https://example.org/\n", ("string", "text")),
        ("a", "1" * 3000, ("string", "text")),
    ],
)
def test_type_and_format_are_inferred(name: str, value: Json, expected: tuple[str, str]) -> None:
    assert infer(name, value) == expected
