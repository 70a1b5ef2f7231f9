"""What converters would make of values that do not fit: exact by counts, or by a sample that says how large it is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fragments.domain.conversions import CONVERTER_ORDER, converter_of_form, form_fits, may_convert
from fragments.domain.converter_suggestions import ConverterOutlook, converter_outlook, forms_to_sample
from fragments.domain.counts import FieldCounts
from fragments.domain.inference import infer
from fragments.domain.notations import Notation, notation_of
from registry.domain.converters import CONVERTERS, NOT_CONVERTED
from registry.domain.definition import Field, FieldType
from registry.domain.fit import convert_for_ingest, fits
from registry.domain.times import is_date_or_time
from schemaevo.kernel.canonical import Json


def field(name: str, **stored: Any) -> Field:
    return Field.from_json(name, stored)


def counts_of(name: str, values: Sequence[Json]) -> FieldCounts:
    forms = [infer(name, value) for value in values]
    return FieldCounts(
        len(values),
        len(values),
        Counter(kind for kind, _form in forms),
        Counter(f"{kind}:{form}" for kind, form in forms),
        1,
    )


def outlook(field: Field, values: Sequence[Json], sample: Sequence[Json] | None = None) -> ConverterOutlook:
    return converter_outlook(field, counts_of(field.name, values), values if sample is None else sample)


@pytest.mark.parametrize(
    ("declared", "values", "suggested"),
    [
        (field("created_at", type="date"), [1_557_933_565] * 7, {"timestamp_s_to_iso": 7}),
        (field("created_at", type="date"), [1_557_933_565_000] * 2, {"timestamp_ms_to_iso": 2}),
        (field("created", type="date"), [1_557_933_565_000_000_000], {"timestamp_nanos_to_iso": 1}),
        (
            field("created", type="date"),
            [1_557_933_565, 1_557_933_565_123, 7],
            {"timestamp_s_to_iso": 1, "timestamp_ms_to_iso": 1},
        ),
        (field("created", type="date"), [Decimal("1557933565.25")], {"timestamp_s_to_iso": 1}),
        (field("size", type="number"), ["12", "1.5", " 7 ", "12abc"], {"string_to_number": 3}),
        (field("is_open", type="boolean"), ["yes", "0", "TRUE", "maybe"], {"string_to_boolean": 3}),
        (
            field("code", type="string"),
            [1, True, Decimal("1.5")],
            {"number_to_string": 2, "boolean_to_string": 1},
        ),
        (field("parts", type="array"), ["a", {}], {}),
        (field("open", type="boolean"), [1, 0], {}),
        (field("at", type="number"), ["2024-05-01", "a@b.example"], {}),
    ],
)
def test_converters_are_suggested_with_what_each_would_convert(
    declared: Field, values: list[Json], suggested: dict[str, int]
) -> None:
    found = outlook(declared, values)
    assert {name: part.count for name, part in found.suggested.items()} == suggested
    assert found.is_exact
    assert found.waiting == len(values)
    assert [converter.function for converter in found.field_with_converters.converters] == list(suggested)


def test_what_only_values_can_tell_is_taken_from_a_sample_that_says_its_size() -> None:
    values = [1_557_933_565] * 60 + [3] * 20
    found = outlook(field("created", type="date"), values, sample=[1_557_933_565] * 3 + [3])
    assert (found.is_exact, found.sampled, found.looked_at) == (False, 80, 4)
    assert found.suggested["timestamp_s_to_iso"].count == 60
    assert found.suggested["timestamp_s_to_iso"].share == Fraction(3, 4)
    assert found.rest.count == 20


def test_without_any_value_nothing_is_claimed() -> None:
    found = outlook(field("created", type="date"), [1_557_933_565], sample=[])
    assert (found.suggested, found.rest.count, found.is_exact) == ({}, 1, False)


def test_what_counts_tell_needs_no_sample() -> None:
    declared = field("created_at", type="date")
    counts = counts_of("created_at", [1_557_933_565] * 7)
    assert forms_to_sample(declared, counts) == frozenset()
    assert converter_outlook(declared, counts).is_exact
    assert forms_to_sample(field("created_at", type="date"), counts_of("created_at", ["soon", 1])) == {
        *("string:text", "number:integer")
    }


def test_a_converted_value_has_to_keep_the_constraints() -> None:
    declared = field("size", type="number", constraints={"max": 10})
    found = outlook(declared, ["5", "50"])
    assert (found.suggested["string_to_number"].count, found.rest.count) == (1, 1)


def test_what_the_fields_own_converters_read_waits_to_be_tried_again() -> None:
    found = outlook(
        field("created_at", type="date", converters=["timestamp_s_to_iso"]),
        [1_557_933_565, 2_000_000_000_000],
    )
    assert (found.already.count, {name: part.count for name, part in found.suggested.items()}) == (
        1,
        {"timestamp_ms_to_iso": 1},
    )
    assert [c.function for c in found.field_with_converters.converters] == [
        *("timestamp_s_to_iso", "timestamp_ms_to_iso")
    ]


def test_seconds_are_asked_before_milliseconds_whatever_was_declared_first() -> None:
    found = outlook(field("created_at", type="date", converters=["timestamp_ms_to_iso"]), [1_557_933_565])
    converters = [c.function for c in found.field_with_converters.converters]
    assert converters == ["timestamp_s_to_iso", "timestamp_ms_to_iso"]
    order = [name for name in CONVERTER_ORDER if name.startswith("timestamp")]
    assert order == ["timestamp_s_to_iso", "timestamp_ms_to_iso", "timestamp_nanos_to_iso"]


def test_dates_in_other_notations_are_told_and_nothing_is_suggested_for_them() -> None:
    values: list[Json] = ["01.05.2024", "02.05.2024", "05/31/2024", "soon"]
    found = outlook(field("due", type="date"), values)
    assert {notation.value: part.count for notation, part in found.notations.items()} == {
        "DD.MM.YYYY": 2,
        "MM/DD/YYYY": 1,
    }
    assert (found.suggested, found.rest.count, next(iter(found.notations))) == (
        {},
        1,
        Notation.DAY_FIRST_POINTS,
    )


@pytest.mark.parametrize(
    ("text", "notation"),
    [
        ("2024-05-01T10:00:00", Notation.ISO_WITHOUT_OFFSET),
        ("2024-05-01 10:00", Notation.ISO_WITHOUT_OFFSET),
        ("20240501", Notation.ISO_BASIC),
        ("20240501T1000Z", Notation.ISO_BASIC),
        ("2024/05/01", Notation.YEAR_FIRST),
        ("1.5.2024 10:00", Notation.DAY_FIRST_POINTS),
        ("31/01/2024", Notation.DAY_FIRST),
        ("01/31/2024 9:30 PM", Notation.MONTH_FIRST),
        ("01/02/2024", Notation.DAY_OR_MONTH_FIRST),
        ("Sat, 11 Jul 2026 10:16:37 UTC", Notation.MAIL),
        ("Sat, 11 Jul 2026 10:16:37 +0000", Notation.MAIL),
        ("11 July 2026", Notation.MONTH_NAME),
        ("Jul 11, 2026", Notation.MONTH_NAME),
        ("1557933565", Notation.EPOCH_TEXT),
        ("1557933565123", Notation.EPOCH_TEXT),
        ("2024-05", Notation.YEAR_MONTH),
        ("32.01.2024", None),
        ("13/13/2024", None),
        ("1.2.3", None),
        ("12345", None),
        ("99999999", None),
        ("soon", None),
        ("", None),
        ("may " * 100, None),
    ],
)
def test_notations(text: str, notation: Notation | None) -> None:
    assert notation_of(text) is notation
    assert not is_date_or_time(text)


VALUES = st.one_of(
    st.booleans(),
    st.integers(-5, 5_000_000_000_000),
    st.sampled_from(["2024-05-01", "12", " 3 ", "-1.5", "yes", "no", "text", "a@b.example", "01.02.2024"]),
    st.decimals(-10, 10, places=1).map(lambda number: number if number % 1 else int(number)),
    st.just([1]),
    st.just({"a": 1}),
    st.none(),
)


@given(st.sampled_from(FieldType), st.sampled_from(["created_at", "size"]), st.lists(VALUES, max_size=12))
def test_a_look_at_all_values_gives_what_ingest_would_do(
    field_type: FieldType, name: str, values: list[Json]
) -> None:
    found = outlook(Field(name, field_type), values)
    waiting = [value for value in values if fits(value, found.field)]
    assert found.waiting == len(waiting)
    assert found.is_exact
    with_converters = found.field_with_converters
    read = sum(convert_for_ingest(value, with_converters) is not NOT_CONVERTED for value in waiting)
    told = sum(part.count for part in found.suggested.values())
    # Numbers that are no plausible time may be converted all the same.
    assert told <= read
    if field_type is not FieldType.DATE:
        assert told == read
    notations = sum(part.count for part in found.notations.values())
    assert told + notations + found.already.count + found.rest.count == len(waiting)


def test_whatever_is_said_of_a_form_is_possible() -> None:
    forms = ["date:epoch_s", "date:epoch_ms", "date:date", "number:integer", "number:decimal", "boolean:"]
    for form in [*forms, "string:text", "string:numeric", "string:uuid", "array:", "object:", "null:"]:
        for field_type in FieldType:
            function = converter_of_form(form, field_type)
            if function is not None:
                assert CONVERTERS[function].target is field_type
                assert may_convert(form, field_type)
                assert not form_fits(form, field_type)
