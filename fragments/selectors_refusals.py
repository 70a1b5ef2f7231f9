"""What nobody wants recommended, asked for many fields at once."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import UTC
from typing import Final, NamedTuple

from django.db.models import Q
from django.utils import timezone

from fragments.domain.ignoring import matching_pattern, normalised_pattern
from fragments.domain.recommendation import Refused
from fragments.models import (
    EnhancementMode,
    EnhancementSetting,
    FieldDismissal,
    IgnoredPattern,
    RawFragmentAggregate,
)
from fragments.selectors_aggregates import FieldKey

#: Undeclared fields with which a pattern is compared before it is on a list.
FIELDS_LOOKED_AT: Final = 5_000


class Refusals(NamedTuple):
    """Patterns by entity type, '' being every type, and dismissals by field."""

    patterns: Mapping[str, list[str]]
    dismissed: Mapping[FieldKey, Refused]

    def ignored_by(self, key: FieldKey) -> str:
        """The pattern that a field's name matches, '' where there is none."""
        patterns = [*self.patterns.get("", ()), *self.patterns.get(key.entity_type, ())]
        return matching_pattern(key.name, patterns) or ""


def refusals_of(*, user_id: int | None, keys: Collection[FieldKey]) -> Refusals:
    """What is refused of these fields now: to that user, or (None) over all users. Two queries."""
    types = {key.entity_type for key in keys}
    is_for_them = Q(user__isnull=True) if user_id is None else Q(user__isnull=True) | Q(user_id=user_id)
    patterns: dict[str, list[str]] = {}
    lines = IgnoredPattern.objects.filter(is_for_them, entity_type__in=["", *types]).order_by("pattern")
    for entity_type, pattern in lines.values_list("entity_type", "pattern"):
        patterns.setdefault(entity_type, []).append(pattern)
    owner = Q(user__isnull=True) if user_id is None else Q(user_id=user_id)
    rows = FieldDismissal.objects.filter(
        owner,
        Q(until__isnull=True) | Q(until__gt=timezone.now()),
        entity_type__in=types,
        fragment_key__in={key.name for key in keys},
    )
    found = rows.values_list("entity_type", "fragment_key", "until", "reason")
    return Refusals(
        patterns,
        {
            FieldKey(entity_type, name): Refused(until.astimezone(UTC) if until else None, reason)
            for entity_type, name, until, reason in found
        },
    )


def refusals_of_owners(*, fields: Collection[tuple[int, FieldKey]]) -> dict[int, Refusals]:
    """As `refusals_of`, to each of several users of their own fields. Two queries."""
    owners = {user_id for user_id, _key in fields}
    types = {key.entity_type for _user_id, key in fields}
    lines = (
        IgnoredPattern.objects.filter(
            Q(user__isnull=True) | Q(user_id__in=owners), entity_type__in=["", *types]
        )
        .order_by("pattern")
        .values_list("user_id", "entity_type", "pattern")
    )
    patterns: dict[int, dict[str, list[str]]] = {owner: {} for owner in owners}
    for user_id, entity_type, pattern in lines:
        for owner in owners if user_id is None else (user_id,):
            patterns[owner].setdefault(entity_type, []).append(pattern)
    rows = FieldDismissal.objects.filter(
        Q(until__isnull=True) | Q(until__gt=timezone.now()),
        user_id__in=owners,
        entity_type__in=types,
        fragment_key__in={key.name for _user_id, key in fields},
    )
    dismissed: dict[int, dict[FieldKey, Refused]] = {owner: {} for owner in owners}
    found = rows.values_list("user_id", "entity_type", "fragment_key", "until", "reason")
    for user_id, entity_type, name, until, reason in found:
        refused = Refused(until.astimezone(UTC) if until else None, reason)
        dismissed[user_id or 0][FieldKey(entity_type, name)] = refused
    return {owner: Refusals(patterns[owner], dismissed[owner]) for owner in owners}


def types_turned_off_of(*, user_ids: Collection[int]) -> dict[int, set[str]]:
    """As `types_turned_off`, of several users. One query."""
    off: dict[int, set[str]] = {user_id: set() for user_id in user_ids}
    rows = EnhancementSetting.objects.filter(user_id__in=off, mode=EnhancementMode.OFF)
    for user_id, entity_type in rows.values_list("user_id", "entity_type"):
        off[user_id].add(entity_type)
    return off


def types_turned_off(*, user_id: int | None) -> frozenset[str]:
    """The entity types of which nothing is recommended to the user. One query; over all users there are none."""
    if user_id is None:
        return frozenset()
    rows = EnhancementSetting.objects.filter(user_id=user_id, mode=EnhancementMode.OFF)
    return frozenset(rows.values_list("entity_type", flat=True))


class PatternHits(NamedTuple):
    """Which undeclared fields of an owner and type a pattern matches. Unless `is_whole`, there are more fields than
    were looked at."""

    names: tuple[str, ...]
    is_whole: bool


def fields_hit(*, user_id: int, entity_type: str, pattern: str) -> PatternHits:
    """Which of the undeclared fields of the user and type the pattern matches, as an ignore list would. One query."""
    rows = RawFragmentAggregate.objects.filter(
        user_id=user_id, entity_type=entity_type, sample_count__gt=0
    ).order_by("fragment_key")
    found = list(rows.values_list("fragment_key", flat=True)[: FIELDS_LOOKED_AT + 1])
    patterns = [normalised_pattern(pattern)]
    hits = tuple(name for name in found[:FIELDS_LOOKED_AT] if matching_pattern(name, patterns) is not None)
    return PatternHits(hits, len(found) <= FIELDS_LOOKED_AT)


def dismissal_of(*, user_id: int, entity_type: str, name: str) -> FieldDismissal | None:
    """What keeps the user's field from being recommended now: dismissed for good, or until a time that is to come."""
    return FieldDismissal.objects.filter(
        Q(until__isnull=True) | Q(until__gt=timezone.now()),
        user_id=user_id,
        entity_type=entity_type,
        fragment_key=name,
    ).first()


def patterns_ignored(*, user_id: int | None) -> list[IgnoredPattern]:
    """The ignore list of the user, or (None) the one for all users, by entity type and pattern."""
    owner = Q(user__isnull=True) if user_id is None else Q(user_id=user_id)
    return list(IgnoredPattern.objects.filter(owner).order_by("entity_type", "pattern"))
