"""Charts over days, as Unfold's chart component draws them. Beside each stands a table of the same numbers."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

from django.utils.formats import date_format

#: Colours that are told apart on white and on black, the tones of the dots beside them.
COLOURS: Final = {"busy": "#3b82f6", "good": "#16a34a", "plain": "#8a94a6", "warn": "#ea580c"}
_TICKS: Final = {"color": "#7c8493", "maxRotation": 0, "autoSkipPadding": 16}
_OPTIONS: Final = {
    "animation": False,
    "responsive": True,
    "maintainAspectRatio": False,
    "interaction": {"mode": "index", "intersect": False},
    "plugins": {"legend": {"display": False}},
    "scales": {
        "x": {"grid": {"display": False}, "border": {"display": False}, "ticks": _TICKS},
        "y": {
            "beginAtZero": True,
            "border": {"display": False},
            "ticks": {**_TICKS, "precision": 0, "maxTicksLimit": 4},
        },
    },
}
#: How a chart over days is drawn, as the component wants it.
OPTIONS: Final = json.dumps(_OPTIONS)


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a chart: what it is of, and its number on each of the days; None where it was not counted."""

    label: str
    values: Sequence[int | None]
    tone: str = "busy"


def days_chart(days: Sequence[date], lines: Sequence[Line], **looks: object) -> str:
    """The chart's data as the component reads it. A day that was not counted is a gap, and no zero."""
    sets = [
        {
            "label": line.label,
            "data": list(line.values),
            "backgroundColor": COLOURS[line.tone],
            "borderColor": COLOURS[line.tone],
            **looks,
        }
        for line in lines
    ]
    return json.dumps({"labels": [date_format(day, "j M") for day in days], "datasets": sets})


@dataclass(frozen=True, slots=True)
class DaysChart:
    """One number over days: the chart, and its days as a table, the newest first."""

    label: str
    data: str
    rows: list[tuple[date, int]]
    gaps: int

    @property
    def options(self) -> str:
        """How it is drawn."""
        return OPTIONS


def chart_of_days(label: str, counts: Mapping[date, int]) -> DaysChart | None:
    """The chart of these days and those between them; None of fewer than two, since one number needs no chart."""
    if len(counts) < 2:
        return None
    first, last = min(counts), max(counts)
    days = [first + timedelta(days=n) for n in range((last - first).days + 1)]
    values = [counts.get(day) for day in days]
    # A day that stands alone between gaps is seen as a point only.
    data = days_chart(days, [Line(label, values)], tension=0.2, pointRadius=2, borderWidth=2)
    return DaysChart(label, data, sorted(counts.items(), reverse=True), len(days) - len(counts))
