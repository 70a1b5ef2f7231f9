"""Why a snapshot says what it says: for every field who won, who lost, and at which step it was decided."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import NamedTuple

from registry.domain.definition import Converter, Definition, Field, Policy, Strategy, kind_rank
from registry.domain.fit import conversion_for_reduction
from schemaevo.kernel.canonical import Json, canonical_json
from snapshots.domain.arrays import contributed_items
from snapshots.domain.observed import DELETED_KEY, Observed, speaks_of


class _Step(NamedTuple):
    """One comparison of an order: what it compares (smaller wins), how the winner's advantage is called, and what of
    each side stands in it."""

    compared: int | Decimal | str
    advantage: str
    shown: str = ""


@dataclass(frozen=True, slots=True)
class Contender:
    """An observation that says something about a field.

    `value` is what it says and `converted` what the snapshot would show of it, by `converter` if it took one.
    `supplies` are the items that a winner of a joined array gives to it, in their order. `lost_by` is what the winner
    has over it, in words; None for a winner.
    """

    observed: Observed
    value: Json
    converted: Json
    converter: Converter | None = None
    supplies: tuple[Json, ...] = ()
    lost_by: str | None = None


@dataclass(frozen=True, slots=True)
class FieldExplanation:
    """How one field came to its value.

    Of a joined array several observations can be winners: those that supply an item. `runners_up` are in the
    order in which they would have their turn. `value` is what the snapshot shows, None where `is_cleared` tells that
    the winner says null.
    """

    policy: Policy
    value: Json
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
        key=lambda pair: ([step.compared for step in pair[0]], pair[1].ranks_as is not None),
    )
    first_steps, winner = ranked[0]
    contenders = [
        _contender(name, field, observed, None if observed is winner else _lost_by(first_steps, steps))
        for steps, observed in ranked
    ]
    return FieldExplanation(
        policy=policy,
        value=contenders[0].converted,
        winners=(contenders[0],),
        runners_up=tuple(contenders[1:]),
        is_cleared=contenders[0].value is None,
    )


def _explain_joined(
    name: str, field: Field, policy: Policy, carriers: Sequence[Observed]
) -> FieldExplanation:
    walk = sorted(
        carriers,
        key=lambda observed: (
            -observed.priority,
            -observed.observed_us,
            observed.ranking_id,
            observed.ranks_as is not None,
        ),
    )
    tier = walk[0].priority
    joined: dict[str, Json] = {}
    winners: list[Contender] = []
    runners_up: list[Contender] = []
    for observed in walk:
        value = observed.fields[name]
        if observed.priority < tier:
            lost_by = f"higher priority: {tier} over {observed.priority}"
            runners_up.append(_contender(name, field, observed, lost_by))
            continue
        items = {canonical_json(item): item for item in contributed_items(value, field)}
        supplied = {canonical: item for canonical, item in items.items() if canonical not in joined}
        if supplied:
            joined |= supplied
            winners.append(_contender(name, field, observed, None, tuple(supplied.values())))
        elif value is None:
            runners_up.append(_contender(name, field, observed, "null supplies no item"))
        elif not items:
            runners_up.append(_contender(name, field, observed, "an empty array supplies no item"))
        else:
            runners_up.append(_contender(name, field, observed, "newer ones supply the same items"))
    is_cleared = all(observed.fields[name] is None for observed in walk if observed.priority == tier)
    return FieldExplanation(
        policy=policy,
        value=None if is_cleared else list(joined.values()),
        winners=tuple(winners),
        runners_up=tuple(runners_up),
        is_cleared=is_cleared,
    )


def _contender(
    name: str,
    field: Field | None,
    observed: Observed,
    lost_by: str | None,
    supplies: tuple[Json, ...] = (),
) -> Contender:
    value = observed.fields.get(name)
    conversion = None if field is None else conversion_for_reduction(value, field)
    return Contender(
        observed=observed,
        value=value,
        converted=value if conversion is None else conversion[1],
        converter=None if conversion is None else conversion[0],
        supplies=supplies,
        lost_by=lost_by,
    )


def _steps(observed: Observed, policy: Policy, definition: Definition | None) -> list[_Step]:
    """The comparisons of a policy's order, first to last."""
    priority = _Step(-observed.priority, "higher priority: {} over {}", str(observed.priority))
    kind = _Step(kind_rank(definition, observed.kind), "kind order: {} before {}", observed.kind or "none")
    base = [_Step(-observed.observed_us, "newer"), _Step(observed.ranking_id, "smaller id")]
    if policy.strategy is Strategy.HIGHEST_PRIORITY:
        return [priority, kind, *base]
    if policy.strategy is Strategy.MOST_SPECIFIC:
        specificity = observed.specificity
        negated = specificity.copy_negate() if isinstance(specificity, Decimal) else -specificity
        tie = [priority] if policy.asks_priority_on_tie else []
        return [_Step(negated, "higher specificity: {} over {}", str(specificity)), *tie, kind, *base]
    return base


def _lost_by(winner: Sequence[_Step], loser: Sequence[_Step]) -> str:
    """The first comparison in which the two differ, in words."""
    for best, other in zip(winner, loser, strict=True):
        if best.compared != other.compared:
            return best.advantage.format(best.shown, other.shown)
    return "the observation speaks for itself before what was promoted from it"
