"""The result of a trial: as JSON and back, added up, and compared with what was done."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from fragments.domain.trial import (
    VALUE_MAX,
    Applied,
    Difference,
    Estimate,
    FieldCounts,
    Rate,
    Sampled,
    Side,
    Trial,
    TypeCounts,
    added_up,
    trial_difference,
)
from fragments.domain.trial_changes import Change, changes_between, fields_gone, fields_judged_anew
from registry.domain.definition import Definition
from schemaevo.kernel.canonical import canonical_json, decode

COUNT = st.integers(0, 1_000)
REASONS = st.dictionaries(st.sampled_from(["type_mismatch", "constraint"]), st.integers(1, 9))
FIELDS = st.builds(FieldCounts, *([COUNT] * 6), REASONS, COUNT)
RATES = st.builds(Rate, COUNT, st.integers(1, 9_000), st.booleans())
VALUES = st.one_of(st.none(), st.booleans(), COUNT, st.text("ab", max_size=3))
SIDES = st.one_of(st.builds(Side), st.builds(Side, st.just(True), VALUES), st.just(Side(True, None, 3_000)))
NAMES = st.sampled_from(["size", "colour"])
SAMPLED = st.builds(
    Sampled, st.just("e-1"), COUNT, st.text("k1"), st.dictionaries(NAMES, st.tuples(SIDES, SIDES))
)


@st.composite
def trials(draw: Any) -> Trial:
    fields = draw(st.dictionaries(NAMES, FIELDS))
    return Trial(
        act=draw(st.sampled_from(["apply", "undo"])),
        content_hash="c0ffee",
        base_version=draw(st.sampled_from([None, "1.2.0"])),
        as_of="2026-11-23T08:00:00+00:00",
        counts=draw(st.builds(TypeCounts, *([COUNT] * 9))),
        changes={name: draw(st.sampled_from(Change)) for name in fields},
        fields=fields,
        estimate=Estimate(draw(RATES), draw(RATES)),
        sample=tuple(draw(st.lists(SAMPLED, max_size=2))),
    )


@given(trials())
def test_a_result_is_read_as_it_was_written(trial: Trial) -> None:
    stored: Any = decode(canonical_json(trial.to_json()))
    assert Trial.from_json(stored) == trial
    assert Trial.from_json({**stored, "format": 0}) is None
    assert Trial.from_json({}) is None


@given(FIELDS, FIELDS)
def test_counts_add_up(one: FieldCounts, other: FieldCounts) -> None:
    both = added_up(one, other)
    for name in ("absorbed", "promoted", "misfit", "waiting", "taken_back", "given_back"):
        assert getattr(both, name) == getattr(one, name) + getattr(other, name)
    assert added_up(one, FieldCounts()) == one


@given(trials())
def test_what_was_done_as_it_was_said_makes_no_difference(trial: Trial) -> None:
    done = {
        name: {
            "absorbed": counts.absorbed,
            "given_back": counts.given_back,
            "promoted": counts.promoted,
            "converted": counts.converted,
            "taken_back": counts.taken_back,
        }
        for name, counts in trial.fields.items()
    }
    assert trial_difference(trial, Applied(done)) == ()
    assert trial_difference(trial, Applied(done, trial.counts.snapshots_recomputed)) == ()


def test_what_came_in_between_is_told_field_by_field() -> None:
    trial = replace(
        make_trial(), fields={"size": FieldCounts(absorbed=1, fits=3, converted=2), "colour": FieldCounts()}
    )
    done = {"size": {"absorbed": 1, "promoted": 7, "converted": 2}, "other": {"promoted": 1}}
    assert trial_difference(trial, Applied(done, snapshots_recomputed=9)) == (
        Difference("other", "promoted", 0, 1),
        Difference("size", "promoted", 5, 7),
        Difference("", "snapshots_recomputed", 4, 9),
    )


def make_trial() -> Trial:
    return Trial(
        act="apply",
        content_hash="c0ffee",
        base_version=None,
        as_of="",
        counts=TypeCounts(snapshots_recomputed=4),
        changes={},
        fields={},
        estimate=Estimate(Rate(0, 1, True), Rate(0, 1, True)),
    )


def test_a_long_value_leaves_only_its_length() -> None:
    longest = "x" * (VALUE_MAX - 2)
    assert Side.of({"a": longest}, "a") == Side(True, longest)
    assert Side.of({"a": longest + "x"}, "a") == Side(True, None, VALUE_MAX + 1)
    assert Side.of({}, "a") == Side()


def definition(**fields: Any) -> Definition:
    return Definition.from_json({"fields": fields})


def test_changes_are_told_by_what_becomes_of_each_field() -> None:
    before = definition(a={"type": "string"}, b={"type": "number"}, c={"type": "date"})
    after = definition(
        a={"type": "string"}, b={"type": "number", "description": "how many"}, d={"type": "date"}
    )
    assert changes_between(before, after) == {
        "b": Change.CHANGED,
        "c": Change.REMOVED,
        "d": Change.ADDED,
    }
    assert changes_between(None, before) == dict.fromkeys("abc", Change.ADDED)
    assert changes_between(before, None) == dict.fromkeys("abc", Change.REMOVED)


def test_fragments_are_judged_anew_only_where_that_could_come_out_otherwise() -> None:
    before = definition(a={"type": "string"}, b={"type": "number"}, c={"type": "date"})
    after = definition(
        a={"type": "string", "description": "a text"},
        b={"type": "number", "converters": ["string_to_number"]},
        d={"type": "date"},
    )
    names = ["a", "b", "c", "d"]
    assert [*fields_judged_anew(before, after, names)] == ["b", "d"]
    assert [*fields_judged_anew(before, after, ["a", "d"])] == ["d"]
    assert [*fields_judged_anew(None, after, names)] == ["a", "b", "d"]
    assert fields_judged_anew(before, None, names) == {}
    assert fields_gone(before, after, names) == ("c",)
    assert fields_gone(None, after, names) == ()
