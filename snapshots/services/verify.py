"""verify: what is stored against what the history says, and never a silent repair."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import cast

from django.conf import settings
from django.db import DatabaseError, transaction
from django.utils.translation import gettext_lazy as _

from registry.cache import load_current_schemas
from registry.domain.definition import Definition
from registry.domain.targets import of_target
from registry.domain.times import to_us
from schemaevo.kernel.actors import Actor
from schemaevo.kernel.audit import audit_record
from schemaevo.kernel.canonical import Json, JsonObject, canonical_json, decode_trusted
from schemaevo.kernel.verification import Extent, Finding, Look, Repair, VerifyCheck, verify_check
from schemaevo.kernel.verification_samples import Found, KeyedTable, keys_next, rows_up_to
from snapshots.domain.observed import Observed
from snapshots.domain.reducer import Reduced, reduce
from snapshots.domain.state import MergeState
from snapshots.errors import HistoryTooLong
from snapshots.models import EntitySnapshot
from snapshots.selectors_retractions import entities_unsettled
from snapshots.services.failures import failure_of
from snapshots.services.merging import histories_of, snapshots_lock_for_update, within_memory
from snapshots.services.recompute import (
    CHUNK_OBSERVATIONS,
    LONG_HISTORY,
    history_merged,
    schemas_held,
    snapshots_recompute,
)
from snapshots.services.refresh import keys_after, owner_after
from snapshots.services.waiting import lengths_of

logger = logging.getLogger(__name__)

SNAPSHOTS = "snapshots"
_KEYS = KeyedTable.of(EntitySnapshot)


@dataclass(frozen=True, slots=True)
class Divergence:
    """A stored snapshot that is not the reduction of its observations; `columns` are those that differ.

    Where its history cannot be reduced there is the code of the `error` instead.
    """

    entity_id: str
    entity_type: str
    user_id: int
    columns: tuple[str, ...]
    error: str = ""

    @property
    def finding(self) -> Finding:
        """As `verify` tells it."""
        wrong = f"cannot be reduced ({self.error})" if self.error else ", ".join(self.columns)
        return Finding(f"{self.entity_type} {self.entity_id}: {wrong}", self.to_json())

    def to_json(self) -> JsonObject:
        """As results hold it."""
        said: JsonObject = {
            "entity": self.entity_id,
            "entity_type": self.entity_type,
            "user_id": self.user_id,
            "columns": list(self.columns),
        }
        return {**said, "error": self.error} if self.error else said

    @classmethod
    def from_json(cls, said: JsonObject) -> Divergence:
        """What `to_json` gave. Raises: ValueError for anything else."""
        match said:
            case {
                "entity": str(entity_id),
                "entity_type": str(entity_type),
                "user_id": int(user_id),
                "columns": list(columns),
            }:
                error = str(said.get("error", ""))
                return cls(entity_id, entity_type, user_id, tuple(map(str, columns)), error)
            case _:
                raise ValueError(f"{said} is no divergence of a snapshot")


@dataclass(slots=True)
class Verified:
    """What was compared. Waiting snapshots were reduced by other rules than those in force, or with a source whose
    retraction has not reached them, and are not compared."""

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
        examples: list[Json] = [divergence.to_json() for divergence in self.divergent[:20]]
        return {
            "checked": self.checked,
            "waiting": self.waiting,
            "divergent": len(self.divergent),
            "repaired": self.repaired,
            "examples": examples,
        }


def snapshot_ids_sample(size: int) -> Iterator[list[str]]:
    """About `size` entities from random places, in chunks, without reading the whole table."""
    return _ids(size)


def snapshot_ids_all() -> Iterator[list[str]]:
    """All entities in the order of their ids, in chunks."""
    return _ids(None)


def snapshots_verify(entity_ids: Collection[str], *, entity_max_s: float | None = None) -> Verified:
    """Compares these snapshots with the full reduction of their observations, byte for byte.

    First without a lock; what seems to differ is compared again with the row locked, since an observation may have
    been recorded between the two reads. A history that takes longer than `entity_max_s` is not compared.
    """
    first = _compare(entity_ids, entity_max_s)
    if not first.divergent:
        return first
    suspects = [divergence.entity_id for divergence in first.divergent]
    with transaction.atomic():
        snapshots_lock_for_update(suspects)
        second = _compare(suspects, entity_max_s)
    return Verified(
        checked=first.checked - len(suspects) + second.checked,
        waiting=first.waiting + second.waiting,
        divergent=second.divergent,
    )


@transaction.atomic
def snapshot_repair(*, divergence: Divergence, actor: Actor) -> Repair:
    """The divergent snapshot is reduced anew from its history; the audit log says so, without values.

    It is compared again with its row locked: what is right by then, or waits, is left alone, and so is what cannot be
    reduced. Raises: Denied.
    """
    actor.require("kernel.control_job")
    schemas_held(divergence.entity_type, {divergence.user_id})
    snapshots_lock_for_update([divergence.entity_id])
    found = _compare([divergence.entity_id], None).divergent
    if not found:
        return Repair.NOT_NEEDED
    if found[0].error:
        return Repair.IMPOSSIBLE
    snapshots_recompute(entity_type=divergence.entity_type, owners={divergence.entity_id: divergence.user_id})
    audit_record(
        actor=actor,
        action="snapshot.repair",
        target_type="snapshot",
        target_id=divergence.entity_id,
        before={"divergent": list(found[0].columns)},
        after={"divergent": []},
    )
    return Repair.DONE


# --- the check ----------------------------------------------------------------------------------------
def snapshots_look(extent: Extent, place: Json) -> Look:
    """The next snapshots are compared, as one look of `verify`.

    A sample is also taken by a job, whose worker loses the job if one look takes longer than its lease.
    """
    found = _of_target(extent.target, place) if extent.target else keys_next(_KEYS, extent.size, place)
    entity_max_s = None if extent.size is None else settings.SCHEMAEVO_LEASE_S / 2
    verified = snapshots_verify(found.keys, entity_max_s=entity_max_s)
    return Look(verified.checked, [one.finding for one in verified.divergent], found.place, verified.waiting)


def snapshots_count(extent: Extent) -> int:
    """How many snapshots there are to look at, of all types."""
    return rows_up_to(_KEYS, extent.size)


def snapshots_verify_repair(actor: Actor, finding: Finding) -> Repair:
    """The snapshot that was found is what it should be. Raises: Denied."""
    return snapshot_repair(divergence=Divergence.from_json(finding.said), actor=actor)


def register() -> None:
    """The check of this floor is part of `verify`."""
    verify_check(
        VerifyCheck(
            SNAPSHOTS,
            _("snapshots"),
            snapshots_look,
            snapshots_count,
            snapshots_verify_repair,
            has_samples=True,
            has_targets=True,
        )
    )


def _ids(size: int | None) -> Iterator[list[str]]:
    found = keys_next(_KEYS, size, None)
    while True:
        if found.keys:
            yield found.keys
        if found.place is None:
            return
        found = keys_next(_KEYS, size, found.place)


def _of_target(target: str, place: Json) -> Found:
    """The next entities of a type, or of one user's part in it, owner by owner in the order of their keys."""
    entity_type, only_owner = of_target(target)
    match place:
        case {"owner": int(owner), "key": str(key)}:
            keys = keys_after(entity_type, owner, key)
        case _:
            owner, keys = 0, {}
    if not keys:
        following = owner_after(entity_type, owner, only_owner)
        if following is None:
            return Found([], None)
        owner, keys = following, keys_after(entity_type, following, "")
    # An owner who was named may have nothing of the type: the next look finds no other one.
    return Found(list(keys), {"owner": owner, "key": list(keys.values())[-1] if keys else ""})


