"""Which undeclared fields gained owners, as it was counted last. Owners are counted, never named."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Final

from django.db.models import F

from fragments.domain.growth import Gain, gain_of
from fragments.models import FieldGrowth
from fragments.selectors_aggregates import FieldKey

#: The periods over which gains are told, in days.
PERIODS: Final = (7, 30, 90)


@dataclass(frozen=True, slots=True)
class FieldGaining:
    """An undeclared field, its owners, and by how many they became more; None where no day before is known."""

    entity_type: str
    name: str
    owners: int
    gain: Gain | None


def fields_gaining(*, days: int, limit: int) -> list[FieldGaining]:
    """The fields that gained most owners in so many days, one of PERIODS; then, as far as there is room, those of most
    owners of which no day before is known. Two queries, of an index and of a small table."""
    gained = f"gained_{days}"
    gaining = FieldGrowth.objects.filter(**{f"{gained}__gt": 0})
    rows = list(gaining.order_by(F(gained).desc(), F("owner_count").desc(), F("id").desc())[:limit])
    new = FieldGrowth.objects.filter(**{f"{gained}__isnull": True}).order_by("-owner_count", "-id")[:limit]
    return [_told(row, days) for row in [*rows, *new][:limit]]


def gains_of(keys: Collection[FieldKey], *, days: int) -> dict[FieldKey, int | None]:
    """By how many the owners of these fields became more in so many days, one of PERIODS; None where no day before is
    known. Fields that are not among those of most owners of their type are left out. One query."""
    rows = FieldGrowth.objects.filter(
        entity_type__in={key.entity_type for key in keys}, fragment_key__in={key.name for key in keys}
    )
    found = rows.values_list("entity_type", "fragment_key", f"gained_{days}")
    return {FieldKey(entity_type, name): gained for entity_type, name, gained in found}


def owners_by_day(key: FieldKey) -> Mapping[date, int]:
    """How many owners the field had on each of the last days that were counted; nothing where it is not among those of
    most owners. One query."""
    rows = FieldGrowth.objects.filter(entity_type=key.entity_type, fragment_key=key.name)
    found: dict[str, int] = rows.values_list("owners_by_day", flat=True).first() or {}
    return {date.fromisoformat(day): count for day, count in found.items()}


def _told(row: FieldGrowth, days: int) -> FieldGaining:
    history = {date.fromisoformat(day): count for day, count in row.owners_by_day.items()}
    gain = gain_of(history, today=max(history), days=days)
    return FieldGaining(row.entity_type, row.fragment_key, row.owner_count, gain)
