"""Why a snapshot says what it says: for every field who won, who lost, and at which step it was decided."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TypeAlias

from registry.domain.definition import Definition, Field, Policy, Strategy, kind_rank
from registry.domain.fit import convert_for_reduction
from schemaevo.kernel.canonical import Json, canonical_json
from snapshots.domain.arrays import contributed_items
from snapshots.domain.observed import DELETED_KEY, Observed, speaks_of

# One comparison of an order: what it compares (smaller wins), and what the winner has over the loser.
_Step: TypeAlias = "tuple[int | Decimal | str, str]"


@dataclass(frozen=True, slots=True)
class Contender:
    """An observation that says something about a field.

    `value` is what it says and `converted` what the snapshot would show of it. `lost_by` is what the winner
    has over it, in words; None for a winner.
    """

    observed: Observed
    value: Json
    converted: Json
    lost_by: str | None = None


@dataclass(frozen=True, slots=True)
class FieldExplanation:
    """How one field came to its value.

    Of a joined array several observations can be winners: those that supply an item. `runners_up` are in the
    order in which they would have their turn. `is_cleared` tells that the winner says null.
    """

    policy: Policy
    winners: tuple[Contender, ...]
    runners_up: tuple[Contender, ...]
    is_cleared: bool


def explain(observations: Iterable[Observed], definition: Definition | None) -> dict[str, FieldExplanation]:
    """For every field of which something was observed, in order of names, why it has its value.

    A deleted entity's fields are explained as if it were not deleted.
    """
    history = _without_duplicates(observations)
    names = {name for observed in history for name in observed.fields if name != DELETED_KEY}
    explanations: dict[str, FieldExplanation] = {}
    for name in sorted(names):
        field = None if definition is None else definition.fields.get(name)
        if definition is not None and field is None:
            continue
        carriers = [observed for observed in history if speaks_of(observed, name, field)]
        if not carriers:
            continue
        policy = Policy() if definition is None else definition.policy_of(name)
        if field is not None and policy.strategy is Strategy.MERGE_ARRAY:
            explanations[name] = _explain_joined(name, field, policy, carriers)
        else:
            explanations[name] = _explain_chosen(name, field, policy, carriers, definition)
    return explanations


def explain_deletion(
    observations: Iterable[Observed], definition: Definition | None
) -> FieldExplanation | None:
    """Which observation decides whether the entity is deleted; None where none was received.

    Every received observation has a say: one without the mark says that the entity is there.
    """
    received = [observed for observed in _without_duplicates(observations) if observed.ranks_as is None]
    if not received:
        return None
    return _explain_chosen(DELETED_KEY, None, Policy(Strategy.HIGHEST_PRIORITY), received, definition)


def _without_duplicates(observations: Iterable[Observed]) -> list[Observed]:
    return list({observed.id: observed for observed in observations}.values())


def _explain_chosen(
    name: str,
    field: Field | None,
    policy: Policy,
    carriers: Sequence[Observed],
    definition: Definition | None,
) -> FieldExplanation:
    ranked = sorted(
        ((_steps(observed, policy, definition), observed) for observed in carriers),
        key=lambda pair: ([compared for compared, _ in pair[0]], pair[1].ranks_as is not None),
    )
    first_steps, winner = ranked[0]
    contenders = [
        _contender(name, field, observed, None if observed is winner else _lost_by(first_steps, steps))
        for steps, observed in ranked
    ]
    return FieldExplanation(
        policy=policy,
        winners=(contenders[0],),
        runners_up=tuple(contenders[1:]),
        is_cleared=contenders[0].value is None,
    )


def _explain_joined(
    name: str, field: Field, policy: Policy, carriers: Sequence[Observed]
) -> FieldExplanation:
    walk = sorted(
        carriers, key=lambda observed: (-observed.priority, -observed.observed_us, observed.ranking_id)
    )
    tier = walk[0].priority
    supplied: set[str] = set()
    winners: list[Contender] = []
    runners_up: list[Contender] = []
    for observed in walk:
        value = observed.fields[name]
        if observed.priority < tier:
            runners_up.append(_contender(name, field, observed, "higher priority"))
            continue
        items = {canonical_json(item) for item in contributed_items(value, field)}
        if items - supplied:
            supplied |= items
            winners.append(_contender(name, field, observed, None))
        elif value is None:
            runners_up.append(_contender(name, field, observed, "null supplies no item"))
        elif not items:
            runners_up.append(_contender(name, field, observed, "an empty array supplies no item"))
        else:
            runners_up.append(_contender(name, field, observed, "newer ones supply the same items"))
    return FieldExplanation(
        policy=policy,
        winners=tuple(winners),
        runners_up=tuple(runners_up),
        is_cleared=all(observed.fields[name] is None for observed in walk if observed.priority == tier),
    )


def _contender(name: str, field: Field | None, observed: Observed, lost_by: str | None) -> Contender:
    value = observed.fields.get(name)
    converted = value if field is None else convert_for_reduction(value, field)
    return Contender(observed=observed, value=value, converted=converted, lost_by=lost_by)


def _steps(observed: Observed, policy: Policy, definition: Definition | None) -> list[_Step]:
    """The comparisons of a policy's order, first to last."""
    priority: _Step = (-observed.priority, "higher priority")
    kind: _Step = (kind_rank(definition, observed.kind), observed.kind or "none")
    base: list[_Step] = [(-observed.observed_us, "newer"), (observed.ranking_id, "smaller id")]
    if policy.strategy is Strategy.HIGHEST_PRIORITY:
        return [priority, kind, *base]
    if policy.strategy is Strategy.MOST_SPECIFIC:
        specificity = observed.specificity
        negated = specificity.copy_negate() if isinstance(specificity, Decimal) else -specificity
        tie = [priority] if policy.asks_priority_on_tie else []
        return [(negated, "higher specificity"), *tie, kind, *base]
    return base


def _lost_by(winner: Sequence[_Step], loser: Sequence[_Step]) -> str:
    """The first comparison in which the two differ, in words."""
    for (best, words), (other, other_words) in zip(winner, loser, strict=True):
        if best != other:
            # Only the step of kinds has words of its own for each side.
            return words if words == other_words else f"kind order: {words} before {other_words}"
    return "the same observation"
