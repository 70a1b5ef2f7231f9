"""What the pages of proposals show beside where one stands: approvals of many, work, history, and what comes of
moving one to another base, or of taking one back."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Final

from django.db.models import Count, F

from registry.domain.compatibility import IncompatibleChange
from registry.domain.definition import NO_FIELDS, Definition
from registry.domain.diff import Difference, diff
from registry.domain.edits import Edit, edited
from registry.domain.proposal_edits import edits_between, parse_proposal_edits, rebased_edits
from registry.errors_proposals import EmptyProposal
from registry.models import (
    Proposal,
    ProposalAct,
    ProposalDecision,
    ProposalEffect,
    ProposalState,
    ProposalVerdict,
)
from registry.selectors_proposals import ProposalStanding
from registry.selectors_registration import incompatible_with, versions_of
from schemaevo.kernel.canonical import Json
from schemaevo.kernel.models import LIVE_JOB_STATES, AuditEvent, Job, JobState

#: Events that the page of a proposal lists; the audit log has all.
HISTORY_SHOWN: Final = 30
#: Fields whose effects one page lists.
EFFECTS_SHOWN: Final = 200
_STOPPED: Final = (JobState.FAILED, JobState.CANCELLED)


def approvals_of(*, proposal_ids: Collection[int]) -> dict[int, int]:
    """How many approvals count of each of these proposals, as `approvals_counted` counts them; one query."""
    counting = ProposalDecision.objects.filter(
        proposal__in=proposal_ids,
        verdict=ProposalVerdict.APPROVE,
        round_number=F("proposal__round_number"),
        content_hash=F("proposal__content_hash"),
    )
    counted = counting.values("proposal").annotate(logins=Count("decided_by", distinct=True)).order_by()
    return {row["proposal"]: row["logins"] for row in counted}


@dataclass(frozen=True, slots=True)
class ActWork:
    """What applying a proposal, or undoing it, began: its jobs in the order they were asked for, as far as they are
    kept, and its effect field by field, of so many that are shown."""

    act: ProposalAct
    jobs: tuple[Job, ...]
    effects: tuple[ProposalEffect, ...]
    more_effects: int

    @property
    def live(self) -> tuple[Job, ...]:
        """The jobs that go on, or will."""
        return tuple(job for job in self.jobs if job.state in LIVE_JOB_STATES)

    @property
    def stopped(self) -> tuple[Job, ...]:
        """The jobs that ended before all was done."""
        return tuple(job for job in self.jobs if job.state in _STOPPED)

    @property
    def is_counted(self) -> bool:
        """Whether every count has come to its end."""
        return all(row.settled_at and row.promoted_at for row in self.effects)


def proposal_work(*, proposal: Proposal) -> tuple[ActWork, ...]:
    """What was begun by undoing it and by applying it, the newest act first. Two queries."""
    asked = {ProposalAct.UNDO: proposal.undo_jobs, ProposalAct.APPLY: proposal.apply_jobs}
    jobs = {
        str(job.pk): job for job in Job.objects.filter(pk__in=[*proposal.undo_jobs, *proposal.apply_jobs])
    }
    # As many as fields that the edits speak of, for each act.
    effects = list(ProposalEffect.objects.filter(proposal=proposal).order_by("field"))
    begun = {ProposalAct.UNDO: proposal.undone_at, ProposalAct.APPLY: proposal.applied_at}
    found = []
    for act in (ProposalAct.UNDO, ProposalAct.APPLY):
        if begun[act] is None:
            continue
        of_act = [effect for effect in effects if effect.act == act]
        found.append(
            ActWork(
                act,
                tuple(jobs[job_id] for job_id in asked[act] if job_id in jobs),
                tuple(of_act[:EFFECTS_SHOWN]),
                max(0, len(of_act) - EFFECTS_SHOWN),
            )
        )
    return tuple(found)


def proposal_history(*, proposal_id: int) -> list[AuditEvent]:
    """What happened to the proposal, the newest first, of the newest HISTORY_SHOWN and one more. Without contents."""
    events = AuditEvent.objects.filter(target_type="proposal", target_id=str(proposal_id))
    return list(events.defer("before", "after").order_by("-id")[: HISTORY_SHOWN + 1])


@dataclass(frozen=True, slots=True)
class RebaseOutlook:
    """What moving a stale proposal to the version in force comes to: what came into force meanwhile, the paths of what
    both sides changed otherwise, its edits as they are and as they would be, and the difference these would make."""

    meanwhile: Difference
    clashes: tuple[str, ...]
    before: list[Json]
    after: list[Json]
    difference: Difference


def rebase_outlook(standing: ProposalStanding) -> RebaseOutlook:
    """See `RebaseOutlook`; nothing is written.

    Raises: EmptyProposal, IncompatibleChange, InvalidDefinition, where rebasing would be refused so.
    """
    proposal, present = standing.proposal, _in_force(standing)
    moved = rebased_edits(standing.before, parse_proposal_edits(proposal.edits), present)
    result = edited(present, moved.edits)
    difference = diff(present, result)
    if not difference:
        raise EmptyProposal(proposal.entity_type)
    versions = versions_of(entity_type=proposal.entity_type, user_id=None)
    reasons = incompatible_with(standing.mode, result, versions)
    if reasons:
        raise IncompatibleChange(standing.mode, reasons)
    return RebaseOutlook(
        meanwhile=diff(standing.before, present),
        clashes=moved.clashes,
        before=proposal.edits,
        after=_written(moved.edits),
        difference=difference,
    )


def is_applied(*, proposal_id: int, entity_type: str) -> bool:
    """Whether there is such a proposal of that type, and it is applied and not undone."""
    return Proposal.objects.filter(
        pk=proposal_id, entity_type=entity_type, state=ProposalState.APPLIED
    ).exists()


def reverse_edits(standing: ProposalStanding) -> list[Json]:
    """Edits that take back, from what is in force now, what the proposal did; none where nothing of it is left.

    Raises: InvalidDefinition where what comes out breaks a rule.
    """
    back = edits_between(standing.after, standing.before)
    return _written(rebased_edits(standing.after, back, _in_force(standing)).edits)


def _in_force(standing: ProposalStanding) -> Definition:
    return standing.in_force.parsed if standing.in_force else NO_FIELDS


def _written(edits: Iterable[Edit]) -> list[Json]:
    return [edit.to_json() for edit in edits]
