"""A few entities on which a trial shows what snapshots are now, and what they would be."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from hashlib import sha256
from itertools import islice, zip_longest
from typing import NamedTuple

from fragments.domain.trial import Sampled
from fragments.services.backfill import spots_waiting
from fragments.services.sampling import Rules, sampled_of
from fragments.services.trial_outlooks import Outlook, outlooks_of
from registry.selectors_trials import Basis
from snapshots.selectors_samples import entities_showing, keys_of
from snapshots.services.waiting import lengths_of

#: Entities shown, and users they are of.
SAMPLE_ENTITIES = 10
SAMPLE_USERS = 10
#: An entity with a longer history is not shown: all of it would be read, twice.
SAMPLE_HISTORY_MAX = 5_000


class Candidate(NamedTuple):
    """A user on whose entities something is to be seen: best first, and else by a number that depends on nothing but
    the user and the content, so that another trial of it shows the same."""

    rank: int
    lot: str
    user_id: int


def ranked(*, content_hash: str, user_id: int, has_fragments: bool) -> Candidate:
    """The user as a candidate: those come first of whom fragments would be promoted."""
    lot = sha256(f"{content_hash}:{user_id}".encode()).hexdigest()[:16]
    return Candidate(0 if has_fragments else 1, lot, user_id)


def best_of(candidates: Collection[Candidate]) -> tuple[Candidate, ...]:
    """As many as are shown."""
    return tuple(sorted(candidates)[:SAMPLE_USERS])


def sample_of(
    *, basis: Basis, names: Collection[str], candidates: Sequence[Candidate]
) -> tuple[Sampled, ...]:
    """Entities of the candidates in turn, and what their snapshots show of the fields now, and would show.

    Both are reduced from the stored observations, and, for what would be, from those that the promotion would make.
    """
    users = [candidate.user_id for candidate in candidates]
    outlooks = outlooks_of(basis=basis, names=names, user_ids=users)
    by_user = [
        [(user_id, entity) for entity in _entities(outlooks[user_id], basis, names)] for user_id in users
    ]
    in_turn = [one for turn in zip_longest(*by_user) for one in turn if one is not None]
    chosen = in_turn[:SAMPLE_ENTITIES]
    keys = keys_of(entity_ids=[entity for _, entity in chosen])
    # One at a time: two long histories need not be in memory together.
    return tuple(
        sampled
        for user_id, entity in chosen
        if entity in keys
        for sampled in sampled_of(
            rules=_rules(outlooks[user_id]),
            entity_type=basis.entity_type,
            names=names,
            keys={entity: keys[entity]},
        )
    )


def _rules(outlook: Outlook) -> Rules:
    return Rules(outlook.user_id, outlook.before, outlook.after, outlook.judged)


def _entities(outlook: Outlook, basis: Basis, names: Collection[str]) -> list[str]:
    """Some entities of the user, first those with fragments that wait, none with a long history."""
    found: dict[str, None] = {}
    for name in outlook.judged:
        if len(found) < SAMPLE_ENTITIES:
            spots = spots_waiting(
                entity_type=basis.entity_type, user_id=outlook.user_id, field=name, after=None
            )
            entities = dict.fromkeys(spot.entity_id for spot in spots)
            found.update(dict.fromkeys(islice(entities, SAMPLE_ENTITIES - len(found))))
    if len(found) < SAMPLE_ENTITIES:
        others = entities_showing(
            user_id=outlook.user_id, entity_type=basis.entity_type, names=names, limit=SAMPLE_ENTITIES
        )
        found.update(dict.fromkeys(others))
    lengths = lengths_of(found)
    short = [entity for entity in found if lengths.get(entity, 0) <= SAMPLE_HISTORY_MAX]
    return short[:SAMPLE_ENTITIES]
