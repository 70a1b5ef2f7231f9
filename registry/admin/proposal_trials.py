"""Trials of proposals, and what applying or undoing one really did, ready for pages and side by side."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, cast

from django.utils import timezone
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _now
from django.utils.translation import gettext_lazy as _

from registry.admin.proposal_evidence import count_shown, object_in, objects_in
from registry.models import ProposalAct, ProposalEffect, ProposalTrial, TrialState
from registry.selectors_proposal_pages import ActWork
from schemaevo.kernel.canonical import Json, JsonObject
from schemaevo.kernel.models import Job
from schemaevo.kernel.pages.display import amount, badge, duration
from schemaevo.kernel.pages.job_progress import Progress

_TRIAL_TONES: Final[dict[str, str]] = {
    TrialState.WAITING: "plain",
    TrialState.RUNNING: "busy",
    TrialState.DONE: "good",
    TrialState.FAILED: "bad",
}
#: Results of another shape are not read; `fragments.domain.trial` writes them.
_TRIAL_FORMAT: Final = 1
_TRIAL_COLUMNS: Final[dict[str, dict[str, Any]]] = {
    ProposalAct.APPLY: {
        "users": _("users"),
        "absorbed": _("absorbed"),
        "conflicts": _("conflicts"),
        "fits": _("fit"),
        "converted": _("converted"),
        "misfits": _("do not fit"),
    },
    ProposalAct.UNDO: {
        "users": _("users"),
        "given_back": _("given back"),
        "taken_back": _("fragments wait again"),
    },
}
_TRIAL_FIGURES: Final[dict[str, Any]] = {
    "users_changed": _("Users it concerns"),
    "extensions_touched": _("Extensions it changes"),
    "adopted": _("Own schemas that become extensions"),
    "quota_given_back": _("Quota given back, in fields"),
    "quota_taken": _("Quota taken, in fields"),
    "snapshots_recomputed": _("Snapshots to recompute"),
}
#: What stands only in figures that are not zero.
_SELDOM: Final = frozenset({"adopted", "quota_given_back", "quota_taken"})


@dataclass(frozen=True, slots=True)
class Sampled:
    """One entity of a trial's sample: what its snapshot shows of each field, before and after."""

    entity_id: str
    key: str
    sides: list[tuple[str, JsonObject, JsonObject]]


@dataclass(frozen=True, slots=True)
class TrialCounts:
    """The numbers of a trial's result, ready for the page."""

    figures: list[tuple[str, SafeString]]
    columns: list[str]
    rows: list[tuple[str, str, list[SafeString]]]
    estimate: str

    @property
    def is_read(self) -> bool:
        """Whether its result could be read."""
        return bool(self.rows or self.figures)


@dataclass(frozen=True, slots=True)
class TrialShown:
    """A trial, ready for the page. Only `sample` holds values."""

    trial: ProposalTrial
    state: SafeString
    counts: TrialCounts
    sample: list[Sampled]


def trial_shown(trial: ProposalTrial | None) -> TrialShown | None:
    """The trial with what it found, as far as it has."""
    if trial is None:
        return None
    result = _read(trial.result)
    return TrialShown(
        trial=trial,
        state=badge(trial.get_state_display(), _TRIAL_TONES[trial.state]),
        counts=counts_shown(result, trial.act),
        sample=[_sampled(one) for one in objects_in(result.get("values"))],
    )


def counts_shown(result: JsonObject, act: str) -> TrialCounts:
    """What a trial of that act found, in numbers."""
    result, columns = _read(result), _TRIAL_COLUMNS[act]
    seconds = object_in(result.get("estimate")).get("seconds")
    return TrialCounts(
        figures=[
            (str(label), count_shown(result[name]))
            for name, label in _TRIAL_FIGURES.items()
            if name in result and (result[name] or name not in _SELDOM)
        ],
        columns=[str(label) for label in columns.values()] if result else [],
        rows=[
            (name, str(counts.get("change", "")), [_counted(counts.get(column)) for column in columns])
            for name, counts in _by_name(result)
        ],
        estimate=duration(seconds) if isinstance(seconds, int) else "",
    )


def _read(result: JsonObject) -> JsonObject:
    """The result, where it has the shape that is known here; else an empty one."""
    return result if result.get("format") == _TRIAL_FORMAT else {}


