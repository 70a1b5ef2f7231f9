"""Whether a value fits a field, at ingest and in reduction."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.domain.converters import CONVERTERS, NOT_CONVERTED
from registry.domain.definition import Constraints, Converter, Field, FieldType
from registry.domain.fit import (
    convert_for_ingest,
    convert_for_reduction,
    fits,
    fits_type,
    json_type,
    pattern_problem,
)
from tests.domain.histories import fields, values


def _field(field_type: FieldType, *functions: str, **constraints: object) -> Field:
    return Field(
        "f",
        field_type,
        converters=tuple(Converter(CONVERTERS[f].source, CONVERTERS[f].target, f) for f in functions),
        constraints=Constraints(**constraints),  # type: ignore[arg-type]
    )


@pytest.mark.parametrize(
    ("value", "field_type"),
    [
        ("x", FieldType.STRING),
        (1, FieldType.NUMBER),
        (Decimal("1.5"), FieldType.NUMBER),
        (True, FieldType.BOOLEAN),
        ([], FieldType.ARRAY),
        ({}, FieldType.OBJECT),
        (None, None),
    ],
)
def test_json_type(value, field_type):
    assert json_type(value) is field_type


@pytest.mark.parametrize("field_type", FieldType)
def test_null_fits_every_type(field_type):
    assert fits(None, _field(field_type, enum=("x",), minimum=5)) is None
    assert fits_type(None, field_type)


@pytest.mark.parametrize(
    ("value", "field", "misfit"),
    [
        (True, _field(FieldType.NUMBER), "type_mismatch"),
        (1, _field(FieldType.BOOLEAN), "type_mismatch"),
        ("1", _field(FieldType.NUMBER), "type_mismatch"),
        ("soon", _field(FieldType.DATE), "type_mismatch"),
        ("2024-02-30", _field(FieldType.DATE), "type_mismatch"),
        ("2024-02-29", _field(FieldType.DATE), None),
        ("2024-02-29T10:00:00+01:00", _field(FieldType.DATE), None),
        (20240229, _field(FieldType.DATE), "type_mismatch"),
        (5, _field(FieldType.NUMBER, minimum=5, maximum=5), None),
        (Decimal("4.9"), _field(FieldType.NUMBER, minimum=5), "constraint"),
        (Decimal("5.1"), _field(FieldType.NUMBER, maximum=5), "constraint"),
        ("é", _field(FieldType.STRING, min_length=1, max_length=1), None),
        ("", _field(FieldType.STRING, min_length=1), "constraint"),
        ([1, 2], _field(FieldType.ARRAY, max_length=1), "constraint"),
        ("ab1", _field(FieldType.STRING, pattern="[0-9]"), None),
        ("ab", _field(FieldType.STRING, pattern="^[0-9]+$"), "constraint"),
        ("Straße", _field(FieldType.STRING, pattern=r"^\p{L}+$"), None),
        ("a", _field(FieldType.STRING, enum=("a", "b")), None),
        ("c", _field(FieldType.STRING, enum=("a", "b")), "constraint"),
        ("a1", _field(FieldType.STRING, pattern="1", enum=("a",)), "constraint"),
        (1, _field(FieldType.NUMBER, enum=(1, 2)), None),
        ([True], _field(FieldType.ARRAY, enum=([1],)), "constraint"),
        ({"a": 1, "b": 2}, _field(FieldType.OBJECT, enum=({"b": 2, "a": 1},)), None),
    ],
)
def test_fit_at_ingest(value, field, misfit):
    assert fits(value, field) == misfit


def test_the_first_converter_whose_result_fits_entirely_is_used():
    field = _field(FieldType.DATE, "timestamp_s_to_iso", "timestamp_ms_to_iso")
    assert convert_for_ingest(1_700_000_000, field) == "2023-11-14T22:13:20.000Z"
    assert convert_for_ingest(1_700_000_000_000, field) == "2023-11-14T22:13:20.000Z"
    assert convert_for_ingest("1700000000", field) is NOT_CONVERTED
    assert convert_for_ingest(10**16, field) is NOT_CONVERTED


def test_a_converted_value_must_keep_the_constraints_at_ingest_but_not_in_reduction():
    field = _field(FieldType.NUMBER, "string_to_number", maximum=10)
    assert convert_for_ingest("10", field) == 10
    assert convert_for_ingest("11", field) is NOT_CONVERTED
    assert convert_for_reduction("11", field) == 11


def test_reduction_keeps_what_no_converter_reads():
    field = _field(FieldType.NUMBER, "string_to_number")
    assert convert_for_reduction("abc", field) == "abc"
    assert convert_for_reduction([1], field) == [1]
    assert convert_for_reduction("any text", _field(FieldType.DATE)) == "any text"


def test_reduction_never_shows_a_converted_value_of_another_type():
    field = _field(FieldType.NUMBER, "boolean_to_string")
    assert convert_for_reduction(True, field) is True


def test_a_pattern_that_could_take_more_than_linear_time_is_refused():
    assert pattern_problem("^a+$") is None
    for pattern in ("(", r"(a)\1", "(?=a)", "(a{1000}){1000}"):
        assert pattern_problem(pattern)


@given(values, st.sampled_from(FieldType).flatmap(lambda _: fields("f")))
def test_conversion_gives_what_fits_or_nothing(value, field):
    converted = convert_for_ingest(value, field)
    if converted is not NOT_CONVERTED:
        assert fits(converted, field) is None
    shown = convert_for_reduction(value, field)
    assert fits_type(shown, field.type) or shown == value
