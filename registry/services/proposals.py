"""Proposals up to their review: drafted, edited, submitted, withdrawn, talked about, and moved to another base."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from django.conf import settings
from django.db import transaction
from django.db.models.functions import Now
from django.utils import timezone

from registry.domain.compatibility import IncompatibleChange
from registry.domain.definition import NO_FIELDS
from registry.domain.diff import diff
from registry.domain.edits import Edit, edited
from registry.domain.proposal import Action, State
from registry.domain.proposal_edits import parse_proposal_edits, rebased_edits
from registry.errors_proposals import EmptyProposal, NotOwnProposal, StaleContent
from registry.models import Proposal, ProposalComment, ProposalNews, ProposalOrigin, SchemaVersion
from registry.selectors import compatibility_mode, version_in_force
from registry.selectors_registration import incompatible_with, versions_of
from registry.services.locking import require_entity_type
from registry.services.proposal_moves import (
    proposal_by_id,
    proposal_for_update,
    proposal_move,
    require_move,
)
from registry.services.proposal_notices import notices_owe
from schemaevo.kernel.actors import Actor
from schemaevo.kernel.audit import audit_record
from schemaevo.kernel.canonical import Json, JsonObject, canonical_json, require_storable
from schemaevo.kernel.errors import Invalid
from schemaevo.kernel.locks import LockSpace, hold

PROPOSE: Final = "registry.propose_schema"
DECIDE: Final = "registry.decide_proposal"

TITLE_MAX: Final = 200
#: Characters of a reason, a note or a comment.
TEXT_MAX: Final = 10_000


@dataclass(frozen=True, slots=True)
class Rebased:
    """A proposal that begins from what is in force now: what it said before and says now, both as edits, and the paths
    of what both sides had changed otherwise."""

    proposal: Proposal
    clashes: tuple[str, ...]
    before: list[Json]
    after: list[Json]


@transaction.atomic
def proposal_draft(
    *,
    entity_type: str,
    title: str,
    edits: Json,
    actor: Actor,
    reason: str = "",
    origin: ProposalOrigin = ProposalOrigin.LOGIN,
) -> Proposal:
    """There is a draft that changes the global schema in force, or makes the first one, by these edits.

    `edits` is a list as `registry.domain.edit_documents` describes it, of those that
    `registry.domain.proposal_edits.PROPOSABLE_OPS` names. Raises: Denied `permission_denied`, `login_needed`; Invalid
    `invalid_entity_type`, `title_needed`, `title_too_long`, `text_too_long`; InvalidEdits `invalid_edits` and
    InvalidDefinition `invalid_definition` with every problem; EmptyProposal `empty_proposal`; IncompatibleChange
    `incompatible_change` with every reason; Unstorable for a text; LockTimeout.
    """
    actor.require(PROPOSE)
    author = actor.require_login()
    require_entity_type(entity_type)
    title, reason = _title(title), text_of(reason)
    parsed = parse_proposal_edits(edits)
    # What is in force stands still until the draft is there; else it would be outdated unseen.
    hold(LockSpace.SCHEMA_TYPE, [(entity_type,)], shared=True)
    base = version_in_force(entity_type=entity_type, user_id=None)
    proposal = Proposal.objects.create(
        entity_type=entity_type,
        title=title,
        reason=reason,
        base_version=base,
        edits=admissible_edits(entity_type=entity_type, base=base, edits=parsed),
        origin=origin,
        author=author,
    )
    proposal.refresh_from_db()
    audit_record(
        actor=actor,
        action="proposal.draft",
        target_type="proposal",
        target_id=proposal.pk,
        after={
            "state": proposal.state,
            "entity_type": entity_type,
            "base": base.number if base else None,
            "content_hash": proposal.content_hash,
            "edits": proposal.edits,
            "title": title,
        },
        reason=reason,
    )
    return proposal


@transaction.atomic
def proposal_edit(
    *,
    proposal_id: int,
    actor: Actor,
    edits: Json = None,
    title: str | None = None,
    reason: str | None = None,
    expected_hash: str | None = None,
) -> Proposal:
    """The proposal has these edits instead, this title and this reason; what is None stays.

    Other content voids every approval and needs another trial; what was approved, or failed, is in review again. A
    title or reason alone does neither. What says the same already changes nothing. `expected_hash` is the content that
    the editor looked at. Raises: as `proposal_draft`; ProposalNotFound; WrongState `wrong_state`; StaleContent
    `stale_content`.
    """
    actor.require(PROPOSE)
    editor = actor.require_login()
    parsed = None if edits is None else parse_proposal_edits(edits)
    texts = {}
    if title is not None:
        texts["title"] = _title(title)
    if reason is not None:
        texts["reason"] = text_of(reason)
    proposal = proposal_for_update(proposal_id)
    to = require_move(proposal, Action.EDIT)
    if expected_hash is not None and expected_hash != proposal.content_hash:
        raise StaleContent(proposal_id, expected_hash, proposal.content_hash)
    stored = proposal.edits
    if parsed is not None:
        base = proposal.base_version
        stored = admissible_edits(entity_type=proposal.entity_type, base=base, edits=parsed)
    texts = {name: text for name, text in texts.items() if getattr(proposal, name) != text}
    before: JsonObject = {name: getattr(proposal, name) for name in texts}
    if canonical_json(stored) != canonical_json(proposal.edits):
        return proposal_move(
            proposal=proposal,
            action=Action.EDIT,
            to=to,
            actor=actor,
            before={**before, "content_hash": proposal.content_hash, "edits": proposal.edits},
            after={**texts, "edits": stored},
            columns={**texts, "edits": stored, "last_editor": editor, "error": ""},
        )
    if not texts:
        return proposal
    return proposal_move(
        proposal=proposal,
        action=Action.EDIT,
        to=State(proposal.state),
        actor=actor,
        before=before,
        after=dict(texts),
        columns=texts,
    )


@transaction.atomic
def proposal_submit(*, proposal_id: int, actor: Actor, note: str = "") -> Proposal:
    """Others can decide about the proposal, until it expires; of what an analysis found, whoever submits it is the
    author from now on.

    Its author may ask again. Raises: Denied `permission_denied`, `login_needed`; ProposalNotFound; WrongState
    `wrong_state`; Invalid `text_too_long`; Unstorable for a note.
    """
    actor.require(PROPOSE)
    login = actor.require_login()
    note = text_of(note)
    proposal = proposal_for_update(proposal_id)
    if proposal.state == State.IN_REVIEW and proposal.author_id == login.pk:
        return proposal
    to = require_move(proposal, Action.SUBMIT)
    required = settings.SCHEMAEVO_PROPOSAL_APPROVALS
    if proposal.submitted_at is not None:
        # It does not come through more easily for being submitted again.
        required = max(required, proposal.required_approvals)
    days = settings.SCHEMAEVO_PROPOSAL_EXPIRY_DAYS
    expires_at = timezone.now() + timedelta(days=days) if days else None
    return proposal_move(
        proposal=proposal,
        action=Action.SUBMIT,
        to=to,
        actor=actor,
        reason=note,
        after={
            "author": proposal.author_id or login.pk,
            "required_approvals": required,
            "expires_at": expires_at.isoformat() if expires_at else None,
        },
        columns={
            "author": proposal.author or login,
            "required_approvals": required,
            "submitted_at": Now(),
            "expires_at": expires_at,
        },
    )


@transaction.atomic
def proposal_withdraw(*, proposal_id: int, actor: Actor, note: str = "") -> Proposal:
    """Nothing comes of the proposal. Only its author can do that, or, while it has none, whoever may propose.

    Once more changes nothing. Raises: as `proposal_submit`; NotOwnProposal `not_own_proposal`.
    """
    actor.require(PROPOSE)
    login = actor.require_login()
    note = text_of(note)
    proposal = proposal_for_update(proposal_id)
    if proposal.author_id is not None and proposal.author_id != login.pk:
        raise NotOwnProposal(proposal_id)
    if proposal.state == State.WITHDRAWN:
        return proposal
    to = require_move(proposal, Action.WITHDRAW)
    return proposal_move(proposal=proposal, action=Action.WITHDRAW, to=to, actor=actor, reason=note)


@transaction.atomic
def proposal_comment(*, proposal_id: int, actor: Actor, text: str) -> ProposalComment:
    """Something was said about the proposal, in any state. Saying the same twice in a row says it once.

    Raises: Denied `permission_denied`, `login_needed`; ProposalNotFound; Invalid `comment_needed`, `text_too_long`;
    Unstorable.
    """
    # Whoever decides has to be able to say something, too.
    if not (actor.user is not None and actor.user.has_perm(DECIDE)):
        actor.require(PROPOSE)
    login = actor.require_login()
    text = text_of(text)
    if not text:
        raise Invalid("comment_needed", "A comment says something.")
    proposal = proposal_for_update(proposal_id)
    require_move(proposal, Action.COMMENT)
    newest = ProposalComment.objects.filter(proposal=proposal).order_by("-pk").first()
    if newest is not None and (newest.written_by_id, newest.text) == (login.pk, text):
        return newest
    comment = ProposalComment.objects.create(proposal=proposal, written_by=login, text=text)
    comment.refresh_from_db()
    event = audit_record(
        actor=actor,
        action="proposal.comment",
        target_type="proposal",
        target_id=proposal.pk,
        after={"comment": comment.pk, "state": proposal.state},
    )
    notices_owe(news=ProposalNews.COMMENTED, happened=[(proposal, event)])
    return comment


@transaction.atomic
def proposal_rebase(*, proposal_id: int, actor: Actor) -> Rebased:
    """The stale proposal does to what is in force now what it did to its base, and is a draft again.

    Of what both sides changed otherwise, the proposal's side stands, and the result tells. Raises: Denied
    `permission_denied`, `login_needed`; ProposalNotFound; WrongState `wrong_state`; EmptyProposal `empty_proposal`
    where all of it is in force by now; InvalidDefinition, IncompatibleChange; LockTimeout.
    """
    actor.require(PROPOSE)
    editor = actor.require_login()
    entity_type = proposal_by_id(proposal_id).entity_type
    hold(LockSpace.SCHEMA_TYPE, [(entity_type,)], shared=True)
    proposal = proposal_for_update(proposal_id)
    to = require_move(proposal, Action.REBASE)
    was: list[Json] = proposal.edits
    base, present = proposal.base_version, version_in_force(entity_type=entity_type, user_id=None)
    moved = rebased_edits(
        base.parsed if base else NO_FIELDS,
        parse_proposal_edits(was),
        present.parsed if present else NO_FIELDS,
    )
    stored = admissible_edits(entity_type=entity_type, base=present, edits=moved.edits)
    columns: dict[str, Any] = {"edits": stored, "base_version": present}
    if present != base or canonical_json(stored) != canonical_json(was):
        columns["last_editor"] = editor
    proposal = proposal_move(
        proposal=proposal,
        action=Action.REBASE,
        to=to,
        actor=actor,
        before={
            "base": base.number if base else None,
            "content_hash": proposal.content_hash,
            "edits": was,
        },
        after={
            "base": present.number if present else None,
            "edits": stored,
            "clashes": list(moved.clashes),
        },
        columns=columns,
    )
    return Rebased(proposal, moved.clashes, was, stored)


def admissible_edits(*, entity_type: str, base: SchemaVersion | None, edits: Sequence[Edit]) -> list[Json]:
    """The edits in their one written form, if they can be made to the base, change something, and lead to what may
    come into force by the mode of the type.

    Raises: InvalidEdits, InvalidDefinition, EmptyProposal, IncompatibleChange.
    """
    before = base.parsed if base else NO_FIELDS
    after = edited(before, edits)
    if not diff(before, after):
        raise EmptyProposal(entity_type)
    mode = compatibility_mode(entity_type=entity_type)
    reasons = incompatible_with(mode, after, versions_of(entity_type=entity_type, user_id=None))
    if reasons:
        raise IncompatibleChange(mode, reasons)
    return [edit.to_json() for edit in edits]


def text_of(text: str) -> str:
    """A reason, note or comment without the white space around it. Raises: Invalid `text_too_long`; Unstorable."""
    require_storable(text)
    text = text.strip()
    if len(text) > TEXT_MAX:
        raise Invalid("text_too_long", f"A text has at most {TEXT_MAX} characters.", maximum=TEXT_MAX)
    return text


def _title(title: str) -> str:
    require_storable(title)
    title = " ".join(title.split())
    if not title:
        raise Invalid("title_needed", "A proposal needs a title.")
    if len(title) > TITLE_MAX:
        raise Invalid("title_too_long", f"A title has at most {TITLE_MAX} characters.", maximum=TITLE_MAX)
    return title