def tried_counts(trial: ProposalTrial | None) -> dict[str, dict[str, int]]:
    """What the trial said would be done, by field, by the names that effects have for it; nothing without one."""
    if trial is None or trial.state != TrialState.DONE or trial.result.get("format") != _TRIAL_FORMAT:
        return {}
    found = {}
    for name, counts in _by_name(cast(JsonObject, trial.result)):
        numbers = {each: _summed(counts.get(each)) for each in counts}
        found[name] = {**numbers, "promoted": numbers.get("fits", 0) + numbers.get("converted", 0)}
    return found


def _by_name(result: JsonObject) -> Iterable[tuple[str, JsonObject]]:
    return [(name, object_in(counts)) for name, counts in sorted(object_in(result.get("fields")).items())]


def _counted(value: Json) -> SafeString:
    return amount(_summed(value))


def _summed(value: Json) -> int:
    """A count, or the sum of the counts by reason."""
    if isinstance(value, dict):
        return sum(_summed(one) for one in value.values())
    return value if isinstance(value, int) else 0


def _sampled(stored: JsonObject) -> Sampled:
    return Sampled(
        entity_id=str(stored.get("entity", "")),
        key=str(stored.get("key", "")),
        sides=[
            (name, object_in(object_in(sides).get("before")), object_in(object_in(sides).get("after")))
            for name, sides in object_in(stored.get("fields")).items()
        ],
    )


# --- what came of it --------------------------------------------------------------------------------------
EFFECT_COLUMNS: Final[Mapping[str, dict[str, Any]]] = {
    ProposalAct.APPLY: {
        "absorbed": _("extensions that gave it up"),
        "promoted": _("fragments promoted"),
        "converted": _("of them converted"),
    },
    ProposalAct.UNDO: {
        "given_back": _("extensions that got it back"),
        "taken_back": _("fragments that wait again"),
    },
}

#: What the jobs behind do, by their kind; those of higher floors are known here by name alone.
_JOBS: Final[dict[str, Any]] = {
    "settle_extensions": _("Extensions give up what the global schema declares"),
    "restore_extensions": _("Extensions get back what they gave up"),
    "promote_fragments": _("Fragments are looked at again"),
    "recompute_snapshots": _("Snapshots are recomputed"),
}


@dataclass(frozen=True, slots=True)
class EffectShown:
    """One field: what was done about it, each count beside what the trial said, where that is otherwise."""

    field: str
    counts: list[tuple[SafeString, SafeString | None]]
    is_counted: bool


@dataclass(frozen=True, slots=True)
class WorkShown:
    """What applying, or undoing, began, ready for the page."""

    work: ActWork
    title: str
    jobs: list[tuple[Job, str, Progress]]
    stopped: list[tuple[Job, str]]
    columns: list[str]
    rows: list[EffectShown]
    is_over: bool
    is_compared: bool


def works_shown(works: Iterable[ActWork], trials: Mapping[str, ProposalTrial | None]) -> list[WorkShown]:
    """All that was begun, each beside the trial of it."""
    now = timezone.now()
    return [_work(work, tried_counts(trials.get(work.act)), now) for work in works]


def _work(work: ActWork, tried: dict[str, dict[str, int]], now: datetime) -> WorkShown:
    columns = EFFECT_COLUMNS[work.act]
    return WorkShown(
        work=work,
        title=_now("What undoing it did") if work.act == ProposalAct.UNDO else _now("What applying it did"),
        jobs=[(job, _job(job), Progress.of(job, now)) for job in work.live],
        stopped=[(job, _job(job)) for job in work.stopped],
        columns=[str(label) for label in columns.values()],
        rows=[_effect(effect, columns, tried) for effect in work.effects],
        is_over=not work.live and work.is_counted,
        is_compared=bool(tried),
    )


def _effect(effect: ProposalEffect, columns: Iterable[str], tried: dict[str, dict[str, int]]) -> EffectShown:
    said = tried.get(effect.field, {}) if tried else None
    counts = []
    for name in columns:
        done = getattr(effect, name)
        was = None if said is None else said.get(name, 0)
        counts.append((amount(done), None if was is None or was == done else amount(was)))
    return EffectShown(effect.field, counts, bool(effect.settled_at and effect.promoted_at))


def _job(job: Job) -> str:
    return str(_JOBS.get(job.kind, job.kind))
