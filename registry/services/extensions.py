"""Extensions of users: each change is a new revision, in force at once."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass

from django.db import transaction

from registry.domain.composition import require_extensible
from registry.domain.definition import Declaration
from registry.domain.extension import EMPTY_EXTENSION, Extension, parse_extension
from registry.errors import SchemaNotFound, StaleBase
from registry.models import ExtensionRevision, RevisionCause, SchemaVersion
from registry.selectors import extension_in_force
from registry.selectors_extending import extension_ground
from registry.services.locking import announce_change, hold_for_change, require_entity_type
from registry.services.quotas import quota_noticed, quota_refusals
from schemaevo.kernel.actors import Actor
from schemaevo.kernel.audit import audit_record
from schemaevo.kernel.canonical import Json, JsonObject, content_hash, require_storable


@dataclass(frozen=True, slots=True)
class Extended:
    """What a change of an extension came to: the revision in force, whether it is new, and what to tell about the
    owner's quota."""

    revision: ExtensionRevision
    created: bool
    warning: str = ""


@transaction.atomic
def extension_save(
    *,
    entity_type: str,
    user_id: int,
    document: Json,
    actor: Actor,
    base: int | None = None,
    note: str = "",
) -> Extended:
    """The user's extension of the global schema is this document, as a new revision that is in force.

    `document` is described in `registry.domain.extension`. `base` is the revision that the author looked at, 0 where
    there was none. What was said before may be said again even where the global schema has moved on meanwhile; what is
    new has to agree with it. A document equal to the revision in force changes nothing.

    Raises: Denied; Invalid `invalid_entity_type`; InvalidExtension `invalid_extension` with
    every problem; StaleBase `stale_base`; NothingToExtend `no_global_schema`, `not_adopted`; QuotaReached
    `quota_exceeded`; Unstorable for a note; LockTimeout.
    """
    parsed = parse_extension(document)
    return _save(entity_type, user_id, lambda present: parsed, actor, base, note)


@transaction.atomic
def extension_add_fields(
    *,
    entity_type: str,
    user_id: int,
    declarations: Iterable[Declaration],
    actor: Actor,
    base: int | None = None,
    note: str = "",
) -> Extended:
    """The user's extension declares these fields as well, and says else what it said. Raises: as `extension_save`."""
    added = list(declarations)
    return _save(entity_type, user_id, lambda present: present.with_fields(added), actor, base, note)


@transaction.atomic
def extension_remove_fields(
    *,
    entity_type: str,
    user_id: int,
    names: Collection[str],
    actor: Actor,
    base: int | None = None,
    note: str = "",
) -> Extended:
    """The user's extension does not declare these fields any more. Raises: as `extension_save`."""
    return _save(entity_type, user_id, lambda present: present.without(names), actor, base, note)


@transaction.atomic
def extension_remove(
    *, entity_type: str, user_id: int, actor: Actor, base: int | None = None, note: str = ""
) -> Extended:
    """The global schema applies to this user as it is: the revision in force says nothing. Raises: as
    `extension_save`; SchemaNotFound where there is no extension."""
    if extension_in_force(entity_type=entity_type, user_id=user_id) is None:
        raise SchemaNotFound(entity_type, "", f"extension of user {user_id}")
    return _save(entity_type, user_id, lambda present: EMPTY_EXTENSION, actor, base, note)


def revision_write(
    *,
    entity_type: str,
    user_id: int,
    extension: Extension,
    before: ExtensionRevision | None,
    actor: Actor,
    cause: RevisionCause = RevisionCause.EDIT,
    cause_version: SchemaVersion | None = None,
    absorbed: JsonObject | None = None,
    note: str = "",
) -> ExtensionRevision:
    """The extension is the user's newest revision, instead of `before`, with an audit row.

    The caller holds the exclusive lock of type and user, read `before` under it, answers for the content, and
    announces what comes of it.
    """
    stored = extension.to_json()
    with quota_refusals(user_id):
        if before is not None:
            ExtensionRevision.objects.filter(pk=before.pk).update(is_active=False)
        revision = ExtensionRevision.objects.create(
            user_id=user_id,
            entity_type=entity_type,
            revision=before.revision + 1 if before else 1,
            base_schema_version=extension.base_schema_version or "",
            additional_fields=stored["additional_fields"],
            field_overrides=stored["field_overrides"],
            content_hash=content_hash(stored),
            cause=cause,
            cause_version=cause_version,
            absorbed=absorbed or {},
            note=note,
            created_by=actor.user,
        )
    audit_record(
        actor=actor,
        action="extension.change",
        target_type="extension",
        target_id=revision.pk,
        before={"revision": before.revision, "fields": [*sorted(before.parsed.additional_fields)]}
        if before
        else None,
        after={
            "entity_type": entity_type,
            "owner": user_id,
            "revision": revision.revision,
            "cause": cause.value,
            "fields": [*sorted(extension.additional_fields)],
            "overrides": [*sorted(extension.field_overrides)],
            "absorbed": [*sorted(absorbed or {})],
            "content_hash": revision.content_hash,
        },
        reason=note,
    )
    return revision


def _save(
    entity_type: str,
    user_id: int,
    change: Callable[[Extension], Extension],
    actor: Actor,
    base: int | None,
    note: str,
) -> Extended:
    actor.require("registry.extend_schema")
    require_storable(note)
    require_entity_type(entity_type)
    hold_for_change(entity_type, user_id)
    ground = extension_ground(entity_type=entity_type, user_id=user_id)
    present, said = ground.present, ground.said
    if base is not None and base != ground.revision:
        raise StaleBase(entity_type, base, ground.revision or None)
    wanted = change(said)
    if present is not None and content_hash(wanted.to_json()) == present.content_hash:
        return Extended(present, created=False, warning=quota_noticed(user_id))
    # Each part may be well-formed and the whole not: two names that people would confuse, too many fields, too large.
    require_extensible(parse_extension(wanted.to_json()), ground.shared.parsed, said)
    revision = revision_write(
        entity_type=entity_type, user_id=user_id, extension=wanted, before=present, actor=actor, note=note
    )
    announce_change(ExtensionRevision, entity_type, user_id)
    return Extended(revision, created=True, warning=quota_noticed(user_id))
