"""What leaves the store: snapshots and observations, one by one, in a stable order.

Both are read through a cursor of the server, so memory does not grow with the store; the caller's transaction
keeps it open and decides what it sees. They come in the order of owner and key, which an index has.

Who does not read to the end has to close them.
"""

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from django.db.models import Q

from schemaevo.kernel.canonical import Json, JsonObject, exact_number
from schemaevo.kernel.streams import rows_streamed
from snapshots.models import EntitySnapshot, Observation

#: The number of a schema version, in parts.
_VERSION = ("schema_version__major", "schema_version__minor", "schema_version__patch")


@dataclass(frozen=True, slots=True)
class ExportedObservation:
    """An observation's id and all that is exported of its row."""

    id: str
    line: JsonObject


def snapshots_exported(
    *, entity_type: str, user_id: int | None = None, with_deleted: bool = False
) -> Generator[JsonObject, None, None]:
    """The snapshots of a type: owner, key, values, and the version of the schema that they were computed by.

    `schema_version` is null where the type was undeclared. Deleted entities come only if asked for.
    """
    rows = EntitySnapshot.objects.filter(_of(entity_type, user_id))
    if not with_deleted:
        rows = rows.filter(deleted=False)
    columns = ("user__username", "entity_key", "deleted", "last_observation_at", "values", *_VERSION)
    ordered = rows.order_by("user_id", "entity_key").values_list(*columns)
    with rows_streamed(ordered) as found:
        for username, key, deleted, last, values, *version in found:
            yield {
                "user": username,
                "key": key,
                "deleted": deleted,
                "last_observation_at": None if last is None else _time(last),
                "schema_version": _number(version),
                "values": values,
            }


def observations_exported(
    *, entity_type: str, user_id: int | None = None
) -> Generator[ExportedObservation, None, None]:
    """The observations of a type, each entity's together and oldest first, as their rows have them."""
    rows = Observation.objects.filter(_of(entity_type, user_id, "entity__"))
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


def _observation(
    identity: UUID,
    content_id: UUID,
    entity_type: str,
    user_id: int,
    username: str,
    key: str,
    observed_at: datetime,
    source: str,
    source_hash: str,
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
        "observed_at": _time(observed_at),
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


def _time(moment: datetime) -> str:
    """RFC 3339, UTC, with all microseconds."""
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def _number(version: Sequence[int | None]) -> str | None:
    return None if version[0] is None else ".".join(map(str, version))
