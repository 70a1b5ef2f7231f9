"""The figures of days that this floor knows: what came in, what waits as fragments, what was promoted."""

from __future__ import annotations

from datetime import date
from typing import Final

from django.db.models import Min, Sum

from fragments.models import IngestRun, LifecycleState, Promotion, RawFragment
from schemaevo.kernel.canonical import Json
from schemaevo.kernel.figures import (
    DAY,
    Counted,
    FigureKind,
    FigureSource,
    day_began,
    figure_source,
    known_since,
)
from schemaevo.kernel.pages.estimates import Amount, rows_by_choice, rows_counted

RECORDS: Final = "records"
REJECTED: Final = "rejected"
FRAGMENTS: Final = "fragments"
PROMOTIONS: Final = "promotions"


def fragments_in(state: LifecycleState) -> str:
    """The figure that says how many fragments are in that state."""
    return f"fragments_{state.value}"


def runs_counts(day: date, place: Json) -> Counted:
    """What the ingest runs brought that began on the day; one that goes on past midnight counts where it began."""
    began = IngestRun.objects.filter(started_at__gte=day_began(day), started_at__lt=day_began(day + DAY))
    sums = began.aggregate(
        records=Sum("record_count"), rejected=Sum("rejected_count"), fragments=Sum("fragment_count")
    )
    return Counted(
        {
            RECORDS: Amount(sums["records"] or 0),
            REJECTED: Amount(sums["rejected"] or 0),
            FRAGMENTS: Amount(sums["fragments"] or 0),
        }
    )


def _first_run() -> date | None:
    oldest = IngestRun.objects.aggregate(oldest=Min("started_at"))["oldest"]
    return known_since(oldest, retention="SCHEMAEVO_RETENTION_DAYS_INGEST_RUNS")


def fragments_by_state(day: date, place: Json) -> Counted:
    """How many fragments there are now in each state; estimated where they are many."""
    total = rows_counted(RawFragment)
    states = rows_by_choice(RawFragment, "lifecycle_state", total)
    none = Amount(0, total.is_exact)
    return Counted({fragments_in(state): states.get(state.value, none) for state in LifecycleState})


def promotions_made(day: date, place: Json) -> Counted:
    """Fields that were promoted on the day, by logins and by auto-enhancement; undone ones among them."""
    made = Promotion.objects.filter(requested_at__gte=day_began(day), requested_at__lt=day_began(day + DAY))
    return Counted({PROMOTIONS: Amount(made.count())})


def _first_promotion() -> date | None:
    return known_since(Promotion.objects.aggregate(oldest=Min("requested_at"))["oldest"])


def register() -> None:
    """The figures of this floor are counted by the periodic job."""
    runs = (RECORDS, REJECTED, FRAGMENTS)
    states = tuple(fragments_in(state) for state in LifecycleState)
    figure_source(FigureSource("ingest_runs", FigureKind.FLOW, runs, runs_counts, _first_run))
    figure_source(FigureSource("fragment_states", FigureKind.STOCK, states, fragments_by_state))
    figure_source(FigureSource(PROMOTIONS, FigureKind.FLOW, (PROMOTIONS,), promotions_made, _first_promotion))
