"""Reads of this floor."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from django.db.models import Q

from registry.domain.compatibility import DEFAULT_MODE, Mode
from registry.domain.composition import Composition, compose
from registry.domain.definition import NO_FIELDS, Definition
from registry.domain.effective import EffectiveSchema
from registry.domain.extension import EMPTY_EXTENSION, Extension
from registry.domain.names import entity_type_problem
from registry.errors import SchemaNotFound
from registry.models import ExtensionRevision, SchemaCompatibility, SchemaEpoch, SchemaVersion
from registry.selectors_contents import ContentKey, Parts, definitions_of

#: A user, or None for what is global.
UserId = TypeVar("UserId", bound="int | None")

#: An entity type, and a user or None for what is global.
Owner = tuple[str, int | None]


def owned_by(user_id: int | None) -> Q:
    """The condition for what one user owns, or for what is global. The owner is part of every look-up."""
    return Q(user__isnull=True) if user_id is None else Q(user_id=user_id)


@dataclass(frozen=True, slots=True)
class _InForce:
    """What is in force of one owner: the id of the row, what its content hashes to, and its number, if it has one."""

    row_id: int
    content_hash: str
    number: str = ""

    @property
    def key(self) -> ContentKey:
        """What identifies its content."""
        return self.row_id, self.content_hash


def effective_schemas(*, entity_type: str, user_ids: Collection[UserId]) -> Mapping[UserId, EffectiveSchema]:
    """The effective schema of each user, as committed now; of None the global one. Two queries, and at most
    two more for the versions and revisions that this process has not met yet.

    Inside a transaction that writes by it, hold the schema locks first and call this in a later statement.
    `registry.cache` asks less often.
    """
    found = effective_schemas_of(owners=[(entity_type, user_id) for user_id in user_ids])
    return {user_id: found[entity_type, user_id] for user_id in user_ids}


def effective_schemas_of(*, owners: Collection[Owner]) -> Mapping[Owner, EffectiveSchema]:
    """As `effective_schemas`, for (entity type, user) of several entity types, in as many queries."""
    types = {entity_type for entity_type, _user_id in owners}
    user_ids = {user_id for _type, user_id in owners if user_id is not None}
    versions = _versions_in_force(types, user_ids)
    # Without a global schema there is nothing to extend.
    extended = {entity_type for entity_type in types if (entity_type, None) in versions}
    extensions = _extensions_in_force(extended, user_ids) if extended and user_ids else {}
    parts = {
        owner: found
        for owner in owners
        if (found := _parts(versions.get((owner[0], None)), versions.get(owner), extensions.get(owner)))
    }
    definitions = definitions_of(parts.values())
    return {
        owner: _effective(
            owner,
            definitions[parts[owner]] if owner in parts else None,
            versions.get((owner[0], None)) or versions.get(owner),
            extensions.get(owner),
        )
        for owner in owners
    }


def _versions_in_force(types: Collection[str], user_ids: Collection[int]) -> dict[Owner, _InForce]:
    rows: Iterable[tuple[Any, ...]] = SchemaVersion.objects.filter(
        owned_by(None) | Q(user__in=user_ids), entity_type__in=types, is_active=True
    ).values_list("id", "entity_type", "user_id", "definition_hash", "major", "minor", "patch")
    return {
        (entity_type, user_id): _InForce(version_id, definition_hash, ".".join(map(str, number)))
        for version_id, entity_type, user_id, definition_hash, *number in rows
    }


def _extensions_in_force(types: Collection[str], user_ids: Collection[int]) -> dict[Owner, _InForce]:
    rows: Iterable[tuple[str, int, int, str]] = ExtensionRevision.objects.filter(
        user__in=user_ids, entity_type__in=types, is_active=True
    ).values_list("entity_type", "user_id", "id", "content_hash")
    return {
        (entity_type, user_id): _InForce(row_id, content_hash)
        for entity_type, user_id, row_id, content_hash in rows
    }


def _parts(shared: _InForce | None, own: _InForce | None, extension: _InForce | None) -> Parts | None:
    """What applies, of what is in force. A user who has an extension has adopted the global schema: an own version
    that is in force beside it waits for a time without one. `own` is `shared` for the global schema itself."""
    if shared is None:
        return None if own is None else Parts(own.key)
    if extension is not None:
        return Parts(shared.key, extension=extension.key)
    if own is not None and own is not shared:
        return Parts(shared.key, own=own.key)
    return Parts(shared.key)


def _effective(
    owner: Owner, definition: Definition | None, stamp: _InForce | None, extension: _InForce | None
) -> EffectiveSchema:
    entity_type, user_id = owner
    return EffectiveSchema(
        entity_type=entity_type,
        user_id=user_id,
        definition=definition,
        version_id=stamp.row_id if stamp else None,
        number=stamp.number if stamp else "",
        extension_revision_id=extension.row_id if extension else None,
    )


def effective_schema(*, entity_type: str, user_id: int | None) -> EffectiveSchema:
    """The effective schema of one user, as committed now; of None the global one."""
    return effective_schemas(entity_type=entity_type, user_ids=[user_id])[user_id]


@dataclass(frozen=True, slots=True)
class Standing:
    """What is in force for one user, or globally, part by part."""

    shared: SchemaVersion | None
    own: SchemaVersion | None
    extension: ExtensionRevision | None

    @property
    def in_words(self) -> str:
        """What is in force, such as ``global 1.2.0, extension revision 3``: equal words mean that nothing moved."""
        parts = [
            f"global {self.shared.number}" if self.shared else "",
            f"own {self.own.number}" if self.own else "",
            f"extension revision {self.extension.revision}" if self.extension else "",
        ]
        return ", ".join(filter(None, parts)) or "nothing"

    @property
    def composition(self) -> Composition | None:
        """How the effective schema comes together: the origin of every field, and what does not agree.

        None where no schema is in force. Without a global schema every field of the user's own is an extension's.
        """
        if self.shared is None:
            return compose(NO_FIELDS, Extension.of_own_schema(self.own.parsed)) if self.own else None
        if self.extension is not None:
            return compose(self.shared.parsed, self.extension.parsed)
        said = Extension.of_own_schema(self.own.parsed) if self.own else EMPTY_EXTENSION
        return compose(self.shared.parsed, said)

    @property
    def definition(self) -> Definition | None:
        """The definition that applies; None where the type is undeclared."""
        if self.shared is None:
            return self.own.parsed if self.own else None
        composition = self.composition
        return composition.definition if composition else None


def schema_standing(*, entity_type: str, user_id: int | None) -> Standing:
    """What is in force for one user, as committed now; of None globally."""
    shared = version_in_force(entity_type=entity_type, user_id=None)
    if user_id is None:
        return Standing(shared, None, None)
    return Standing(
        shared,
        version_in_force(entity_type=entity_type, user_id=user_id),
        extension_in_force(entity_type=entity_type, user_id=user_id),
    )


def extension_in_force(*, entity_type: str, user_id: int) -> ExtensionRevision | None:
    """The newest revision of the user's extension, if there is one."""
    return ExtensionRevision.objects.filter(user=user_id, entity_type=entity_type, is_active=True).first()


