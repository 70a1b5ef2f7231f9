"""The conflicts to settle, user by user: for the page that lists them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from django.db.models import Exists, OuterRef, Q

from registry.domain.composition import FieldConflict
from registry.domain.definition import Definition
from registry.models import ExtensionRevision, SchemaVersion
from registry.selectors import version_in_force
from registry.selectors_contents import Parts, definitions_of
from registry.selectors_extensions import OwnThing, UserConflicts, conflicts_of, own_things
from schemaevo.kernel.canonical import Json, JsonObject
from schemaevo.kernel.models import Job, JobState
from schemaevo.kernel.owners import owners_by_id

#: The job that counts users with conflicts, for pages that cannot wait for it.
COUNT_CONFLICTS: Final = "count_conflicts"
#: Users with conflicts on one page, and users looked at for it: most have none.
USERS_SHOWN = 25
USERS_LOOKED_AT_MAX = 400
#: Users looked at together: two looks are all that a page takes.
USERS_AT_ONCE = 200
#: Global versions that are asked since when something does not agree; one older than these is told as the oldest.
VERSIONS_ASKED = 20
#: Entity types that the page offers.
TYPES_MAX = 200


@dataclass(frozen=True, slots=True)
class ConflictTold:
    """One conflict, and the global version since which it has been one; in `is_since_longer` that or an older one."""

    conflict: FieldConflict
    since: str
    is_since_longer: bool


@dataclass(frozen=True, slots=True)
class OwnerInConflict:
    """One user of whom something does not agree, and what of theirs says it."""

    user_id: int
    username: str
    thing: OwnThing
    conflicts: tuple[ConflictTold, ...]

    @property
    def is_extension(self) -> bool:
        """Whether it is an extension, and not an own schema that is not adopted yet."""
        return isinstance(self.thing, ExtensionRevision)


@dataclass(frozen=True, slots=True)
class ConflictsPage:
    """Users with conflicts of one entity type, by ascending id. `after_user` is where the next page begins; None at
    the end. `shared` is None where no global schema is in force, so that nothing can disagree with it."""

    shared: SchemaVersion | None
    owners: tuple[OwnerInConflict, ...]
    looked_at: int
    after_user: int | None


@dataclass(frozen=True, slots=True)
class TypeConflicts:
    """Of how many users something did not agree with the global schema of a type, when the sum of the type's epochs was
    this one."""

    entity_type: str
    epochs: int
    owners: int

    def to_json(self) -> JsonObject:
        """As results of jobs hold it."""
        return {"entity_type": self.entity_type, "epochs": self.epochs, "owners": self.owners}

    @classmethod
    def from_json(cls, stored: Json) -> TypeConflicts | None:
        """What a result says; None where it is that of another release."""
        match stored:
            case {"entity_type": str(entity_type), "epochs": int(epochs), "owners": int(owners)}:
                return cls(entity_type, epochs, owners)
            case _:
                return None


@dataclass(frozen=True, slots=True)
class ConflictsCounted:
    """What the newest count of conflicts came to, and when; of no type, and at no time, before the first one."""

    types: tuple[TypeConflicts, ...]
    at: datetime | None

    @property
    def open(self) -> list[TypeConflicts]:
        """The types of which something is to settle."""
        return [one for one in self.types if one.owners]


def conflicts_counted() -> ConflictsCounted:
    """See `ConflictsCounted`. One query."""
    done = Job.objects.filter(kind=COUNT_CONFLICTS, target="", state=JobState.DONE)
    job = done.order_by("-finished_at").only("result", "finished_at").first()
    match job.result if job else None:
        case {"types": list(rows)}:
            found = tuple(one for row in rows if (one := TypeConflicts.from_json(row)) is not None)
        case _:
            found = ()
    return ConflictsCounted(found, job.finished_at if job else None)


def types_with_own() -> list[str]:
    """Entity types with a global schema in force of which some user has something of their own in force."""
    owned = Q(entity_type=OuterRef("entity_type"), is_active=True)
    found = SchemaVersion.objects.filter(
        Exists(ExtensionRevision.objects.filter(owned))
        | Exists(SchemaVersion.objects.filter(owned, user__isnull=False)),
        user__isnull=True,
        is_active=True,
    )
    return list(found.order_by("entity_type").values_list("entity_type", flat=True)[:TYPES_MAX])


def conflicts_page(*, entity_type: str, after_user: int = 0) -> ConflictsPage:
    """The next users after `after_user` of whom something does not agree with the global schema in force.

    Of however many users there are, USERS_LOOKED_AT_MAX are looked at; then the page ends, though it may be short.
    """
    shared = version_in_force(entity_type=entity_type, user_id=None)
    if shared is None:
        return ConflictsPage(None, (), 0, None)
    definition = shared.parsed
    found: list[UserConflicts] = []
    looked_at = 0
    after: int | None = after_user
    while after is not None and looked_at < USERS_LOOKED_AT_MAX and len(found) < USERS_SHOWN:
        chunk = own_things(entity_type=entity_type, after_user=after, limit=USERS_AT_ONCE)
        after = chunk.up_to_user
        for place, thing in enumerate(chunk.things):
            looked_at += 1
            one = conflicts_of(thing=thing, shared=definition)
            if not one.conflicts:
                continue
            found.append(one)
            if len(found) == USERS_SHOWN and place + 1 < len(chunk.things):
                after = one.user_id
                break
    names = owners_by_id([one.user_id for one in found])
    past = _past(shared) if found else []
    owners = [
        OwnerInConflict(one.user_id, names.get(one.user_id, f"#{one.user_id}"), one.thing, _told(one, past))
        for one in found
    ]
    return ConflictsPage(shared, tuple(owners), looked_at, after)


def _past(shared: SchemaVersion) -> list[tuple[str, Definition]]:
    """The global versions that were in force up to this one, this one first: numbers and definitions."""
    upto = Q(major__lt=shared.major) | Q(major=shared.major, minor__lt=shared.minor)
    upto |= Q(major=shared.major, minor=shared.minor, patch__lte=shared.patch)
    rows = SchemaVersion.objects.filter(upto, schema=shared.schema_id, first_activated_at__isnull=False)
    newest_first = list(rows.order_by("-major", "-minor", "-patch").defer("definition")[:VERSIONS_ASKED])
    parts = [Parts((row.pk, row.definition_hash)) for row in newest_first]
    definitions = definitions_of(parts)
    return [(row.number, definitions[part]) for row, part in zip(newest_first, parts, strict=True)]


def _told(found: UserConflicts, past: Sequence[tuple[str, Definition]]) -> tuple[ConflictTold, ...]:
    """Each conflict with the oldest version of the unbroken row of those that it is a conflict with."""
    standing = {conflict.identity: "" for conflict in found.conflicts}
    open_ones = set(standing)
    for number, definition in past:
        known = {one.identity for one in conflicts_of(thing=found.thing, shared=definition).conflicts}
        open_ones &= known
        if not open_ones:
            break
        standing.update(dict.fromkeys(open_ones, number))
    is_cut = len(past) == VERSIONS_ASKED
    return tuple(
        ConflictTold(
            conflict,
            standing[conflict.identity],
            is_since_longer=is_cut and conflict.identity in open_ones,
        )
        for conflict in found.conflicts
    )
