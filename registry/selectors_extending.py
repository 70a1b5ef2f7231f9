"""What an extension stands on, and what writing one comes to: read and decided in one place, for the act and for its
preview."""

from __future__ import annotations

from dataclasses import dataclass

from registry.domain.composition import FieldConflict, compose, require_extensible
from registry.domain.diff import Difference, diff
from registry.domain.extension import EMPTY_EXTENSION, Extension, parse_extension
from registry.domain.problems import InvalidExtension
from registry.errors import NothingToExtend
from registry.models import ExtensionRevision, SchemaVersion
from registry.selectors import extension_in_force, version_in_force
from registry.selectors_outlook import QuotaOutlook, quota_outlook
from schemaevo.kernel.canonical import Json, JsonObject, content_hash


@dataclass(frozen=True, slots=True)
class Ground:
    """The global version in force, and what the user says about it so far."""

    shared: SchemaVersion
    present: ExtensionRevision | None

    @property
    def said(self) -> Extension:
        """What the user says; nothing where there is no extension."""
        return self.present.parsed if self.present else EMPTY_EXTENSION

    @property
    def revision(self) -> int:
        """The number of the revision in force, 0 where there is none."""
        return self.present.revision if self.present else 0


@dataclass(frozen=True, slots=True)
class ExtensionPreview:
    """What writing a document as the user's extension would come to as of now; nothing is locked, so by then it may
    be otherwise. Of a document with problems nothing else is known.

    `difference` is that of the user's effective schema; `conflicts` are what stands although it does not agree.
    """

    problems: tuple[JsonObject, ...]
    problem_count: int
    ground: Ground
    is_same: bool = False
    difference: Difference | None = None
    conflicts: tuple[FieldConflict, ...] = ()
    absorbed: tuple[str, ...] = ()
    quota: QuotaOutlook | None = None

    @property
    def revision(self) -> int:
        """The number that the revision would get, or that of the one that says the same."""
        return self.ground.revision if self.is_same else self.ground.revision + 1


def extension_ground(*, entity_type: str, user_id: int) -> Ground:
    """What the user's extension stands on. Under the exclusive lock of type and user it stands still.

    Raises: NothingToExtend `no_global_schema`, `not_adopted`.
    """
    shared = version_in_force(entity_type=entity_type, user_id=None)
    if shared is None:
        raise NothingToExtend(
            "no_global_schema",
            f"There is no global schema {entity_type} to extend; register it as the user's own schema instead.",
            entity_type=entity_type,
        )
    present = extension_in_force(entity_type=entity_type, user_id=user_id)
    if present is None and version_in_force(entity_type=entity_type, user_id=user_id) is not None:
        raise NothingToExtend(
            "not_adopted",
            f"This user's own schema {entity_type} is not adopted yet, which a job does; wait for it, or adopt it now: "
            "settle_extensions.",
            entity_type=entity_type,
        )
    return Ground(shared, present)


def extension_preview(*, ground: Ground, user_id: int, document: Json) -> ExtensionPreview:
    """What writing the document would come to as of now. Writes nothing, locks nothing."""
    shared, said = ground.shared.parsed, ground.said
    try:
        wanted = parse_extension(document)
        is_same = ground.present is not None and content_hash(wanted.to_json()) == ground.present.content_hash
        if not is_same:
            require_extensible(wanted, shared, said)
    except InvalidExtension as error:
        return ExtensionPreview(tuple(error.context["problems"]), error.context["problem_count"], ground)
    composed = compose(shared, wanted)
    return ExtensionPreview(
        (),
        0,
        ground,
        is_same=is_same,
        difference=diff(compose(shared, said).definition, composed.definition),
        conflicts=composed.conflicts,
        absorbed=composed.absorbed,
        quota=_outlook(ground, user_id, said, wanted),
    )


def _outlook(ground: Ground, user_id: int, said: Extension, wanted: Extension) -> QuotaOutlook:
    """What the owner's quota would be. An own schema that waits beside the extension counts the type already."""
    more_schemas = said.is_empty - wanted.is_empty
    if more_schemas:
        kept = SchemaVersion.objects.filter(
            user=user_id, entity_type=ground.shared.entity_type, retired_at__isnull=True
        )
        more_schemas = 0 if kept.exists() else more_schemas
    return quota_outlook(
        user_id=user_id,
        more_schemas=more_schemas,
        more_fields=wanted.field_count - said.field_count,
    )
