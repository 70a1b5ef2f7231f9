"""Whatever the order, the batches and the repetitions: the same observations give the same snapshot."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.domain.definition import Converter, Definition, Field, FieldType, Policy, Strategy
from schemaevo.kernel.canonical import Json, canonical_json, decode_trusted
from snapshots.domain.explanation import explain
from snapshots.domain.merge import merge, merged, project
from snapshots.domain.observed import Observed
from snapshots.domain.reducer import Reduced, reduce
from snapshots.domain.state import empty_state, read_state
from tests.domain.histories import as_if_declared_from_the_start, definitions, histories, ids

maybe_definitions = st.none() | definitions()


def _everything(reduced: Reduced) -> str:
    return canonical_json(
        {
            "values": reduced.values,
            "provenance": {name: list[Json](found) for name, found in reduced.provenance.items()},
            "deleted": reduced.deleted,
            "count": reduced.observation_count,
            "last_observed_us": reduced.last_observed_us,
            "last_computed_id": reduced.last_computed_id,
            "state": decode_trusted(canonical_json(reduced.state)),
        }
    )


@given(st.data(), histories(), maybe_definitions)
def test_merging_in_any_order_and_batches_equals_the_full_reduction(data, history, definition):
    wanted = _everything(reduce(history, definition))
    waiting = data.draw(st.permutations(history))
    state = empty_state()
    while waiting:
        size = data.draw(st.integers(1, len(waiting)))
        merge(state, waiting[:size], definition)
        waiting = waiting[size:]
        stored = canonical_json(state)
        state = read_state(stored)
        assert canonical_json(state) == stored
    assert _everything(project(state, definition)) == wanted


@given(st.data(), histories(), maybe_definitions)
def test_full_reduction_ignores_order_and_repetition(data, history, definition):
    repeated = data.draw(
        st.permutations(history + data.draw(st.lists(st.sampled_from(history))) if history else history)
    )
    assert _everything(reduce(repeated, definition)) == _everything(reduce(history, definition))


@given(histories(), maybe_definitions)
def test_merging_an_observation_again_changes_nothing_but_the_count(history, definition):
    state = empty_state()
    merge(state, history, definition)
    once = project(state, definition)
    count = once.observation_count
    before = canonical_json(msgspec.structs.replace(state, count=0))
    merge(state, history, definition)
    assert canonical_json(msgspec.structs.replace(state, count=0)) == before
    assert state.count == 2 * count


@given(histories(), definitions())
def test_promoting_later_equals_having_declared_from_the_start(history, definition):
    declared = as_if_declared_from_the_start(history, definition)
    assert _everything(reduce(history, definition)) == _everything(reduce(declared, definition))


@given(histories(), definitions())
def test_equal_reduction_hash_means_equal_reduction(history, definition):
    spelled_out = Definition(
        fields={
            name: replace(field, description="words", required=True)
            for name, field in definition.fields.items()
        },
        merge_policies={name: definition.policy_of(name) for name in definition.fields},
        observation_source_priority=definition.kind_order,
    )
    assert spelled_out.reduction_hash == definition.reduction_hash
    assert _everything(reduce(history, spelled_out)) == _everything(reduce(history, definition))
    read_back = Definition.from_json(definition.to_json())
    assert read_back.reduction_hash == definition.reduction_hash
    assert _everything(reduce(history, read_back)) == _everything(reduce(history, definition))


@given(histories(), maybe_definitions)
def test_inputs_are_left_as_they_were(history, definition):
    before = repr(history)
    reduce(history, definition)
    state = empty_state()
    merge(state, history, definition)
    project(state, definition)
    assert repr(history) == before


def test_nothing_observed_gives_an_empty_snapshot():
    for definition in (None, Definition(fields={}, merge_policies={})):
        reduced = reduce([], definition)
        assert _everything(reduced) == _everything(project(empty_state(), definition))
        assert reduced.values == {}
        assert not reduced.deleted
        assert (reduced.observation_count, reduced.last_observed_us, reduced.last_computed_id) == (
            0,
            None,
            None,
        )


def _observed(number: int, **changes: object) -> Observed:
    observed = Observed(ids(number), number, 100, 1, None, {})
    return observed._replace(**changes)  # type: ignore[arg-type]


def _declaring(field_type: FieldType, strategy: Strategy) -> Definition:
    return Definition({"f": Field("f", field_type)}, {"f": Policy(strategy)})


def test_a_deleted_entity_shows_nothing_and_keeps_its_winners():
    definition = _declaring(FieldType.STRING, Strategy.LAST_WRITE)
    history = [_observed(1, fields={"f": "x"}), _observed(2, fields={"_deleted": True})]
    deleted = reduce(history, definition)
    assert (deleted.deleted, deleted.values, deleted.provenance) == (True, {}, {})
    state = read_state(canonical_json(deleted.state))
    merge(state, [_observed(3, fields={"_deleted": False})], definition)
    restored = project(state, definition)
    assert (restored.deleted, restored.values) == (False, {"f": "x"})
    assert restored.provenance == {"f": [ids(1)]}


def test_a_promotion_observation_is_not_counted_and_does_not_revive():
    definition = _declaring(FieldType.STRING, Strategy.LAST_WRITE)
    deleted = _observed(1, fields={"_deleted": True})
    promoted = _observed(2, observed_us=9, priority=1000, ranks_as=ids(1), fields={"f": "x"})
    reduced = reduce([deleted, promoted], definition)
    assert reduced.deleted
    assert (reduced.observation_count, reduced.last_computed_id) == (1, ids(1))


@pytest.mark.parametrize("strategy", list(Strategy))
def test_an_observation_speaks_for_itself_before_a_promotion_that_ranks_as_it(strategy: Strategy):
    """Ingest converted what the promotion holds as it came; both show the same, and so must every state."""
    field = Field("f", FieldType.NUMBER, converters=(Converter.from_json("string_to_number"),))
    definition = Definition({"f": field}, {"f": Policy(strategy)})
    whole = _observed(1, observed_us=5, fields={"f": 12})
    promoted = _observed(2, observed_us=5, ranks_as=ids(1), fields={"f": "12"})
    for history in ([whole, promoted], [promoted, whole]):
        reduced = reduce(history, definition)
        state = empty_state()
        merge(state, history, definition)
        assert canonical_json(project(state, definition).state) == canonical_json(reduced.state)
        assert '"12"' not in canonical_json(reduced.state).replace('"12":', "")
        assert reduced.provenance == {"f": [ids(1)]}


@pytest.mark.parametrize("strategy", list(Strategy))
@pytest.mark.parametrize(
    ("field_type", "converters", "value", "shown"),
    [
        ("string", (), "x", "x"),
        ("number", (), "x", None),
        ("number", ("string_to_number",), "12", 12),
        ("number", ("string_to_number",), "x", None),
        ("number", (), "12", None),
        ("date", (), "x", None),
        ("date", (), "2024-05-06", "2024-05-06"),
        ("array", (), "x", None),
        ("array", (), ["x"], ["x"]),
    ],
)
def test_a_promotion_says_only_what_ingest_would_let_in(
    strategy: Strategy, field_type: str, converters: tuple[str, ...], value: Json, shown: Json
):
    """After an undo its field may be declared as another type; from the start the value would be a fragment."""
    if strategy is Strategy.MERGE_ARRAY and field_type != "array":
        pytest.skip("only arrays are joined")
    field = Field("f", FieldType(field_type), converters=tuple(map(Converter.from_json, converters)))
    definition = Definition({"f": field}, {"f": Policy(strategy)})
    received = _observed(1, observed_us=5)
    promoted = _observed(2, observed_us=5, ranks_as=ids(1), fields={"f": value})

    reduced = reduce([received, promoted], definition)
    assert reduced.values == ({} if shown is None else {"f": shown})
    assert _everything(merged([promoted, received], definition)) == _everything(reduced)
    assert set(explain([received, promoted], definition)) == set(reduced.values)
    # What was received as an observation stays one.
    assert "f" in reduce([_observed(1, fields={"f": value})], definition).values


def test_specificities_compare_without_rounding():
    definition = _declaring(FieldType.STRING, Strategy.MOST_SPECIFIC)
    long = Decimal("0.12345678901234567890123456789012345")
    longer = Decimal("0.12345678901234567890123456789012346")
    history = [
        _observed(1, specificity=longer, fields={"f": "most specific"}),
        _observed(2, specificity=long, fields={"f": "newer"}),
    ]
    assert reduce(history, definition).values == {"f": "most specific"}
    state = empty_state()
    merge(state, history, definition)
    assert project(state, definition).values == {"f": "most specific"}


def test_numbers_equal_by_value_are_one_item_and_true_is_not_one():
    definition = _declaring(FieldType.ARRAY, Strategy.MERGE_ARRAY)
    history = [_observed(1, fields={"f": "[1.0, true, 1]"}), _observed(2, fields={"f": [True, 1, "1"]})]
    reduced = reduce(history, definition)
    assert canonical_json(reduced.values) == '{"f":[true,1,"1"]}'
    assert reduced.provenance == {"f": [ids(2)]}


def test_an_array_field_that_only_nulls_speak_for_is_absent_and_an_empty_array_is_not():
    definition = _declaring(FieldType.ARRAY, Strategy.MERGE_ARRAY)
    gated = [_observed(1, fields={"f": ["x"]}), _observed(2, priority=1000, fields={"f": None})]
    assert reduce(gated, definition).values == {}
    state = empty_state()
    merge(state, gated, definition)
    assert _everything(project(state, definition)) == _everything(reduce(gated, definition))
    emptied = [*gated, _observed(3, priority=1000, fields={"f": []})]
    assert reduce(emptied, definition).values == {"f": []}
    assert reduce(emptied, definition).provenance == {"f": []}


def test_undeclared_fields_are_reduced_only_where_nothing_is_declared():
    history = [_observed(1, fields={"f": "x", "g": 1})]
    assert reduce(history, None).values == {"f": "x", "g": 1}
    assert reduce(history, _declaring(FieldType.STRING, Strategy.LAST_WRITE)).values == {"f": "x"}
