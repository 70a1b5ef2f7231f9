"""Trials of proposals: which there are, and what they are about."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.db.models import CharField, Exists, OuterRef, QuerySet
from django.db.models.functions import Cast

from registry.domain.compatibility import IncompatibleChange
from registry.domain.definition import NO_FIELDS, Definition
from registry.domain.edit_documents import parse_edits
from registry.domain.edits import edited
from registry.domain.proposal import State
from registry.errors_proposals import StaleContent
from registry.models import Proposal, ProposalAct, ProposalTrial, SchemaVersion, TrialState
from registry.selectors import compatibility_mode, version_in_force
from registry.selectors_registration import incompatible_with, versions_of
from schemaevo.kernel.models import LIVE_JOB_STATES, Job

#: The job kind that makes a trial; its target is the trial's number.
TRY = "try_proposal"


@dataclass(frozen=True, slots=True)
class Basis:
    """What a trial goes by: the proposal, the global version in force and its definition, and the definition that
    would be in force instead. None where there is none."""

    proposal: Proposal
    act: ProposalAct
    version: SchemaVersion | None
    before: Definition | None
    after: Definition | None

    @property
    def entity_type(self) -> str:
        """Of which all this is."""
        return self.proposal.entity_type


def act_tried(proposal: Proposal) -> ProposalAct:
    """What a trial of the proposal would be of: of one that is applied, undoing it."""
    return ProposalAct.UNDO if proposal.state == State.APPLIED else ProposalAct.APPLY


def trial_of(proposal: Proposal, act: ProposalAct | None = None) -> ProposalTrial | None:
    """The newest finished trial of what the proposal says now; of `act`, else of what would come next."""
    return _trials(proposal, act).filter(state=TrialState.DONE).first()


def trial_newest(proposal: Proposal, act: ProposalAct | None = None) -> ProposalTrial | None:
    """As `trial_of`, but whatever became of it: one that waits, runs, or has failed as well."""
    return _trials(proposal, act).first()


def trial_live(proposal: Proposal, act: ProposalAct | None = None) -> ProposalTrial | None:
    """The trial of what the proposal says now that waits or runs, if there is one."""
    return _trials(proposal, act).filter(state__in=[TrialState.WAITING, TrialState.RUNNING]).first()


def trial_job(trial: ProposalTrial) -> Job | None:
    """The job that makes the trial, or made it, while its row is kept."""
    return Job.objects.filter(kind=TRY, target=str(trial.pk)).order_by("-requested_at").first()


def trials_seen(among: QuerySet[ProposalTrial]) -> QuerySet[Any]:
    """The same, and of each whether a job that makes it has not ended (`is_at_work`). One that waits or runs without
    was stopped: its job was cancelled, or failed for good."""
    jobs = Job.objects.filter(
        kind=TRY,
        target=Cast(OuterRef("pk"), CharField()),
        state__in=[state.value for state in LIVE_JOB_STATES],
    )
    return among.annotate(is_at_work=Exists(jobs))


def trial_basis(trial: ProposalTrial) -> Basis:
    """What the trial goes by, as it stands now.

    Raises: StaleContent where the proposal says something else by now, or another version is in force than the one it
    changes; InvalidEdits and InvalidDefinition where applying it would be refused.
    """
    proposal = Proposal.objects.select_related("base_version", "applied_version").get(pk=trial.proposal_id)
    version = version_in_force(entity_type=proposal.entity_type, user_id=None)
    act = ProposalAct(trial.act)
    expected = proposal.base_version_id if act is ProposalAct.APPLY else proposal.applied_version_id
    is_present = proposal.content_hash == trial.content_hash and (version.pk if version else None) == expected
    if not is_present or (act is ProposalAct.UNDO and proposal.state != State.APPLIED):
        raise StaleContent(proposal.pk, trial.content_hash, proposal.content_hash)
    before = version.parsed if version else None
    if act is ProposalAct.APPLY:
        after: Definition | None = edited(before or NO_FIELDS, parse_edits(proposal.edits))
    else:
        after = proposal.base_version.parsed if proposal.base_version else None
    return Basis(proposal, act, version, before, after)


def require_applicable(basis: Basis) -> None:
    """The definition that would be in force may come after those that are or were. Raises: IncompatibleChange."""
    if basis.act is ProposalAct.APPLY and basis.after is not None:
        mode = compatibility_mode(entity_type=basis.entity_type)
        versions = versions_of(entity_type=basis.entity_type, user_id=None)
        reasons = incompatible_with(mode, basis.after, versions)
        if reasons:
            raise IncompatibleChange(mode, reasons)


def _trials(proposal: Proposal, act: ProposalAct | None) -> QuerySet[ProposalTrial]:
    return ProposalTrial.objects.filter(
        proposal=proposal.pk, act=act or act_tried(proposal), content_hash=proposal.content_hash
    ).order_by("-pk")
