"""What the first page shows of the last days: four charts and the fields that gain owners. Each part by permission."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, timedelta
from typing import Any, Final
from urllib.parse import urlencode

from django.conf import settings
from django.http import HttpRequest
from django.urls import reverse
from django.utils.formats import number_format
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from fragments.models import LifecycleState
from fragments.selectors_entity import LIFECYCLE_TONES
from fragments.selectors_figures import FRAGMENTS, PROMOTIONS, RECORDS, REJECTED, fragments_in
from fragments.selectors_growth import PERIODS, FieldGaining, fields_gaining
from schemaevo.kernel.figures import DAY, FiguresKept, day_began, figures_kept, today
from schemaevo.kernel.pages.charts import OPTIONS, Line, days_chart
from schemaevo.kernel.pages.display import duration
from schemaevo.kernel.pages.estimates import Amount
from snapshots.selectors_figures import OBSERVATIONS, RECOMPUTED
from snapshots.services.observations import RECOMPUTE

DAYS_UNLESS_TOLD: Final = 30
FIELDS_SHOWN: Final = 6


@dataclass(frozen=True, slots=True)
class Days:
    """The days that are shown, oldest first, and as many before them to hold them against."""

    count: int
    last: date

    @property
    def first(self) -> date:
        """The first that is shown."""
        return self.last - (self.count - 1) * DAY

    @property
    def first_before(self) -> date:
        """The first of those before."""
        return self.first - self.count * DAY

    def __iter__(self) -> Iterator[date]:
        return (self.first + n * DAY for n in range(self.count))

    def before(self) -> Iterator[date]:
        """As many days, up to the first that is shown."""
        return (self.first_before + n * DAY for n in range(self.count))


@dataclass(frozen=True, slots=True)
class Series:
    """One line of numbers: what they are, and which list has what was counted on a day."""

    figure: str
    label: str
    tone: str = "busy"
    url_of: Callable[[date], str] | None = None


@dataclass(frozen=True, slots=True)
class Cell:
    """A number of the table; `amount` is None where the day was not counted."""

    amount: Amount | None
    url: str = ""


@dataclass(frozen=True, slots=True)
class Part:
    """A share of a number, such as the fragments of one state."""

    label: str
    amount: Amount
    tone: str
    url: str


@dataclass(frozen=True, slots=True)
class Change:
    """How the number differs from before, in words, and the icon that goes with it."""

    text: str
    icon: str = ""


@dataclass(frozen=True, slots=True)
class Gaps:
    """Days that were not counted: all before `since`, if there are such, and so many after it."""

    since: date | None
    count: int

    @classmethod
    def of(cls, days: Days, counted: Collection[date]) -> Gaps:
        """What is missing of the days."""
        missing = [day for day in days if day not in counted]
        first = min((day for day in days if day in counted), default=days.last + DAY)
        inside = sum(day > first for day in missing)
        return cls(first if len(missing) > inside and first <= days.last else None, inside)


@dataclass(frozen=True, slots=True)
class Trend:
    """One chart: its number, the change, the data of the chart, and the same as a table, newest day first."""

    key: str
    label: str
    icon: str
    url: str
    note: str
    total: Amount | None
    change: Change
    chart_type: str
    chart: str
    columns: list[str]
    rows: list[tuple[date, list[Cell]]]
    gaps: Gaps
    parts: list[Part] = field(default_factory=list)

    @property
    def options(self) -> str:
        """How the chart is drawn, as the component wants it."""
        return OPTIONS


def trends_context(request: HttpRequest) -> dict[str, Any]:
    """The trends that this login may see, over as many days as `?days=` says; nothing where it may see none.

    One query for the charts and two for the fields, however much there is.
    """
    may = request.user.has_perm
    days = Days(_days_asked(request), today())
    chosen = [make for permission, make in _TRENDS if may(permission)]
    may_fields = may("fragments.view_fieldtotal")
    if not chosen and not may_fields:
        return {}
    kept = figures_kept(figures=_FIGURES, first=days.first_before - DAY, last=days.last)
    return {
        "trends": {
            "days": days.count,
            "periods": PERIODS,
            "charts": [make(kept, days, may) for make in chosen] if kept.counted_at else [],
            "may_charts": bool(chosen),
            "may_jobs": may("kernel.view_job"),
            "counted_at": kept.counted_at,
            "days_every": duration(settings.SCHEMAEVO_FIGURES_INTERVAL_S),
            "fields_every": duration(settings.SCHEMAEVO_FIELD_GROWTH_INTERVAL_S),
            "may_fields": may_fields,
            "fields": [_gaining(one) for one in fields_gaining(days=days.count, limit=FIELDS_SHOWN)]
            if may_fields
            else [],
        }
    }


def _days_asked(request: HttpRequest) -> int:
    asked = request.GET.get("days", "")
    return next((days for days in PERIODS if str(days) == asked), DAYS_UNLESS_TOLD)


# --- the charts -----------------------------------------------------------------------------------------------------
def _observations(kept: FiguresKept, days: Days, may: Callable[[str], bool]) -> Trend:
    url = _list("snapshots_observation")
    series = [Series(OBSERVATIONS, _("Observations"), url_of=_received_on)]
    if may("fragments.view_ingestrun"):
        series += [
            Series(RECORDS, _("Records")),
            Series(FRAGMENTS, _("Fragments")),
            Series(REJECTED, _("Rejected")),
        ]
    return _flow(
        kept,
        days,
        series,
        key="observations",
        label=_("Observations received"),
        icon="visibility",
        url=f"{url}?{urlencode({'received_from': day_began(days.first).isoformat()})}",
        note=_("Records, fragments and rejected count on the day their import began.")
        if len(series) > 1
        else "",
    )


def _received_on(day: date) -> str:
    last = day_began(day + DAY) - timedelta(microseconds=1)
    asked = {"received_from": day_began(day).isoformat(), "received_to": last.isoformat()}
    return f"{_list('snapshots_observation')}?{urlencode(asked)}"


def _promotions(kept: FiguresKept, days: Days, may: Callable[[str], bool]) -> Trend:
    return _flow(
        kept,
        days,
        [Series(PROMOTIONS, _("Promotions"), "good")],
        key="promotions",
        label=_("Fields promoted"),
        icon="publish",
        url=_list("fragments_promotion"),
        note="",
    )


def _recomputations(kept: FiguresKept, days: Days, may: Callable[[str], bool]) -> Trend:
    return _flow(
        kept,
        days,
        [Series(RECOMPUTED, _("Entities"), "plain")],
        key="recomputations",
        label=_("Entities recomputed"),
        icon="autorenew",
        url=f"{_list('kernel_job')}?{urlencode({'kind': RECOMPUTE})}",
        note=_("By jobs, on the day a job ended."),
    )


def _flow(
    kept: FiguresKept,
    days: Days,
    series: Sequence[Series],
    *,
    key: str,
    label: str,
    icon: str,
    url: str,
    note: str,
) -> Trend:
    """What came day by day: bars of the first series, and its sum."""
    main = kept.of(series[0].figure)
    now = [main[day] for day in days if day in main]
    before = [main[day] for day in days.before() if day in main]
    is_whole = len(now) == len(before) == days.count
    total = _sum(now) if now else None
    return Trend(
        key=key,
        label=label,
        icon=icon,
        url=url,
        note=note,
        total=total,
        change=_compared(total, _sum(before), days.count) if total and is_whole else _unknown(),
        chart_type="bar",
        chart=_chart(kept, days, series[:1], maxBarThickness=14, borderRadius=3),
        columns=[one.label for one in series],
        rows=_rows(kept, days, series),
        gaps=Gaps.of(days, main),
    )


def _fragments(kept: FiguresKept, days: Days, may: Callable[[str], bool]) -> Trend:
    """What there was day by day: a line for each state, and the newest sum."""
    url = _list("fragments_rawfragment")
    series = [
        Series(fragments_in(state), str(state.label), LIFECYCLE_TONES[state]) for state in LifecycleState
    ]
    sums = {
        day: _sum(amounts)
        for day in (days.first - DAY, *days)
        if len(amounts := [kept.of(one.figure)[day] for one in series if day in kept.of(one.figure)])
        == len(series)
    }
    newest = max(sums, default=None)
    start = sums.get(days.first - DAY)
    parts = [
        Part(
            str(state.label),
            kept.of(fragments_in(state))[newest],
            LIFECYCLE_TONES[state],
            f"{url}?{urlencode({'state': state.value})}",
        )
        for state in LifecycleState
        if newest is not None
    ]
    total = None if newest is None else sums[newest]
    return Trend(
        key="fragments",
        label=_("Fragments by state"),
        icon="extension",
        url=url,
        note="",
        total=total,
        change=_unknown_then(days.count)
        if total is None or start is None
        else _grown(total, start, days.count),
        chart_type="line",
        chart=_chart(kept, days, series, borderWidth=2, pointRadius=1 if days.count > 30 else 2, tension=0.2),
        columns=[one.label for one in series],
        rows=_rows(kept, days, series),
        gaps=Gaps.of(days, sums),
        parts=parts,
    )


_TRENDS: Final[tuple[tuple[str, Callable[[FiguresKept, Days, Callable[[str], bool]], Trend]], ...]] = (
    ("snapshots.view_observation", _observations),
    ("fragments.view_rawfragment", _fragments),
    ("fragments.view_promotion", _promotions),
    ("kernel.view_job", _recomputations),
)
_FIGURES: Final = (
    OBSERVATIONS,
    RECORDS,
    FRAGMENTS,
    REJECTED,
    PROMOTIONS,
    RECOMPUTED,
    *(fragments_in(state) for state in LifecycleState),
)


def _chart(kept: FiguresKept, days: Days, series: Sequence[Series], **looks: object) -> str:
    """As the chart component reads it. A day that was not counted is a gap, and no zero."""

    def values(days_kept: Mapping[date, Amount]) -> list[int | None]:
        return [days_kept[day].value if day in days_kept else None for day in days]

    lines = [Line(one.label, values(kept.of(one.figure)), one.tone) for one in series]
    return days_chart(list(days), lines, **looks)


def _rows(kept: FiguresKept, days: Days, series: Sequence[Series]) -> list[tuple[date, list[Cell]]]:
    def cell(one: Series, day: date) -> Cell:
        amount = kept.of(one.figure).get(day)
        has_list = one.url_of is not None and amount is not None and amount.value > 0
        return Cell(amount, one.url_of(day) if has_list and one.url_of else "")

    return [(day, [cell(one, day) for one in series]) for day in reversed(list(days))]


def _sum(amounts: Sequence[Amount]) -> Amount:
    return Amount(sum(one.value for one in amounts), all(one.is_exact for one in amounts))


# --- words ----------------------------------------------------------------------------------------------------------
def _compared(now: Amount, before: Amount, days: int) -> Change:
    """A sum against that of the days before."""
    if now.value == before.value:
        return Change(_("as many as in the %(n)s days before") % {"n": days}, "trending_flat")
    if not before.value:
        return Change(_("none in the %(n)s days before") % {"n": days}, "trending_up")
    percent = round((now.value - before.value) * 100 / before.value)
    words = _("%(change)s %% against the %(n)s days before") % {"change": _signed(percent), "n": days}
    return Change(words, _arrow(now.value - before.value))


def _grown(now: Amount, then: Amount, days: int) -> Change:
    """What there is against what there was."""
    if now.value == then.value:
        return Change(_("as many as %(n)s days ago") % {"n": days}, "trending_flat")
    about = "" if now.is_exact and then.is_exact else "≈"
    words = _("%(change)s since %(n)s days ago") % {
        "change": about + _signed(now.value - then.value),
        "n": days,
    }
    return Change(words, _arrow(now.value - then.value))


def _unknown() -> Change:
    return Change(_("too few days were counted to compare"))


def _unknown_then(days: int) -> Change:
    return Change(_("nothing was counted %(n)s days ago") % {"n": days})


def _arrow(difference: int) -> str:
    return "trending_up" if difference > 0 else "trending_down"


def _signed(number: int) -> str:
    sign = "+" if number > 0 else "−" if number < 0 else "±"
    return f"{sign}{number_format(abs(number), force_grouping=True)}"


def _gaining(one: FieldGaining) -> dict[str, Any]:
    """A line of the fields that gain owners."""
    asked = urlencode({"type": one.entity_type, "field": one.name})
    owners = ngettext("%(n)s owner", "%(n)s owners", one.owners) % {
        "n": number_format(one.owners, force_grouping=True)
    }
    return {
        "name": one.name,
        "entity_type": one.entity_type,
        "owners": owners,
        "gain": _signed(one.gain.count) if one.gain else "",
        "since": day_began(one.gain.since).astimezone(UTC).date() if one.gain else None,
        "url": f"{_list('fragments_fieldtotal')}?{asked}",
    }


def _list(view: str) -> str:
    return reverse(f"admin:{view}_changelist")
