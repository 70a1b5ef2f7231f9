"""Which undeclared fields gained owners, as it was counted last. Owners are counted, never named."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Final

from django.db.models import F

from fragments.domain.growth import Gain, gain_of
from fragments.models import FieldGrowth

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


def _told(row: FieldGrowth, days: int) -> FieldGaining:
    history = {date.fromisoformat(day): count for day, count in row.owners_by_day.items()}
    gain = gain_of(history, today=max(history), days=days)
    return FieldGaining(row.entity_type, row.fragment_key, row.owner_count, gain)
