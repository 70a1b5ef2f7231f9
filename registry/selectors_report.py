"""The evidence report of a proposal: one document of all that was asked, known, tried, decided and done.

It holds counts, names of logins, and what people wrote; no value of a record, and no owner. Its hash is that of its
canonical JSON, so that whoever has the document can tell whether it is the one that somebody else has. When it was made
stands beside it and not in it: as long as nothing happens to the proposal, it is the same document.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Final

from django.utils import timezone

from registry.domain.trial_values import without_values
from registry.models import Proposal, ProposalEffect, ProposalTrial, ProposalVerdict
from registry.selectors_proposals import decision_ground, proposal_standing
from schemaevo.kernel.canonical import Json, JsonObject, canonical_bytes, content_hash
from schemaevo.kernel.models import AuditEvent, User

#: Documents of another shape have another number.
FORMAT: Final = 1
#: What of an analysis's evidence is reported: numbers, words, and counts by name. Whatever else a release notes is not.
_NUMBERS: Final = (
    "users",
    "users_of_type",
    "share",
    "type_share",
    "confidence",
    "values",
    "converted",
    "converted_share",
    "sources",
    "entities",
)
_WORDS: Final = ("pattern", "type", "converter")
_COUNTED: Final = ("declared_by", "types")
_LISTED: Final[dict[str, tuple[str, ...]]] = {
    "factors": ("words", "contribution"),
    "near": ("field", "users"),
    "obstacles": ("code", "message"),
}


@dataclass(frozen=True, slots=True)
class ProposalReport:
    """The report as a document, and when it was read."""

    document: JsonObject
    made_at: datetime

    @property
    def content_hash(self) -> str:
        """The sha256 of the document's canonical JSON."""
        return content_hash(self.document)

    @property
    def as_file(self) -> bytes:
        """The report as a file of JSON: what is hashed is its last member, as it stands there byte for byte."""
        return canonical_bytes(
            {
                "content_hash": self.content_hash,
                "made_at": self.made_at.astimezone(UTC).isoformat(),
                "report": self.document,
            }
        )


def proposal_report(*, proposal_id: int) -> ProposalReport:
    """See the head of this file. The number of queries is the same for all. Raises: ProposalNotFound."""
    standing = proposal_standing(proposal_id=proposal_id)
    proposal = standing.proposal
    base, applied = proposal.base_version, proposal.applied_version
    document: JsonObject = {
        "format": FORMAT,
        "proposal": {
            "number": proposal.pk,
            "entity_type": proposal.entity_type,
            "title": proposal.title,
            "reason": proposal.reason,
            "origin": proposal.origin,
            "state": proposal.state,
            "author": _name(proposal.author),
            "last_editor": _name(proposal.last_editor),
            "base_version": base.number if base else None,
            "content_hash": proposal.content_hash,
            "round": proposal.round_number,
            "approvals_counted": standing.approvals,
            "approvals_needed": proposal.required_approvals,
            "drafted_at": _moment(proposal.created_at),
            "edited_at": _moment(proposal.edited_at),
            "submitted_at": _moment(proposal.submitted_at),
            "expires_at": _moment(proposal.expires_at),
            "in_this_state_since": _moment(proposal.moved_at),
        },
        "edits": proposal.edits,
        "difference": list(standing.difference.in_words),
        "evidence": evidence_counts(proposal.evidence),
        "trials": [_trial(one) for one in (standing.trial, standing.undo_trial) if one is not None],
        "decisions": _decisions(proposal),
        "comments": [
            {"by": _name(one.written_by), "at": _moment(one.written_at), "text": one.text}
            for one in proposal.comments.select_related("written_by").order_by("pk")
        ],
        "outcome": {
            "applied_version": applied.number if applied else None,
            "applied_at": _moment(proposal.applied_at),
            "undone_at": _moment(proposal.undone_at),
            "error": proposal.error,
            "effects": [
                _effect(one)
                for one in ProposalEffect.objects.filter(proposal=proposal).order_by("act", "field")
            ],
        },
        "audit": [
            {
                "event": event.pk,
                "at": _moment(event.at),
                "by": event.actor_name,
                "action": event.action,
                "reason": event.reason,
            }
            for event in _events(proposal)
        ],
    }
    return ProposalReport(document, timezone.now())


def evidence_counts(stored: JsonObject) -> JsonObject:
    """What an analysis found, as far as it is known to be counts and words about them."""
    found: JsonObject = {name: stored[name] for name in _NUMBERS if _is_number(stored.get(name))}
    found |= {name: stored[name] for name in _WORDS if isinstance(stored.get(name), str)}
    for name in _COUNTED:
        counts = stored.get(name)
        if isinstance(counts, dict):
            found[name] = {key: count for key, count in counts.items() if _is_number(count)}
    for name, keys in _LISTED.items():
        rows = stored.get(name)
        if isinstance(rows, list):
            found[name] = [_only(row, keys) for row in rows if isinstance(row, dict)]
    return found


def _only(row: JsonObject, keys: Iterable[str]) -> JsonObject:
    return {key: row[key] for key in keys if isinstance(row.get(key), str) or _is_number(row.get(key))}


def _is_number(value: Json) -> bool:
    return isinstance(value, (int, Decimal)) and not isinstance(value, bool)


def _decisions(proposal: Proposal) -> list[Json]:
    """All of them, the oldest first, and whether each counts as an approval of what the proposal says now."""
    found: list[Json] = []
    for one in proposal.decisions.select_related("decided_by").order_by("pk"):
        is_approval = one.verdict == ProposalVerdict.APPROVE
        ground = decision_ground(one, proposal) if is_approval else None
        found.append(
            {
                "by": _name(one.decided_by),
                "verdict": one.verdict,
                "at": _moment(one.decided_at),
                "round": one.round_number,
                "content_hash": one.content_hash,
                "note": one.note,
                "counts": is_approval and ground is None,
            }
        )
    return found


def _trial(trial: ProposalTrial) -> JsonObject:
    return {
        "trial": trial.pk,
        "act": trial.act,
        "state": trial.state,
        "content_hash": trial.content_hash,
        "asked_by": _name(trial.asked_by),
        "asked_at": _moment(trial.asked_at),
        "finished_at": _moment(trial.finished_at),
        "error": trial.error,
        "result": without_values(trial.result),
    }


def _effect(effect: ProposalEffect) -> JsonObject:
    return {
        "act": effect.act,
        "field": effect.field,
        "absorbed": effect.absorbed,
        "given_back": effect.given_back,
        "promoted": effect.promoted,
        "converted": effect.converted,
        "taken_back": effect.taken_back,
        "is_counted": effect.settled_at is not None and effect.promoted_at is not None,
    }


def _events(proposal: Proposal) -> Iterable[AuditEvent]:
    events = AuditEvent.objects.filter(target_type="proposal", target_id=str(proposal.pk))
    return events.defer("before", "after").order_by("pk")


def _name(login: User | None) -> str | None:
    return login.get_username() if login else None


def _moment(moment: datetime | None) -> str | None:
    return moment.astimezone(UTC).isoformat() if moment else None
