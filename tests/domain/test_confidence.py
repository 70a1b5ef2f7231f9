"""Confidence in an undeclared field, from the counts of its aggregate."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fragments.domain.confidence import WEIGHTS, WHOLE, FactorName, confidence, sounds_like_a_field

counts = st.dictionaries(
    st.sampled_from(["null", "string", "number", "date", "boolean", "array", "object"]),
    st.integers(-3, 50),
    max_size=4,
)
formats = st.dictionaries(
    st.sampled_from(
        ["string:text", "string:url", "date:date", "date:datetime", "number:integer", "boolean:"]
    ),
    st.integers(-3, 50),
    max_size=4,
)


@pytest.mark.parametrize(
    ("name", "types", "forms", "samples", "total"),
    [
        # All alike, a telling name, enough of them.
        ("created_at", {"date": 12}, {"date:datetime": 12}, 12, 10_000),
        # The same with a name that says nothing.
        ("colour", {"string": 12}, {"string:text": 12}, 12, 9_250),
        # Two thirds of one type, and these of two formats.
        (
            "colour",
            {"string": 8, "number": 4},
            {"string:text": 6, "string:url": 2},
            12,
            3333 + 1875 + 750 + 1000,
        ),
        # Nulls say nothing about the type, and are values all the same.
        ("colour", {"string": 3, "null": 7}, {"string:text": 3, "null:": 7}, 10, 9_250),
        # Whole or not, a number is a number.
        ("size", {"number": 10}, {"number:integer": 5, "number:decimal": 5}, 10, 9_250),
        # Few of them.
        ("is_open", {"boolean": 3}, {"boolean:": 3}, 3, 5000 + 2500 + 1500 + 300),
        ("colour", {"null": 5}, {"null:": 5}, 5, 750 + 500),
        ("colour", {}, {}, 0, 750),
    ],
)
def test_the_factors_are_weighed(
    name: str, types: dict[str, int], forms: dict[str, int], samples: int, total: int
) -> None:
    found = confidence(name, type_counts=types, format_counts=forms, sample_count=samples)
    assert found.total == total
    assert [factor.name for factor in found.factors] == list(FactorName)


def test_of_equals_the_first_by_name_is_dominant() -> None:
    found = confidence(
        "colour",
        type_counts={"string": 5, "array": 5},
        format_counts={"string:text": 5, "array:": 5},
        sample_count=10,
    )
    assert (found.dominant_type, found.dominant_format) == ("array", "")


@pytest.mark.parametrize(
    "name",
    ["user_id", "tagIds", "Created-At", "unit price", "isOpen", "has_logo", "homepageUrl", "e.mail_address"],
)
def test_a_name_that_sounds_like_a_field(name: str) -> None:
    assert sounds_like_a_field(name)


@pytest.mark.parametrize("name", ["colour", "at", "id", "island", "plat", "Update", "canopy", "shoulder"])
def test_a_name_that_says_nothing(name: str) -> None:
    assert not sounds_like_a_field(name)


@given(st.text(max_size=20), counts, formats, st.integers(-5, 100))
def test_it_lies_between_nothing_and_the_whole(
    name: str, types: dict[str, int], forms: dict[str, int], samples: int
) -> None:
    found = confidence(name, type_counts=types, format_counts=forms, sample_count=samples)
    assert 0 <= found.total <= WHOLE
    assert all(0 <= factor.value <= 1 for factor in found.factors)
    assert sum(WEIGHTS.values()) == WHOLE
    assert found.total == sum(factor.weight * factor.value for factor in found.factors) // Fraction(1)


@given(st.integers(1, 30), st.integers(0, 30), st.integers(0, 30))
def test_more_of_the_dominant_type_is_never_less_confidence(most: int, other: int, more: int) -> None:
    def total(count: int) -> int:
        return confidence(
            "n",
            type_counts={"string": count, "number": other},
            format_counts={"string:text": count},
            sample_count=count,
        ).total

    if most >= other:
        assert total(most + more) >= total(most)
