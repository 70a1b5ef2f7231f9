"""What the commands of proposals share: how a proposal is told, to people and to machines."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from registry.domain.trial_values import without_values
from registry.management.documents import changes_in_words, difference_json
from registry.models_proposals import Proposal, ProposalTrial
from registry.selectors_proposals import Block, DecisionSeen, Ground, ProposalStanding
from schemaevo.kernel.canonical import Json, JsonObject
from schemaevo.kernel.models import User

#: What is wrong with an option, and not with the proposal.
USAGE_CODES: Final = frozenset(
    {
        "note_needed",
        "comment_needed",
        "title_needed",
        "title_too_long",
        "text_too_long",
        "invalid_entity_type",
    }
)

_BLOCKS: Final = {
    Block.NOT_SUBMITTED: "it is not submitted",
    Block.CHANGES_REQUESTED: "changes were asked for",
    Block.STALE: "another version is in force by now; rebase it",
    Block.INCOMPATIBLE: "it is not compatible with what is or was in force",
    Block.NOT_TRIED: "what it says now was not tried",
    Block.NOT_APPROVED: "it has {approvals} of {required} approvals",
    Block.ENDED: "it is {state}",
}
_GROUNDS: Final = {
    Ground.EDITED: "does not count: the proposal was edited",
    Ground.REVIEWED_ANEW: "does not count: the proposal left its review since",
}


def proposal_json(proposal: Proposal) -> JsonObject:
    """A proposal as results hold it."""
    base, applied = proposal.base_version, proposal.applied_version
    return {
        "proposal": proposal.pk,
        "entity_type": proposal.entity_type,
        "title": proposal.title,
        "state": proposal.state,
        "origin": proposal.origin,
        "author": _name(proposal.author),
        "last_editor": _name(proposal.last_editor),
        "base": base.number if base else None,
        "content": proposal.content_hash,
        "required_approvals": proposal.required_approvals,
        "submitted_at": _moment(proposal.submitted_at),
        "expires_at": _moment(proposal.expires_at),
        "applied": applied.number if applied else None,
    }


def proposal_in_words(proposal: Proposal) -> str:
    """One line about a proposal, for people."""
    by = f" by {proposal.author}" if proposal.author else ""
    return f"Proposal {proposal.pk} for {proposal.entity_type}{by} ({_state(proposal)}): {proposal.title}"


def standing_json(standing: ProposalStanding) -> JsonObject:
    """All that is known about a proposal, as results hold it."""
    proposal = standing.proposal
    return {
        **proposal_json(proposal),
        "reason": proposal.reason,
        "edits": proposal.edits,
        "evidence": proposal.evidence,
        "in_force": standing.in_force.number if standing.in_force else None,
        "number": standing.number,
        **difference_json(standing.difference),
        "mode": standing.mode.value,
        "reasons": [reason.to_json() for reason in standing.reasons],
        "approvals": standing.approvals,
        "decisions": [_decision_json(seen) for seen in standing.decisions],
        "comments": [
            {"by": _name(one.written_by), "at": _moment(one.written_at), "text": one.text}
            for one in standing.comments
        ],
        "trial": _trial_json(standing.trial),
        "next_trial": _trial_json(standing.next_trial),
        "undo_trial": _trial_json(standing.undo_trial),
        "next_undo_trial": _trial_json(standing.next_undo_trial),
        "stopped_trial": _trial_json(standing.stopped_trial),
        "blocks": [block.value for block in standing.blocks],
        "error": proposal.error,
    }


def standing_in_words(standing: ProposalStanding) -> list[str]:
    """The same as lines, for people."""
    proposal = standing.proposal
    base = f"version {standing.base.number}" if standing.base else "nothing: there was no global schema"
    lines = [proposal_in_words(proposal)]
    if proposal.reason:
        lines.append(proposal.reason)
    lines.append(f"It changes {base}, to version {standing.number}; content {proposal.content_hash}:")
    lines += changes_in_words(standing.difference)
    lines += [f"Not compatible ({standing.mode}): {reason.message}" for reason in standing.reasons]
    if proposal.evidence:
        lines.append("Evidence of an analysis stands with it; --json prints it.")
    lines += [_decision_in_words(seen) for seen in standing.decisions]
    lines += [
        f"{one.written_at:%Y-%m-%d %H:%M} UTC, {one.written_by or 'the system'}: {one.text}"
        for one in standing.comments
    ]
    for trial in (standing.trial, standing.next_trial, standing.undo_trial, standing.next_undo_trial):
        if trial is not None:
            lines.append(f"Trial {trial.pk} (to {trial.act} it): {trial.state}. {trial.error}".rstrip())
    if standing.stopped_trial is not None:
        stopped = standing.stopped_trial
        lines.append(
            f"Trial {stopped.pk} (to {stopped.act} it) was stopped: its job ended before it. Try it again."
        )
    if proposal.error:
        lines.append(f"Applying it was refused: {proposal.error}")
    said = {
        "approvals": standing.approvals,
        "required": proposal.required_approvals,
        "state": _state(proposal),
    }
    waits = "; ".join(_BLOCKS[block].format(**said) for block in standing.blocks)
    lines.append(f"It cannot be applied: {waits}." if waits else "It can be applied.")
    return lines


def _decision_json(seen: DecisionSeen) -> JsonObject:
    decision = seen.decision
    return {
        "by": _name(decision.decided_by),
        "verdict": decision.verdict,
        "at": _moment(decision.decided_at),
        "content": decision.content_hash,
        "note": decision.note,
        "counts": seen.is_counted,
        "ground": seen.ground.value if seen.ground else None,
    }


def _decision_in_words(seen: DecisionSeen) -> str:
    decision = seen.decision
    ground = f" ({_GROUNDS[seen.ground]})" if seen.ground else ""
    note = f": {decision.note}" if decision.note else ""
    at = f"{decision.decided_at:%Y-%m-%d %H:%M} UTC"
    return f"{at}, {decision.decided_by}, {decision.get_verdict_display()}{ground}{note}"


def _trial_json(trial: ProposalTrial | None) -> Json:
    if trial is None:
        return None
    return {
        "trial": trial.pk,
        "act": trial.act,
        "state": trial.state,
        "asked_at": _moment(trial.asked_at),
        "finished_at": _moment(trial.finished_at),
        "result": without_values(trial.result),
        "error": trial.error,
    }


def _name(login: User | None) -> str | None:
    return login.get_username() if login else None


def _moment(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None


def _state(proposal: Proposal) -> str:
    return proposal.state.replace("_", " ")
