"""Charts of a proposal's page, as Unfold's chart component draws them; each stands beside a table of the same numbers.

One number needs no chart: there is none where nothing is to be compared.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from django.utils.translation import gettext_lazy as _

from registry.admin.proposal_evidence import object_in
from registry.admin.proposal_trials import tried_counts
from registry.models import ProposalAct, ProposalTrial
from schemaevo.kernel.canonical import Json, JsonObject, canonical_json

#: Bars of one chart, the largest; the table has all.
BARS_SHOWN: Final = 12
#: Readable on the light ground and on the dark one; the drawing does not follow a change of theme.
_INK: Final = "#7a8290"
_FITS, _CONVERTED, _MISFITS = "#9333ea", "#c4a1f5", "#f08c3a"


@dataclass(frozen=True, slots=True)
class ChartShown:
    """A chart of lying bars: `data` and `options` as the component takes them, and how many bars there are."""

    label: str
    data: str
    options: str
    bars: int

    @property
    def size(self) -> str:
        """How tall it is, as styles name it."""
        return "low" if self.bars <= 3 else "middle" if self.bars <= 6 else "tall"


def types_chart(evidence: JsonObject) -> ChartShown | None:
    """The users who have the field, by the type that it has for them."""
    users = {
        kind: count
        for kind, count in object_in(evidence.get("types")).items()
        if type(count) is int and count
    }
    if len(users) < 2:
        return None
    return _chart(_("Users by type"), _largest(users), {_("users"): (_FITS, users)})


def trial_chart(trial: ProposalTrial | None) -> ChartShown | None:
    """What would become of the fragments that wait, field by field."""
    if trial is None or trial.act != ProposalAct.APPLY:
        return None
    tried = tried_counts(trial)
    series = {
        label: (colour, {name: counts.get(key, 0) for name, counts in tried.items()})
        for key, label, colour in (
            ("fits", _("fit"), _FITS),
            ("converted", _("converted"), _CONVERTED),
            ("misfits", _("do not fit"), _MISFITS),
        )
    }
    total = {name: sum(counts[name] for _colour, counts in series.values()) for name in tried}
    parts = sum(bool(count) for _colour, counts in series.values() for count in counts.values())
    if parts < 2:
        return None
    return _chart(_("What becomes of the fragments that wait"), _largest(total), series, is_stacked=True)


def _largest(counts: Mapping[str, int]) -> list[str]:
    found = sorted((name for name, count in counts.items() if count), key=lambda name: (-counts[name], name))
    return found[:BARS_SHOWN]


def _chart(
    label: Any,
    bars: list[str],
    series: Mapping[Any, tuple[str, Mapping[str, int]]],
    *,
    is_stacked: bool = False,
) -> ChartShown:
    datasets: Iterable[Json] = (
        {"label": str(name), "data": [counts[bar] for bar in bars], "backgroundColor": colour}
        for name, (colour, counts) in series.items()
    )
    data: JsonObject = {"labels": list(bars), "datasets": list(datasets)}
    legend: JsonObject = {
        "display": is_stacked,
        "align": "start",
        "labels": {"color": _INK, "boxWidth": 10, "boxHeight": 10},
    }
    options: JsonObject = {
        "indexAxis": "y",
        "animation": False,
        "responsive": True,
        "maintainAspectRatio": False,
        "maxBarThickness": 18,
        "plugins": {"legend": legend},
        "scales": {
            "x": {
                "stacked": is_stacked,
                "beginAtZero": True,
                "border": {"display": False},
                "ticks": {"color": _INK, "precision": 0, "maxTicksLimit": 6},
            },
            "y": {
                "stacked": is_stacked,
                "border": {"display": False},
                "grid": {"display": False},
                # Each bar has its name.
                "ticks": {"color": _INK, "autoSkip": False},
            },
        },
    }
    return ChartShown(str(label), canonical_json(data), canonical_json(options), len(bars))