def compatibility_mode(*, entity_type: str) -> Mode:
    """How far the versions of an entity type have to agree."""
    row = SchemaCompatibility.objects.filter(entity_type=entity_type).first()
    return DEFAULT_MODE if row is None else Mode(row.mode)


def version_number(text: str) -> tuple[int, int, int] | None:
    """The parts of a version number such as 1.4.0; None for any other text."""
    parts = text.split(".")
    if len(parts) != 3 or not all(part.isascii() and part.isdigit() and len(part) < 10 for part in parts):
        return None
    major, minor, patch = map(int, parts)
    return major, minor, patch


def version_by_number(*, entity_type: str, user_id: int | None, number: str) -> SchemaVersion:
    """The version of that number. Raises: SchemaNotFound."""
    parts = version_number(number)
    if parts is not None and entity_type_problem(entity_type) is None:
        major, minor, patch = parts
        found = SchemaVersion.objects.filter(
            owned_by(user_id), entity_type=entity_type, major=major, minor=minor, patch=patch
        ).first()
        if found is not None:
            return found
    raise SchemaNotFound(entity_type, number, "global" if user_id is None else f"user {user_id}")


def epochs_of(*, entity_type: str, user_ids: Collection[UserId]) -> Mapping[UserId, tuple[int, int]]:
    """For each user how often the global schema and what the user alone has were changed so far. One query."""
    owners = [user_id for user_id in user_ids if user_id is not None]
    found: dict[int | None, int] = dict(
        SchemaEpoch.objects.filter(owned_by(None) | Q(user__in=owners), entity_type=entity_type).values_list(
            "user_id", "epoch"
        )
    )
    shared = found.get(None, 0)
    return {user_id: (shared, 0 if user_id is None else found.get(user_id, 0)) for user_id in user_ids}


def version_in_force(*, entity_type: str, user_id: int | None) -> SchemaVersion | None:
    """The active version of that type and owner, if there is one."""
    return SchemaVersion.objects.filter(owned_by(user_id), entity_type=entity_type, is_active=True).first()
