"""How the owners of a field became more: days and counts. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

#: Fields of a type whose owners are kept, those of most owners.
FIELDS_KEPT: Final = 200
#: Days that a field's history goes back.
DAYS_KEPT: Final = 90


@dataclass(frozen=True, slots=True)
class FieldOwners:
    """How many owners have a field."""

    name: str
    owners: int


@dataclass(frozen=True, slots=True)
class Gain:
    """How many owners more there are than on a day; negative where they became fewer."""

    count: int
    since: date


def fields_of_most(fields: Iterable[FieldOwners], *, limit: int = FIELDS_KEPT) -> list[FieldOwners]:
    """The fields of most owners, of as many as the first by name; those that nobody has are left out."""
    found = [field for field in fields if field.owners > 0]
    return sorted(found, key=lambda field: (-field.owners, field.name))[:limit]


def history_with(
    history: Mapping[date, int] | None, *, today: date, owners: int, none_on: date | None = None
) -> dict[date, int]:
    """The history with today's owners, without what is too old.

    A field that had no history, though all fields were counted on the day `none_on`, had no owners then.
    """
    if history is None:
        history = {} if none_on is None else {none_on: 0}
    oldest = today - timedelta(days=DAYS_KEPT)
    kept = {day: count for day, count in history.items() if day >= oldest}
    before = [day for day in history if day < oldest]
    if before and oldest not in kept:
        # So many owners it had all the time until the next day that was counted.
        kept[oldest] = history[max(before)]
    return {**kept, today: owners}


def gain_of(history: Mapping[date, int], *, today: date, days: int) -> Gain | None:
    """How many owners more there are today than so many days ago, or since the first day there is.

    None where there is no day before: the field is new.
    """
    before = [day for day in history if day < today]
    if today not in history or not before:
        return None
    start = today - timedelta(days=days)
    since = max((day for day in before if day <= start), default=min(before))
    return Gain(history[today] - history[since], since)
