"""Refreshing: every snapshot reduced anew, whether it waits or not, as after a mistake in the program was mended."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from uuid import UUID

from django.db import connection

from schemaevo.kernel.bulk import collector_paused
from schemaevo.kernel.canonical import Json
from snapshots.models import EntitySnapshot
from snapshots.services.merging import snapshots_lock_for_update
from snapshots.services.recompute import (
    CHUNK_ENTITIES,
    CHUNK_S,
    rows_recompute,
    schemas_held,
    transaction_began_at,
)
from snapshots.services.waiting import Waiting, owners_after


@dataclass(frozen=True, slots=True)
class RefreshPlace:
    """The last entity that was looked at, and when it all began, as ISO 8601 by the database's clock."""

    since: str
    owner: int = 0
    key: str = ""

    def to_json(self) -> Json:
        """The place as a cursor."""
        return {"since": self.since, "owner": self.owner, "key": self.key}

    @classmethod
    def from_json(cls, cursor: Json) -> RefreshPlace | None:
        """The place that a cursor names, if it names one."""
        match cursor:
            case {"since": str(since), "owner": int(owner), "key": str(key)}:
                return cls(since, owner, key)
            case _:
                return None


@dataclass(frozen=True, slots=True)
class RefreshChunk:
    """What a chunk did: entities recomputed and passed over, and the place after it; None at the end."""

    recomputed: int
    failed: int
    place: RefreshPlace | None


def refresh_beginning() -> RefreshPlace:
    """Where refreshing begins."""
    return RefreshPlace(transaction_began_at())


def snapshots_to_refresh(*, entity_type: str, only_owner: int | None = None) -> int:
    """How many there are."""
    found = EntitySnapshot.objects.filter(entity_type=entity_type)
    return (found if only_owner is None else found.filter(user_id=only_owner)).count()


@collector_paused()
def snapshots_refresh(
    *,
    entity_type: str,
    place: RefreshPlace,
    only_owner: int | None = None,
    job_id: UUID | None = None,
    entity_max_s: float | None = None,
) -> RefreshChunk:
    """The next entities after `place` are reduced anew under the schema in force.

    By key, and not by when they were computed: each observation that ingest merges is a computation too, and may be
    merged into what is wrong. Runs inside the caller's transaction; locks, and what fails, as in
    `snapshots_recompute_waiting`.
    """
    ends_at = time.monotonic() + CHUNK_S
    keys = keys_after(entity_type, place.owner, place.key)
    while not keys:
        owner = owner_after(entity_type, place.owner, only_owner)
        if owner is None:
            return RefreshChunk(0, 0, None)
        place = replace(place, owner=owner, key="")
        keys = keys_after(entity_type, place.owner, place.key)
    schemas = schemas_held(entity_type, {place.owner})
    rows = {row.entity_id: row for row in snapshots_lock_for_update(keys)}
    result = rows_recompute(
        # By key, so that what the time does not suffice for lies behind the place.
        [Waiting(i, place.owner, rows[i].observation_count) for i in keys if i in rows],
        schemas,
        entity_type=entity_type,
        job_id=job_id,
        ends_at=ends_at,
        entity_max_s=entity_max_s,
    )
    left = {row.entity_id for row in result.left}
    reached = [key for identity, key in keys.items() if identity not in left]
    return RefreshChunk(result.recomputed, result.failed, replace(place, key=reached[-1]))


def keys_after(entity_type: str, owner: int, key: str) -> dict[str, str]:
    """The next entities of an owner, with their keys, in the order of these."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT id::text, entity_key FROM entity_snapshots
             WHERE user_id = %s AND entity_type = %s AND entity_key > %s ORDER BY entity_key LIMIT %s
            """,
            [owner, entity_type, key, CHUNK_ENTITIES],
        )
        return dict(cursor.fetchall())


def owner_after(entity_type: str, after: int, only_owner: int | None) -> int | None:
    if only_owner is not None:
        return only_owner if only_owner > after else None
    return next(iter(owners_after(entity_type, after, 1)), None)
