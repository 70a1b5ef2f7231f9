"""How owners became more, from days and counts alone."""

from __future__ import annotations

from datetime import date, timedelta

from hypothesis import given
from hypothesis import strategies as st

from fragments.domain.growth import (
    DAYS_KEPT,
    FieldOwners,
    Gain,
    fields_of_most,
    gain_of,
    history_with,
)

TODAY = date(2026, 3, 31)


def ago(days: int) -> date:
    return TODAY - timedelta(days=days)


def test_the_fields_of_most_owners_come_first_and_those_of_none_not_at_all() -> None:
    fields = [FieldOwners("b", 2), FieldOwners("gone", 0), FieldOwners("a", 2), FieldOwners("c", 5)]
    assert [field.name for field in fields_of_most(fields)] == ["c", "a", "b"]
    assert [field.name for field in fields_of_most(fields, limit=1)] == ["c"]


def test_a_field_without_a_day_before_is_new() -> None:
    assert gain_of({TODAY: 5}, today=TODAY, days=30) is None


def test_a_gain_is_told_from_the_last_day_that_is_old_enough() -> None:
    history = {ago(40): 1, ago(31): 2, ago(29): 4, TODAY: 9}
    assert gain_of(history, today=TODAY, days=30) == Gain(7, ago(31))


def test_a_gain_is_told_from_the_first_day_where_none_is_old_enough() -> None:
    assert gain_of({ago(3): 4, ago(1): 9, TODAY: 2}, today=TODAY, days=30) == Gain(-2, ago(3))


def test_a_field_that_was_not_among_all_that_were_counted_had_no_owners_then() -> None:
    history = history_with(None, today=TODAY, owners=3, none_on=ago(1))
    assert gain_of(history, today=TODAY, days=7) == Gain(3, ago(1))
    assert history_with(None, today=TODAY, owners=3) == {TODAY: 3}


def test_what_was_known_of_a_field_wins_over_when_others_were_counted() -> None:
    assert history_with({ago(2): 3}, today=TODAY, owners=4, none_on=ago(1)) == {ago(2): 3, TODAY: 4}


@given(
    st.dictionaries(st.integers(0, 3 * DAYS_KEPT), st.integers(0, 99)),
    st.integers(0, 99),
    st.sampled_from([7, 30, DAYS_KEPT]),
)
def test_forgetting_old_days_changes_no_gain(counts: dict[int, int], owners: int, days: int) -> None:
    whole = {ago(n): count for n, count in counts.items()}
    kept = history_with(whole, today=TODAY, owners=owners)
    before, after = (
        gain_of({**whole, TODAY: owners}, today=TODAY, days=days),
        gain_of(kept, today=TODAY, days=days),
    )
    assert len(kept) <= DAYS_KEPT + 1
    assert (before and before.count) == (after and after.count)
