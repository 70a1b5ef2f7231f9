"""Registering versions: a whole definition, or edits of the one that is there."""

from collections.abc import Sequence
from dataclasses import dataclass

from django.db import transaction

from registry.domain.compatibility import require_compatible
from registry.domain.definition import Definition
from registry.domain.diff import bump, next_version
from registry.domain.edit_documents import parse_edits
from registry.domain.edits import edited
from registry.domain.validation import parse_definition
from registry.errors import SchemaNotFound, StaleBase
from registry.models import Schema, SchemaVersion
from registry.selectors import compatibility_mode, owned_by, predecessors_of
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
    at, as for `schema_update`; if it is another by now, nothing is registered.

    Raises: Denied; Invalid `invalid_entity_type`; InvalidDefinition `invalid_definition` with every problem;
    StaleBase `stale_base`; IncompatibleChange `incompatible_change` with every reason; QuotaReached `quota_exceeded`;
    Unstorable for a note that cannot be stored; LockTimeout.
    """
    _authorise(actor, entity_type, note)
    definition = parse_definition(document)
    hold_for_change(entity_type, user_id)
    versions = _versions(entity_type, user_id)
    if base is not None:
        _require_base(entity_type, versions, base)
    return _register(entity_type, user_id, versions, definition, actor, note)


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
    versions = _versions(entity_type, user_id)
    if not versions:
        raise SchemaNotFound(entity_type, base, "global" if user_id is None else f"user {user_id}")
    present = _require_base(entity_type, versions, base)
    definition = edited(present.parsed, parsed)
    return _register(entity_type, user_id, versions, definition, actor, note)


def require_compatible_version(version: SchemaVersion, siblings: Sequence[SchemaVersion]) -> None:
    """The version may come after those of its schema that are or were in force, by the mode of its entity type.

    Raises: IncompatibleChange `incompatible_change` with every reason.
    """
    _require_compatible(
        version.entity_type, version.parsed, [sibling for sibling in siblings if sibling.pk != version.pk]
    )


def _require_compatible(entity_type: str, definition: Definition, versions: Sequence[SchemaVersion]) -> None:
    mode = compatibility_mode(entity_type=entity_type)
    require_compatible(mode, definition, *predecessors_of(mode=mode, versions=versions))


def _authorise(actor: Actor, entity_type: str, note: str) -> None:
    actor.require("registry.register_schema")
    require_storable(note)
    require_entity_type(entity_type)


def _versions(entity_type: str, user_id: int | None) -> list[SchemaVersion]:
    """All versions of a schema, the newest last. Under the lock nobody else makes one meanwhile."""
    found = SchemaVersion.objects.filter(owned_by(user_id), entity_type=entity_type)
    return list(found.order_by("major", "minor", "patch"))


def _present(versions: Sequence[SchemaVersion]) -> SchemaVersion | None:
    """What the next version is compared with: the version in force, else the newest."""
    return next((v for v in versions if v.is_active), versions[-1] if versions else None)


def _to_edit(versions: Sequence[SchemaVersion]) -> SchemaVersion | None:
    """What the next edit begins from: the newest draft, so that no edit is lost that waits to come into force; else
    what the next version is compared with. A draft that was retired waits for nothing."""
    present = _present(versions)
    for version in reversed(versions):
        if version is present:
            break
        if version.first_activated_at is None and version.retired_at is None:
            return version
    return present


def _require_base(entity_type: str, versions: Sequence[SchemaVersion], base: str) -> SchemaVersion:
    present = _to_edit(versions)
    if present is None or present.number != base:
        raise StaleBase(entity_type, base, present.number if present else None)
    return present


def _register(
    entity_type: str,
    user_id: int | None,
    versions: Sequence[SchemaVersion],
    definition: Definition,
    actor: Actor,
    note: str,
) -> Registered:
    stored = definition.to_json()
    digest = content_hash(stored)
    for version in versions:
        if version.definition_hash == digest:
            return Registered(version, created=False, warning=quota_noticed(user_id))
    _require_compatible(entity_type, definition, versions)
    present = _present(versions)
    highest = (versions[-1].major, versions[-1].minor, versions[-1].patch) if versions else None
    # Two definitions with different hashes differ at least in their text.
    change = bump(present.parsed if present else None, definition) or "patch"
    major, minor, patch = next_version(highest, change)
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
            "change": change,
            "definition_hash": digest,
        },
        reason=note,
    )
    return Registered(version, created=True, warning=quota_noticed(user_id))
