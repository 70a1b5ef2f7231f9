"""What becomes of each row when everything that matches a filter is acted on: decided here, for the act and for its
preview."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from fragments.domain.recommendation import Obstacle, ObstacleCode, Recommendation, Refused
from registry.domain.names import confusable_form

#: Why a row is skipped, beside states of fragments, obstacles of fields, and codes of what a service refused.
CHANGED: Final = "changed"
RETRACTED: Final = "retracted"
QUOTA: Final = "quota_exceeded"
NOT_ADOPTED: Final = "not_adopted"
#: A mistake of the program, or of the database; the log of the process has the whole of it.
FAILED: Final = "failed"

#: What speaks against a recommendation, and not against declaring the field for who says so.
MAY_BE_OVERRULED: Final = frozenset(
    {
        ObstacleCode.TURNED_OFF,
        ObstacleCode.IGNORED,
        ObstacleCode.DISMISSED,
        ObstacleCode.SNOOZED,
        ObstacleCode.SEEN_TOO_RARELY,
        ObstacleCode.CONFIDENCE_TOO_LOW,
        ObstacleCode.ONE_SOURCE_AND_ENTITY,
    }
)


def archive_skip(state: str, *, is_retracted: bool) -> str:
    """Why a fragment in that state is not archived, '' where it is. What a retracted source brought stays where it is,
    so that the undo finds it."""
    if state != "active":
        return state
    return RETRACTED if is_retracted else ""


def restore_skip(state: str) -> str:
    """Why a fragment in that state is not restored, '' where it is."""
    return "" if state == "pending_deletion" else state


def dismissal_skip(refused: Refused | None, *, until: datetime | None) -> str:
    """Why a field is not dismissed, or not snoozed until that time; '' where it is. What was dismissed for good is not
    weakened to a snooze, and its reason stays."""
    if refused is None:
        return ""
    if refused.until is None:
        return ObstacleCode.DISMISSED
    return ObstacleCode.SNOOZED if refused.until == until else ""


def promotion_obstacle(one: Recommendation, *, with_others: bool) -> Obstacle | None:
    """Why a field is not promoted, None where it is. `with_others`: also what is not recommended, if it can be declared
    at all."""
    if not with_others:
        return one.obstacles[0] if one.obstacles else None
    firm = (obstacle for obstacle in one.obstacles if obstacle.code not in MAY_BE_OVERRULED)
    return next(firm, None)


@dataclass(slots=True)
class Room:
    """How much an owner has declared and may declare, and the entity types that count already."""

    schemas: int
    max_schemas: int
    fields: int
    max_fields: int
    types: set[str] = field(default_factory=set)

    def take(self, entity_type: str) -> bool:
        """One more field of that type is declared, if that passes no maximum; says whether it is."""
        more_schemas = entity_type not in self.types
        if self.fields + 1 > self.max_fields or (more_schemas and self.schemas + 1 > self.max_schemas):
            return False
        self.fields += 1
        self.schemas += more_schemas
        self.types.add(entity_type)
        return True


@dataclass(slots=True)
class Promotions:
    """What promoting fields comes to: how many, and how many fragments wait behind them; why which others are not. Of
    all that were looked at, `eligible` have nothing against them, `others` could be declared all the same."""

    done: int = 0
    fragments: int = 0
    eligible: int = 0
    others: int = 0
    skipped: Counter[str] = field(default_factory=Counter)


def promotions_foreseen(
    fields: Iterable[Recommendation],
    *,
    rooms: Mapping[int, Room],
    unadopted: frozenset[tuple[str, int]],
    with_others: bool,
) -> Promotions:
    """What promoting these fields, one after the other, would come to; `rooms`, by owner, are used up by it.

    `unadopted` are the types and owners whose own schema waits to become an extension: nothing is added to it until
    then.
    """
    told = Promotions()
    taken: set[tuple[str, int, str]] = set()
    for one in fields:
        owner = one.user_id
        if owner is None:
            raise ValueError("Fields of all owners together are proposed, not promoted.")
        told.eligible += one.is_eligible
        told.others += not one.is_eligible and promotion_obstacle(one, with_others=True) is None
        obstacle = promotion_obstacle(one, with_others=with_others)
        form = (one.entity_type, owner, confusable_form(one.name))
        if obstacle is not None:
            told.skipped[obstacle.code] += 1
        elif form in taken:
            # Once the first of them is declared nobody could tell the second from it.
            told.skipped[ObstacleCode.AMBIGUOUS_NAME] += 1
        elif (one.entity_type, owner) in unadopted:
            told.skipped[NOT_ADOPTED] += 1
        elif not rooms[owner].take(one.entity_type):
            told.skipped[QUOTA] += 1
        else:
            taken.add(form)
            told.done += 1
            told.fragments += one.counts.sample_count
    return told
