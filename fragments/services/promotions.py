"""Promotion: a field that lived in fragments is declared for one user, and what waits of it becomes observations.

The schema changes here, in the caller's request, under its locks and within the owner's quota; the fragments follow by
a job (fragments.services.backfill), which every change of what is in force asks for anyway.
"""

from __future__ import annotations

from dataclasses import dataclass

from django.db import transaction

from fragments.domain.declaring import declaration_read, document_with, document_without
from fragments.errors import NoTypeKnown, PromotionNotFound
from fragments.models import DismissalOrigin, Promotion, PromotionCause, PromotionState
from fragments.selectors_declaring import promotion_refusal
from fragments.selectors_undo import undo_refusal
from fragments.services.dismissals import field_dismiss
from fragments.services.own_schemas import own_put_in_force
from registry.selectors import schema_standing
from registry.services.extensions import extension_add_fields, extension_remove_fields
from registry.services.locking import hold_for_change, require_entity_type
from schemaevo.kernel.actors import Actor
from schemaevo.kernel.audit import audit_record
from schemaevo.kernel.canonical import JsonObject, require_storable

MAY_PROMOTE = "fragments.promote_field"


@dataclass(frozen=True, slots=True)
class Promoted:
    """A promotion, and what to tell about the owner's quota."""

    promotion: Promotion
    warning: str = ""


@transaction.atomic
def field_promote(
    *,
    user_id: int,
    entity_type: str,
    field: str,
    declaration: JsonObject,
    actor: Actor,
    cause: PromotionCause = PromotionCause.LOGIN,
    note: str = "",
) -> Promoted:
    """The field is declared for this user, and a job is asked for that turns its waiting fragments into observations.

    `declaration` is written as an additional field of an extension (registry.domain.extension). Where a global schema
    is in force the user's extension gains the field, else the user's own schema, as a new version that is in force.

    Raises: Denied; Invalid `invalid_entity_type`; Undeclared `undeclared_type`; AlreadyDeclared `already_declared`;
    NoFragments `no_fragments`; NoTypeKnown `no_type_known` for a declaration without a type; InvalidExtension,
    InvalidDefinition with every problem of the declaration; NothingToExtend `not_adopted`; IncompatibleChange;
    QuotaReached `quota_exceeded`; Unstorable for such a note; LockTimeout.
    """
    actor.require(MAY_PROMOTE)
    require_storable([field, note])
    require_entity_type(entity_type)
    if not declaration.get("type"):
        raise NoTypeKnown(entity_type, field)
    declared = declaration_read(field, declaration)
    hold_for_change(entity_type, user_id)
    standing = schema_standing(entity_type=entity_type, user_id=user_id)
    refusal = promotion_refusal(standing=standing, entity_type=entity_type, user_id=user_id, field=field)
    if refusal is not None:
        raise refusal
    promotion = Promotion.objects.create(
        user_id=user_id,
        entity_type=entity_type,
        fragment_key=field,
        declaration=declared.to_json(),
        cause=cause,
        requested_by=actor.user,
        note=note,
    )
    why = note or f"promotion {promotion.pk}"
    if standing.shared is not None:
        warning = extension_add_fields(
            entity_type=entity_type, user_id=user_id, declarations=[declared], actor=actor, note=why
        ).warning
    else:
        assert standing.own is not None  # noqa: S101  else nothing is declared, and it would have been refused
        warning = own_put_in_force(standing, document_with(standing.own.parsed, declared), actor, why)
    audit_record(
        actor=actor,
        action="promotion.begin",
        target_type="promotion",
        target_id=promotion.pk,
        after={
            "state": promotion.state,
            "entity_type": entity_type,
            "owner": user_id,
            "field": field,
            "declaration": promotion.declaration,
            "cause": cause.value,
        },
        reason=note,
    )
    return Promoted(promotion, warning)


@transaction.atomic
def promotion_undo(*, promotion_id: int, actor: Actor, note: str = "") -> Promoted:
    """The field is not declared any more, its quota is given back, and a job lets its fragments wait again.

    The observations that the promotion made stay, and say nothing while the field is not declared.

    Raises: Denied; PromotionNotFound; NotToBeUndone `already_undone`, `not_the_newest`, or `declared_otherwise` where
    the field left the user's part of the schema in another way; IncompatibleChange; Unstorable for such a note;
    LockTimeout.
    """
    actor.require(MAY_PROMOTE)
    require_storable(note)
    promotion = Promotion.objects.filter(pk=promotion_id).first()
    if promotion is None:
        raise PromotionNotFound(promotion_id)
    entity_type, user_id, field = promotion.entity_type, promotion.user_id, promotion.fragment_key
    hold_for_change(entity_type, user_id)
    promotion.refresh_from_db()
    standing = schema_standing(entity_type=entity_type, user_id=user_id)
    refusal = undo_refusal(promotion=promotion, standing=standing)
    if refusal is not None:
        raise refusal
    why = note or f"undo of promotion {promotion.pk}"
    warning = ""
    if standing.shared is not None:
        extension_remove_fields(
            entity_type=entity_type, user_id=user_id, names=[field], actor=actor, note=why
        )
    else:
        assert standing.own is not None  # noqa: S101  else it would have been refused
        warning = own_put_in_force(standing, document_without(standing.own.parsed, field), actor, why)
    before = promotion.state
    # Else it would be recommended again at once, and promoted again where that goes by itself.
    field_dismiss(
        entity_type=entity_type,
        name=field,
        user_id=user_id,
        actor=actor,
        reason=why,
        origin=DismissalOrigin.UNDO,
    )
    promotion.state = PromotionState.UNDOING
    promotion.save(update_fields=["state"])
    audit_record(
        actor=actor,
        action="promotion.undo",
        target_type="promotion",
        target_id=promotion.pk,
        before={"state": before},
        after={"state": promotion.state, "entity_type": entity_type, "owner": user_id, "field": field},
        reason=note,
    )
    return Promoted(promotion, warning)
