"""verify: what is stored against what the history says, and never a silent repair."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import cast

from django.db import connection, transaction

from registry.cache import load_current_schemas
from registry.domain.times import to_us
from schemaevo.kernel.actors import Actor
from schemaevo.kernel.audit import audit_record
from schemaevo.kernel.canonical import Json, JsonObject, canonical_json, decode_trusted
from snapshots.domain.reducer import Reduced, reduce
from snapshots.domain.state import MergeState
from snapshots.models import EntitySnapshot
from snapshots.services.merging import histories_of, snapshots_lock_for_update, within_memory
from snapshots.services.recompute import CHUNK_OBSERVATIONS, snapshots_recompute

CHUNK = 200
#: Rows that one random place in the table stands for; ids are hashes, so neighbours are strangers.
ROWS_PER_PROBE = 50


@dataclass(frozen=True, slots=True)
class Divergence:
    """A stored snapshot that is not the reduction of its observations; `columns` are those that differ."""

    entity_id: str
    entity_type: str
    user_id: int
    columns: tuple[str, ...]


@dataclass(slots=True)
class Verified:
    """What was compared. Waiting snapshots were reduced by other rules than those in force, and are not compared."""

    checked: int = 0
    waiting: int = 0
    divergent: list[Divergence] = field(default_factory=list)
    repaired: int = 0

    def add(self, other: Verified) -> None:
        """Takes in what another part found."""
        self.checked += other.checked
        self.waiting += other.waiting
        self.divergent += other.divergent
        self.repaired += other.repaired

    def to_json(self) -> JsonObject:
        """The counts, and up to twenty of the divergent entities."""
        examples: list[Json] = [
            {"entity": d.entity_id, "entity_type": d.entity_type, "columns": list(d.columns)}
            for d in self.divergent[:20]
        ]
        return {
            "checked": self.checked,
            "waiting": self.waiting,
            "divergent": len(self.divergent),
            "repaired": self.repaired,
            "examples": examples,
        }


def snapshot_ids_sample(size: int) -> Iterator[list[str]]:
    """About `size` entities from random places, in chunks, without reading the whole table."""
    seen: set[str] = set()
    for _ in range(max(1, -(-size // ROWS_PER_PROBE))):
        wanted = min(ROWS_PER_PROBE, size - len(seen))
        start = uuid.uuid4()
        ids = _ids_after(start, wanted)
        if len(ids) < wanted:
            ids += _ids_after(uuid.UUID(int=0), wanted - len(ids))
        fresh = list(dict.fromkeys(i for i in ids if i not in seen))
        seen.update(fresh)
        if fresh:
            yield fresh


def snapshot_ids_all(after: str | None = None) -> Iterator[list[str]]:
    """All entities in the order of their ids, in chunks."""
    last = uuid.UUID(after) if after else uuid.UUID(int=0)
    while ids := _ids_after(last, CHUNK):
        yield ids
        last = uuid.UUID(ids[-1])


def snapshots_verify(entity_ids: Collection[str]) -> Verified:
    """Compares these snapshots with the full reduction of their observations, byte for byte.

    First without a lock; what seems to differ is compared again with the row locked, since an observation may have
    been recorded between the two reads.
    """
    first = _compare(entity_ids)
    if not first.divergent:
        return first
    suspects = [divergence.entity_id for divergence in first.divergent]
    with transaction.atomic():
        snapshots_lock_for_update(suspects)
        second = _compare(suspects)
    return Verified(
        checked=first.checked - len(suspects) + second.checked,
        waiting=first.waiting + second.waiting,
        divergent=second.divergent,
    )


@transaction.atomic
def snapshot_repair(*, divergence: Divergence, actor: Actor) -> None:
    """The divergent snapshot is reduced anew from its history; the audit log says so, without values."""
    actor.require("kernel.control_job")
    snapshots_recompute(entity_type=divergence.entity_type, owners={divergence.entity_id: divergence.user_id})
    audit_record(
        actor=actor,
        action="snapshot.repair",
        target_type="snapshot",
        target_id=divergence.entity_id,
        before={"divergent": list(divergence.columns)},
        after={"divergent": []},
    )


def _ids_after(after: uuid.UUID, limit: int) -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT id::text FROM entity_snapshots WHERE id > %s ORDER BY id LIMIT %s", [after, limit]
        )
        return [identity for (identity,) in cursor]


def _compare(entity_ids: Collection[str]) -> Verified:
    rows = list(EntitySnapshot.objects.filter(pk__in=list(entity_ids)).order_by("user_id", "pk"))
    result = Verified()
    for part in within_memory(rows, lambda row: row.observation_count, limit=CHUNK_OBSERVATIONS):
        result.add(_compare_rows(part))
    return result


def _compare_rows(rows: Collection[EntitySnapshot]) -> Verified:
    histories = histories_of([str(row.pk) for row in rows])
    result = Verified()
    for entity_type in {row.entity_type for row in rows}:
        of_type = [row for row in rows if row.entity_type == entity_type]
        schemas = load_current_schemas(entity_type=entity_type, user_ids={row.user_id for row in of_type})
        for row in of_type:
            schema = schemas[row.user_id]
            if row.reduction_hash != schema.reduction_hash:
                result.waiting += 1
                continue
            result.checked += 1
            right = reduce(histories.get(str(row.pk), []), schema.definition)
            columns = _differences(row, right)
            if columns:
                result.divergent.append(Divergence(str(row.pk), entity_type, row.user_id, columns))
    return result


def _differences(row: EntitySnapshot, right: Reduced) -> tuple[str, ...]:
    last = None if row.last_observation_at is None else to_us(row.last_observation_at)
    computed = None if row.last_computed_observation_id is None else str(row.last_computed_observation_id)
    pairs = {
        "values": _same(row.values, right.values),
        "provenance": _same(row.provenance, cast(Json, right.provenance)),
        "merge_state": _same(row.merge_state, right.state),
        "deleted": row.deleted == right.deleted,
        "observation_count": row.observation_count == right.observation_count,
        "last_observation_at": last == right.last_observed_us,
        "last_computed_observation_id": computed == right.last_computed_id,
    }
    return tuple(column for column, is_same in pairs.items() if not is_same)


def _same(stored: Json, right: Json | MergeState) -> bool:
    """Equal as canonical JSON, once what is right went the way of the store and back as well."""
    return canonical_json(stored) == canonical_json(decode_trusted(canonical_json(right)))
