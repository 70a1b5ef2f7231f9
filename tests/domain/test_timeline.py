"""The past of an entity: its steps lead from nothing to the snapshot, and say at each what is shown."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from registry.domain.definition import Definition, Field, FieldType, Policy, Strategy
from registry.domain.validation import parse_definition
from schemaevo.kernel.canonical import JsonObject, canonical_json
from snapshots.domain.observed import DELETED_KEY, Observed
from snapshots.domain.reducer import reduce
from snapshots.domain.timeline import Step, place_in_past, steps_of
from tests.domain.histories import definitions, histories, ids
from tests.rounds import rounds

maybe_definitions = st.none() | definitions()


def _observed(number: int, **changes: object) -> Observed:
    return Observed(ids(number), number, 100, 1, None, {})._replace(**changes)  # type: ignore[arg-type]


def _applied(values: JsonObject, step: Step) -> JsonObject:
    """What is shown after a step, by what the step says alone."""
    after = dict(values)
    for change in step.changes:
        assert (change.name in after) == change.was_shown
        assert canonical_json(after.get(change.name)) == canonical_json(change.before)
        if change.is_shown:
            after[change.name] = change.after
        else:
            del after[change.name]
    return after


@pytest.mark.rounds
@settings(max_examples=rounds(600), deadline=None)
@given(histories(), maybe_definitions)
def test_the_steps_lead_from_nothing_to_what_is_stored_and_are_right_at_each(history, definition):
    oldest_first = sorted(history, key=place_in_past, reverse=True)
    values: JsonObject = {}
    is_deleted = False
    for taken, step in enumerate(reversed(steps_of([], history, definition)), 1):
        assert step.observed == oldest_first[taken - 1]
        assert step.was_deleted == is_deleted
        values, is_deleted = _applied(values, step), step.is_deleted
        right = reduce(oldest_first[:taken], definition)
        assert right.deleted == is_deleted
        assert canonical_json(right.values) == canonical_json({} if is_deleted else values)


@pytest.mark.rounds
@settings(max_examples=rounds(300), deadline=None)
@given(histories(), maybe_definitions, st.data())
def test_a_page_of_the_past_says_what_the_whole_past_says(history, definition, data):
    newest_first = sorted(history, key=place_in_past)
    first = data.draw(st.integers(0, len(history)), "first")
    last = data.draw(st.integers(first, len(history)), "last")
    whole = steps_of([], history, definition)
    page = steps_of(newest_first[last:], newest_first[first:last], definition)
    assert page == whole[first:last]


@given(histories(), maybe_definitions)
def test_every_field_that_is_said_stands_in_one_place(history, definition):
    for step in steps_of([], history, definition):
        told = [
            *(change.name for change in step.changes),
            *step.confirmed,
            *step.unheard,
            *step.unread,
        ]
        assert sorted(told) == sorted(set(step.observed.fields) - {DELETED_KEY})


def test_what_changed_what_was_confirmed_and_what_was_not_heard():
    definition = parse_definition(
        {
            "fields": {"a": {"type": "string"}, "b": {"type": "string"}, "c": {"type": "string"}},
            "merge_policies": {"b": {"strategy": "highest_priority"}},
        }
    )
    history = [
        _observed(1, fields={"a": "x", "b": "y", "c": "z", "other": 1}, priority=200),
        _observed(2, fields={"a": "x", "b": "low", "c": None}),
        _observed(3, fields={"c": None}),
    ]
    newest, middle, oldest = steps_of([], history, definition)
    assert [(one.name, one.was_shown, one.after) for one in oldest.changes] == [
        ("a", False, "x"),
        ("b", False, "y"),
        ("c", False, "z"),
    ]
    assert oldest.unread == ("other",)
    assert [(one.name, one.before, one.is_shown) for one in middle.changes] == [("c", "z", False)]
    assert (middle.confirmed, middle.unheard) == (("a",), ("b",))
    assert (newest.changes, newest.confirmed) == ((), ("c",))


def test_true_is_another_value_than_one():
    definition = Definition({"f": Field("f", FieldType.NUMBER)}, {})
    newer, _older = steps_of(
        [], [_observed(1, fields={"f": 1}), _observed(2, fields={"f": True})], definition
    )
    assert [(change.before, change.after) for change in newer.changes] == [(1, True)]


def test_a_deletion_and_what_comes_after_it_are_told_apart():
    history = [
        _observed(1, fields={"f": 1}),
        _observed(2, fields={"_deleted": True}),
        _observed(3, fields={"_deleted": True, "f": 2}),
        _observed(4, fields={}),
    ]
    back, said, gone, first = steps_of([], history, None)
    assert (first.was_deleted, first.is_deleted) == (False, False)
    assert (gone.was_deleted, gone.is_deleted, gone.changes) == (False, True, ())
    assert (said.was_deleted, said.is_deleted) == (True, True)
    assert [change.after for change in said.changes] == [2]
    assert (back.was_deleted, back.is_deleted, back.changes) == (True, False, ())


def test_what_was_promoted_stands_right_after_the_observation_it_came_with():
    definition = Definition({"f": Field("f", FieldType.STRING)}, {"f": Policy(Strategy.LAST_WRITE)})
    history = [
        _observed(1, observed_us=5),
        _observed(2, observed_us=5),
        _observed(9, observed_us=5, ranks_as=ids(1), fields={"f": "x"}),
    ]
    steps = steps_of([], history, definition)
    assert [step.observed.id for step in steps] == [ids(9), ids(1), ids(2)]
    assert [change.after for change in steps[0].changes] == ["x"]
