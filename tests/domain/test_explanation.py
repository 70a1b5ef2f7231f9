"""An explanation names the winner that the reducer chose, and those who would follow."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from registry.domain.definition import Definition, Field, FieldType, Policy, Strategy, TieBreaker
from registry.domain.validation import parse_definition
from schemaevo.kernel.canonical import canonical_json
from snapshots.domain.explanation import explain, explain_deletion
from snapshots.domain.observed import Observed
from snapshots.domain.reducer import reduce
from tests.domain.histories import FIELD_NAMES, definitions, fields, histories, ids
from tests.rounds import rounds

maybe_definitions = st.none() | definitions()


@st.composite
def _definitions_of_every_strategy(draw: st.DrawFn) -> Definition:
    """Every name is declared, each by another policy."""
    policies = [
        Policy(Strategy.LAST_WRITE),
        Policy(Strategy.HIGHEST_PRIORITY),
        Policy(Strategy.MOST_SPECIFIC),
        Policy(Strategy.MOST_SPECIFIC, TieBreaker.SOURCE_PRIORITY),
        Policy(Strategy.MERGE_ARRAY),
    ]
    shuffled = draw(st.permutations(policies))
    return Definition(
        fields={name: draw(fields(name)) for name in FIELD_NAMES},
        merge_policies=dict(zip(FIELD_NAMES, shuffled, strict=True)),
    )


definitions_of_every_strategy = _definitions_of_every_strategy()


def _observed(number: int, **changes: object) -> Observed:
    return Observed(ids(number), 0, 100, 1, None, {"f": number})._replace(**changes)  # type: ignore[arg-type]


@pytest.mark.rounds
@settings(max_examples=rounds(600), deadline=None)
@given(histories(), maybe_definitions)
def test_the_explained_value_is_that_of_the_snapshot(history, definition):
    history = _undeleted(history)
    shown = reduce(history, definition).values
    explained = explain(history, definition)
    told = {name: why.value for name, why in explained.items() if not why.is_cleared}
    assert canonical_json(told) == canonical_json(shown)
    assert all(why.value is None for why in explained.values() if why.is_cleared)


@pytest.mark.rounds
@settings(max_examples=rounds(600), deadline=None)
@given(histories(), definitions_of_every_strategy)
def test_without_the_winner_the_snapshot_shows_the_first_runner_up(history, definition):
    """By the reducer, which shares no order with the explanation, and with every strategy."""
    history = _undeleted(history)
    for name, why in explain(history, definition).items():
        if why.policy.strategy is Strategy.MERGE_ARRAY:
            continue
        (winner,) = why.winners
        rest = [observed for observed in history if observed.id != winner.observed.id]
        shown = reduce(rest, definition).values
        following = why.runners_up[0].converted if why.runners_up else None
        assert canonical_json(shown.get(name)) == canonical_json(following)


@pytest.mark.rounds
@settings(max_examples=rounds(600), deadline=None)
@given(histories(), definitions_of_every_strategy)
def test_without_a_supplier_a_joined_array_is_what_the_reduction_of_the_rest_gives(history, definition):
    history = _undeleted(history)
    for name, why in explain(history, definition).items():
        if why.policy.strategy is not Strategy.MERGE_ARRAY:
            continue
        assert [item for winner in why.winners for item in winner.supplies] == (why.value or [])
        for winner in why.winners:
            rest = [observed for observed in history if observed.id != winner.observed.id]
            again = explain(rest, definition).get(name)
            shown = reduce(rest, definition).values.get(name)
            assert canonical_json(again.value if again else None) == canonical_json(shown)
            # What only this one supplied is gone; where others are left of its tier, the rest stays.
            left = {canonical_json(item) for item in shown} if isinstance(shown, list) else set()
            others = [one for one in why.winners if one is not winner]
            for other in others:
                assert {canonical_json(item) for item in other.supplies} <= left


def _undeleted(history: list[Observed]) -> list[Observed]:
    return [
        observed._replace(
            fields={name: value for name, value in observed.fields.items() if name != "_deleted"}
        )
        for observed in history
    ]


@given(histories(), maybe_definitions)
def test_the_explained_winners_are_those_of_the_snapshot(history, definition):
    history = _undeleted(history)
    reduced = reduce(history, definition)
    explanations = explain(history, definition)
    for name, explanation in explanations.items():
        assert explanation.is_cleared == (name not in reduced.values)
        if not explanation.is_cleared:
            suppliers = dict.fromkeys(winner.observed.ranking_id for winner in explanation.winners)
            assert reduced.provenance[name] == list(suppliers)
    assert set(reduced.values) <= set(explanations)


@given(histories(), maybe_definitions)
def test_without_the_winner_the_first_runner_up_wins(history, definition):
    for name, explanation in explain(history, definition).items():
        if explanation.policy.strategy is Strategy.MERGE_ARRAY or not explanation.runners_up:
            continue
        (winner,) = explanation.winners
        rest = [observed for observed in history if observed.id != winner.observed.id]
        again = explain(rest, definition)[name]
        assert again.winners[0].observed.id == explanation.runners_up[0].observed.id
        assert all(contender.lost_by for contender in explanation.runners_up)


@given(histories(), maybe_definitions)
def test_the_deletion_mark_is_explained(history, definition):
    explanation = explain_deletion(history, definition)
    deleted = reduce(history, definition).deleted
    if explanation is None:
        assert not deleted
    else:
        assert deleted == (explanation.winners[0].value is True)


@pytest.mark.parametrize(
    ("strategy", "tie_breaker", "loser", "words"),
    [
        (Strategy.LAST_WRITE, TieBreaker.OBSERVED_AT, {"observed_us": -1, "priority": 1000}, "newer"),
        (Strategy.LAST_WRITE, TieBreaker.OBSERVED_AT, {}, "smaller id"),
        (
            Strategy.HIGHEST_PRIORITY,
            TieBreaker.OBSERVED_AT,
            {"priority": 1, "observed_us": 9},
            "higher priority: 100 over 1",
        ),
        (
            Strategy.HIGHEST_PRIORITY,
            TieBreaker.OBSERVED_AT,
            {"kind": "import", "observed_us": 9},
            "kind order: sensor before import",
        ),
        (Strategy.HIGHEST_PRIORITY, TieBreaker.OBSERVED_AT, {"kind": None}, "kind order: sensor before none"),
        (Strategy.MOST_SPECIFIC, TieBreaker.OBSERVED_AT, {"specificity": 0}, "higher specificity: 1 over 0"),
        (
            Strategy.MOST_SPECIFIC,
            TieBreaker.OBSERVED_AT,
            {"priority": 1, "kind": "sync"},
            "kind order: sensor before sync",
        ),
        (
            Strategy.MOST_SPECIFIC,
            TieBreaker.SOURCE_PRIORITY,
            {"priority": 1, "kind": "sync"},
            "higher priority: 100 over 1",
        ),
    ],
)
def test_the_deciding_step_is_named(strategy, tie_breaker, loser, words):
    definition = Definition({"f": Field("f", FieldType.NUMBER)}, {"f": Policy(strategy, tie_breaker)})
    winner = _observed(1, kind="sensor")
    beaten = _observed(2, **{"kind": "sensor", **loser})
    explanation = explain([beaten, winner], definition)["f"]
    assert [contender.observed.id for contender in explanation.winners] == [winner.id]
    assert [contender.lost_by for contender in explanation.runners_up] == [words]


def test_a_joined_array_names_all_suppliers_and_why_others_supply_nothing():
    definition = Definition({"f": Field("f", FieldType.ARRAY)}, {"f": Policy(Strategy.MERGE_ARRAY)})
    history = [
        _observed(1, observed_us=5, fields={"f": ["a", "b"]}),
        _observed(2, observed_us=4, fields={"f": ["b"]}),
        _observed(3, observed_us=3, fields={"f": "c"}),
        _observed(4, observed_us=2, fields={"f": None}),
        _observed(5, observed_us=1, fields={"f": []}),
        _observed(6, observed_us=9, priority=1, fields={"f": ["z"]}),
    ]
    explanation = explain(history, definition)["f"]
    assert [contender.observed.id for contender in explanation.winners] == [ids(1), ids(3)]
    assert [(contender.observed.id, contender.lost_by) for contender in explanation.runners_up] == [
        (ids(2), "newer ones supply the same items"),
        (ids(4), "null supplies no item"),
        (ids(5), "an empty array supplies no item"),
        (ids(6), "higher priority: 100 over 1"),
    ]
    assert [contender.supplies for contender in explanation.winners] == [("a", "b"), ("c",)]
    assert explanation.value == ["a", "b", "c"]


def test_raw_and_converted_values_are_both_told():
    definition = parse_definition({"fields": {"f": {"type": "string", "converters": ["number_to_string"]}}})
    winner = explain([_observed(7)], definition)["f"].winners[0]
    assert (winner.value, winner.converted) == (7, "7")
    assert winner.converter is not None
    assert winner.converter.function == "number_to_string"
    fitting = explain([_observed(7, fields={"f": "7"})], definition)["f"].winners[0]
    assert (fitting.converted, fitting.converter) == ("7", None)
