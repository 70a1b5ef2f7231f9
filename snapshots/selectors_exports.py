"""What leaves the store: snapshots and observations, one by one, in a stable order.

Both are read through a cursor of the server, so memory does not grow with the store; the caller's transaction
keeps it open and decides what it sees. They come in the order of owner and key, which an index has.

Who does not read to the end has to close them.
"""

from collections.abc import Callable, Collection, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, TypeAlias
from uuid import UUID

from django.db.models import Q

from schemaevo.kernel.canonical import Json, JsonObject, exact_number
from schemaevo.kernel.export_lines import exact_time, owner_name, referred
from schemaevo.kernel.streams import rows_streamed
from snapshots.models import EntitySnapshot, Observation
from snapshots.selectors_retractions import of_retracted_source

#: The number of a schema version, in parts.
_VERSION = ("schema_version__major", "schema_version__minor", "schema_version__patch")
#: The keys of a line, in the order in which a table has them.
SNAPSHOT_COLUMNS: Final = (
    "entity_type",
    "user",
    "key",
    "deleted",
    "last_observation_at",
    "schema_version",
    "values",
)
OBSERVATION_COLUMNS: Final = (
    "id",
    "content_id",
    "entity_type",
    "user",
    "user_id",
    "key",
    "observed_at",
    "source",
    "priority",
    "specificity",
    "kind",
    "origin",
    "ranks_as",
    "schema_version",
    "fields",
    "fragments",
)

#: What observations left elsewhere when they came, by the id of each, as their lines have it.
CarriedProvider: TypeAlias = "Callable[[Collection[Observation]], Mapping[str, list[Json]]]"
_carried: list[CarriedProvider] = []


@dataclass(frozen=True, slots=True)
class ExportedObservation:
    """An observation's id and all that is exported of its row."""

    id: str
    line: JsonObject


def carried_provider(provider: CarriedProvider) -> None:
    """The provider is asked what observations left beside themselves. Called in AppConfig.ready()."""
    if provider not in _carried:
        _carried.append(provider)


def snapshots_exported(
    *, entity_type: str, user_id: int | None = None, with_deleted: bool = False
) -> Generator[JsonObject, None, None]:
    """The snapshots of a type: owner, key, values, and the version of the schema that they were computed by.

    `schema_version` is null where the type was undeclared. Deleted entities come only if asked for.
    """
    # Of an entity that only retracted sources knew nothing is left but its key.
    rows = EntitySnapshot.objects.filter(_of(entity_type, user_id), observation_count__gt=0)
    if not with_deleted:
        rows = rows.filter(deleted=False)
    columns = ("user__username", "entity_key", "deleted", "last_observation_at", "values", *_VERSION)
    ordered = rows.order_by("user_id", "entity_key").values_list(*columns)
    with rows_streamed(ordered) as found:
        for row in found:
            yield _snapshot(entity_type, *row)


def snapshot_lines(rows: Iterable[Any]) -> Generator[JsonObject, None, None]:
    """The same of these snapshots, whose owners and schema versions are attached; no owner is null."""
    for row in rows:
        yield _snapshot(
            row.entity_type,
            owner_name(row),
            row.entity_key,
            row.deleted,
            row.last_observation_at,
            row.values,
            *_parts(row),
        )


def _snapshot(
    entity_type: str,
    username: str | None,
    key: str,
    deleted: bool,
    last: datetime | None,
    values: Json,
    *version: int | None,
) -> JsonObject:
    return {
        "entity_type": entity_type,
        "user": username,
        "key": key,
        "deleted": deleted,
        "last_observation_at": exact_time(last),
        "schema_version": _number(version),
        "values": values,
    }


def observations_exported(
    *, entity_type: str, user_id: int | None = None
) -> Generator[ExportedObservation, None, None]:
    """The observations of a type, each entity's together and oldest first, as their rows have them; but for those of
    retracted sources, so that another store makes the same snapshots of them."""
    rows = Observation.objects.filter(_of(entity_type, user_id, "entity__")).exclude(of_retracted_source())
    ordered = rows.order_by("entity__user_id", "entity__entity_key", "observed_at", "id")
    columns = (
        "id",
        "content_id",
        "entity_type",
        "user_id",
        "user__username",
        "entity__entity_key",
        "observed_at",
        "source__name",
        "source__content_hash",
        "priority",
        "specificity",
        "kind",
        "origin",
        "ranks_as",
        "fields",
        *_VERSION,
    )
    with rows_streamed(ordered.values_list(*columns)) as found:
        for row in found:
            yield _observation(*row)


def observation_lines(rows: Sequence[Any]) -> Generator[JsonObject, None, None]:
    """The same of these observations, with what they left elsewhere, as `export_observations` writes them.

    Owners, entities, sources and schema versions are attached; what of them is gone is null.
    """
    carried: dict[str, list[Json]] = {}
    for provider in _carried:
        for identity, left in provider(rows).items():
            carried.setdefault(identity, []).extend(left)
    for row in rows:
        entity, source = referred(row, "entity"), referred(row, "source")
        observation = _observation(
            row.id,
            row.content_id,
            row.entity_type,
            row.user_id,
            owner_name(row),
            entity and entity.entity_key,
            row.observed_at,
            source and source.name,
            source and source.content_hash,
            row.priority,
            row.specificity,
            row.kind,
            row.origin,
            row.ranks_as,
            row.fields,
            *_parts(row),
        )
        yield {**observation.line, "fragments": carried.get(observation.id, [])}


def _observation(
    identity: UUID,
    content_id: UUID,
    entity_type: str,
    user_id: int,
    username: str | None,
    key: str | None,
    observed_at: datetime,
    source: str | None,
    source_hash: str | None,
    priority: int,
    specificity: float,
    kind: str | None,
    origin: str,
    ranks_as: UUID | None,
    fields: Json,
    *version: int | None,
) -> ExportedObservation:
    line: JsonObject = {
        "id": str(identity),
        "content_id": str(content_id),
        "entity_type": entity_type,
        "user": username,
        "user_id": user_id,
        "key": key,
        "observed_at": exact_time(observed_at),
        "source": {"name": source, "content_hash": source_hash},
        "priority": priority,
        "specificity": exact_number(specificity),
        "kind": kind,
        "origin": origin,
        "ranks_as": None if ranks_as is None else str(ranks_as),
        "schema_version": _number(version),
        "fields": fields,
    }
    return ExportedObservation(str(identity), line)


def _of(entity_type: str, user_id: int | None, entity: str = "") -> Q:
    # Of the entity's row even for observations: there the index is.
    found = Q(**{f"{entity}entity_type": entity_type})
    return found if user_id is None else found & Q(**{f"{entity}user_id": user_id})


def _parts(row: Any) -> Sequence[int | None]:
    version = referred(row, "schema_version")
    return (None, None, None) if version is None else (version.major, version.minor, version.patch)


def _number(version: Sequence[int | None]) -> str | None:
    return None if version[0] is None else ".".join(map(str, version))
