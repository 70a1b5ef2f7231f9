"""Figures of days: how much came, how much there is. Every floor names its own in AppConfig.ready(); a periodic job
counts them day by day (schemaevo.kernel.figure_runs), and pages read what it wrote."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import Enum
from typing import Final

from django.conf import settings
from django.utils import timezone

from schemaevo.kernel.canonical import Json
from schemaevo.kernel.models import DailyFigure
from schemaevo.kernel.pages.estimates import Amount

DAY: Final = timedelta(days=1)
#: The first count goes so many days back, today among them.
DAYS_COUNTED: Final = 90


class FigureKind(Enum):
    """What a figure of a day says."""

    #: How much there was during the day; days that are over can be counted later.
    FLOW = "flow"
    #: How much there is; only ever of now, and the last look of a day is that day's figure.
    STOCK = "stock"


@dataclass(frozen=True, slots=True)
class Counted:
    """What one short count came to, by figure, and the place where the next goes on; None when all was counted."""

    amounts: Mapping[str, Amount]
    place: Json = None


@dataclass(frozen=True, slots=True)
class FigureSource:
    """Figures that are counted together.

    `count` counts what happened on a day, from a place on (None at the beginning), in a time that is bounded; of a
    stock it counts what there is. `known_from` gives the first day of which everything is still there; None where there
    is nothing yet. Days before are never counted: nobody knows what happened then.
    """

    name: str
    kind: FigureKind
    figures: tuple[str, ...]
    count: Callable[[date, Json], Counted]
    known_from: Callable[[], date | None] = lambda: None


_sources: dict[str, FigureSource] = {}


def figure_source(source: FigureSource) -> None:
    """The periodic job counts these figures, too. Called in AppConfig.ready()."""
    taken = {name for other in _sources.values() if other.name != source.name for name in other.figures}
    if _sources.setdefault(source.name, source) != source or taken & set(source.figures):
        raise ValueError(f"The figures {source.name} are already registered otherwise.")


def figure_sources() -> list[FigureSource]:
    """All of them, by name."""
    return [_sources[name] for name in sorted(_sources)]


# --- days -----------------------------------------------------------------------------------------------------------
def today() -> date:
    """The day that it is, in UTC."""
    return timezone.now().astimezone(UTC).date()


def day_began(day: date) -> datetime:
    """Its first moment; the day after begins where it ends."""
    return datetime.combine(day, time(), tzinfo=UTC)


def known_since(oldest: datetime | None, *, retention: str = "") -> date | None:
    """The day of the oldest row there is, or the first one that the ledger's retention leaves whole.

    `retention` names the setting with the days after which rows may go.
    """
    if oldest is None:
        return None
    days: int = getattr(settings, retention) if retention else 0
    first = oldest.astimezone(UTC).date()
    # Of the day on which the retention begins a part is gone.
    return max(first, (timezone.now() - timedelta(days=days)).astimezone(UTC).date() + DAY) if days else first


# --- what pages read ------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class FiguresKept:
    """Figures of days as they were counted, and when the newest of them was."""

    by_figure: Mapping[str, Mapping[date, Amount]]
    counted_at: datetime | None

    def of(self, figure: str) -> Mapping[date, Amount]:
        """The days of one figure; those that are missing were not counted."""
        return self.by_figure.get(figure, {})


def figures_kept(*, figures: Collection[str], first: date, last: date) -> FiguresKept:
    """These figures of the days from `first` to `last`. One query."""
    by_figure: dict[str, dict[date, Amount]] = {name: {} for name in figures}
    newest: datetime | None = None
    for row in DailyFigure.objects.filter(day__range=(first, last), figure__in=sorted(figures)):
        by_figure[row.figure][row.day] = Amount(row.value, row.is_exact)
        newest = row.counted_at if newest is None else max(newest, row.counted_at)
    return FiguresKept(by_figure, newest)
