"""How proposals look on pages: where they stand, what they wait for, what was decided and what happened, in words."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from django.utils.safestring import SafeString
from django.utils.translation import gettext as _now
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from registry.models import Proposal, ProposalState, ProposalVerdict
from registry.selectors_proposals import Block, DecisionSeen, Ground, ProposalStanding
from schemaevo.kernel.canonical import Json, canonical_json
from schemaevo.kernel.models import AuditEvent
from schemaevo.kernel.pages.display import badge

STATE_TONES: Final[dict[str, str]] = {
    ProposalState.DRAFT: "plain",
    ProposalState.IN_REVIEW: "busy",
    ProposalState.CHANGES_REQUESTED: "warn",
    ProposalState.APPROVED: "good",
    ProposalState.APPLIED: "good",
    ProposalState.UNDONE: "plain",
    ProposalState.REJECTED: "bad",
    ProposalState.WITHDRAWN: "plain",
    ProposalState.EXPIRED: "plain",
    ProposalState.STALE: "warn",
    ProposalState.FAILED: "bad",
}
_VERDICT_TONES: Final[dict[str, str]] = {
    ProposalVerdict.APPROVE: "good",
    ProposalVerdict.REQUEST_CHANGES: "warn",
    ProposalVerdict.REJECT: "bad",
}
_BLOCKS: Final[dict[Block, Any]] = {
    Block.NOT_SUBMITTED: _("somebody submits it"),
    Block.CHANGES_REQUESTED: _("changes that were asked for, and submitting it again"),
    Block.STALE: _("a rebase: another version is in force by now than the one it changes"),
    Block.INCOMPATIBLE: _("an edit: as it is, it is not compatible with what is or was in force"),
    Block.NOT_TRIED: _("a trial of what it says now"),
}
_GROUNDS: Final[dict[Ground, Any]] = {
    Ground.EDITED: _("does not count: the proposal was edited since"),
    Ground.REVIEWED_ANEW: _("does not count: the proposal left its review since"),
}
#: What the audit log calls what happens to proposals, and its sign.
_HAPPENINGS: Final[dict[str, tuple[Any, str]]] = {
    "proposal.draft": (_("drafted"), "edit_note"),
    "proposal.found": (_("found by analysis"), "query_stats"),
    "proposal.refresh": (_("evidence renewed"), "query_stats"),
    "proposal.weigh": (_("evidence speaks otherwise"), "query_stats"),
    "proposal.edit": (_("edited"), "edit"),
    "proposal.submit": (_("submitted"), "send"),
    "proposal.approve": (_("approved"), "check_circle"),
    "proposal.request_changes": (_("changes requested"), "rate_review"),
    "proposal.reject": (_("rejected"), "cancel"),
    "proposal.withdraw": (_("withdrawn"), "undo"),
    "proposal.rebase": (_("rebased"), "merge"),
    "proposal.comment": (_("commented on"), "comment"),
    "proposal.try": (_("a trial asked for"), "science"),
    "proposal.tried": (_("a trial ended"), "science"),
    "proposal.apply": (_("applied"), "play_circle"),
    "proposal.fail": (_("applying it was refused"), "error"),
    "proposal.undo": (_("undone"), "settings_backup_restore"),
    "proposal.expire": (_("expired"), "hourglass_disabled"),
    "proposal.outdate": (_("became stale"), "sync_problem"),
}


def state_badge(proposal: Proposal) -> SafeString:
    """Where it stands."""
    return badge(proposal.get_state_display(), STATE_TONES[proposal.state])


def verdict_badge(verdict: str) -> SafeString:
    """What somebody decided."""
    return badge(ProposalVerdict(verdict).label, _VERDICT_TONES[verdict])


def blocks_in_words(standing: ProposalStanding) -> list[str]:
    """What it waits for before it can be applied, in the order in which that is done; nothing once it has ended."""
    return [_block(block, standing) for block in standing.blocks if block is not Block.ENDED]


def _block(block: Block, standing: ProposalStanding) -> str:
    if block is not Block.NOT_APPROVED:
        return str(_BLOCKS[block])
    required = standing.proposal.required_approvals
    words = ngettext(
        "the approval of somebody else (%(given)s of %(required)s)",
        "the approvals of %(required)s others (%(given)s so far)",
        required,
    )
    return words % {"given": standing.approvals, "required": required}


@dataclass(frozen=True, slots=True)
class DecisionShown:
    """A decision, ready for the page; `counts` says whether it counts as an approval, and why not."""

    seen: DecisionSeen
    verdict: SafeString
    counts: str


def decisions_shown(standing: ProposalStanding) -> list[DecisionShown]:
    """All decisions, the newest first."""
    return [
        DecisionShown(
            seen,
            verdict_badge(seen.decision.verdict),
            str(_GROUNDS[seen.ground]) if seen.ground else _now("counts") if seen.is_counted else "",
        )
        for seen in reversed(standing.decisions)
    ]


def edits_text(edits: Iterable[Json]) -> str:
    """Edits as people write them: one on a line, with what is done first, and to which field."""
    return "[\n" + ",\n".join(f"  {_edit(edit)}" for edit in edits) + "\n]"


def _edit(edit: Json) -> str:
    if not isinstance(edit, dict):
        return canonical_json(edit)
    keys = [*(key for key in ("op", "field") if key in edit), *sorted(edit.keys() - {"op", "field"})]
    return "{" + ", ".join(f"{canonical_json(key)}: {canonical_json(edit[key])}" for key in keys) + "}"


def happening(event: AuditEvent) -> tuple[str, str]:
    """What happened, in words, and the name of its sign."""
    _words, icon = _HAPPENINGS.get(event.action, ("", "radio_button_unchecked"))
    return happening_words(event.action), icon


def happening_words(action: str) -> str:
    """What the audit log calls by that name."""
    return str(_HAPPENINGS[action][0]) if action in _HAPPENINGS else action
