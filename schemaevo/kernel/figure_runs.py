"""The periodic job that counts days, and what it keeps.

A day that was counted after it had ended is never counted again: the ledgers it was counted from are trimmed, and a
second count would find less. Today and yesterday are counted every time; what a long transaction commits after midnight
is so in the figure of the day on which it was stamped.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime

from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet
from django.db.models.functions import Now

from schemaevo.kernel.canonical import Json, JsonObject
from schemaevo.kernel.figures import (
    DAY,
    DAYS_COUNTED,
    FigureKind,
    FigureSource,
    day_began,
    figure_sources,
    today,
)
from schemaevo.kernel.jobs import Lease, job_kind
from schemaevo.kernel.models import DailyFigure, JobQueue
from schemaevo.kernel.pages.estimates import Amount
from schemaevo.kernel.retention import Ledger, ledger_register

COUNT_DAYS = "count_days"


@dataclass(frozen=True, slots=True)
class _Here:
    """How far a pass has got, kept as the cursor of its job.

    A pass goes from today back, and on each day through the sources by name. `place` is where the count of the day goes
    on, and `amounts` what it has come to; when it `is_kept`, the next source or day follows.
    """

    today: date
    day: date
    source: str = ""
    is_kept: bool = True
    place: Json = None
    amounts: Mapping[str, Amount] = field(default_factory=dict)

    def is_before(self, day: date, source: str) -> bool:
        """Whether that source of that day is still to do."""
        if day != self.day:
            return day < self.day
        return source > self.source or (source == self.source and not self.is_kept)

    def at(self, day: date, source: str) -> _Here:
        """Where its count goes on, or begins."""
        if (day, source) == (self.day, self.source) and not self.is_kept:
            return self
        return _Here(self.today, day, source, is_kept=False)

    def to_json(self) -> JsonObject:
        return {
            "today": self.today.isoformat(),
            "day": self.day.isoformat(),
            "source": self.source,
            "is_kept": self.is_kept,
            "place": self.place,
            "amounts": {name: [amount.value, amount.is_exact] for name, amount in self.amounts.items()},
        }

    @classmethod
    def from_json(cls, said: Json) -> _Here:
        """What `to_json` gave; the beginning of a pass where there is nothing."""
        match said:
            case {
                "today": str(now),
                "day": str(day),
                "source": str(source),
                "is_kept": bool(is_kept),
                "place": place,
                "amounts": dict(amounts),
            }:
                counted = {name: _amount(amount) for name, amount in amounts.items()}
                return cls(date.fromisoformat(now), date.fromisoformat(day), source, is_kept, place, counted)
            case _:
                now_day = today()
                return cls(now_day, now_day)


def _amount(said: Json) -> Amount:
    match said:
        case [int(value), bool(is_exact)]:
            return Amount(value, is_exact)
        case _:
            raise ValueError(f"{said!r} is no amount of a cursor.")


def count_run(lease: Lease) -> JsonObject:
    """Every figure of every day is kept, as far as anybody knows it; those of today say what is known by now."""
    here = _Here.from_json(lease.cursor)
    for day, source in _owed(here.today):
        if not here.is_before(day, source.name):
            continue
        here = here.at(day, source.name)
        while not here.is_kept:
            with lease.batch() as batch:
                here = _counted(source, here)
                if here.is_kept:
                    figures_keep(day=day, amounts=here.amounts)
                    batch.done(len(here.amounts))
                    here = replace(here, amounts={})
                batch.cursor = here.to_json()
    return {"kept": lease.done_count}


def _owed(now: date) -> list[tuple[date, FigureSource]]:
    """What a pass has to count, in its order: today first, which people look at."""
    settled = _settled(now)
    sources = figure_sources()
    reach = {source.name: _first_day(source, now) for source in sources}
    return [
        (day, source)
        for day in (now - back * DAY for back in range(_days_back()))
        for source in sources
        if day >= reach[source.name] and any((day, name) not in settled for name in source.figures)
    ]


def _days_back() -> int:
    """How far back days are counted: nothing that retention would take away again."""
    kept: int = settings.SCHEMAEVO_RETENTION_DAYS_FIGURES
    return min(DAYS_COUNTED, kept) if kept > 0 else DAYS_COUNTED


def _first_day(source: FigureSource, now: date) -> date:
    """The first day that can be counted: of a stock today, and of a flow the first of which all is known."""
    if source.kind is FigureKind.STOCK:
        return now
    return min(source.known_from() or now, now)


def _settled(now: date) -> set[tuple[date, str]]:
    """Days and figures that were counted after the day had ended."""
    past = DailyFigure.objects.filter(day__range=(now - (DAYS_COUNTED - 1) * DAY, now - 2 * DAY))
    rows = past.values_list("day", "figure", "counted_at")
    return {(day, figure) for day, figure, counted_at in rows if counted_at >= day_began(day + DAY)}


def _counted(source: FigureSource, here: _Here) -> _Here:
    """One short count further."""
    if source.kind is FigureKind.STOCK and here.day != today():
        # The job rested past midnight: what there is now is not what there was then.
        return replace(here, is_kept=True, amounts={})
    counted = source.count(here.day, here.place)
    amounts = {
        name: _sum(here.amounts.get(name), counted.amounts.get(name, Amount(0))) for name in source.figures
    }
    return replace(here, place=counted.place, amounts=amounts, is_kept=counted.place is None)


def _sum(before: Amount | None, more: Amount) -> Amount:
    return more if before is None else Amount(before.value + more.value, before.is_exact and more.is_exact)


@transaction.atomic
def figures_keep(*, day: date, amounts: Mapping[str, Amount]) -> None:
    """These are the figures of the day now. The same once more changes nothing but when they were counted."""
    DailyFigure.objects.bulk_create(
        [
            DailyFigure(day=day, figure=name, value=amount.value, is_exact=amount.is_exact, counted_at=Now())
            for name, amount in sorted(amounts.items())
        ],
        update_conflicts=True,
        unique_fields=["day", "figure"],
        update_fields=["value", "is_exact", "counted_at"],
    )


# --- retention ------------------------------------------------------------------------------------------------------
def _old(cutoff: datetime) -> QuerySet[DailyFigure]:
    return DailyFigure.objects.filter(day__lt=cutoff.date())


def _old_count(cutoff: datetime) -> int:
    return _old(cutoff).count()


def _old_delete(cutoff: datetime, limit: int) -> int:
    ids = list(_old(cutoff).order_by("day", "figure").values_list("pk", flat=True)[:limit])
    deleted, _ = DailyFigure.objects.filter(pk__in=ids).delete()
    return deleted


def register() -> None:
    """The job kind and the ledger are known."""
    job_kind(
        COUNT_DAYS,
        queue=JobQueue.LIFECYCLE,
        run=count_run,
        every_s=settings.SCHEMAEVO_FIGURES_INTERVAL_S,
    )
    ledger_register(Ledger("daily_figures", "SCHEMAEVO_RETENTION_DAYS_FIGURES", _old_count, _old_delete))
