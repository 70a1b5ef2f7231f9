"""Every converter is exact at its edges and refuses, without an error, what it cannot read."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.domain.converters import CONVERTERS, NOT_CONVERTED, convert
from registry.domain.fit import fits_type, json_type
from registry.domain.times import is_date_or_time
from schemaevo.kernel.canonical import exact_number
from tests.domain.histories import values

END = 4_102_444_800

CONVERTED = [
    ("timestamp_s_to_iso", 0, "1970-01-01T00:00:00.000Z"),
    ("timestamp_s_to_iso", END, "2100-01-01T00:00:00.000Z"),
    ("timestamp_s_to_iso", Decimal("1.9999"), "1970-01-01T00:00:01.999Z"),
    ("timestamp_s_to_iso", Decimal("0.00000001"), "1970-01-01T00:00:00.000Z"),
    ("timestamp_ms_to_iso", 1_700_000_000_123, "2023-11-14T22:13:20.123Z"),
    ("timestamp_ms_to_iso", Decimal("999.9"), "1970-01-01T00:00:00.999Z"),
    ("timestamp_ms_to_iso", END * 1000, "2100-01-01T00:00:00.000Z"),
    ("timestamp_nanos_to_iso", 1_700_000_000_123_999_999, "2023-11-14T22:13:20.123Z"),
    ("timestamp_nanos_to_iso", END * 10**9, "2100-01-01T00:00:00.000Z"),
    ("number_to_string", 0, "0"),
    ("number_to_string", -12, "-12"),
    ("number_to_string", 10**20, "100000000000000000000"),
    ("number_to_string", 10**21, "1e+21"),
    ("number_to_string", -2 * 10**30, "-2e+30"),
    ("number_to_string", 15 * 10**20, "1500000000000000000000"),
    ("number_to_string", 123456789012345678901234, "123456789012345678901234"),
    ("number_to_string", Decimal("1.5"), "1.5"),
    ("number_to_string", Decimal("-0.000001"), "-0.000001"),
    ("number_to_string", Decimal("1E-7"), "1e-7"),
    ("number_to_string", Decimal("-1.25E-10"), "-1.25e-10"),
    ("number_to_string", Decimal("123456789012345678901234567890.5"), "123456789012345678901234567890.5"),
    ("string_to_number", " 12 ", 12),
    ("string_to_number", "-1.50", Decimal("1.5") * -1),
    ("string_to_number", "+3", 3),
    ("string_to_number", "1e3", 1000),
    ("string_to_number", ".5", Decimal("0.5")),
    ("string_to_number", "5.", 5),
    ("string_to_number", "-0", 0),
    ("string_to_number", "9007199254740993", 9007199254740993),
    ("boolean_to_string", True, "true"),
    ("boolean_to_string", False, "false"),
    ("string_to_boolean", " TRUE ", True),
    ("string_to_boolean", "1", True),
    ("string_to_boolean", "Yes", True),
    ("string_to_boolean", "no", False),
    ("string_to_boolean", "0", False),
    ("string_to_boolean", "\tFalse\n", False),
]

REFUSED = [
    ("timestamp_s_to_iso", -1),
    ("timestamp_s_to_iso", Decimal("-0.1")),
    ("timestamp_s_to_iso", END + 1),
    ("timestamp_s_to_iso", Decimal(END) + Decimal("0.001")),
    ("timestamp_s_to_iso", True),
    ("timestamp_s_to_iso", "0"),
    ("timestamp_ms_to_iso", END * 1000 + 1),
    ("timestamp_nanos_to_iso", END * 10**9 + 1),
    ("timestamp_nanos_to_iso", Decimal("1.5")),
    ("timestamp_nanos_to_iso", False),
    ("number_to_string", True),
    ("number_to_string", "1"),
    ("string_to_number", ""),
    ("string_to_number", "12abc"),
    ("string_to_number", "0x10"),
    ("string_to_number", "1_000"),
    ("string_to_number", "١٢"),
    ("string_to_number", "NaN"),
    ("string_to_number", "Infinity"),
    ("string_to_number", "1e309"),
    ("string_to_number", "1e99999999999999999999"),
    ("string_to_number", "1 2"),
    ("string_to_number", "."),
    ("string_to_number", "9" * 1_000_000),
    ("string_to_number", 12),
    ("boolean_to_string", 1),
    ("boolean_to_string", "true"),
    ("string_to_boolean", "maybe"),
    ("string_to_boolean", ""),
    ("string_to_boolean", 1),
    ("string_to_boolean", "y"),
    ("no_such_converter", "x"),
]


@pytest.mark.parametrize(("function", "value", "wanted"), CONVERTED)
def test_value_is_converted(function, value, wanted):
    found = convert(function, value)
    assert repr(found) == repr(wanted)


@pytest.mark.parametrize(("function", "value"), REFUSED, ids=lambda part: str(part)[:30])
def test_value_is_refused(function, value):
    assert convert(function, value) is NOT_CONVERTED


@given(st.sampled_from(sorted(CONVERTERS)), values | st.integers() | st.text(max_size=20))
def test_a_converter_never_raises_and_ends_in_its_type(function, value):
    spec = CONVERTERS[function]
    found = convert(function, value)
    if found is NOT_CONVERTED:
        return
    assert json_type(value) is spec.source
    assert found is not None
    assert fits_type(found, spec.target)


@given(
    st.integers() | st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**40), max_value=10**40)
)
def test_a_number_as_string_reads_back_as_the_same_number(number):
    try:
        exact = exact_number(number)
    except ValueError:
        return
    text = convert("number_to_string", exact)
    assert isinstance(text, str)
    assert convert("string_to_number", text) == exact
    if isinstance(exact, int):
        assert "." not in text


@given(st.integers(0, END * 1000))
def test_a_timestamp_becomes_a_date_that_fits(milliseconds):
    text = convert("timestamp_ms_to_iso", milliseconds)
    assert isinstance(text, str)
    assert is_date_or_time(text)
