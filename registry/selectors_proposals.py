"""Proposals as they stand: what each would change, what was said, decided and tried, and what it waits for."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, TypeAlias, TypeVar

from django.db.models import Model, Q, QuerySet

from registry.domain.compatibility import Mode, Reason
from registry.domain.definition import NO_FIELDS, Definition
from registry.domain.diff import Difference, diff
from registry.domain.edits import edited
from registry.domain.proposal import MOVES, OPEN, VERDICTS, Action, State, refusal_code
from registry.domain.proposal_edits import parse_proposal_edits
from registry.domain.sides import Sides, side_by_side
from registry.errors_proposals import ProposalNotFound
from registry.models import SchemaVersion
from registry.models_proposals import (
    Proposal,
    ProposalAct,
    ProposalComment,
    ProposalDecision,
    ProposalTrial,
    ProposalVerdict,
    TrialState,
)
from registry.selectors_registration import registration_among, versions_of
from registry.selectors_trials import act_tried, trials_seen
from schemaevo.kernel.models import User

#: Comments, and decisions, that one look shows, the newest.
LISTED: Final = 200

Row = TypeVar("Row", bound=Model)


class Ground(StrEnum):
    """Why an approval does not count."""

    EDITED = "edited"
    """The proposal says something else by now, or did in between."""
    REVIEWED_ANEW = "reviewed_anew"
    """The proposal left its review since, and came back."""


class Block(StrEnum):
    """What a proposal waits for before it is approved, or applied."""

    NOT_SUBMITTED = "not_submitted"
    CHANGES_REQUESTED = "changes_requested"
    STALE = "stale"
    INCOMPATIBLE = "incompatible"
    NOT_TRIED = "not_tried"
    NOT_APPROVED = "not_approved"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class DecisionSeen:
    """A decision, and whether it counts as an approval of what the proposal says now; `ground` is why it does not, of
    an approval."""

    decision: ProposalDecision
    is_counted: bool
    ground: Ground | None


@dataclass(frozen=True, slots=True)
class ProposalStanding:
    """All that is known about a proposal as of now; nothing is locked, so by then it may be otherwise.

    `difference` leads from `before`, its base, to `after`. `number` is that of the version that it is applied as, or
    would be, and `reasons` why that is not compatible by now. `trial` is the newest of what the proposal says now,
    finished if one is; `next_trial` one that waits or runs; `undo_trial` and `next_undo_trial` those of taking an
    applied proposal back. `stopped_trial` is one of what would come next whose job ended before it did. Decisions and
    comments begin with the oldest, of the newest LISTED.
    """

    proposal: Proposal
    base: SchemaVersion | None
    in_force: SchemaVersion | None
    before: Definition
    after: Definition
    difference: Difference
    mode: Mode
    reasons: tuple[Reason, ...]
    number: str
    decisions: tuple[DecisionSeen, ...]
    comments: tuple[ProposalComment, ...]
    trial: ProposalTrial | None
    next_trial: ProposalTrial | None
    undo_trial: ProposalTrial | None
    next_undo_trial: ProposalTrial | None
    stopped_trial: ProposalTrial | None

    @property
    def state(self) -> State:
        """Where it stands."""
        return State(self.proposal.state)

    @property
    def sides(self) -> Sides:
        """Base and result side by side."""
        return side_by_side(self.difference, self.before, self.after)

    @property
    def approvals(self) -> int:
        """How many approvals count."""
        return sum(seen.is_counted for seen in self.decisions)

    @property
    def is_tried(self) -> bool:
        """Whether a trial of what it says now came to its end."""
        return self.trial is not None and self.trial.state == TrialState.DONE

    @property
    def blocks(self) -> tuple[Block, ...]:
        """What has to happen before it can be applied, in the order in which that is done; nothing where it can be."""
        state = self.state
        if state not in OPEN:
            return (Block.ENDED,)
        found = []
        if state is State.STALE:
            found.append(Block.STALE)
        if self.reasons:
            found.append(Block.INCOMPATIBLE)
        if state is State.CHANGES_REQUESTED:
            found.append(Block.CHANGES_REQUESTED)
        if state in (State.DRAFT, State.STALE):
            found.append(Block.NOT_SUBMITTED)
        if not self.is_tried:
            found.append(Block.NOT_TRIED)
        if state not in (State.APPROVED, State.FAILED):
            found.append(Block.NOT_APPROVED)
        return tuple(found)

    def refusal(self, action: Action, login: User) -> str | None:
        """The code that the login, who has the permission, would be refused with; None where the action is open."""
        proposal = self.proposal
        if action is Action.WITHDRAW and proposal.author_id not in (None, login.pk):
            return "not_own_proposal"
        if action is Action.APPROVE:
            if login.pk in (proposal.author_id, proposal.last_editor_id):
                return "own_proposal"
            mine = (seen for seen in self.decisions if seen.decision.decided_by_id == login.pk)
            if any(seen.is_counted for seen in mine):
                return "already_decided"
        code = refusal_code(action, self.state)
        if code is None and action is Action.APPROVE and not self.is_tried:
            return "not_tried"
        return code

    def open_to(self, login: User) -> frozenset[Action]:
        """What the login could do now, as far as its permissions allow."""
        return frozenset(action for action in _BY_HAND if self.refusal(action, login) is None)


_BY_HAND: Final = frozenset(MOVES) - {Action.FAIL, Action.EXPIRE, Action.OUTDATE}
#: The permission that each action asks for. To comment, either of the first two will do.
PERMISSIONS: Final = {
    **dict.fromkeys(_BY_HAND - VERDICTS - {Action.APPLY, Action.UNDO}, "registry.propose_schema"),
    **dict.fromkeys(VERDICTS, "registry.decide_proposal"),
    **dict.fromkeys((Action.APPLY, Action.UNDO), "registry.apply_proposal"),
}


def proposals_list(
    *, entity_type: str | None = None, states: Collection[State] | None = None
) -> QuerySet[Proposal]:
    """Proposals, the newest first, without what only a look at one shows."""
    found = Proposal.objects.select_related("author", "last_editor", "base_version", "applied_version").defer(
        "evidence", "edits", "base_version__definition", "applied_version__definition"
    )
    if entity_type is not None:
        found = found.filter(entity_type=entity_type)
    if states is not None:
        found = found.filter(state__in=[state.value for state in states])
    return found.order_by("-pk")


def proposals_open_about(*, entity_type: str, field: str) -> QuerySet[Proposal]:
    """Proposals of the type that say something of the field, and of which something may still come; newest first."""
    says = Q(subject=field) | Q(edits__contains=[{"field": field}])
    return proposals_list(entity_type=entity_type, states=OPEN).filter(says)


def proposal_standing(*, proposal_id: int) -> ProposalStanding:
    """See `ProposalStanding`. The number of queries is the same for all. Raises: ProposalNotFound."""
    proposal = (
        Proposal.objects.select_related("author", "last_editor", "base_version", "applied_version")
        .defer("applied_version__definition")
        .filter(pk=proposal_id)
        .first()
    )
    if proposal is None:
        raise ProposalNotFound(proposal_id)
    base = proposal.base_version
    before = base.parsed if base else NO_FIELDS
    after = edited(before, parse_proposal_edits(proposal.edits))
    versions = versions_of(entity_type=proposal.entity_type, user_id=None)
    registration = registration_among(entity_type=proposal.entity_type, definition=after, versions=versions)
    applied = proposal.applied_version
    trials = _newest_trials(proposal)
    return ProposalStanding(
        proposal=proposal,
        base=base,
        in_force=next((version for version in versions if version.is_active), None),
        before=before,
        after=after,
        difference=diff(before, after),
        mode=registration.mode,
        reasons=registration.reasons if proposal.is_open else (),
        number=applied.number if applied else registration.number,
        decisions=_decisions(proposal),
        comments=_oldest_first(proposal.comments.select_related("written_by")),
        trial=_finished(trials, ProposalAct.APPLY),
        next_trial=_coming(trials, ProposalAct.APPLY),
        undo_trial=_finished(trials, ProposalAct.UNDO),
        next_undo_trial=_coming(trials, ProposalAct.UNDO),
        stopped_trial=_stopped(trials, proposal),
    )


def decision_ground(decision: ProposalDecision, proposal: Proposal) -> Ground | None:
    """Why an approval does not count as one of what the proposal says now; None where it counts."""
    if decision.round_number == proposal.round_number:
        return None
    is_edited = decision.content_hash != proposal.content_hash or decision.decided_at < proposal.edited_at
    return Ground.EDITED if is_edited else Ground.REVIEWED_ANEW


def _decisions(proposal: Proposal) -> tuple[DecisionSeen, ...]:
    found = []
    for decision in _oldest_first(proposal.decisions.select_related("decided_by")):
        is_approval = decision.verdict == ProposalVerdict.APPROVE
        ground = decision_ground(decision, proposal) if is_approval else None
        found.append(DecisionSeen(decision, is_approval and ground is None, ground))
    return tuple(found)


#: By act and state; each with what `trials_seen` tells of it.
_Trials: TypeAlias = "dict[tuple[str, str], Any]"


def _newest_trials(proposal: Proposal) -> _Trials:
    """Of what the proposal says now, the newest trial of each act in each state: a handful, however many there are."""
    found = (
        trials_seen(ProposalTrial.objects.filter(proposal=proposal, content_hash=proposal.content_hash))
        .select_related("asked_by")
        .order_by("act", "state", "-pk")
        .distinct("act", "state")
    )
    return {(trial.act, trial.state): trial for trial in found}


def _finished(trials: _Trials, act: ProposalAct) -> ProposalTrial | None:
    return trials.get((act, TrialState.DONE)) or trials.get((act, TrialState.FAILED))


def _coming(trials: _Trials, act: ProposalAct) -> ProposalTrial | None:
    trial = _begun(trials, act)
    return trial if trial is not None and trial.is_at_work else None


def _stopped(trials: _Trials, proposal: Proposal) -> ProposalTrial | None:
    act = act_tried(proposal)
    again = Action.TRY_UNDO if act is ProposalAct.UNDO else Action.TRY
    if refusal_code(again, State(proposal.state)) is not None:
        return None
    trial = _begun(trials, act)
    return trial if trial is not None and not trial.is_at_work else None


def _begun(trials: _Trials, act: ProposalAct) -> Any:
    return trials.get((act, TrialState.RUNNING)) or trials.get((act, TrialState.WAITING))


def _oldest_first(rows: QuerySet[Row]) -> tuple[Row, ...]:
    return tuple(reversed(rows.order_by("-pk")[:LISTED]))
