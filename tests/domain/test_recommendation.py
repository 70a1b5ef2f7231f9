"""Recommendations from counts alone: what speaks for a field, what against it, and how it would be declared."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fragments.domain.counts import FieldCounts, counts_added
from fragments.domain.ignoring import matching_pattern, normalised_pattern, pattern_problem
from fragments.domain.inference import infer
from fragments.domain.recommendation import (
    Circumstances,
    ObstacleCode,
    Recommendation,
    Refused,
    percent,
    recommend,
)
from fragments.domain.suggested_field import suggested_field
from registry.domain.converters import NOT_CONVERTED
from registry.domain.definition import Field
from registry.domain.fit import convert_for_ingest, fits
from schemaevo.kernel.canonical import Json

NOON = datetime(2026, 5, 1, 12, 0, tzinfo=UTC)


def counts_of(name: str, values: list[Json], **columns: int) -> FieldCounts:
    """The counts of so many fragments, each seen once."""
    forms = [infer(name, value) for value in values]
    return FieldCounts(
        sample_count=len(values),
        frequency_total=columns.get("frequency_total", len(values)),
        type_counts=Counter(kind for kind, _form in forms),
        format_counts=Counter(f"{kind}:{form}" for kind, form in forms),
        unique_sources=columns.get("unique_sources", 2),
    )


def judged(
    name: str, values: list[Json], *, user_id: int | None = 1, samples: tuple[Json, ...] = (), **said: object
) -> Recommendation:
    columns = {key: said.pop(key) for key in ("frequency_total", "unique_sources") if key in said}
    return recommend(
        entity_type="thing",
        user_id=user_id,
        name=name,
        counts=counts_of(name, values, **columns),  # type: ignore[arg-type]
        circumstances=replace(Circumstances(), **said),  # type: ignore[arg-type]
        samples=samples,
    )


def codes(one: Recommendation) -> list[str]:
    return [obstacle.code.value for obstacle in one.obstacles]


# --- thresholds -----------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("user_id", "needed"), [(1, 3), (None, 6)])
def test_a_field_has_to_be_seen_often_enough(user_id: int | None, needed: int) -> None:
    values: list[Json] = ["a@b.example"] * 10
    few = judged("owner_email", values, user_id=user_id, frequency_total=needed - 1)
    assert codes(few) == ["seen_too_rarely"]
    assert few.obstacles[0].message == f"seen {needed - 1} times; {needed} are needed"
    assert judged("owner_email", values, user_id=user_id, frequency_total=needed).is_eligible


@pytest.mark.parametrize(("user_id", "alike", "needed"), [(1, 7, 8_500), (None, 8, 9_000)])
def test_confidence_has_to_reach_the_bar_exactly(user_id: int | None, alike: int, needed: int) -> None:
    """Of ten values so many have one type; all else speaks for the field."""

    def with_alike(count: int) -> Recommendation:
        return judged("has_parts", [*([{}] * count), *([[]] * (10 - count))], user_id=user_id)

    enough, too_few = with_alike(alike), with_alike(alike - 1)
    assert (enough.confidence.total, enough.is_eligible) == (needed, True)
    assert (too_few.confidence.total, codes(too_few)) == (needed - 500, ["confidence_too_low"])


def test_one_source_is_enough_where_two_entities_have_it_and_two_sources_where_one_has() -> None:
    values: list[Json] = ["x"] * 10
    assert judged("note", values, unique_sources=1).is_eligible
    assert judged("note", values, unique_sources=2, has_second_entity=False).is_eligible
    assert codes(judged("note", values, unique_sources=1, has_second_entity=False)) == [
        "one_source_and_entity"
    ]


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ({"is_being_counted": True}, "being_counted"),
        ({"has_schema": False}, "no_schema"),
        ({"is_declared": True}, "already_declared"),
        ({"twin": "Note"}, "ambiguous_name"),
        ({"ignored_by": "no*"}, "ignored"),
        ({"refused": Refused()}, "dismissed"),
        ({"refused": Refused(NOON, "later")}, "snoozed"),
    ],
)
def test_each_circumstance_alone_keeps_a_good_field_from_being_recommended(
    said: dict[str, Any], code: str
) -> None:
    assert judged("note", ["x"] * 10).is_eligible
    one = judged("note", ["x"] * 10, **said)
    assert (one.is_eligible, codes(one)) == (False, [code])


@pytest.mark.parametrize("name", ["_hidden", " padded", "a\tb", "x" * 129, ""])
def test_a_name_that_cannot_be_declared_is_never_eligible(name: str) -> None:
    assert "invalid_name" in codes(judged(name, ["x"] * 100))


def test_all_that_speaks_against_it_is_told_at_once() -> None:
    one = judged("_x", [None], refused=Refused(None, "no"), ignored_by="*x", frequency_total=1)
    assert codes(one) == [
        *("invalid_name", "ignored", "dismissed", "no_value", "seen_too_rarely", "confidence_too_low")
    ]
    assert one.obstacles[2].message == "dismissed: no"
    assert one.suggested is None


# --- explanation ----------------------------------------------------------------------------------------------
def test_every_factor_is_told_in_words() -> None:
    values: list[Json] = [*(["2024-05-01T12:00:00Z"] * 6), 1_557_933_565, "soon"]
    one = judged("created_at", values, frequency_total=281)
    assert [reason.words for reason in one.reasons] == [
        "87.5 % of the values that are not null are of type date",
        "85.7 % of these have one form, datetime",
        "the name sounds like a field's",
        "8 values; 10 are enough",
    ]
    assert one.confidence.total == int(sum(reason.factor.contribution for reason in one.reasons))


@pytest.mark.parametrize(
    ("share", "told"),
    [
        (Fraction(1), "100 %"),
        (Fraction(9_999, 10_000), "99.9 %"),
        (Fraction(0), "0 %"),
        (Fraction(1, 3), "33.3 %"),
    ],
)
def test_a_share_is_all_only_where_it_is(share: Fraction, told: str) -> None:
    assert percent(share) == told


# --- the suggested field --------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("name", "values", "field_type", "converters"),
    [
        ("created_at", ["2024-05-01T12:00:00Z"] * 274 + [1_557_933_565] * 7, "date", ["timestamp_s_to_iso"]),
        ("pushed_at", [1_557_933_565_000] * 5 + ["2024-05-01"], "date", ["timestamp_ms_to_iso"]),
        (
            "seen_at",
            [1_557_933_565_000, 1_557_933_565, "2024-05-01"],
            "date",
            ["timestamp_s_to_iso", "timestamp_ms_to_iso"],
        ),
        ("Installed-Size", [12, 80, 75, "9"], "number", ["string_to_number"]),
        ("price", [Decimal("1.5"), 2, Decimal("2.25")], "number", []),
        ("Version", ["1.2.3-1", "2:0.1~rc1", "3", "4.5"], "string", []),
        ("zip", ["01234", "99999"], "string", []),
        (
            "code",
            ["a", "b", "c", 7, Decimal("1.5"), True],
            "string",
            ["number_to_string", "boolean_to_string"],
        ),
        ("is_open", [True, False, {}], "boolean", []),
        ("topics", [["a"], [], "[]"], "array", []),
    ],
)
def test_the_type_is_that_of_most_and_converters_bring_others_to_it(
    name: str, values: list[Json], field_type: str, converters: list[str]
) -> None:
    suggested = judged(name, values).suggested
    assert suggested is not None
    assert suggested.definition["type"] == field_type
    assert [converter.function for converter in suggested.field.converters] == converters
    assert suggested.definition["required"] is False


def test_samples_tell_what_counts_cannot() -> None:
    values: list[Json] = [True] * 8 + ["yes", "no"]
    assert judged("is_open", values).suggested == suggested_field(
        "is_open", "boolean", counts_of("is_open", values)
    )
    known = judged("is_open", values, samples=(True, "yes", "no")).suggested
    assert known is not None
    assert [converter.function for converter in known.field.converters] == ["string_to_boolean"]
    assert (known.fitting, known.converted, known.uncertain, known.misfitting) == (8, 0, 2, 0)
    doubtful = judged("is_open", values, samples=("yes", "maybe")).suggested
    assert doubtful is not None
    assert (doubtful.field.converters, doubtful.misfitting) == ((), 2)


def test_numbers_of_a_name_that_says_nothing_of_time_are_times_where_samples_say_so() -> None:
    values: list[Json] = ["2024-05-01"] * 8 + [1_557_933_565] * 2
    plain = judged("created", values).suggested
    sampled = judged("created", values, samples=(1_557_933_565,)).suggested
    assert plain is not None
    assert sampled is not None
    assert (plain.field.converters, plain.misfitting) == ((), 2)
    assert ([c.function for c in sampled.field.converters], sampled.uncertain) == (["timestamp_s_to_iso"], 2)


VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-5, 5_000_000_000),
    st.decimals(-1000, 1000, places=2).map(lambda number: number if number % 1 else int(number)),
    st.sampled_from(
        [
            "2024-05-01",
            "2024-05-01T12:00:00Z",
            "12",
            "-1.5",
            "1e3",
            "yes",
            "no",
            "true",
            "text",
            "a@b.example",
        ]
    ),
    st.just([1]),
    st.just({"a": 1}),
)
NAMES = st.sampled_from(["created_at", "size", "is_open", "note"])


@given(NAMES, st.lists(VALUES, min_size=1, max_size=12))
def test_what_it_says_of_the_values_is_what_ingest_would_do_with_them(name: str, values: list[Json]) -> None:
    suggested = judged(name, values, samples=tuple(values)).suggested
    if suggested is None:
        assert set(values) == {None}
        return
    field: Field = suggested.field
    fitting = [value for value in values if fits(value, field) is None]
    read = [
        value
        for value in values
        if fits(value, field) and convert_for_ingest(value, field) is not NOT_CONVERTED
    ]
    assert suggested.fitting == len(fitting)
    assert suggested.converted + suggested.uncertain <= len(read)
    told = (suggested.fitting, suggested.converted, suggested.uncertain, suggested.misfitting)
    assert sum(told) == len(values)


# --- counts over users ----------------------------------------------------------------------------------------
COUNTS = st.builds(
    FieldCounts,
    sample_count=st.integers(0, 50),
    frequency_total=st.integers(0, 500),
    type_counts=st.dictionaries(st.sampled_from(["string", "number", "null"]), st.integers(-3, 20)),
    format_counts=st.dictionaries(st.sampled_from(["string:text", "number:integer"]), st.integers(-3, 20)),
    unique_sources=st.integers(0, 5),
    user_count=st.just(1),
    last_seen_at=st.none() | st.integers(0, 9).map(lambda days: NOON + timedelta(days=days)),
)


@given(st.lists(COUNTS, max_size=6), st.data())
def test_counts_of_users_are_added_in_any_order_and_grouping(
    several: list[FieldCounts], data: st.DataObject
) -> None:
    whole = counts_added(several)
    shuffled = data.draw(st.permutations(several))
    cut = data.draw(st.integers(0, len(several)))
    assert counts_added(shuffled) == whole
    assert counts_added([counts_added(shuffled[:cut]), counts_added(shuffled[cut:])]) == whole
    assert whole.user_count == len(several)
    assert 0 not in whole.type_counts.values()


# --- ignore lists ---------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("pattern", "name", "matches"),
    [
        ("X-*", "X-Cargo-Built-Using", True),
        ("X-*", "Xylophone", False),
        ("x_*", "X-Cargo-Built-Using", True),
        ("*Id", "userId", True),
        ("*_id", "Build-Id", True),
        ("*_id", "idea", False),
        ("debug", "Debug", True),
        ("debug", "debugInfo", False),
        ("debug*", "debugInfo", True),
        ("line?", "line1", True),
        ("line?", "line", False),
        ("a[bc]", "ab", False),
        ("a[bc]", "a[bc]", True),
        ("straße*", "Straßenname", True),
        ("a.b", "a_b", True),
    ],
)
def test_patterns_are_compared_with_the_normalised_name(pattern: str, name: str, matches: bool) -> None:
    assert (matching_pattern(name, [normalised_pattern(pattern)]) is not None) == matches


def test_a_pattern_of_many_stars_ends() -> None:
    assert matching_pattern("a" * 1_000, [normalised_pattern("*a" * 60 + "b")]) is None


@pytest.mark.parametrize("pattern", ["", "*", "**?", "-*", "x" * 129, "a\x00", "a\n"])
def test_a_pattern_names_something(pattern: str) -> None:
    assert pattern_problem(pattern)


@given(st.text("ab_- *?X", min_size=1, max_size=12))
def test_a_normalised_pattern_stays_as_it_is(pattern: str) -> None:
    once = normalised_pattern(pattern)
    assert normalised_pattern(once) == once


def test_codes_are_stable() -> None:
    assert {code.value for code in ObstacleCode} == {
        *("being_counted", "turned_off", "no_schema", "already_declared", "invalid_name", "ambiguous_name"),
        "ignored",
        *(
            "dismissed",
            "snoozed",
            "no_value",
            "seen_too_rarely",
            "confidence_too_low",
            "one_source_and_entity",
        ),
    }
