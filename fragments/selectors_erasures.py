"""What an erasure would take away, told before it does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from django.db import connection

from fragments.errors import EntityNotFound
from fragments.services.erasure_inventory import ENTITY, FEW_OF_ENTITY, MANY_OF_ENTITY, OF_OWNER
from schemaevo.kernel.models import Erasure, Job
from snapshots.domain.identity import entity_id
from snapshots.models import EntitySnapshot

#: The job kind that erases; its target is the number of the erasure.
ERASE: Final = "erase"
#: A page counts no further; the command counts all.
COUNTED_AT_MOST: Final = 10_000


@dataclass(frozen=True, slots=True)
class Foreseen:
    """Rows of one table that would go; `is_more` where counting ended before the rows did."""

    table: str
    count: int
    is_more: bool = False


def erasure_foreseen(
    *, user_id: int, entity: UUID | None = None, at_most: int | None = None
) -> list[Foreseen]:
    """The rows that would go, by table, without those of which there are none. One query for each table.

    What is told of an owner or an entity in rows that stay is not counted: it is found by reading them.
    """
    told = [_of_entities(owned.table, owned.column, user_id, entity, at_most) for owned in MANY_OF_ENTITY]
    told += [_of_entities(owned.table, owned.column, user_id, entity, at_most) for owned in FEW_OF_ENTITY]
    told.append(_counted(ENTITY.table, *_whose("id", user_id, entity), at_most))
    if entity is None:
        told += [_counted(owned.table, f"{owned.column} = %s", [user_id], at_most) for owned in OF_OWNER]
    return [one for one in told if one.count]


def entity_of(*, user_id: int, entity_type: str, entity_key: str) -> EntitySnapshot:
    """The entity of that key. Raises: EntityNotFound `entity_not_found`."""
    snapshot = (
        EntitySnapshot.objects.only("pk", "user_id", "entity_type", "entity_key")
        .filter(pk=entity_id(user_id, entity_type, entity_key))
        .first()
    )
    if snapshot is None:
        raise EntityNotFound(entity_type)
    return snapshot


def erasure_of(*, user_id: int, entity: UUID | None = None) -> Erasure | None:
    """The newest erasure of that owner, or of that entity, if there is one."""
    return Erasure.objects.filter(user_id=user_id, entity_id=entity).order_by("-pk").first()


def erasure_job(erasure: Erasure) -> Job | None:
    """The job that does it, or did, while its row is kept."""
    return Job.objects.filter(kind=ERASE, target=str(erasure.pk)).order_by("-requested_at").first()


def _whose(column: str, user_id: int, entity: UUID | None) -> tuple[str, list[Any]]:
    if entity is None:
        return "user_id = %s", [user_id]
    return f"user_id = %s AND {column} = %s", [user_id, entity]


def _of_entities(table: str, column: str, user_id: int, entity: UUID | None, at_most: int | None) -> Foreseen:
    """Rows of entities are found by their entities: not all of these tables have an index by owner."""
    if entity is not None:
        return _counted(table, *_whose(column, user_id, entity), at_most)
    rows = f"{column} IN (SELECT id FROM entity_snapshots WHERE user_id = %s)"  # noqa: S608  of models
    return _counted(table, rows, [user_id], at_most)


def _counted(table: str, rows: str, given: list[Any], at_most: int | None) -> Foreseen:
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT count(*) FROM (SELECT 1 FROM {table} WHERE {rows} LIMIT %s) AS found",  # noqa: S608  of models
            [*given, None if at_most is None else at_most + 1],
        )
        (count,) = cursor.fetchone()
    if at_most is not None and count > at_most:
        return Foreseen(table, at_most, is_more=True)
    return Foreseen(table, count)
