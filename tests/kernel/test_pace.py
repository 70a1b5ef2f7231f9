"""Rate and time left are honest: told from two counts, and not at all where these say nothing."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemaevo.kernel.pace import LEAST_S, Mark, Pace, pace

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
SINCE = Mark(NOON, 100)

counts = st.integers(0, 2**63 - 1)
moments = st.integers(0, 4_000_000_000_000_000).map(lambda us: datetime.fromtimestamp(us / 10**6, UTC))


def told(seconds: float, done: int, total: int | None, *, since: Mark = SINCE) -> Pace | None:
    return pace(since=since, now=NOON + timedelta(seconds=seconds), done=done, total=total)


def test_a_rate_is_what_was_gained_over_the_time_it_took_and_the_rest_takes_as_long() -> None:
    assert told(10, 150, 400) == Pace(5.0, 50.0)
    assert told(10, 400, 400) == Pace(30.0, 0.0)


@pytest.mark.parametrize("total", [None, 0, 149])
def test_where_the_end_is_not_known_no_time_is_left_to_tell(total: int | None) -> None:
    assert told(10, 150, total) == Pace(5.0, None)


@pytest.mark.parametrize(
    ("seconds", "done"),
    [
        (LEAST_S - 0.001, 150),  # too short a time
        (0, 150),
        (-10, 150),  # the clock went back
        (10, 100),  # nothing was done
        (10, 99),  # counting began anew
        (10, 0),
    ],
)
def test_what_says_nothing_gives_no_rate(seconds: float, done: int) -> None:
    assert told(seconds, done, 400) is None


def test_who_stands_still_gets_slower_and_slower() -> None:
    paces = [told(seconds, 150, 400) for seconds in (10, 100, 1000)]
    assert [one.per_s for one in paces if one] == [5.0, 0.5, 0.05]
    assert [one.left_s for one in paces if one] == [50.0, 500.0, 5000.0]


@given(since=moments, now=moments, before=counts, done=counts, total=st.none() | counts)
def test_whatever_the_marks_say_a_pace_is_finite_and_never_negative(
    since: datetime, now: datetime, before: int, done: int, total: int | None
) -> None:
    found = pace(since=Mark(since, before), now=now, done=done, total=total)
    if now <= since or done <= before:
        assert found is None
    if found is None:
        return
    assert 0 < found.per_s < float("inf")
    if found.left_s is None:
        assert not total or done > total
    else:
        assert total is not None
        assert 0 <= found.left_s < float("inf")
        assert (found.left_s == 0) == (total == done)
