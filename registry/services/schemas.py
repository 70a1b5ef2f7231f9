"""Registering versions: a whole definition, or edits of the one that is there."""

from collections.abc import Sequence
from dataclasses import dataclass

from django.db import transaction

from registry.domain.compatibility import IncompatibleChange
from registry.domain.definition import NO_FIELDS, Definition
from registry.domain.edit_documents import parse_edits
from registry.domain.edits import edited
from registry.domain.validation import parse_definition
from registry.errors import SchemaNotFound, StaleBase
from registry.models import Schema, SchemaVersion
from registry.selectors import compatibility_mode, owned_by
from registry.selectors_registration import (
    incompatible_with,
    registration_among,
    version_to_edit,
    versions_of,
)
from registry.services.locking import hold_for_change, require_entity_type
from registry.services.quotas import quota_noticed, quota_refusals
from schemaevo.kernel.actors import Actor
from schemaevo.kernel.audit import audit_record
from schemaevo.kernel.canonical import Json, content_hash, require_storable


@dataclass(frozen=True, slots=True)
class Registered:
    """What a registration came to: the version, whether it is new, and what to tell about the owner's quota."""

    version: SchemaVersion
    created: bool
    warning: str = ""


@transaction.atomic
def schema_register(
    *,
    entity_type: str,
    document: Json,
    actor: Actor,
    user_id: int | None = None,
    note: str = "",
    base: str | None = None,
) -> Registered:
    """The definition is a version of the schema; it is not in force yet.

    `document` is the JSON of a definition: ``{"fields": …, "merge_policies": …}``. The number follows from the
    difference to the version in force (else to the newest) and counts on from the highest number. A definition
    equal to one that is registered returns that version. `base` is the number of the version that the author looked
    at, as for `schema_update`, and empty where there was none; if it is another by now, nothing is registered.

    Raises: Denied; Invalid `invalid_entity_type`; InvalidDefinition `invalid_definition` with every problem;
    StaleBase `stale_base`; IncompatibleChange `incompatible_change` with every reason; QuotaReached `quota_exceeded`;
    Unstorable for a note that cannot be stored; LockTimeout.
    """
    _authorise(actor, entity_type, note)
    definition = parse_definition(document)
    hold_for_change(entity_type, user_id)
    versions = versions_of(entity_type=entity_type, user_id=user_id)
    if base is not None:
        _require_base(entity_type, versions, base)
    return version_register(
        entity_type=entity_type,
        user_id=user_id,
        versions=versions,
        definition=definition,
        actor=actor,
        note=note,
    )


@transaction.atomic
def schema_update(
    *,
    entity_type: str,
    edits: Json,
    base: str,
    actor: Actor,
    user_id: int | None = None,
    note: str = "",
) -> Registered:
    """A version is registered that differs from `base` by these edits, and by nothing else.

    `edits` is a list as `registry.domain.edit_documents` describes it. `base` is the number of the newest draft, that
    is a version above the one in force that never was in force and is not retired; without a draft that of the version
    in force; where none is, of the newest. The version is not in force yet.

    Raises: as `schema_register`, and InvalidEdits `invalid_edits` with every problem; SchemaNotFound.
    """
    _authorise(actor, entity_type, note)
    parsed = parse_edits(edits)
    hold_for_change(entity_type, user_id)
    versions = versions_of(entity_type=entity_type, user_id=user_id)
    if not versions:
        raise SchemaNotFound(entity_type, base, "global" if user_id is None else f"user {user_id}")
    present = _require_base(entity_type, versions, base)
    definition = edited(present.parsed if present else NO_FIELDS, parsed)
    return version_register(
        entity_type=entity_type,
        user_id=user_id,
        versions=versions,
        definition=definition,
        actor=actor,
        note=note,
    )


def require_compatible_version(version: SchemaVersion, siblings: Sequence[SchemaVersion]) -> None:
    """The version may come after those of its schema that are or were in force, by the mode of its entity type.

    Raises: IncompatibleChange `incompatible_change` with every reason.
    """
    mode = compatibility_mode(entity_type=version.entity_type)
    others = [sibling for sibling in siblings if sibling.pk != version.pk]
    reasons = incompatible_with(mode, version.parsed, others)
    if reasons:
        raise IncompatibleChange(mode, reasons)


def _authorise(actor: Actor, entity_type: str, note: str) -> None:
    actor.require("registry.register_schema")
    require_storable(note)
    require_entity_type(entity_type)


def _require_base(entity_type: str, versions: Sequence[SchemaVersion], base: str) -> SchemaVersion | None:
    present = version_to_edit(versions)
    number = present.number if present else None
    if base != (number or ""):
        raise StaleBase(entity_type, base, number)
    return present


def version_register(
    *,
    entity_type: str,
    user_id: int | None,
    versions: Sequence[SchemaVersion],
    definition: Definition,
    actor: Actor,
    note: str,
    needs_compatible: bool = True,
) -> Registered:
    """The definition is a version of the schema whose versions are these.

    The caller holds the lock of type and owner, read `versions` under it, and answers for the actor's right. Raises:
    IncompatibleChange, unless not `needs_compatible`; QuotaReached.
    """
    decided = registration_among(entity_type=entity_type, definition=definition, versions=versions)
    if decided.same is not None:
        return Registered(decided.same, created=False, warning=quota_noticed(user_id))
    if decided.reasons and needs_compatible:
        raise IncompatibleChange(decided.mode, decided.reasons)
    stored = definition.to_json()
    digest = content_hash(stored)
    major, minor, patch = decided.version
    schema = Schema.objects.filter(owned_by(user_id), entity_type=entity_type).first()
    if schema is None:
        schema = Schema.objects.create(entity_type=entity_type, user_id=user_id)
    with quota_refusals(user_id):
        version = SchemaVersion.objects.create(
            schema=schema,
            entity_type=entity_type,
            user_id=user_id,
            major=major,
            minor=minor,
            patch=patch,
            definition=stored,
            definition_hash=digest,
            note=note,
            created_by=actor.user,
        )
    audit_record(
        actor=actor,
        action="schema_version.register",
        target_type="schema_version",
        target_id=version.pk,
        after={
            "entity_type": entity_type,
            "owner": user_id,
            "number": version.number,
            "change": decided.size,
            "definition_hash": digest,
        },
        reason=note,
    )
    return Registered(version, created=True, warning=quota_noticed(user_id))
