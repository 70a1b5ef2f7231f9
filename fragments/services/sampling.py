"""What snapshots show now, and what they would show by other rules, and with what would be promoted under those."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from typing import NamedTuple

from fragments.domain.trial import Sampled, Side
from fragments.services.backfill import fragments_foreseen, spots_of_entities
from registry.domain.definition import Definition, Field
from snapshots.domain.merge import merged
from snapshots.domain.observed import Observing
from snapshots.services.merging import histories_of
from snapshots.services.observations import NewObservation


class Rules(NamedTuple):
    """What applies to a user now, and what would. `judged` are the fields whose fragments would be looked at, as they
    would be declared."""

    user_id: int
    before: Definition | None
    after: Definition | None
    judged: Mapping[str, Field]


def sampled_of(
    *, rules: Rules, entity_type: str, names: Collection[str], keys: Mapping[str, str]
) -> tuple[Sampled, ...]:
    """The entities, whose `keys` are given by their ids, and what their snapshots show of the fields now and would.

    Both are reduced from the stored observations, and, for what would be, from those that the promotion would make.
    The histories are read whole: the caller keeps them short. Changes nothing, locks nothing.
    """
    histories = histories_of([*keys])
    promotions = _promotions(rules, entity_type, [*keys])
    found = []
    for entity, key in keys.items():
        history = histories.get(entity, [])
        known = {observed.id for observed in history}
        added = [new for new in promotions.get(entity, ()) if new.id not in known]
        together: list[Observing] = [*history, *added]
        before = merged(history, rules.before).values
        after = merged(together, rules.after).values
        sides: Mapping[str, tuple[Side, Side]] = {
            name: (Side.of(before, name), Side.of(after, name)) for name in sorted(names)
        }
        found.append(Sampled(entity, rules.user_id, key, sides))
    return tuple(found)


def _promotions(
    rules: Rules, entity_type: str, entity_ids: Collection[str]
) -> Mapping[str, list[NewObservation]]:
    """The observations that the promotion would make of what waits of the entities, by entity."""
    found: dict[str, list[NewObservation]] = defaultdict(list)
    waiting = spots_of_entities(
        entity_type=entity_type, user_id=rules.user_id, fields=rules.judged.keys(), entity_ids=entity_ids
    )
    for name, spots in waiting.items():
        foreseen = fragments_foreseen(
            entity_type=entity_type, user_id=rules.user_id, declared=rules.judged[name], spots=spots
        )
        for observation in foreseen.observations:
            found[observation.entity_id].append(observation)
    return found
