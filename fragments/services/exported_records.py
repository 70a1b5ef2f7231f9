"""What ingest does with exported observations where it does something else with records: owners, sources, ids."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from fragments.domain.exported import Exported
from fragments.services.records import Record, Rejection
from schemaevo.kernel.canonical import JsonObject
from schemaevo.kernel.owners import (
    owner_name,
    owner_name_problem,
    owners_by_id,
    owners_by_username,
    owners_restore,
)
from snapshots.domain.identity import entity_id
from snapshots.models import ObservationOrigin
from snapshots.services.merging import exact_specificity
from snapshots.services.observations import NewObservation
from snapshots.services.sources import sources_ensure


@dataclass(slots=True)
class Owners:
    """Records whose owner is here under the id that they name, the others, and the owners to be made first."""

    owned: list[tuple[Record, int]] = field(default_factory=list)
    refused: list[Rejection] = field(default_factory=list)
    missing: dict[str, int] = field(default_factory=dict)


def exported_of(record: Record) -> Exported:
    """The exported observation of a record that has one, as all of a run have."""
    if record.exported is None:
        raise ValueError("a record of a run of exported observations holds none")
    return record.exported


def owners_known(records: Sequence[Record], made: Mapping[str, int], *, create_users: bool) -> Owners:
    """The records by their owners, as those are stored; `made` are owners to be counted in.

    An owner has to have the name and the id of the line: all ids that the line holds are made from the id, so that
    under another one nothing would be found again. With `create_users` a record whose owner's name and id are both
    free is owned, and the owner is missing.
    """
    lines = [exported_of(record) for record in records]
    ids = {**owners_by_username({line.user_name for line in lines}), **made}
    names = {**owners_by_id({line.user_id for line in lines}), **{made[name]: name for name in made}}
    owners = Owners()
    for record, line in zip(records, lines, strict=True):
        is_free = line.user_name not in ids and line.user_id not in names
        if is_free and create_users and _name_problem(line.user_name) is None:
            owners.missing[line.user_name] = ids[line.user_name] = line.user_id
            names[line.user_id] = line.user_name
        if ids.get(line.user_name) == line.user_id:
            owners.owned.append((record, line.user_id))
        else:
            refused = _refusal(record, line, ids.get(line.user_name), names.get(line.user_id), create_users)
            owners.refused.append(refused)
    return owners


def owners_ensured(records: Sequence[Record], *, create_users: bool) -> Owners:
    """The same, and what was missing is made."""
    owners = owners_known(records, {}, create_users=create_users)
    if not owners.missing:
        return owners
    owners_restore(owners.missing)
    # Somebody else may have taken one of the names or ids first; none is free any more.
    return owners_known(records, {}, create_users=create_users)


def _refusal(
    record: Record, line: Exported, id_here: int | None, name_here: str | None, create_users: bool
) -> Rejection:
    said = f"The line is of the user {line.user_name!r} with the id {line.user_id}"
    why = "and the ids of its entity, source and observation are made from that id."
    if id_here is not None:
        message = f"{said}; here {line.user_name!r} has the id {id_here}, {why}"
        return Rejection(record.line, "user_has_other_id", message, "user_id")
    if name_here is not None:
        message = f"{said}; here that id is {name_here!r}, {why}"
        return Rejection(record.line, "user_id_taken", message, "user_id")
    problem = _name_problem(line.user_name)
    if create_users and problem is not None:
        return Rejection(record.line, "invalid_user", f"user: {problem}.", "user")
    message = f"{said}, who is not here; --create-users makes the owners that are missing, with their ids."
    return Rejection(record.line, "unknown_user", message, "user")


def _name_problem(name: str) -> str | None:
    """Why an owner cannot be made by that name."""
    if owner_name(name) != name:
        return "an owner's name must be in Unicode's NFKC form"
    return owner_name_problem(name)


def exported_sources_ensure(owned: Iterable[tuple[Record, int]]) -> list[str]:
    """Every record's owner has the source that its line names; gives their ids, one for each record."""
    owned = list(owned)
    user_ids: dict[tuple[str, str], set[int]] = defaultdict(set)
    for record, user_id in owned:
        user_ids[exported_of(record).source].add(user_id)
    ids = {
        # In one order everywhere: two that insert the same sources wait for each other only this way round.
        source: sources_ensure(user_ids=user_ids[source], name=source[0], content_hash=source[1])
        for source in sorted(user_ids)
    }
    return [ids[exported_of(record).source][user_id] for record, user_id in owned]


def exported_observation_of(
    exported: Exported, user_id: int, entity_type: str, fields: JsonObject, source: str, run_id: int | None
) -> NewObservation:
    """The observation that it was, with these fields."""
    return NewObservation(
        id=exported.id,
        content_id=exported.content_id,
        user_id=user_id,
        entity_type=entity_type,
        entity_id=entity_id(user_id, entity_type, exported.entity_key),
        entity_key=exported.entity_key,
        source_id=source,
        observed_us=exported.observed_us,
        priority=exported.priority,
        specificity=exact_specificity(exported.specificity),
        kind=exported.kind,
        fields=fields,
        ingest_run_id=run_id,
        origin=ObservationOrigin(exported.origin),
        ranks_as=exported.ranks_as,
    )
