"""Times are read strictly, counted exactly, and refused where they name no instant."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.domain.times import from_us, is_date_or_time, parse_time, to_us


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2024-05-01T10:00:00Z", "2024-05-01T10:00:00+00:00"),
        ("2024-05-01 10:00:00+02:00", "2024-05-01T08:00:00+00:00"),
        ("2024-05-01T10:00:00-0330", "2024-05-01T13:30:00+00:00"),
        ("2024-05-01T10:00:00+00", "2024-05-01T10:00:00+00:00"),
        ("2024-05-01T10:00:00", "2024-05-01T10:00:00+00:00"),
        ("2024-05-01T10:00", "2024-05-01T10:00:00+00:00"),
        ("2024-05-01", "2024-05-01T00:00:00+00:00"),
        ("2024-05-01t10:00:00z", "2024-05-01T10:00:00+00:00"),
        ("2024-05-01T10:00:00.1Z", "2024-05-01T10:00:00.100000+00:00"),
        ("2024-05-01T10:00:00,25Z", "2024-05-01T10:00:00.250000+00:00"),
        ("2024-05-01T10:00:00.1234569999Z", "2024-05-01T10:00:00.123456+00:00"),
        ("1969-12-31T23:59:59.999999Z", "1969-12-31T23:59:59.999999+00:00"),
        ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00+00:00"),
        ("9999-12-31T23:59:59.999999Z", "9999-12-31T23:59:59.999999+00:00"),
    ],
)
def test_time_is_read(text, instant):
    assert parse_time(text).isoformat() == instant
    assert parse_time(text).tzinfo is UTC


UNREADABLE = [
    "",
    "yesterday",
    "2024-02-30",
    "2023-02-29T00:00:00Z",
    "2024-13-01",
    "2024-05-01T24:00:00Z",
    "2024-05-01T10:60:00Z",
    "2016-12-31T23:59:60Z",
    "2024-05-01T10:00:00+24:00",
    "2024-05-01T10:00:00+01:60",
    "2024-05-01T10:00:00 Z",
    " 2024-05-01",
    "2024-05-01\n",
    "20240501",
    "2024-W18-3",
    "0000-01-01",
    "0001-01-01T00:00:00+01:00",
    "9999-12-31T23:59:59-01:00",
    "٢٠٢٤-05-01",
    "1714557600",
]


@pytest.mark.parametrize("text", UNREADABLE)
def test_what_names_no_instant_is_refused(text):
    with pytest.raises(ValueError):
        parse_time(text)
    assert not is_date_or_time(text)


@pytest.mark.parametrize("text", ["2024-05-01T10:00:00", "2024-05-01T10:00Z", "2024-05-01T10:00:00+02"])
def test_a_field_of_type_date_takes_rfc_3339_only(text):
    parse_time(text)
    assert not is_date_or_time(text)


def test_a_naive_time_is_not_counted():
    with pytest.raises(ValueError):
        to_us(datetime(2024, 1, 1))  # noqa: DTZ001 - the naive time is what is tested


@given(st.datetimes(timezones=st.just(UTC)))
def test_counting_is_exact(moment):
    assert from_us(to_us(moment)) == moment
    assert parse_time(moment.isoformat()) == moment
    assert is_date_or_time(moment.isoformat())


@pytest.mark.parametrize("microseconds", [10**18, -(10**18), 10**40])
def test_beyond_the_calendar_is_refused(microseconds):
    with pytest.raises(ValueError):
        from_us(microseconds)
