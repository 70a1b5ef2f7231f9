"""A snapshot from the whole history: the reference that says what is right.

It follows the rules of reduction word by word, by sorting, and shares no ordering code with the incremental
path in `merge`; `verify` compares the two.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from typing import NamedTuple, TypeAlias

from registry.domain.definition import Definition, Field, Policy, Strategy, kind_rank
from registry.domain.fit import convert_for_reduction
from schemaevo.kernel.canonical import Json, JsonObject, canonical_json
from snapshots.domain.arrays import contributed_items
from snapshots.domain.observed import DELETED_KEY, Observed, speaks_of
from snapshots.domain.state import MergeState

RankingKey: TypeAlias = list[int | Decimal | str]
Provenance: TypeAlias = dict[str, list[str]]


class Reduced(NamedTuple):
    """What a snapshot row holds.

    `values` and `provenance` are what is shown: empty while the entity is deleted, although `state` keeps the
    winners. `last_computed_id` is the first observation in base order and `last_observed_us` its time; both
    are None where nothing was observed. `state` is the merge state, documented in
    docs/incremental-snapshots.md.
    """

    values: JsonObject
    provenance: Provenance
    deleted: bool
    observation_count: int
    last_observed_us: int | None
    last_computed_id: str | None
    state: JsonObject | MergeState


def reduce(observations: Iterable[Observed], definition: Definition | None) -> Reduced:
    """The snapshot of exactly these observations, whatever their order and however often each is given."""
    history = list({observed.id: observed for observed in observations}.values())
    received = sorted(
        (observed for observed in history if observed.ranks_as is None),
        key=_key_function(_BASE_ORDER, definition),
    )
    deletion = _deletion_mark(received, definition)
    field_states: JsonObject = {}
    values: JsonObject = {}
    provenance: Provenance = {}
    for name, field in _fields_to_reduce(history, definition).items():
        carriers = [observed for observed in history if speaks_of(observed, name, field)]
        if not carriers:
            continue
        policy = _BASE_ORDER if definition is None else definition.policy_of(name)
        if field is not None and policy.strategy is Strategy.MERGE_ARRAY:
            field_states[name], shown, suppliers = _joined(name, field, carriers)
        else:
            field_states[name], shown, suppliers = _chosen(name, field, policy, carriers, definition)
        if shown is not None:
            values[name] = shown
            provenance[name] = suppliers
    deleted = deletion is not None and deletion["deleted"] is True
    top = received[0] if received else None
    return Reduced(
        values={} if deleted else values,
        provenance={} if deleted else provenance,
        deleted=deleted,
        observation_count=len(received),
        last_observed_us=None if top is None else top.observed_us,
        last_computed_id=None if top is None else top.id,
        state={
            "count": len(received),
            "top": None if top is None else [-top.observed_us, top.id],
            "deletion": deletion,
            "fields": field_states,
        },
    )


_BASE_ORDER = Policy(Strategy.LAST_WRITE)
_DELETION_ORDER = Policy(Strategy.HIGHEST_PRIORITY)


def _fields_to_reduce(
    history: Sequence[Observed], definition: Definition | None
) -> dict[str, Field] | dict[str, None]:
    """The declared fields; where nothing is declared, every key that was observed."""
    if definition is not None:
        return dict(definition.fields)
    return {name: None for observed in history for name in observed.fields if name != DELETED_KEY}


def _deletion_mark(received: Sequence[Observed], definition: Definition | None) -> JsonObject | None:
    """What the observation that ranks first says about deletion, whether or not it mentions it."""
    if not received:
        return None
    key = _key_function(_DELETION_ORDER, definition)
    first = sorted(received, key=key)[0]
    return {"key": [*key(first)], "deleted": first.fields.get(DELETED_KEY) is True}


def _chosen(
    name: str,
    field: Field | None,
    policy: Policy,
    carriers: Sequence[Observed],
    definition: Definition | None,
) -> tuple[JsonObject, Json, list[str]]:
    """The state, shown value and supplier of a field for which one observation speaks."""
    key = _key_function(policy, definition)
    # An observation speaks for itself before a promotion that ranks as it does.
    winner = sorted(carriers, key=lambda observed: (key(observed), observed.ranks_as is not None))[0]
    value = winner.fields[name]
    shown = value if field is None else convert_for_reduction(value, field)
    return {"key": [*key(winner)], "value": value}, shown, [winner.ranking_id]


def _joined(name: str, field: Field, carriers: Sequence[Observed]) -> tuple[JsonObject, Json, list[str]]:
    """The state, array and suppliers of a field whose observations of the highest priority are joined."""
    tier = max(observed.priority for observed in carriers)
    walk = sorted(
        (observed for observed in carriers if observed.priority == tier), key=_key_function(_BASE_ORDER, None)
    )
    kept: JsonObject = {}
    shown: list[Json] = []
    suppliers: list[str] = []
    for observed in walk:
        for position, item in enumerate(contributed_items(observed.fields[name], field)):
            canonical = canonical_json(item)
            if canonical in kept:
                continue
            kept[canonical] = [-observed.observed_us, observed.ranking_id, position]
            shown.append(item)
            if observed.ranking_id not in suppliers:
                suppliers.append(observed.ranking_id)
    says_anything = any(observed.fields[name] is not None for observed in walk)
    state: JsonObject = {"tier": tier, "any": says_anything, "items": kept}
    return state, shown if says_anything else None, suppliers


def _key_function(policy: Policy, definition: Definition | None) -> Callable[[Observed], RankingKey]:
    """The order of a policy as a sort key, smallest first; every order ends in the base order."""

    def base(observed: Observed) -> RankingKey:
        return [-observed.observed_us, observed.ranking_id]

    def highest_priority(observed: Observed) -> RankingKey:
        return [-observed.priority, kind_rank(definition, observed.kind), *base(observed)]

    def most_specific(observed: Observed) -> RankingKey:
        by_priority = [-observed.priority] if policy.asks_priority_on_tie else []
        return [
            _negated(observed.specificity),
            *by_priority,
            kind_rank(definition, observed.kind),
            *base(observed),
        ]

    if policy.strategy is Strategy.HIGHEST_PRIORITY:
        return highest_priority
    if policy.strategy is Strategy.MOST_SPECIFIC:
        return most_specific
    return base


def _negated(number: int | Decimal) -> int | Decimal:
    """The number with the other sign; `-` would round a long Decimal."""
    return number.copy_negate() if isinstance(number, Decimal) else -number
