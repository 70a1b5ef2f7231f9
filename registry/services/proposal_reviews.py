"""Decisions about proposals in review: each is of one login, and about the content that this login looked at."""

from __future__ import annotations

from typing import Final

from django.db import transaction

from registry.domain.proposal import MOVES, Action, State
from registry.errors_proposals import NotTried, OwnProposal, StaleContent
from registry.models_proposals import (
    Proposal,
    ProposalAct,
    ProposalDecision,
    ProposalTrial,
    ProposalVerdict,
    TrialState,
)
from registry.services.proposal_moves import proposal_for_update, proposal_move, require_move
from registry.services.proposals import DECIDE, text_of
from registry.services.quotas import require_note
from schemaevo.kernel.actors import Actor
from schemaevo.kernel.canonical import require_storable

_VERDICTS: Final = {
    Action.APPROVE: ProposalVerdict.APPROVE,
    Action.REQUEST_CHANGES: ProposalVerdict.REQUEST_CHANGES,
    Action.REJECT: ProposalVerdict.REJECT,
}


@transaction.atomic
def proposal_approve(*, proposal_id: int, actor: Actor, content_hash: str, note: str = "") -> Proposal:
    """One login more has approved what the proposal says, and it is approved if these are as many as it needs.

    `content_hash` is what the login looked at. The same decision once more changes nothing. Raises: Denied
    `permission_denied`, `login_needed`; ProposalNotFound; OwnProposal `own_proposal`; WrongState `not_in_review`,
    `already_decided`; StaleContent `stale_content`; NotTried `not_tried`; Invalid `text_too_long`; Unstorable for a
    note.
    """
    return _decide(Action.APPROVE, proposal_id, actor, content_hash, note)


@transaction.atomic
def proposal_request_changes(*, proposal_id: int, actor: Actor, content_hash: str, note: str) -> Proposal:
    """The proposal goes back to whoever edits it; what was approved is not any more.

    Raises: as `proposal_approve`, but for `own_proposal` and `not_tried`; Invalid `note_needed`.
    """
    require_note(note)
    return _decide(Action.REQUEST_CHANGES, proposal_id, actor, content_hash, note)


@transaction.atomic
def proposal_reject(*, proposal_id: int, actor: Actor, content_hash: str, note: str) -> Proposal:
    """Nothing comes of the proposal, and its page says why. Raises: as `proposal_request_changes`."""
    require_note(note)
    return _decide(Action.REJECT, proposal_id, actor, content_hash, note)


def _decide(action: Action, proposal_id: int, actor: Actor, content_hash: str, note: str) -> Proposal:
    actor.require(DECIDE)
    login = actor.require_login()
    require_storable(content_hash)
    note = text_of(note)
    verdict = _VERDICTS[action]
    proposal = proposal_for_update(proposal_id)
    given = ProposalDecision.objects.filter(
        proposal=proposal,
        verdict=verdict,
        decided_by=login,
        content_hash=content_hash,
        round_number=proposal.round_number,
    )
    # What the same login decided just this before stands, unless something came of the proposal since.
    stays = (State.IN_REVIEW, State.APPROVED) if action is Action.APPROVE else (_result(action),)
    if proposal.state in stays and proposal.content_hash == content_hash and given.exists():
        return proposal
    if action is Action.APPROVE and login.pk in (proposal.author_id, proposal.last_editor_id):
        raise OwnProposal(proposal_id)
    to = require_move(proposal, action)
    if proposal.content_hash != content_hash:
        raise StaleContent(proposal_id, content_hash, proposal.content_hash)
    if action is Action.APPROVE and not _is_tried(proposal):
        raise NotTried(proposal_id)
    author = proposal.author
    if author is None:
        raise AssertionError("what was submitted has an author: schema_proposals_submitted_ck")
    decision = ProposalDecision.objects.create(
        proposal=proposal,
        verdict=verdict,
        decided_by=login,
        content_hash=content_hash,
        author=author,
        last_editor_id=proposal.last_editor_id,
        note=note,
    )
    after = {"decision": decision.pk, "round": proposal.round_number}
    if action is Action.APPROVE:
        approvals = approvals_counted(proposal)
        after |= {"approvals": approvals, "required_approvals": proposal.required_approvals}
        if approvals < proposal.required_approvals:
            to = State(proposal.state)
    return proposal_move(proposal=proposal, action=action, to=to, actor=actor, reason=note, after=dict(after))


def approvals_counted(proposal: Proposal) -> int:
    """How many logins approved what the proposal says, in its present round."""
    counting = ProposalDecision.objects.filter(
        proposal=proposal,
        verdict=ProposalVerdict.APPROVE,
        content_hash=proposal.content_hash,
        round_number=proposal.round_number,
    )
    return counting.values("decided_by").distinct().count()


def _result(action: Action) -> State:
    return MOVES[action][State.IN_REVIEW]


def _is_tried(proposal: Proposal) -> bool:
    return ProposalTrial.objects.filter(
        proposal=proposal,
        act=ProposalAct.APPLY,
        state=TrialState.DONE,
        content_hash=proposal.content_hash,
    ).exists()
