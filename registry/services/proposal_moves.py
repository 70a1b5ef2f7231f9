"""What every act about a proposal begins with, and ends with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from registry.domain.proposal import MOVES, Action, State, refusal_code
from registry.errors_proposals import ProposalNotFound, WrongState
from registry.models import Proposal, ProposalNews
from registry.services.proposal_notices import notices_owe
from schemaevo.kernel.actors import Actor
from schemaevo.kernel.audit import audit_record
from schemaevo.kernel.canonical import JsonObject


def proposal_by_id(proposal_id: int) -> Proposal:
    """The proposal as it was committed. Raises: ProposalNotFound."""
    proposal = Proposal.objects.filter(pk=proposal_id).first()
    if proposal is None:
        raise ProposalNotFound(proposal_id)
    return proposal


def proposal_for_update(proposal_id: int) -> Proposal:
    """The proposal, whose row is locked until the transaction ends. Schema locks are taken before. Raises:
    ProposalNotFound."""
    proposal = Proposal.objects.select_for_update().filter(pk=proposal_id).first()
    if proposal is None:
        raise ProposalNotFound(proposal_id)
    return proposal


def require_move(proposal: Proposal, action: Action) -> State:
    """What the action makes of the proposal. Raises: WrongState `wrong_state`, `not_in_review`, `already_decided`."""
    state = State(proposal.state)
    refusal = refusal_code(action, state)
    if refusal is not None:
        raise WrongState(proposal.pk, state, action, refusal)
    return MOVES[action][state]


def proposal_move(
    *,
    proposal: Proposal,
    action: Action,
    to: State,
    actor: Actor,
    reason: str = "",
    before: JsonObject | None = None,
    after: JsonObject | None = None,
    columns: Mapping[str, Any] | None = None,
) -> Proposal:
    """The proposal, whose row is locked, is in that state and has these columns, with an audit row; whom a new state
    concerns will be told.

    `before` and `after` are what the audit says beside the state.
    """
    was = proposal.state
    Proposal.objects.filter(pk=proposal.pk).update(state=to, **(columns or {}))
    proposal.refresh_from_db()
    event = audit_record(
        actor=actor,
        action=f"proposal.{action.value}",
        target_type="proposal",
        target_id=proposal.pk,
        before={"state": was, **(before or {})},
        after={
            "state": proposal.state,
            "entity_type": proposal.entity_type,
            "content_hash": proposal.content_hash,
            **(after or {}),
        },
        reason=reason.strip(),
    )
    if to != was and to in ProposalNews.values:
        notices_owe(news=ProposalNews(to), happened=[(proposal, event)])
    return proposal
