"""A correction wins, whatever was observed and by whatever policy, and touches nothing else."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from registry.domain.definition import Definition, Field, FieldType, Policy, Strategy
from registry.domain.times import LAST_US
from schemaevo.kernel.canonical import Json, Unstorable, canonical_json
from schemaevo.kernel.errors import Conflict, Invalid
from snapshots.domain.arrays import contributed_items
from snapshots.domain.correction import (
    CORRECTION_KIND,
    PRIORITY_LAST,
    Reached,
    as_written,
    beaten_by_words,
    field_corrected,
    fitting_words,
    foresee,
    reached_by,
    require_fitting,
    standing_above,
    still_holds,
    strategy_of,
    value_seen,
    value_written,
)
from snapshots.domain.merge import merge, merged
from snapshots.domain.observed import Observed
from snapshots.domain.reducer import reduce
from snapshots.domain.state import MergeState, read_state
from tests.domain import strategies as drawn
from tests.domain.histories import FIELD_NAMES, definitions, histories, ids, values

maybe_definitions = st.none() | definitions()


@st.composite
def chosen(draw: st.DrawFn) -> tuple[Definition | None, str, Json]:
    """A definition, one of its fields, and a value that fits it, without equal items."""
    definition = draw(maybe_definitions)
    if definition is None:
        return None, draw(st.sampled_from(FIELD_NAMES)), draw(values)
    assume(definition.fields)
    name = draw(st.sampled_from(sorted(definition.fields)))
    field = definition.fields[name]
    value = draw(st.none() | st.sampled_from(drawn.VALUES[field.type]))
    items = [canonical_json(item) for item in contributed_items(value, field)]
    if strategy_of(name, definition) is Strategy.MERGE_ARRAY:
        assume(len(set(items)) == len(items))
    return definition, name, value


def corrected(
    history: list[Observed],
    definition: Definition | None,
    name: str,
    value: Json,
    *,
    number: int,
    now_us: int,
) -> Observed:
    """The observation that corrects the field after this history."""
    carriers = [observed for observed in history if name in observed.fields]
    standing = standing_above(reached_by(carriers), strategy_of(name, definition), now_us)
    # Its id may come before or after any other: it must not need the last tie break.
    return Observed(ids(number), *standing, CORRECTION_KIND, {name: value})


def shown(definition: Definition | None, name: str, value: Json) -> Json:
    if definition is None or value is None or strategy_of(name, definition) is not Strategy.MERGE_ARRAY:
        return value
    return contributed_items(value, definition.fields[name])


@given(histories(), chosen(), st.integers(-3, 3), st.sampled_from([0, 99_999_999]))
def test_a_correction_is_what_the_field_says_and_nothing_else_changes(history, choice, now_us, number):
    definition, name, value = choice
    history = [observed._replace(id=f"4{observed.id[1:]}") for observed in history]
    before = reduce(history, definition)
    assume(not before.deleted)
    correction = corrected(history, definition, name, value, number=number, now_us=now_us)
    after = reduce([*history, correction], definition)
    assert not after.deleted
    assert canonical_json(after.values.pop(name, None)) == canonical_json(shown(definition, name, value))
    before.values.pop(name, None)
    assert canonical_json(after.values) == canonical_json(before.values)
    provenance = {**after.provenance, name: []}
    assert provenance == {**before.provenance, name: []}
    assert after.observation_count == before.observation_count + 1


@given(histories(), chosen(), st.integers(-3, 3), drawn.policies)
def test_it_still_wins_when_the_policy_of_the_field_is_another_one(history, choice, now_us, policy):
    definition, name, value = choice
    assume(definition is not None)
    correction = corrected(history, definition, name, value, number=99_999_999, now_us=now_us)
    changed = replace(definition, merge_policies={**definition.merge_policies, name: policy})
    after = reduce([*history, correction], changed)
    assume(not after.deleted)
    alone = reduce([correction], changed)
    assert canonical_json(after.values.get(name)) == canonical_json(alone.values.get(name))


@given(histories(), chosen(), st.lists(st.integers(-3, 3), min_size=2, max_size=4))
def test_the_last_of_several_corrections_holds_and_an_earlier_one_does_not(history, choice, clocks):
    definition, name, value = choice
    for number, now_us in enumerate(clocks):
        history = [
            *history,
            corrected(history, definition, name, value, number=99_999_999 - number, now_us=now_us),
        ]
    state = merged(history, definition).state
    assert isinstance(state, MergeState)
    *_, earlier, last = history
    assert still_holds(state, name, last.id, last.priority)
    assert not still_holds(state, name, earlier.id, earlier.priority)


@given(histories(), chosen(), st.integers(-3, 3))
def test_what_is_foreseen_is_what_the_full_reduction_comes_to(history, choice, now_us):
    definition, name, value = choice
    state = canonical_json(merged(history, definition).state)
    correction = corrected(history, definition, name, value, number=99_999_999, now_us=now_us)
    before, after = reduce(history, definition), reduce([*history, correction], definition)
    standing = standing_above(
        reached_by(one for one in history if name in one.fields), strategy_of(name, definition), now_us
    )
    told: dict[str, Any] = {
        "state": state,
        "name": name,
        "correction": correction,
        "definition": definition,
    }
    is_same = canonical_json(before.values.get(name)) == canonical_json(after.values.get(name))
    if before.deleted or is_same:
        with pytest.raises(Conflict) as refusal:
            foresee(**told, standing=standing)
        assert refusal.value.code == ("entity_deleted" if before.deleted else "nothing_to_correct")
        return
    foreseen = foresee(**told, standing=standing)
    assert canonical_json([foreseen.before, foreseen.after]) == canonical_json(
        [before.values.get(name), after.values.get(name)]
    )
    assert isinstance(after.state, dict)
    deletion = after.state["deletion"]
    assert isinstance(deletion, dict)
    assert isinstance(deletion["key"], list)
    assert foreseen.holds_off_deletion == (deletion["key"][-1] == correction.id)
    # Looking changed nothing: the same state still foresees the same.
    again = read_state(state)
    merge(again, [correction], definition)
    assert canonical_json(again) == canonical_json(merged([*history, correction], definition).state)


# --- how it stands --------------------------------------------------------------------------------------------
def test_without_anything_said_it_stands_as_corrections_do():
    assert standing_above(None, Strategy.LAST_WRITE, 7) == (7, 1000, 1)


def test_it_is_ahead_of_everything_in_all_that_a_policy_can_ask():
    assert standing_above(Reached(9, 1000, 1.0), Strategy.LAST_WRITE, 7) == (
        10,
        1001,
        Decimal("1.0000000000000002"),
    )
    assert standing_above(Reached(5, 100, -2.5), Strategy.LAST_WRITE, 7) == (7, 1000, 1)


@pytest.mark.parametrize(
    ("reached", "strategy"),
    [
        (Reached(LAST_US, 1, 1.0), Strategy.LAST_WRITE),
        (Reached(1, PRIORITY_LAST, 1.0), Strategy.HIGHEST_PRIORITY),
        (Reached(1, PRIORITY_LAST, 1.0), Strategy.MERGE_ARRAY),
        (Reached(1, 1, 1.7976931348623157e308), Strategy.MOST_SPECIFIC),
    ],
)
def test_what_cannot_be_topped_is_refused_only_where_the_policy_asks_it(reached, strategy):
    with pytest.raises(Conflict) as refusal:
        standing_above(reached, strategy, 7)
    assert (refusal.value.code, refusal.value.context) == ("cannot_win", {"rule": strategy.value})
    other = Strategy.HIGHEST_PRIORITY if strategy is Strategy.LAST_WRITE else Strategy.LAST_WRITE
    standing = standing_above(reached, other, 7)
    assert standing.observed_us <= LAST_US
    assert standing.priority <= PRIORITY_LAST


# --- what can be said -----------------------------------------------------------------------------------------
STRING, NUMBER = Field("s", FieldType.STRING), Field("n", FieldType.NUMBER)


@pytest.mark.parametrize(
    ("text", "field", "value"),
    [
        ("12", NUMBER, 12),
        ("12", None, 12),
        ('"12"', STRING, "12"),
        ("New York", STRING, "New York"),
        ("", STRING, ""),
        ("NaN", STRING, "NaN"),
        ("2026-11-23", Field("d", FieldType.DATE), "2026-11-23"),
        ("null", STRING, None),
        ('["a"]', STRING, ["a"]),
        (" [1, 2] ", None, [1, 2]),
    ],
)
def test_what_a_person_writes_is_json_or_for_texts_the_bare_text(text, field, value):
    assert value_written(text, field) == value


@pytest.mark.parametrize(
    ("text", "field", "rule"),
    [
        ("red", NUMBER, "malformed"),
        ("red", None, "malformed"),
        ('"red', STRING, "malformed"),
        ("[1, 2", STRING, "malformed"),
        ("NaN", NUMBER, "not_a_number"),
        ("1e999", STRING, "number"),
        ('"\\u0000"', STRING, "nul"),
        ("\udc80", STRING, "surrogate"),
        ("a\0", STRING, "nul"),
        ("[" * 200 + "]" * 200, None, "nesting"),
    ],
)
def test_what_is_neither_is_refused_by_its_rule(text, field, rule):
    with pytest.raises(Unstorable) as refusal:
        value_written(text, field)
    assert (refusal.value.code, refusal.value.context["rule"]) == ("unstorable_json", rule)


@given(st.sampled_from([STRING, NUMBER, None]), values)
def test_what_is_written_for_a_value_is_read_as_that_value(field, value):
    assert canonical_json(value_written(as_written(value, field), field)) == canonical_json(value)


def test_a_text_stands_as_it_is_unless_it_would_be_read_as_something_else():
    assert [as_written(text, STRING) for text in ("New York", "12", "null", '"x')] == [
        "New York",
        '"12"',
        '"null"',
        '"\\"x"',
    ]


@pytest.mark.parametrize(
    ("stored", "value", "rule", "fits"),
    [
        ({"type": "number"}, "12", "type_mismatch", "a number such as 12.5"),
        ({"type": "number", "constraints": {"min": 1, "max": 5}}, 7, "constraint", "(min 1, max 5)"),
        ({"type": "string", "constraints": {"enum": ["a", "b"]}}, "c", "constraint", '(enum ["a","b"])'),
        ({"type": "date"}, "soon", "type_mismatch", "a date"),
        # A converter could read it; nobody asked for that.
        ({"type": "string", "converters": ["number_to_string"]}, 12, "type_mismatch", "a text"),
    ],
)
def test_what_does_not_fit_is_refused_with_what_would(stored: dict[str, Any], value, rule, fits):
    field = Field.from_json("f", stored)
    with pytest.raises(Invalid) as refusal:
        require_fitting("f", value, field)
    assert (refusal.value.code, refusal.value.context["rule"]) == ("value_misfit", rule)
    assert fits in refusal.value.message
    assert fits in fitting_words(field)


def test_null_fits_everything_and_anything_fits_where_nothing_is_declared():
    require_fitting("n", None, NUMBER)
    require_fitting("n", {"any": ["thing"]}, None)


def test_only_a_declared_field_can_be_corrected_and_where_none_is_any_with_a_valid_name():
    definition = Definition({"s": STRING}, {})
    assert field_corrected("s", definition) is STRING
    assert field_corrected("anything", None) is None
    for name, known, code in (("t", definition, "undeclared_field"), ("_deleted", None, "invalid_name")):
        with pytest.raises(Invalid) as refusal:
            field_corrected(name, known)
        assert refusal.value.code == code


def test_an_array_with_equal_items_cannot_be_joined():
    definition = Definition({"t": Field("t", FieldType.ARRAY)}, {"t": Policy(Strategy.MERGE_ARRAY)})
    cases: list[tuple[Json, bool]] = [([1, 1], True), ([1, 2], False)]
    for value, is_refused in cases:
        correction = corrected([], definition, "t", value, number=1, now_us=0)
        state = canonical_json(merged([], definition).state)
        told: dict[str, Any] = {
            "state": state,
            "name": "t",
            "correction": correction,
            "definition": definition,
        }
        standing = standing_above(None, Strategy.MERGE_ARRAY, 0)
        if not is_refused:
            assert foresee(**told, standing=standing).after == value
            continue
        with pytest.raises(Invalid) as refusal:
            foresee(**told, standing=standing)
        assert refusal.value.code == "repeated_items"


def test_a_value_that_changed_since_it_was_seen_is_told_and_so_is_one_that_is_right_already():
    seen = Observed(ids(1), 0, 100, 1, None, {"a": True})
    state = canonical_json(merged([seen], None).state)
    for value, based_on, code in ((2, value_seen(1), "value_changed"), (True, None, "nothing_to_correct")):
        correction = corrected([seen], None, "a", value, number=2, now_us=5)
        with pytest.raises(Conflict) as refusal:
            foresee(
                state=state,
                name="a",
                correction=correction,
                standing=standing_above(None, Strategy.LAST_WRITE, 5),
                definition=None,
                seen=based_on,
            )
        assert refusal.value.code == code
    # true is not 1: the one can be corrected to the other.
    one = corrected([seen], None, "a", 1, number=2, now_us=5)
    foreseen = foresee(
        state=state,
        name="a",
        correction=one,
        standing=standing_above(None, Strategy.LAST_WRITE, 5),
        definition=None,
        seen=value_seen(True),
    )
    assert canonical_json([foreseen.before, foreseen.after]) == "[true,1]"


@pytest.mark.parametrize("strategy", Strategy)
def test_it_says_for_every_policy_what_takes_its_place_later(strategy):
    definition = Definition({"t": Field("t", FieldType.ARRAY)}, {"t": Policy(strategy)})
    state = canonical_json(merged([], definition).state)
    standing = standing_above(None, strategy, 0)
    correction = corrected([], definition, "t", [1], number=1, now_us=0)
    foreseen = foresee(state=state, name="t", correction=correction, standing=standing, definition=definition)
    words = beaten_by_words(foreseen)
    assert words.startswith("any" if strategy is Strategy.LAST_WRITE else "only")

    # And it does: one that stands a step higher takes the place, one that stands a step lower does not.
    higher = Observed(ids(2), 1, 1001, 2, "human", {"t": [2]})
    lower = Observed(ids(3), -1, 999, Decimal("0.5"), "human", {"t": [3]})
    assert reduce([correction, higher], definition).values == {"t": [2]}
    assert reduce([correction, lower], definition).values == {"t": [1]}
