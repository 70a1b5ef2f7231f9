"""Reads of extensions and of what they do: for commands and pages."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from django.db.models import Q

from registry.domain.composition import Composition, FieldConflict, compose
from registry.domain.definition import NO_FIELDS, Definition
from registry.domain.diff import Difference, diff
from registry.domain.extension import EMPTY_EXTENSION, Extension
from registry.errors import SchemaNotFound
from registry.models import ExtensionRevision, SchemaVersion
from registry.selectors import version_in_force

#: Users whose documents, of up to a megabyte each, are held at once.
CHUNK_USERS = 50

#: Revisions that a choice offers.
REVISIONS_MAX = 200

#: Revisions are numbered by a column of 32 bits.
_REVISION_MAX = 2**31 - 1


#: What a user has of their own of a type: an extension, or a version that is not adopted yet.
OwnThing: TypeAlias = ExtensionRevision | SchemaVersion


@dataclass(frozen=True, slots=True)
class UserConflicts:
    """What does not agree with the global schema of what one user has."""

    user_id: int
    thing: OwnThing
    conflicts: tuple[FieldConflict, ...]

    @property
    def revision(self) -> int | None:
        """The number of the revision, where it is an extension."""
        return self.thing.revision if isinstance(self.thing, ExtensionRevision) else None

    @property
    def own_number(self) -> str | None:
        """The number of the own version, where it is one."""
        return self.thing.number if isinstance(self.thing, SchemaVersion) else None


@dataclass(frozen=True, slots=True)
class OwnThings:
    """What some users have of their own in force, by ascending id; `up_to_user` is the last one who was looked at, or
    None where nobody is left."""

    things: tuple[OwnThing, ...]
    up_to_user: int | None


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


def revisions_to_choose(*, revision: ExtensionRevision) -> list[int]:
    """The numbers of the newest revisions of the same extension, the newest first."""
    found = ExtensionRevision.objects.filter(user=revision.user_id, entity_type=revision.entity_type)
    return list(found.order_by("-revision").values_list("revision", flat=True)[:REVISIONS_MAX])


def revisions_applied(
    *, revision: ExtensionRevision, numbers: tuple[int, int]
) -> tuple[Definition, Definition]:
    """What two revisions of the same extension, which both exist, make of the global schema in force now, or of
    none."""
    shared = version_in_force(entity_type=revision.entity_type, user_id=None)
    base = shared.parsed if shared else NO_FIELDS
    found = ExtensionRevision.objects.filter(
        user=revision.user_id, entity_type=revision.entity_type, revision__in=numbers
    )
    applied = {row.revision: compose(base, row.parsed).definition for row in found}
    old, new = (applied[number] for number in numbers)
    return old, new


def conflicts_of_users(*, entity_type: str) -> Iterator[UserConflicts]:
    """Every user of whose extension, or own schema, something does not agree with the global schema, by ascending id.

    Read in chunks: it may be asked of any number of users. Nothing where no global schema is in force.
    """
    shared = version_in_force(entity_type=entity_type, user_id=None)
    if shared is None:
        return
    definition = shared.parsed
    after: int | None = 0
    while after is not None:
        found = own_things(entity_type=entity_type, after_user=after, limit=CHUNK_USERS)
        for thing in found.things:
            if (one := conflicts_of(thing=thing, shared=definition)).conflicts:
                yield one
        after = found.up_to_user


def own_things(*, entity_type: str, limit: int, after_user: int = 0) -> OwnThings:
    """What the next `limit` users after `after_user` have of their own of this type in force: the extension, else the
    own version. Four queries."""
    user_ids = users_with_own(entity_type=entity_type, after=after_user, limit=limit + 1)
    looked_at = user_ids[:limit]
    found = things_of(entity_type=entity_type, user_ids=looked_at)
    # Of some both may have gone between the statements.
    things = tuple(found[user_id] for user_id in looked_at if user_id in found)
    return OwnThings(things, looked_at[-1] if len(user_ids) > limit else None)


def things_of(*, entity_type: str, user_ids: Collection[int]) -> Mapping[int, OwnThing]:
    """What each of the users has of their own of this type in force, as far as they have something: the extension, else
    the own version. Two queries."""
    owned = Q(entity_type=entity_type, is_active=True, user__in=user_ids)
    found: dict[int, OwnThing] = {}
    for row in SchemaVersion.objects.filter(owned):
        found[row.user_id or 0] = row
    for revision in ExtensionRevision.objects.filter(owned):
        found[revision.user_id] = revision
    return found


def said_by(thing: OwnThing) -> Extension:
    """What a user says beside the global schema: the extension, or the own schema read as one."""
    return thing.parsed if isinstance(thing, ExtensionRevision) else Extension.of_own_schema(thing.parsed)


def conflicts_of(*, thing: OwnThing, shared: Definition) -> UserConflicts:
    """What of it does not agree with a global definition."""
    return UserConflicts(thing.user_id or 0, thing, compose(shared, said_by(thing)).conflicts)
