"""The trial of a proposal: what applying it, or undoing it, would do to all users of the type, and nothing is changed.

It goes through the users page after page, by a job, from wherever it was stopped: a page's users are composed with the
definition that would be in force, and what is declared otherwise for one of them is looked up in what is stored, by the
selection that the backfill and the recomputation make themselves. So its numbers are those of the jobs that follow an
application, but for data that arrives, or goes, in between.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

from django.db import transaction

from fragments.domain.trial import FieldCounts, Trial, TypeCounts, added_up
from fragments.domain.trial_changes import Change, changes_between
from fragments.services import backfill
from fragments.services.backfill import (
    Spot,
    fields_concerned,
    fragments_foreseen,
    having_waiting,
    spots_promoted,
    spots_waiting,
    taken_back_foreseen,
)
from fragments.services.backfill_runs import Step, Way
from fragments.services.trial_estimate import estimate_of
from fragments.services.trial_outlooks import Outlook, outlooks_of
from fragments.services.trial_sample import Candidate, best_of, ranked, sample_of
from registry.domain.composition import Origin
from registry.models import ProposalAct, ProposalTrial
from registry.selectors_extensions import said_by, users_with_own
from registry.selectors_trials import Basis, require_applicable, trial_basis
from registry.services.proposal_effects import fields_of
from registry.services.proposal_trials import trial_begin, trial_fail, trial_finish
from schemaevo.kernel.canonical import Json, JsonObject
from schemaevo.kernel.errors import Conflict, Invalid
from schemaevo.kernel.jobs import Lease
from schemaevo.kernel.models import LogLevel
from snapshots.services.recompute import transaction_began_at
from snapshots.services.waiting import owners_after, reduced_otherwise, reduced_so

#: A page is one transaction, which locks nothing but the job's row at its end.
USERS_AT_ONCE = 100
#: So many fragments are judged before the place is written down; a look that found more is judged to its end.
FRAGMENTS_AT_ONCE = 20_000


@dataclass(frozen=True, slots=True)
class _Course:
    """How far a trial has got, kept as the cursor of its job.

    All users up to `after` were looked at, and with `is_through` all there are. Of them, the fragments of `steps` are
    still to be judged, of the first of these only those after `spot`.
    """

    as_of: str
    after: int = 0
    is_through: bool = False
    steps: tuple[Step, ...] = ()
    spot: Spot | None = None
    counts: TypeCounts = field(default_factory=TypeCounts)
    fields: Mapping[str, FieldCounts] = field(default_factory=dict)
    candidates: tuple[Candidate, ...] = ()

    @property
    def is_over(self) -> bool:
        """Whether all is counted."""
        return self.is_through and not self.steps

    def to_json(self) -> Json:
        """The course as a cursor."""
        return {
            "as_of": self.as_of,
            "after": self.after,
            "is_through": self.is_through,
            "steps": [[*step] for step in self.steps],
            "spot": None if self.spot is None else [*self.spot],
            "counts": self.counts.to_json(),
            "fields": {name: counts.to_json() for name, counts in self.fields.items()},
            "candidates": [[*candidate] for candidate in self.candidates],
        }

    @classmethod
    def from_json(cls, cursor: Json) -> _Course | None:
        """The course that a cursor names; None where there is none."""
        if not isinstance(cursor, dict):
            return None
        stored = cast("Mapping[str, Any]", cursor)
        return cls(
            as_of=stored["as_of"],
            after=stored["after"],
            is_through=stored["is_through"],
            steps=tuple(Step(user, Way(way), name) for user, way, name in stored["steps"]),
            spot=None if stored["spot"] is None else Spot(*stored["spot"]),
            counts=TypeCounts.from_json(stored["counts"]),
            fields={name: FieldCounts.from_json(one) for name, one in stored["fields"].items()},
            candidates=tuple(Candidate(*candidate) for candidate in stored["candidates"]),
        )


def try_run(lease: Lease) -> JsonObject:
    """The trial that the target numbers is done, with its result, or has failed, with the code of the refusal."""
    trial = trial_begin(trial_id=int(lease.target))
    if trial is None:
        return {}
    try:
        course = _Course.from_json(lease.cursor) or _begun(lease, trial)
        while not course.is_over:
            with lease.batch() as batch:
                basis = trial_basis(trial)
                before = course
                course = _further(basis, course)
                batch.done(_users_done(course) - _users_done(before))
                batch.cursor = course.to_json()
        with lease.batch():
            result = _result(trial_basis(trial), trial, course)
            trial_finish(trial_id=trial.pk, result=result.to_json())
    except (Invalid, Conflict) as refusal:
        with lease.batch():
            trial_fail(trial_id=trial.pk, error=refusal.code)
        lease.log(f"The trial has failed: {refusal.code}.", LogLevel.WARNING)
        return {"trial": trial.pk, "error": refusal.code}
    return {"trial": trial.pk, "users": result.counts.users}


def _begun(lease: Lease, trial: ProposalTrial) -> _Course:
    """The beginning; pages show progress against all users. Raises: as `trial_basis`; IncompatibleChange."""
    basis = trial_basis(trial)
    require_applicable(basis)
    lease.set_total(_users_counted(lease, basis.entity_type))
    with transaction.atomic():
        as_of = transaction_began_at()
    return _Course(as_of, fields={name: FieldCounts() for name in _changes(basis)})


def _changes(basis: Basis) -> dict[str, Change]:
    """What becomes of the fields of the change: of all that the proposal speaks of, as what is done is counted."""
    found = dict.fromkeys(fields_of(basis.proposal), Change.CHANGED)
    return {**found, **changes_between(basis.before, basis.after)}


def _users_after(entity_type: str, after: int, limit: int) -> list[int]:
    """The next users who have entities of the type, or something of their own."""
    stored = owners_after(entity_type, after, limit)
    own = users_with_own(entity_type=entity_type, after=after, limit=limit)
    return sorted({*stored, *own})[:limit]


def _users_counted(lease: Lease, entity_type: str) -> int:
    count, after = 0, 0
    while users := _users_after(entity_type, after, 10 * USERS_AT_ONCE):
        count, after = count + len(users), users[-1]
        lease.renew()
    return count


def _users_done(course: _Course) -> int:
    return course.counts.users - len({step.user_id for step in course.steps})


def _further(basis: Basis, course: _Course) -> _Course:
    """The course once another page is counted, or more of the fragments that the last one left are judged."""
    names = [*course.fields]
    if course.steps:
        outlooks = outlooks_of(
            basis=basis, names=names, user_ids=sorted({step.user_id for step in course.steps})
        )
        return _judged(basis, outlooks, course)
    users = _users_after(basis.entity_type, course.after, USERS_AT_ONCE)
    if not users:
        return replace(course, is_through=True)
    outlooks = outlooks_of(basis=basis, names=names, user_ids=users)
    return _judged(basis, outlooks, _counted(basis, outlooks, course))


def _counted(basis: Basis, outlooks: Mapping[int, Outlook], course: _Course) -> _Course:
    """The course with what the users of a page have; fragments are only found, and not judged yet."""
    entity_type = basis.entity_type
    steps = _steps(basis, outlooks, course.fields)
    wanted = {user_id: outlook.hash_after for user_id, outlook in outlooks.items()}
    recomputed, unchanged = reduced_otherwise(entity_type, wanted), reduced_so(entity_type, wanted)
    with_fragments = {step.user_id for step in steps}
    fields, candidates = dict(course.fields), list(course.candidates)
    counts = course.counts
    for user_id, outlook in outlooks.items():
        for name, found in _fields_of(outlook, fields):
            fields[name] = added_up(fields[name], found)
        stored = recomputed[user_id] + unchanged[user_id]
        counts = added_up(
            counts,
            replace(
                _type_of(outlook, fields),
                snapshots_recomputed=recomputed[user_id],
                snapshots_unchanged=unchanged[user_id],
            ),
        )
        if stored and outlook.is_changed:
            has_fragments = user_id in with_fragments
            lot = ranked(
                content_hash=basis.proposal.content_hash, user_id=user_id, has_fragments=has_fragments
            )
            candidates.append(lot)
    return replace(
        course,
        after=max(outlooks),
        steps=tuple(steps),
        spot=None,
        counts=counts,
        fields=fields,
        candidates=best_of(candidates),
    )


def _steps(basis: Basis, outlooks: Mapping[int, Outlook], names: Collection[str]) -> list[Step]:
    """The fields of which there are fragments to be judged: those that wait, where they are declared otherwise, and of
    an undo all there are. In the order of a backfill: what goes back comes first."""
    entity_type = basis.entity_type
    asked = [(user_id, name) for user_id, outlook in outlooks.items() for name in outlook.judged]
    found = [Step(user_id, Way.FORTH, name) for user_id, name in having_waiting(entity_type, asked)]
    if basis.act is ProposalAct.UNDO:
        concerned = fields_concerned(entity_type, outlooks.keys(), names)
        found += [Step(user_id, Way.BACK, name) for user_id, name in concerned]
    return sorted(found)


def _fields_of(outlook: Outlook, names: Collection[str]) -> Iterator[tuple[str, FieldCounts]]:
    """What the user counts for in each field of the change, apart from fragments."""
    absorbed: Collection[str] = ()
    origins: Mapping[str, Origin] = {}
    if outlook.composition is not None:
        absorbed, origins = outlook.composition.absorbed, outlook.composition.origins
    for name in names:
        yield (
            name,
            FieldCounts(
                users=int(outlook.is_declared_otherwise(name)),
                absorbed=int(name in absorbed),
                conflicts=int(origins.get(name) is Origin.CONFLICT),
                given_back=int(name in outlook.given_back),
            ),
        )


def _type_of(outlook: Outlook, names: Collection[str]) -> TypeCounts:
    """What the user counts for in the type, apart from snapshots."""
    absorbed = 0
    if outlook.composition is not None:
        absorbed = sum(name in names for name in outlook.composition.absorbed)
    has_own = outlook.thing is not None and not said_by(outlook.thing).is_empty
    return TypeCounts(
        users=1,
        users_changed=int(outlook.is_changed),
        extensions=int(has_own),
        extensions_touched=int(bool(absorbed or outlook.is_adopted or outlook.is_restored)),
        adopted=int(outlook.is_adopted),
        quota_given_back=absorbed,
        quota_taken=len(outlook.given_back),
    )


def _judged(basis: Basis, outlooks: Mapping[int, Outlook], course: _Course) -> _Course:
    """The course with the fragments of its steps judged, up to FRAGMENTS_AT_ONCE of them and the rest of a look."""
    fields = dict(course.fields)
    steps, spot = list(course.steps), course.spot
    judged = 0
    while steps and judged < FRAGMENTS_AT_ONCE:
        step = steps[0]
        page = _page(basis, step, spot)
        counts = _foreseen(basis, outlooks[step.user_id], step, page)
        fields[step.field] = added_up(fields[step.field], counts)
        judged += len(page)
        if len(page) < backfill.PAGE_FRAGMENTS:
            steps, spot = steps[1:], None
        else:
            spot = page[-1]
    return replace(course, steps=tuple(steps), spot=spot, fields=fields)


def _page(basis: Basis, step: Step, after: Spot | None) -> list[Spot]:
    look = spots_promoted if step.way is Way.BACK else spots_waiting
    return look(entity_type=basis.entity_type, user_id=step.user_id, field=step.field, after=after)


def _foreseen(basis: Basis, outlook: Outlook, step: Step, page: Sequence[Spot]) -> FieldCounts:
    """What would become of the fragments of a page."""
    counts = FieldCounts()
    for start in range(0, len(page), backfill.CHUNK_FRAGMENTS):
        spots = page[start : start + backfill.CHUNK_FRAGMENTS]
        counts = added_up(counts, _chunk_foreseen(basis, outlook, step, spots))
    return counts


def _chunk_foreseen(basis: Basis, outlook: Outlook, step: Step, spots: Sequence[Spot]) -> FieldCounts:
    if step.way is Way.BACK:
        declared = None if outlook.after is None else outlook.after.fields.get(step.field)
        back = taken_back_foreseen(declared=declared, field=step.field, spots=spots)
        return FieldCounts(taken_back=back)
    judged = outlook.judged.get(step.field)
    if judged is None:
        # The user has changed something meanwhile: the field is not declared otherwise any more.
        return FieldCounts()
    foreseen = fragments_foreseen(
        entity_type=basis.entity_type, user_id=step.user_id, declared=judged, spots=spots
    )
    fits = len(foreseen.observations) - foreseen.converted
    return FieldCounts(fits=fits, converted=foreseen.converted, misfits=foreseen.misfits)


def _result(basis: Basis, trial: ProposalTrial, course: _Course) -> Trial:
    """What all users together come to."""
    return Trial(
        act=trial.act,
        content_hash=trial.content_hash,
        base_version=basis.version.number if basis.version else None,
        as_of=course.as_of,
        counts=course.counts,
        changes=_changes(basis),
        fields=course.fields,
        estimate=estimate_of(
            fragments=sum(counts.waiting + counts.taken_back for counts in course.fields.values()),
            snapshots=course.counts.snapshots_recomputed,
        ),
        sample=sample_of(basis=basis, names=[*course.fields], candidates=course.candidates),
    )
