"""What an undone proposal took from owners is given back to them, user by user: by a job, right after the undo.

Until an owner's turn comes, what the global schema had absorbed is declared nowhere for that owner: records that come
in leave fragments, and snapshots wait. The floors above are told when all have theirs back, and then they look once.
"""

from __future__ import annotations

from dataclasses import dataclass

from django.db import transaction
from django.db.models.functions import Now

from registry.cache import schema_changing
from registry.domain.definition import Definition
from registry.domain.extension import EMPTY_EXTENSION
from registry.domain.restoration import fields_to_give_back, own_definition_to_give_back
from registry.models import (
    ExtensionRevision,
    Proposal,
    ProposalAct,
    ProposalEffect,
    RevisionCause,
    SchemaVersion,
)
from registry.selectors import extension_in_force, version_in_force
from registry.selectors_registration import versions_of
from registry.selectors_restoring import absorbed_in, own_version_adopted, revisions_that_took
from registry.services.activation import version_put_in_force
from registry.services.extensions import revision_write
from registry.services.locking import announce_change
from registry.services.proposal_effects import given_back_count, jobs_owed
from registry.services.quotas import quota_may_pass
from registry.services.schemas import version_register
from schemaevo.kernel.actors import Actor
from schemaevo.kernel.locks import LockSpace, hold

#: The job kind that gives back what undone proposals took; its target is the entity type.
RESTORE = "restore_extensions"
#: Owners who get theirs back in one transaction, which holds up their ingest and nobody else's.
CHUNK_USERS = 50


@dataclass(frozen=True, slots=True)
class Restored:
    """How many owners of a chunk got something back, and the user up to whom all have; None at the end."""

    owners: int
    up_to_user: int | None


def undone_proposal(entity_type: str) -> int | None:
    """The first undone proposal of the type whose owners do not have everything back."""
    found = ProposalEffect.objects.filter(
        entity_type=entity_type, act=ProposalAct.UNDO, settled_at__isnull=True
    )
    return found.order_by("proposal").values_list("proposal", flat=True).first()


@transaction.atomic
def extensions_restore(*, proposal_id: int, after_user: int, actor: Actor) -> Restored:
    """The next owners after `after_user` have back what the global schema of that undone proposal took from them: their
    fields in their extensions, or, where no global schema is in force any more, their own schemas.

    What they changed since stays. With the last ones the proposal is through. Raises: Denied; LockTimeout.
    """
    actor.require("registry.extend_schema")
    proposal = Proposal.objects.select_related("applied_version").get(pk=proposal_id)
    taken = revisions_that_took(proposal)
    user_ids = list(
        taken.filter(user_id__gt=after_user).order_by("user_id").values_list("user_id", flat=True).distinct()
    )[:CHUNK_USERS]
    hold(LockSpace.SCHEMA_TYPE, [(proposal.entity_type,)], shared=True)
    hold(LockSpace.SCHEMA_OWNER, [(proposal.entity_type, user_id) for user_id in user_ids])
    shared = version_in_force(entity_type=proposal.entity_type, user_id=None)
    owners = 0
    for user_id in user_ids:
        revisions = list(taken.filter(user_id=user_id).order_by("revision"))
        with quota_may_pass(cause=RevisionCause.RESTORATION, actor=actor):
            if shared is None:
                owners += _own_schema_back(proposal, user_id, revisions, actor)
            else:
                owners += _fields_back(proposal, shared.parsed, user_id, revisions, actor)
    if len(user_ids) == CHUNK_USERS:
        return Restored(owners, user_ids[-1])
    ProposalEffect.objects.filter(proposal=proposal, act=ProposalAct.UNDO).update(settled_at=Now())
    return Restored(owners, None)


@transaction.atomic
def restorations_end(*, entity_type: str) -> None:
    """The floors above are told of what undone proposals changed, and their jobs belong to these."""
    announce_change(SchemaVersion, entity_type, None)
    jobs = jobs_owed(entity_type)
    open_ones = ProposalEffect.objects.filter(
        entity_type=entity_type, act=ProposalAct.UNDO, promoted_at__isnull=True
    )
    undone = Proposal.objects.filter(pk__in=open_ones.values("proposal"))
    for proposal in undone.select_for_update().order_by("pk"):
        noted = [*proposal.undo_jobs, *(job_id for job_id in jobs if job_id not in proposal.undo_jobs)]
        Proposal.objects.filter(pk=proposal.pk).update(undo_jobs=noted)


def _fields_back(
    proposal: Proposal,
    shared: Definition,
    user_id: int,
    revisions: list[ExtensionRevision],
    actor: Actor,
) -> int:
    """The extension declares again what was absorbed and the global schema does not declare like this any more."""
    present = extension_in_force(entity_type=proposal.entity_type, user_id=user_id)
    held = present.parsed if present else EMPTY_EXTENSION
    missing = fields_to_give_back(shared, held, absorbed_in(revisions))
    if not missing:
        return 0
    revision_write(
        entity_type=proposal.entity_type,
        user_id=user_id,
        extension=held.with_fields(missing),
        before=present,
        actor=actor,
        cause=RevisionCause.RESTORATION,
        cause_version=proposal.applied_version,
        note=f"given back by the undo of proposal {proposal.pk}",
    )
    schema_changing(entity_type=proposal.entity_type, user_id=user_id)
    given_back_count(entity_type=proposal.entity_type, names=[declared.field.name for declared in missing])
    return 1


def _own_schema_back(
    proposal: Proposal, user_id: int, revisions: list[ExtensionRevision], actor: Actor
) -> int:
    """The own schema that was adopted is in force again, with what the owner added to the extension since, and the
    extension says nothing."""
    entity_type = proposal.entity_type
    present = extension_in_force(entity_type=entity_type, user_id=user_id)
    own = own_version_adopted(present, revisions)
    if present is None or own is None:
        return 0
    absorbed = absorbed_in(revisions)
    wanted = own_definition_to_give_back(own.parsed, absorbed, present.parsed)
    revision_write(
        entity_type=entity_type,
        user_id=user_id,
        extension=EMPTY_EXTENSION,
        before=present,
        actor=actor,
        cause=RevisionCause.RESTORATION,
        cause_version=proposal.applied_version,
        note=f"own schema given back by the undo of proposal {proposal.pk}",
    )
    # The very version that was adopted, unless the owner added something since.
    version = version_register(
        entity_type=entity_type,
        user_id=user_id,
        versions=versions_of(entity_type=entity_type, user_id=user_id),
        definition=wanted,
        actor=actor,
        note=f"given back by the undo of proposal {proposal.pk}",
        needs_compatible=False,
    ).version
    version_put_in_force(version=version, actor=actor, proposal_id=proposal.pk, is_announced=False)
    given_back_count(entity_type=entity_type, names=[*absorbed.additional_fields])
    return 1
