"""Applying an approved proposal, and undoing it: one transaction each, and then jobs.

The transaction takes as long with ten thousand users as with ten. It puts a version in force; what follows is done by
the jobs that every such change asks for, and by one more after an undo, which gives absorbed fields back.
"""

from __future__ import annotations

from django.db import transaction
from django.db.models.functions import Now

from registry.domain.compatibility import IncompatibleChange
from registry.domain.definition import NO_FIELDS
from registry.domain.edit_documents import parse_edits
from registry.domain.edits import edited
from registry.domain.problems import InvalidDefinition, InvalidEdits
from registry.domain.proposal import Action, State, refusal_code
from registry.domain.targets import job_target
from registry.errors_proposals import (
    LaterVersion,
    NotApproved,
    StaleProposal,
)
from registry.models import Proposal, ProposalAct, ProposalEffect
from registry.selectors import version_in_force
from registry.selectors_registration import versions_of
from registry.services.activation import (
    SETTLE,
    version_put_in_force,
    version_take_out_of_force,
)
from registry.services.locking import hold_for_change
from registry.services.proposal_effects import effects_begin, jobs_owed
from registry.services.proposal_moves import (
    proposal_by_id,
    proposal_for_update,
    proposal_move,
    require_move,
)
from registry.services.proposal_reviews import approvals_counted
from registry.services.restoring import RESTORE
from registry.services.schemas import require_compatible_version, version_register
from schemaevo.kernel.actors import Actor
from schemaevo.kernel.canonical import require_storable
from schemaevo.kernel.errors import DomainError
from schemaevo.kernel.jobs import job_request
from schemaevo.kernel.models import Job

MAY_APPLY = "registry.apply_proposal"

#: By these the schema itself refuses the change: what was approved cannot be applied as it is.
_FAILURES = (IncompatibleChange, InvalidEdits, InvalidDefinition)


def proposal_apply(*, proposal_id: int, actor: Actor, note: str = "") -> Proposal:
    """What was approved is the global schema in force, and jobs carry it to every user.

    Where the schema refuses it (other versions than at the approval may have come and gone, or the compatibility mode
    changed), nothing happens, and the proposal is failed and says why.

    Raises: Denied `permission_denied`, `login_needed`; ProposalNotFound; WrongState `already_decided`, `wrong_state`;
    StaleProposal; NotApproved; IncompatibleChange, InvalidEdits, InvalidDefinition; Unstorable for a note; LockTimeout.
    """
    _authorise(actor, note)
    try:
        with transaction.atomic():
            return _apply(proposal_id, actor, note)
    except _FAILURES as refusal:
        _note_failure(proposal_id, refusal, actor)
        raise


@transaction.atomic
def proposal_undo(*, proposal_id: int, actor: Actor, note: str = "") -> Proposal:
    """The version before the proposal is in force again, or none where there was none.

    A job gives absorbed fields back to the owners who had them; then fragments that were promoted wait again where
    their field is not declared any more, and snapshots follow. Compatibility is not asked: what was in force before may
    be so again.

    Raises: Denied `permission_denied`, `login_needed`; ProposalNotFound; WrongState `already_decided`, `wrong_state`;
    LaterVersion where another version came into force since; Unstorable for a note; LockTimeout.
    """
    _authorise(actor, note)
    proposal = _held(proposal_id)
    to = require_move(proposal, Action.UNDO)
    applied = version_in_force(entity_type=proposal.entity_type, user_id=None)
    if applied is None or applied.pk != proposal.applied_version_id:
        raise LaterVersion(proposal.pk, applied.number if applied else None)
    if proposal.base_version is not None:
        version_put_in_force(
            version=proposal.base_version, actor=actor, proposal_id=proposal.pk, is_announced=False
        )
    else:
        version_take_out_of_force(version=applied, actor=actor, proposal_id=proposal.pk, is_announced=False)
    effects_begin(proposal=proposal, act=ProposalAct.UNDO)
    job_request(kind=RESTORE, target=job_target(proposal.entity_type, None))
    return proposal_move(
        proposal=proposal,
        action=Action.UNDO,
        to=to,
        actor=actor,
        reason=note,
        after={"in_force": proposal.base_version.number if proposal.base_version else None},
        columns={"undone_at": Now(), "undo_jobs": jobs_owed(proposal.entity_type)},
    )


def _apply(proposal_id: int, actor: Actor, note: str) -> Proposal:
    proposal = _held(proposal_id)
    to = require_move(proposal, Action.APPLY)
    entity_type = proposal.entity_type
    present = version_in_force(entity_type=entity_type, user_id=None)
    if (present.pk if present else None) != proposal.base_version_id:
        raise StaleProposal(proposal.pk, present.number if present else None)
    if approvals_counted(proposal) < proposal.required_approvals:
        raise NotApproved(proposal.pk, proposal.required_approvals)
    definition = edited(present.parsed if present else NO_FIELDS, parse_edits(proposal.edits))
    versions = versions_of(entity_type=entity_type, user_id=None)
    version = version_register(
        entity_type=entity_type,
        user_id=None,
        versions=versions,
        definition=definition,
        actor=actor,
        note=f"proposal {proposal.pk}: {proposal.title}",
    ).version
    require_compatible_version(version, versions)
    version_put_in_force(version=version, actor=actor, proposal_id=proposal.pk)
    effects_begin(proposal=proposal, act=ProposalAct.APPLY)
    jobs = jobs_owed(entity_type)
    if not Job.objects.filter(pk__in=jobs, kind=SETTLE).exists():
        # Nobody has anything of their own that would have to be settled.
        ProposalEffect.objects.filter(proposal=proposal, act=ProposalAct.APPLY).update(settled_at=Now())
    return proposal_move(
        proposal=proposal,
        action=Action.APPLY,
        to=to,
        actor=actor,
        reason=note,
        after={"in_force": version.number},
        columns={"applied_version": version, "applied_at": Now(), "apply_jobs": jobs, "error": ""},
    )


def _authorise(actor: Actor, note: str) -> None:
    actor.require(MAY_APPLY)
    actor.require_login()
    require_storable(note)


def _held(proposal_id: int) -> Proposal:
    """The proposal, under the lock of its type and then of its row."""
    hold_for_change(proposal_by_id(proposal_id).entity_type, None)
    return proposal_for_update(proposal_id)


@transaction.atomic
def _note_failure(proposal_id: int, refusal: DomainError, actor: Actor) -> None:
    """The refused proposal is failed, unless somebody moved it meanwhile."""
    proposal = _held(proposal_id)
    if refusal_code(Action.FAIL, State(proposal.state)) is None:
        proposal_move(
            proposal=proposal,
            action=Action.FAIL,
            to=require_move(proposal, Action.FAIL),
            actor=actor,
            after={"code": refusal.code},
            columns={"error": str(refusal)},
        )
