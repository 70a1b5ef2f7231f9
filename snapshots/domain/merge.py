"""A snapshot from its merge state and what is new: the cost does not depend on how long the history is.

Every policy keeps the first of a total order, so for each field the state remembers one ranking key and the
value that came with it. Written for speed, since ingest runs it for every record; what is right is said by
`reducer`.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

from registry.domain.definition import Definition, Field, Strategy, kind_rank
from registry.domain.fit import convert_for_reduction, is_admitted
from schemaevo.kernel.canonical import Json, JsonObject, canonical_json, decode_trusted
from snapshots.domain.arrays import contributed_items
from snapshots.domain.observed import DELETED_KEY, Observing
from snapshots.domain.reducer import Provenance, Reduced
from snapshots.domain.state import Deletion, FieldState, MergeState, RankingKey, empty_state


def merge(state: MergeState, observations: Iterable[Observing], definition: Definition | None) -> None:
    """The state, changed in place, covers these observations too.

    They must be new to this state (each once), and the state must have been made under a definition with the
    same reduction hash. Values are taken over without a copy, so neither side may change them afterwards.
    """
    chosen = state.fields
    declared = None if definition is None else definition.fields
    policies = {} if definition is None else definition.merge_policies
    for observed in observations:
        base: RankingKey = [-observed.observed_us, observed.ranking_id]
        by_priority: RankingKey = [-observed.priority, kind_rank(definition, observed.kind), *base]
        if observed.ranks_as is None:
            _count(state, observed, base, by_priority)
        for name, value in observed.fields.items():
            key = base
            if declared is None:
                if name == DELETED_KEY:
                    continue
            elif name not in declared or (
                observed.ranks_as is not None and not is_admitted(value, declared[name])
            ):
                continue
            elif (policy := policies.get(name)) is not None and policy.strategy is not Strategy.LAST_WRITE:
                if policy.strategy is Strategy.HIGHEST_PRIORITY:
                    key = by_priority
                elif policy.strategy is Strategy.MOST_SPECIFIC:
                    tail = by_priority if policy.asks_priority_on_tie else by_priority[1:]
                    key = [_negated(observed.specificity), *tail]
                else:
                    _join(chosen, name, value, observed, declared[name])
                    continue
            held = chosen.get(name)
            if held is None:
                chosen[name] = FieldState(key, value)
            elif key <= held.key and (key < held.key or observed.ranks_as is None):
                # An observation speaks for itself before a promotion that ranks as it does.
                held.key, held.value = key, value


def merged(observations: Iterable[Observing], definition: Definition | None) -> Reduced:
    """What reducing exactly these observations, each given once, comes to: merged into an empty state, which is quicker
    than to sort them."""
    state = empty_state()
    merge(state, observations, definition)
    return project(state, definition)


def project(state: MergeState, definition: Definition | None) -> Reduced:
    """What the snapshot shows, and what its row holds, by this state.

    Its cost grows with the number of fields and of items in joined arrays, and with nothing else. The result
    shares values with the state.
    """
    deleted = state.deletion is not None and state.deletion.deleted
    values: JsonObject = {}
    provenance: Provenance = {}
    if not deleted:
        declared = {} if definition is None else definition.fields
        fitting = {} if definition is None else definition.fitting_types
        for name, held in state.fields.items():
            if held.is_joined:
                if held.any:
                    values[name], provenance[name] = _in_base_order(held)
                continue
            value = held.value
            if value is not None:
                is_as_declared = definition is None or type(value) in fitting[name]
                values[name] = value if is_as_declared else convert_for_reduction(value, declared[name])
                provenance[name] = [held.key[-1]]
    top = state.top
    return Reduced(
        values=values,
        provenance=provenance,
        deleted=deleted,
        observation_count=state.count,
        last_observed_us=None if top is None else -top[0],
        last_computed_id=None if top is None else top[1],
        state=state,
    )


def _count(state: MergeState, observed: Observing, base: RankingKey, by_priority: RankingKey) -> None:
    """The observation itself, apart from its fields, is part of the state."""
    state.count += 1
    if state.top is None or base < state.top:
        state.top = base
    deletion = state.deletion
    if deletion is None or by_priority < deletion.key:
        state.deletion = Deletion(by_priority, observed.fields.get(DELETED_KEY) is True)


def _join(fields: dict[str, FieldState], name: str, value: Json, observed: Observing, field: Field) -> None:
    """The items that the observation supplies are in the field's state, unless its priority is too low."""
    held = fields.get(name)
    if held is None or observed.priority > held.tier:
        held = FieldState(tier=observed.priority, any=False, items={})
        fields[name] = held
    elif observed.priority < held.tier:
        return
    if value is None:
        return
    held.any = True
    items = held.items
    for position, item in enumerate(contributed_items(value, field)):
        canonical = canonical_json(item)
        place: list[int | str] = [-observed.observed_us, observed.ranking_id, position]
        known = items.get(canonical)
        if known is None or place < known:
            items[canonical] = place


def _in_base_order(joined: FieldState) -> tuple[list[Json], list[str]]:
    """The items in the order of their first places, and the observations that supply them, each once."""
    places = sorted(joined.items.items(), key=lambda entry: entry[1])
    suppliers = dict.fromkeys(place[1] for _, place in places)
    return [decode_trusted(canonical) for canonical, _ in places], list(suppliers)


def _negated(number: int | Decimal) -> int | Decimal:
    """The number with the other sign; `-` would round a Decimal of more than 28 digits."""
    return -number if isinstance(number, int) else number.copy_negate()
