"""How fast work goes, and how long it still takes, from two counts of it. Pure: no database, no clock."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

#: Over a shorter time a rate says nothing: the first batch may have been the quick or the slow one.
LEAST_S = 3.0


@dataclass(frozen=True, slots=True)
class Mark:
    """How much was done at a time."""

    at: datetime
    count: int


@dataclass(frozen=True, slots=True)
class Pace:
    """Pieces of work per second, always more than none, and for how long there is work at this rate; None where the
    end is not known."""

    per_s: float
    left_s: float | None


def pace(*, since: Mark, now: datetime, done: int, total: int | None) -> Pace | None:
    """The pace between `since` and now; None where there is nothing to tell it by.

    Whatever is odd is not known, and never a number: a clock that went back, a count that began anew, more done than
    there was to do.
    """
    elapsed_s = (now - since.at).total_seconds()
    gained = done - since.count
    if elapsed_s < LEAST_S or gained <= 0:
        return None
    per_s = gained / elapsed_s
    return Pace(per_s, (total - done) / per_s if total and total >= done else None)
