"""What registering a definition comes to: read and decided in one place, for the act and for its preview."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from registry.domain.compatibility import Mode, Predecessor, Reason, incompatibilities
from registry.domain.definition import NO_FIELDS, Definition
from registry.domain.diff import Bump, Difference, Version, bump, diff, next_version
from registry.domain.names import entity_type_problem
from registry.domain.problems import InvalidDefinition
from registry.domain.validation import parse_definition
from registry.models import SchemaVersion
from registry.selectors import compatibility_mode, extension_in_force, owned_by
from registry.selectors_outlook import QuotaOutlook, quota_outlook
from schemaevo.kernel.canonical import Json, JsonObject, content_hash, is_storable_text


@dataclass(frozen=True, slots=True)
class Registration:
    """What registering a definition comes to, among the versions that there are.

    `same` is the version that says the same already; then there is nothing to register. `size` is that of the
    difference to the version in force, else to the newest, and the number follows from it.
    """

    same: SchemaVersion | None
    mode: Mode
    reasons: tuple[Reason, ...]
    size: Bump
    version: Version

    @property
    def number(self) -> str:
        """The semver number, such as ``1.4.0``."""
        return self.same.number if self.same else ".".join(map(str, self.version))


@dataclass(frozen=True, slots=True)
class RegistrationPreview:
    """What registering a document would come to as of now; nothing is locked, so by then it may be otherwise.

    `base` is the version that the author looked at, None for none; `present` is the one that an edit has to begin
    from now. Of a document with problems nothing else is known.
    """

    problems: tuple[JsonObject, ...]
    problem_count: int
    base: SchemaVersion | None
    present: SchemaVersion | None
    registration: Registration | None = None
    difference: Difference | None = None
    quota: QuotaOutlook | None = None

    @property
    def is_stale(self) -> bool:
        """Whether somebody changed meanwhile what the author looked at."""
        return self.base != self.present


def versions_of(*, entity_type: str, user_id: int | None) -> list[SchemaVersion]:
    """All versions of a schema, the newest last. Under the lock nobody else makes one meanwhile.

    Read are the definitions that the next version is compared with or begins from; of the others, which may be
    hundreds of up to a megabyte, each when it is asked for.
    """
    found = SchemaVersion.objects.filter(owned_by(user_id), entity_type=entity_type)
    versions = list(found.defer("definition").order_by("major", "minor", "patch"))
    _read_definitions([v for v in (version_present(versions), version_to_edit(versions)) if v is not None])
    return versions


def _read_definitions(versions: Sequence[SchemaVersion]) -> None:
    """The definitions that are not read yet are read, all by one query."""
    missing = {version.pk: version for version in versions if "definition" in version.get_deferred_fields()}
    if missing:
        for row_id, definition in SchemaVersion.objects.filter(pk__in=missing).values_list(
            "pk", "definition"
        ):
            missing[row_id].definition = definition


def version_present(versions: Sequence[SchemaVersion]) -> SchemaVersion | None:
    """What the next version is compared with: the version in force, else the newest."""
    return next((v for v in versions if v.is_active), versions[-1] if versions else None)


def version_to_edit(versions: Sequence[SchemaVersion]) -> SchemaVersion | None:
    """What the next edit begins from: the newest draft, so that no edit is lost that waits to come into force; else
    what the next version is compared with. A draft that was retired waits for nothing."""
    present = version_present(versions)
    for version in reversed(versions):
        if version is present:
            break
        if version.first_activated_at is None and version.retired_at is None:
            return version
    return present


def registration_among(
    *, entity_type: str, definition: Definition, versions: Sequence[SchemaVersion]
) -> Registration:
    """What registering the definition comes to among all versions of its schema, the newest last."""
    digest = content_hash(definition.to_json())
    mode = compatibility_mode(entity_type=entity_type)
    same = next((version for version in versions if version.definition_hash == digest), None)
    if same is not None:
        return Registration(same, mode, (), "patch", (same.major, same.minor, same.patch))
    present = version_present(versions)
    highest = (versions[-1].major, versions[-1].minor, versions[-1].patch) if versions else None
    # Two definitions with different hashes differ at least in their text.
    size = bump(present.parsed if present else None, definition) or "patch"
    return Registration(
        None, mode, incompatible_with(mode, definition, versions), size, next_version(highest, size)
    )


def incompatible_with(
    mode: Mode, definition: Definition, versions: Sequence[SchemaVersion]
) -> tuple[Reason, ...]:
    """Every reason why the definition may not come after those versions that are or were in force."""
    active = next((version for version in versions if version.is_active), None)
    before = [v for v in versions if v.first_activated_at is not None] if mode.is_transitive else []
    _read_definitions(before)
    return incompatibilities(
        mode,
        definition,
        None if active is None else Predecessor(active.number, active.parsed),
        [Predecessor(version.number, version.parsed) for version in before],
    )


def registration_preview(
    *, entity_type: str, user_id: int | None, document: Json, base: str
) -> RegistrationPreview:
    """What registering the document would come to as of now. Writes nothing, locks nothing.

    `base` is the number of the version that the author looked at, empty for none. An entity type of an impossible
    name has no versions.
    """
    is_type = is_storable_text(entity_type) and entity_type_problem(entity_type) is None
    versions = versions_of(entity_type=entity_type, user_id=user_id) if is_type else []
    based = next((version for version in versions if version.number == base), None)
    present = version_to_edit(versions)
    try:
        definition = parse_definition(document)
    except InvalidDefinition as error:
        context = error.context
        return RegistrationPreview(tuple(context["problems"]), context["problem_count"], based, present)
    registration = registration_among(entity_type=entity_type, definition=definition, versions=versions)
    return RegistrationPreview(
        (),
        0,
        based,
        present,
        registration,
        diff(based.parsed if based else NO_FIELDS, definition),
        _outlook(entity_type, user_id, versions, definition, registration),
    )


def _outlook(
    entity_type: str,
    user_id: int | None,
    versions: Sequence[SchemaVersion],
    definition: Definition,
    registration: Registration,
) -> QuotaOutlook | None:
    """What the owner's quota would be. A version that is not in force counts only where none is."""
    if user_id is None:
        return None
    kept = [version for version in versions if version.retired_at is None]
    counted = version_present(kept)
    fields = counted.field_count if counted else 0
    is_to_count = registration.same is None and not any(version.is_active for version in kept)
    more_fields = len(definition.fields) - fields if is_to_count else 0
    if counted is not None or not is_to_count:
        return quota_outlook(user_id=user_id, more_schemas=0, more_fields=more_fields)
    extension = extension_in_force(entity_type=entity_type, user_id=user_id)
    is_counted = extension is not None and not extension.parsed.is_empty
    return quota_outlook(user_id=user_id, more_schemas=0 if is_counted else 1, more_fields=more_fields)
