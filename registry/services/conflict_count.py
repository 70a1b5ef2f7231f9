"""How many users say what the global schema does not admit, counted beside the work: composing thousands of extensions
takes longer than a page may."""

from __future__ import annotations

from dataclasses import dataclass, replace

from django.db.models import Sum

from registry.models import SchemaEpoch
from registry.selectors import version_in_force
from registry.selectors_conflicts import COUNT_CONFLICTS, TypeConflicts, conflicts_counted, types_with_own
from registry.selectors_extensions import CHUNK_USERS, conflicts_of, own_things
from schemaevo.kernel.canonical import Json, JsonObject
from schemaevo.kernel.jobs import Lease

__all__ = ["COUNT_CONFLICTS", "conflicts_run"]


@dataclass(frozen=True, slots=True)
class _Place:
    """How far a pass is: types that are counted, and of the next one the last user and how many were found so far."""

    counted: tuple[TypeConflicts, ...] = ()
    entity_type: str = ""
    epochs: int = 0
    user: int = 0
    owners: int = 0

    def to_json(self) -> JsonObject:
        return {
            "counted": [one.to_json() for one in self.counted],
            "next": [self.entity_type, self.epochs, self.user, self.owners],
        }

    @classmethod
    def from_json(cls, cursor: Json) -> _Place:
        match cursor:
            case {"counted": list(counted), "next": [str(entity_type), int(epochs), int(user), int(owners)]}:
                read = tuple(one for row in counted if (one := TypeConflicts.from_json(row)) is not None)
                return cls(read, entity_type, epochs, user, owners)
            case _:
                return cls()


def conflicts_run(lease: Lease) -> JsonObject:
    """The result of the job says of each type of how many users something does not agree with the global schema.

    What is in force for a type changes with its epochs: where their sum is what it was, so is the count. A change
    during the pass is counted by the next one.
    """
    place = _Place.from_json(lease.cursor)
    known = {one.entity_type: one for one in conflicts_counted().types}
    types = types_with_own()
    epochs = _epochs(types)
    for entity_type in types:
        if entity_type <= max((one.entity_type for one in place.counted), default=""):
            continue
        before = known.get(entity_type)
        if before is not None and before.epochs == epochs.get(entity_type, 0):
            place = _Place((*place.counted, before))
            continue
        if place.entity_type != entity_type:
            place = _Place(place.counted, entity_type, epochs.get(entity_type, 0))
        place = _counted(lease, place)
    return {"types": [one.to_json() for one in place.counted]}


def _counted(lease: Lease, place: _Place) -> _Place:
    """The type at which the pass is, is counted to its end."""
    while place.entity_type:
        with lease.batch() as batch:
            shared = version_in_force(entity_type=place.entity_type, user_id=None)
            chunk = own_things(entity_type=place.entity_type, after_user=place.user, limit=CHUNK_USERS)
            found = 0
            if shared is not None:
                found = sum(
                    bool(conflicts_of(thing=thing, shared=shared.parsed).conflicts) for thing in chunk.things
                )
            batch.done(len(chunk.things))
            if chunk.up_to_user is None:
                one = TypeConflicts(place.entity_type, place.epochs, place.owners + found)
                place = _Place((*place.counted, one))
            else:
                place = replace(place, user=chunk.up_to_user, owners=place.owners + found)
            batch.cursor = place.to_json()
    return place


def _epochs(types: list[str]) -> dict[str, int]:
    rows = SchemaEpoch.objects.filter(entity_type__in=types).order_by().values("entity_type")
    return {row["entity_type"]: row["sum"] for row in rows.annotate(sum=Sum("epoch"))}
