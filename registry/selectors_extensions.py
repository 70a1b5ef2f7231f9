"""Reads of extensions and of what they do: for commands and pages."""

from collections.abc import Iterator
from dataclasses import dataclass

from django.db.models import Q

from registry.domain.composition import Composition, FieldConflict, compose
from registry.domain.definition import Definition
from registry.domain.diff import Difference, diff
from registry.domain.extension import EMPTY_EXTENSION, Extension
from registry.errors import SchemaNotFound
from registry.models import ExtensionRevision, SchemaVersion
from registry.selectors import version_in_force

#: Users whose documents, of up to a megabyte each, are held at once.
CHUNK_USERS = 50

#: Revisions are numbered by a column of 32 bits.
_REVISION_MAX = 2**31 - 1


@dataclass(frozen=True, slots=True)
class UserConflicts:
    """What does not agree with the global schema of what one user has: in a revision, or in an own version that is
    not adopted yet."""

    user_id: int
    revision: int | None
    own_number: str | None
    conflicts: tuple[FieldConflict, ...]


@dataclass(frozen=True, slots=True)
class RevisionEffect:
    """What a revision makes of the global schema, and what of that is new with it."""

    composition: Composition
    difference: Difference


def users_with_own(*, entity_type: str, after: int, limit: int) -> list[int]:
    """The next users above `after` who have a version or an extension of their own of this type in force, ascending."""
    owned = Q(entity_type=entity_type, is_active=True, user_id__gt=after)
    found: set[int] = set()
    for rows in (ExtensionRevision.objects.filter(owned), SchemaVersion.objects.filter(owned)):
        ids = rows.order_by("user_id").values_list("user_id", flat=True)[:limit]
        found.update(user_id for user_id in ids if user_id is not None)
    return sorted(found)[:limit]


def revision_by_number(*, entity_type: str, user_id: int, revision: int | None) -> ExtensionRevision:
    """That revision of the user's extension, or for None the one in force. Raises: SchemaNotFound."""
    revisions = ExtensionRevision.objects.filter(user=user_id, entity_type=entity_type)
    found = None
    if revision is None:
        found = revisions.filter(is_active=True).first()
    elif 0 < revision <= _REVISION_MAX:
        found = revisions.filter(revision=revision).first()
    if found is None:
        number = "" if revision is None else str(revision)
        raise SchemaNotFound(entity_type, number, f"extension of user {user_id}")
    return found


def revision_effect(*, revision: ExtensionRevision) -> RevisionEffect | None:
    """What the revision makes of the global schema in force now, and how that differs from what the revision before
    it makes of it. None where no global schema is in force, so that there is nothing to extend."""
    shared = version_in_force(entity_type=revision.entity_type, user_id=None)
    if shared is None:
        return None
    before = ExtensionRevision.objects.filter(
        user=revision.user_id, entity_type=revision.entity_type, revision=revision.revision - 1
    ).first()
    definition = shared.parsed
    composition = compose(definition, revision.parsed)
    earlier = compose(definition, before.parsed if before else EMPTY_EXTENSION)
    return RevisionEffect(composition, diff(earlier.definition, composition.definition))


def conflicts_of_users(*, entity_type: str) -> Iterator[UserConflicts]:
    """Every user of whose extension, or own schema, something does not agree with the global schema, by ascending id.

    Read in chunks: it may be asked of any number of users. Nothing where no global schema is in force.
    """
    shared = version_in_force(entity_type=entity_type, user_id=None)
    if shared is None:
        return
    definition = shared.parsed
    user_ids = users_with_own(entity_type=entity_type, after=0, limit=CHUNK_USERS)
    while user_ids:
        yield from _conflicts(entity_type, definition, user_ids)
        is_full = len(user_ids) == CHUNK_USERS
        after = user_ids[-1]
        user_ids = users_with_own(entity_type=entity_type, after=after, limit=CHUNK_USERS) if is_full else []


def _conflicts(entity_type: str, shared: Definition, user_ids: list[int]) -> Iterator[UserConflicts]:
    owned = Q(entity_type=entity_type, is_active=True, user__in=user_ids)
    revisions = {row.user_id: row for row in ExtensionRevision.objects.filter(owned)}
    versions = {row.user_id: row for row in SchemaVersion.objects.filter(owned)}
    for user_id in user_ids:
        revision, own = revisions.get(user_id), versions.get(user_id)
        if revision is not None:
            conflicts = compose(shared, revision.parsed).conflicts
            found = UserConflicts(user_id, revision.revision, None, conflicts)
        elif own is not None:
            conflicts = compose(shared, Extension.of_own_schema(own.parsed)).conflicts
            found = UserConflicts(user_id, None, own.number, conflicts)
        else:  # both went between the two statements
            continue
        if found.conflicts:
            yield found
