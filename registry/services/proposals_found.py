"""Proposals that an analysis drafts, and what becomes of them when it looks again.

What a login has done to a proposal is never undone by an analysis: it gets new evidence, and nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, NamedTuple

from django.db import transaction
from django.db.models import QuerySet

from registry.domain.edits import Edit
from registry.domain.proposal import OPEN, State
from registry.domain.proposal_edits import parse_proposal_edits
from registry.models import Proposal, ProposalOrigin, SchemaVersion
from registry.selectors import version_in_force
from registry.services.locking import require_entity_type
from registry.services.proposals import PROPOSE, admissible_edits
from schemaevo.kernel.actors import Actor
from schemaevo.kernel.audit import audit_record
from schemaevo.kernel.canonical import Json, JsonObject, canonical_json
from schemaevo.kernel.locks import LockSpace, hold

#: As which part of the system an analysis acts that nobody asked for.
ANALYSIS: Final = "analysis"
#: How somebody says that they do not want what an analysis found. Undoing says so too: what was taken back does not
#: come again by itself.
_DISMISSED: Final = (State.REJECTED, State.WITHDRAWN, State.UNDONE)
#: So many times the users there were when it was dismissed, and it is found again.
_DISMISSED_UNTIL: Final = 2


class Outcome(StrEnum):
    """What came of something that was found."""

    DRAFTED = "drafted"
    REFRESHED = "refreshed"
    UNCHANGED = "unchanged"
    DISMISSED = "dismissed"


class Found(NamedTuple):
    """The proposal about it, if there is one, and what was done."""

    proposal_id: int | None
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class _Content:
    """What a proposal says: its edits, made to the version in force."""

    title: str
    reason: str
    edits: tuple[Edit, ...]
    base: SchemaVersion | None

    @property
    def columns(self) -> dict[str, object]:
        """The same as its row has it."""
        return {
            "title": self.title,
            "reason": self.reason,
            "edits": [edit.to_json() for edit in self.edits],
            "base_version": self.base,
        }


@transaction.atomic
def proposal_found(
    *,
    entity_type: str,
    subject: str,
    title: str,
    reason: str,
    edits: Sequence[Json],
    evidence: JsonObject,
    actor: Actor,
) -> Found:
    """The analysis has an open proposal about that field, with this evidence.

    Where it has none, one is drafted, unless the newest that is closed was rejected, withdrawn or undone, and the
    `users` of the evidence are fewer than twice those of then. One that no login has edited or submitted gets the edits
    too, made to the version in force; every other keeps its content. The same once more changes nothing. Whoever acts,
    what an analysis found has no author, until somebody submits it.

    Raises: Denied; InvalidEdits, InvalidDefinition, EmptyProposal, IncompatibleChange for edits that cannot be made to
    the version in force; Invalid `invalid_entity_type`; LockTimeout.
    """
    actor.require(PROPOSE)
    require_entity_type(entity_type)
    parsed = parse_proposal_edits(list(edits))
    # Until this is committed no other version comes into force, which would make drafts stale that it can see.
    hold(LockSpace.SCHEMA_TYPE, [(entity_type,)], shared=True)
    base = version_in_force(entity_type=entity_type, user_id=None)
    content = _Content(title, reason, parsed, base)
    proposal = _open(entity_type, subject)
    if proposal is None:
        if _is_dismissed(entity_type, subject, evidence):
            return Found(None, Outcome.DISMISSED)
        _require_possible(entity_type, content)
        # Of two analyses at the same time the second waits for the first, and then finds its draft.
        proposal, is_new = _rows(entity_type, subject).get_or_create(
            entity_type=entity_type,
            subject=subject,
            origin=ProposalOrigin.ANALYSIS,
            state__in=OPEN,
            defaults={**content.columns, "evidence": evidence},
        )
        if is_new:
            proposal.refresh_from_db()
            _audit("draft", proposal, actor, before=None)
            return Found(proposal.pk, Outcome.DRAFTED)
    is_changed = _note(proposal, evidence, actor)
    if _is_untouched(proposal) and not _says(proposal, content):
        _require_possible(entity_type, content)
        _rewrite(proposal, content, actor)
        is_changed = True
    return Found(proposal.pk, Outcome.REFRESHED if is_changed else Outcome.UNCHANGED)


@transaction.atomic
def proposal_faded(*, entity_type: str, subject: str, evidence: JsonObject, actor: Actor) -> Found:
    """The open proposal of an analysis about that field has this evidence, which speaks against it; its content and
    its state stay, and people decide. Does nothing where there is none, or where it says so already.

    Raises: Denied; LockTimeout.
    """
    actor.require(PROPOSE)
    hold(LockSpace.SCHEMA_TYPE, [(entity_type,)], shared=True)
    proposal = _open(entity_type, subject)
    if proposal is None:
        return Found(None, Outcome.UNCHANGED)
    return Found(proposal.pk, Outcome.REFRESHED if _note(proposal, evidence, actor) else Outcome.UNCHANGED)


def proposals_found_open(*, entity_type: str) -> dict[str, JsonObject]:
    """The evidence of all open proposals of an analysis about the type, by field. One query."""
    rows = Proposal.objects.filter(entity_type=entity_type, origin=ProposalOrigin.ANALYSIS, state__in=OPEN)
    return dict(rows.values_list("subject", "evidence"))


def entity_types_found() -> list[str]:
    """The entity types about which an analysis has an open proposal. One query."""
    rows = Proposal.objects.filter(origin=ProposalOrigin.ANALYSIS, state__in=OPEN)
    return sorted(set(rows.order_by().values_list("entity_type", flat=True)))


def _rows(entity_type: str, subject: str) -> QuerySet[Proposal]:
    return Proposal.objects.select_for_update().filter(
        entity_type=entity_type, subject=subject, origin=ProposalOrigin.ANALYSIS
    )


def _open(entity_type: str, subject: str) -> Proposal | None:
    return _rows(entity_type, subject).filter(state__in=OPEN).first()


def _is_dismissed(entity_type: str, subject: str, evidence: JsonObject) -> bool:
    """Whether people did not want it, and not many more users have it by now. Another kind of pattern of the same field
    is another matter."""
    closed = _rows(entity_type, subject).exclude(state__in=OPEN).order_by("-pk")
    newest = closed.filter(evidence__pattern=evidence.get("pattern")).first()
    if newest is None or newest.state not in _DISMISSED:
        return False
    return _users(evidence) < _DISMISSED_UNTIL * _users(newest.evidence)


def _users(evidence: JsonObject) -> int:
    users = evidence.get("users")
    return users if isinstance(users, int) else 0


def _require_possible(entity_type: str, content: _Content) -> None:
    admissible_edits(entity_type=entity_type, base=content.base, edits=content.edits)


def _is_untouched(proposal: Proposal) -> bool:
    """Whether nobody but an analysis has had a hand in it."""
    is_at_rest = proposal.state in (State.DRAFT, State.STALE)
    return is_at_rest and proposal.author_id is None and proposal.last_editor_id is None


def _says(proposal: Proposal, content: _Content) -> bool:
    """Whether it says this of the version in force. Its title is not asked: a login may have found a better one."""
    is_based = proposal.state == State.DRAFT and proposal.base_version == content.base
    return is_based and _has_edits(proposal, content)


def _has_edits(proposal: Proposal, content: _Content) -> bool:
    edits: list[Json] = [edit.to_json() for edit in content.edits]
    return canonical_json(proposal.edits) == canonical_json(edits)


def _note(proposal: Proposal, evidence: JsonObject, actor: Actor) -> bool:
    """The proposal has this evidence; says whether it had other. Figures that move are no event: that they speak for
    the proposal, or against it, is one."""
    before = proposal.evidence
    if canonical_json(before) == canonical_json(evidence):
        return False
    Proposal.objects.filter(pk=proposal.pk).update(evidence=evidence)
    proposal.evidence = evidence
    if before.get("eligible") != evidence.get("eligible"):
        _audit("weigh", proposal, actor, before={"eligible": before.get("eligible")})
    return True


def _rewrite(proposal: Proposal, content: _Content, actor: Actor) -> None:
    """The draft says what the analysis found now; a stale one is a draft again. A title of other edits says nothing."""
    before = _told(proposal)
    columns = {"base_version": content.base} if _has_edits(proposal, content) else content.columns
    Proposal.objects.filter(pk=proposal.pk).update(**columns, state=State.DRAFT.value)
    proposal.refresh_from_db()
    _audit("refresh", proposal, actor, before=before)


def _told(proposal: Proposal) -> JsonObject:
    base = proposal.base_version
    return {
        "state": str(proposal.state),
        "base": base.number if base else None,
        "content_hash": proposal.content_hash,
        "edits": proposal.edits,
        "title": proposal.title,
        "eligible": proposal.evidence.get("eligible"),
    }


def _audit(verb: str, proposal: Proposal, actor: Actor, *, before: JsonObject | None) -> None:
    audit_record(
        actor=actor,
        action=f"proposal.{verb}",
        target_type="proposal",
        target_id=proposal.pk,
        before=before,
        after={**_told(proposal), "entity_type": proposal.entity_type, "field": proposal.subject},
        reason=proposal.reason if verb == "draft" else "",
    )
