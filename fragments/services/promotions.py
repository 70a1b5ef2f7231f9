"""Promotion: a field that lived in fragments is declared for one user, and what waits of it becomes observations.

The schema changes here, in the caller's request, under its locks and within the owner's quota; the fragments follow by
a job (fragments.services.backfill), which every change of what is in force asks for anyway.
"""

from __future__ import annotations

from dataclasses import dataclass

from django.db import transaction

from fragments.errors import (
    AlreadyDeclared,
    NoFragments,
    NoTypeKnown,
    PromotionNotFound,
    Undeclared,
)
from fragments.models import DismissalOrigin, Promotion, PromotionCause, PromotionState, RawFragment
from fragments.selectors_undo import undo_refusal
from fragments.services.dismissals import field_dismiss
from registry.domain.definition import Declaration, Definition
from registry.domain.extension import Extension, parse_extension
from registry.selectors import Standing, schema_standing
from registry.services.activation import schema_activate
from registry.services.extensions import extension_add_fields, extension_remove_fields
from registry.services.locking import hold_for_change, require_entity_type
from registry.services.schemas import schema_register
from schemaevo.kernel.actors import Actor
from schemaevo.kernel.audit import audit_record
from schemaevo.kernel.canonical import Json, JsonObject, require_storable

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
    declared = _parsed(field, declaration)
    hold_for_change(entity_type, user_id)
    standing = schema_standing(entity_type=entity_type, user_id=user_id)
    effective = standing.definition
    if effective is None:
        raise Undeclared(entity_type)
    if field in effective.fields:
        raise AlreadyDeclared(entity_type, field, effective.fields[field].type.value)
    known = RawFragment.objects.filter(
        user_id=user_id, entity_type=entity_type, fragment_key=field, is_retracted=False
    )
    if not known.exists():
        promoted_before = Promotion.objects.filter(
            user_id=user_id, entity_type=entity_type, fragment_key=field
        )
        # What was promoted, undone and cleaned up since lives on in its observations.
        if not promoted_before.exists():
            raise NoFragments(entity_type, field)
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
        warning = _put_in_force(standing, _with(effective, declared), actor, why)
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
        warning = _put_in_force(standing, _without(standing.own.parsed, field), actor, why)
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


def _parsed(field: str, declaration: Json) -> Declaration:
    """Raises: InvalidExtension."""
    return parse_extension({"additional_fields": {field: declaration}}).declaration(field)


def _with(definition: Definition, declared: Declaration) -> JsonObject:
    extension = Extension.of_own_schema(definition).with_fields([declared])
    return _document(definition, extension)


def _without(definition: Definition, field: str) -> JsonObject:
    return _document(definition, Extension.of_own_schema(definition).without([field]))


def _document(definition: Definition, extension: Extension) -> JsonObject:
    """The definition with the fields and policies of the extension for its own; the kind order stays."""
    document = definition.to_json()
    document["fields"] = {name: field.to_json() for name, field in extension.additional_fields.items()}
    document["merge_policies"] = {name: policy.to_json() for name, policy in extension.merge_policies.items()}
    return document


def _put_in_force(standing: Standing, document: JsonObject, actor: Actor, note: str) -> str:
    """The document is the version in force of the user's own schema; gives what to tell about the quota."""
    assert standing.own is not None  # noqa: S101  without a global schema nothing else is in force
    registered = schema_register(
        entity_type=standing.own.entity_type,
        document=document,
        actor=actor,
        user_id=standing.own.user_id,
        note=note,
    )
    activated = schema_activate(version_id=registered.version.pk, actor=actor)
    return activated.quota_warning or registered.warning