# --- comparing ----------------------------------------------------------------------------------------
def _compare(entity_ids: Collection[str], entity_max_s: float | None) -> Verified:
    rows = list(EntitySnapshot.objects.filter(pk__in=list(entity_ids)).order_by("user_id", "pk"))
    # Counted, and not as the rows say: they may say anything.
    lengths = lengths_of([str(row.pk) for row in rows])
    result = Verified()
    for part in within_memory(rows, lambda row: lengths.get(str(row.pk), 0), limit=CHUNK_OBSERVATIONS):
        result.add(_compare_rows(part, lengths, entity_max_s))
    return result


def _compare_rows(
    rows: Collection[EntitySnapshot], lengths: Mapping[str, int], entity_max_s: float | None
) -> Verified:
    histories = _Histories(rows, lengths, entity_max_s)
    result = Verified()
    suspects: list[Divergence] = []
    for entity_type in {row.entity_type for row in rows}:
        of_type = [row for row in rows if row.entity_type == entity_type]
        schemas = load_current_schemas(entity_type=entity_type, user_ids={row.user_id for row in of_type})
        for row in of_type:
            schema = schemas[row.user_id]
            if row.reduction_hash != schema.reduction_hash:
                result.waiting += 1
                continue
            columns: tuple[str, ...] = ()
            error = ""
            try:
                columns = _differences(row, histories.reduced(str(row.pk), schema.definition))
            except HistoryTooLong:
                logger.warning("The history of %s is too long to be verified by a job.", row.pk)
                continue
            except DatabaseError:
                raise
            except Exception as found:
                # One entity that cannot be reduced costs no other its verification.
                failure = failure_of(
                    found, entity_id=str(row.pk), user_id=row.user_id, reduction_hash=schema.reduction_hash
                )
                error = failure.code
            result.checked += 1
            if columns or error:
                suspects.append(Divergence(str(row.pk), entity_type, row.user_id, columns, error))
    if suspects:
        # A retraction has its say before its job has reached every snapshot.
        unsettled = entities_unsettled(
            [suspect.entity_id for suspect in suspects], {suspect.user_id for suspect in suspects}
        )
        result.divergent = [suspect for suspect in suspects if suspect.entity_id not in unsettled]
        result.checked -= len(unsettled)
        result.waiting += len(unsettled)
    return result


class _Histories:
    """The histories of the rows of one part, read at once where they can be, and each reduced when asked for."""

    def __init__(
        self, rows: Collection[EntitySnapshot], lengths: Mapping[str, int], entity_max_s: float | None
    ) -> None:
        self._max_s = entity_max_s
        ids = [str(row.pk) for row in rows]
        # It stands alone in its part.
        self._is_long = len(ids) == 1 and lengths.get(ids[0], 0) > LONG_HISTORY
        self._read: dict[str, list[Observed]] | None = None
        if not self._is_long:
            try:
                self._read = histories_of(ids)
            except DatabaseError:
                raise
            except Exception:
                # Whose fault it is shows when they are read one by one.
                logger.info("Histories are read one by one: one of them cannot be read.")

    def reduced(self, entity_id: str, definition: Definition | None) -> Reduced:
        """What the entity's history comes to. A long one is merged while it is read. Raises: HistoryTooLong."""
        if self._is_long:
            with transaction.atomic():
                return history_merged(entity_id, definition, self._max_s)
        histories = histories_of([entity_id]) if self._read is None else self._read
        return reduce(histories.get(entity_id, []), definition)


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
