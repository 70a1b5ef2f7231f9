"""The backfill: fragments whose field is declared by now become observations, chunk by chunk; and back, after an undo.

The work list is the data itself. Of a declared field every waiting fragment is looked at, whatever its reason: what
fits becomes an observation with its own time, source and trust, which ranks as the one that the value came with, and
the rest stays. Each chunk is one transaction that holds the schemas (shared) and the fragments of its user, so that
what is declared, what waits and what the snapshots take in are of one moment. Done twice it changes nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from django.conf import settings
from django.db import connection

from fragments.domain.promotion import judge
from registry.cache import load_current_schemas
from registry.domain.definition import Field
from registry.domain.effective import EffectiveSchema
from registry.domain.fit import is_admitted
from registry.domain.times import to_us
from schemaevo.kernel.bulk import collector_paused
from schemaevo.kernel.canonical import Json, decode_trusted
from schemaevo.kernel.locks import LockSpace, hold
from snapshots.domain.identity import promotion_observation_id
from snapshots.models import ObservationOrigin
from snapshots.services.merging import exact_specificity
from snapshots.services.observations import NewObservation, observations_record
from snapshots.services.recompute import schemas_held

#: A chunk is one short transaction: an ingest of the same user waits for it.
CHUNK_FRAGMENTS = 1_000
#: Fragments that one look finds, without a lock. Finding them may take a walk through all that is left of a field.
PAGE_FRAGMENTS = 50_000


class Waiting(NamedTuple):
    """A field of a user, of which fragments are to be looked at."""

    user_id: int
    field: str


class Spot(NamedTuple):
    """A fragment, and its place among those of its field: they are gone through entity by entity."""

    entity_id: str
    fragment_id: int


@dataclass(frozen=True, slots=True)
class Chunk:
    """What a chunk did: fragments promoted, those of them whose value is converted, those that did not fit, and those
    taken back."""

    promoted: int = 0
    converted: int = 0
    misfit: int = 0
    taken_back: int = 0


def fields_waiting(entity_type: str, owners: Collection[int]) -> list[Waiting]:
    """The declared fields of these users of which fragments wait, by user and name."""
    schemas = load_current_schemas(entity_type=entity_type, user_ids=owners)
    declared = [(user_id, name) for user_id in sorted(owners) for name in sorted(_declared(schemas[user_id]))]
    return having_waiting(entity_type, declared)


def having_waiting(entity_type: str, asked: Sequence[tuple[int, str]]) -> list[Waiting]:
    """Those of the fields of users of which fragments wait."""
    return _fields_with(_WAITING, entity_type, asked)


def fields_concerned(entity_type: str, owners: Collection[int], names: Collection[str]) -> list[Waiting]:
    """Those of the named fields of these users of which there are fragments, by user and name: to be taken back, or to
    have another reason."""
    asked = [(user_id, name) for user_id in sorted(owners) for name in sorted(names)]
    return _fields_with(_CONCERNED, entity_type, asked)


def _fields_with(which: str, entity_type: str, asked: Sequence[tuple[int, str]]) -> list[Waiting]:
    """Those of the fields of users that have such fragments."""
    with connection.cursor() as cursor:
        # A look into the index for each, of whatever number of fragments.
        cursor.execute(
            f"""
            SELECT d.user_id, d.name
              FROM unnest(%s::bigint[], %s::text[]) WITH ORDINALITY AS d(user_id, name, place)
             WHERE (SELECT true FROM raw_fragments AS f
                     WHERE f.user_id = d.user_id AND f.entity_type = %s AND f.fragment_key = d.name
                       AND {which} LIMIT 1)
             ORDER BY d.place
            """,  # noqa: S608  every part of it stands in this file
            [[user_id for user_id, _ in asked], [name for _, name in asked], entity_type],
        )
        return [Waiting(*row) for row in cursor.fetchall()]


def spots_waiting(*, entity_type: str, user_id: int, field: str, after: Spot | None) -> list[Spot]:
    """The next fragments of the field that wait. Locks nothing, so by the time of their chunk some may not any more."""
    return _spots(_WAITING, entity_type, user_id, field, after)


def spots_promoted(*, entity_type: str, user_id: int, field: str, after: Spot | None) -> list[Spot]:
    """The next fragments of the field that a promotion has to do with, whether it moved them or not. Locks nothing."""
    return _spots(_CONCERNED, entity_type, user_id, field, after)


def spots_of_entities(
    *, entity_type: str, user_id: int, fields: Collection[str], entity_ids: Collection[str]
) -> dict[str, list[Spot]]:
    """The fragments of the fields that wait, of these entities alone, by field. Locks nothing."""
    sql = f"""
        SELECT fragment_key, entity_id::text, id FROM raw_fragments
         WHERE user_id = %s AND entity_id = ANY(%s::uuid[]) AND fragment_key = ANY(%s) AND entity_type = %s
           AND {_WAITING}
         ORDER BY fragment_key, entity_id, id
        """  # noqa: S608
    found: dict[str, list[Spot]] = {}
    with connection.cursor() as cursor:
        cursor.execute(sql, [user_id, [*entity_ids], [*fields], entity_type])
        for field, *spot in cursor.fetchall():
            found.setdefault(field, []).append(Spot(*spot))
    return found


@collector_paused()
def fragments_promote(*, entity_type: str, user_id: int, field: str, spots: Sequence[Spot]) -> Chunk:
    """Those of the fragments that still wait and fit the field's declaration are observations, and promoted; of the
    others the reason says why not. Nothing happens where the field is not declared.

    Runs inside the caller's transaction. Snapshots that wait since a change of schema are left to the job that was
    asked for then. Raises: LockTimeout.
    """
    schema = schemas_held(entity_type, [user_id])[user_id]
    declared = _declared(schema).get(field)
    if declared is None:
        return Chunk()
    hold(LockSpace.FRAGMENTS, [(user_id, entity_type)])
    # In a later statement than the one that took the lock: nobody adds to these rows any more.
    rows = _rows(_WAITING, field, spots)
    promoted: list[int] = []
    converted = 0
    misfits: dict[str, list[int]] = {}
    observations: list[NewObservation] = []
    for row in rows:
        judged = judge(decode_trusted(row.value), declared)
        if judged.reason is None:
            promoted.append(row.fragment_id)
            converted += judged.is_converted
            observations.append(row.observation(entity_type, user_id, {field: judged.value}))
        elif judged.reason != row.reason:
            misfits.setdefault(judged.reason, []).append(row.fragment_id)
    observations_record(
        observations=observations, schemas={user_id: schema}, are_new=True, leaves_waiting=True
    )
    _promote(promoted)
    for reason, ids in misfits.items():
        _update("reason = %s", [reason], ids)
    return Chunk(promoted=len(promoted), converted=converted, misfit=len(rows) - len(promoted))


def fragments_take_back(*, entity_type: str, user_id: int, field: str, spots: Sequence[Spot]) -> Chunk:
    """Those of the fragments that are promoted and have no say any more, under what is declared now, wait again, as if
    they had never been promoted. The observations stay; reduction passes them over.

    Runs inside the caller's transaction. Raises: LockTimeout.
    """
    declared = _declared(schemas_held(entity_type, [user_id])[user_id]).get(field)
    hold(LockSpace.FRAGMENTS, [(user_id, entity_type)])
    rows = _rows(_CONCERNED, field, spots)
    back: dict[str, list[int]] = {}
    renamed: dict[str, list[int]] = {}
    for row in rows:
        value = decode_trusted(row.value)
        reason: str | None = "unknown_field" if declared is None else judge(value, declared).reason
        if row.is_promoted and _is_out(value, declared):
            back.setdefault(reason or row.reason, []).append(row.fragment_id)
        elif not row.is_promoted and reason is not None and reason != row.reason:
            renamed.setdefault(reason, []).append(row.fragment_id)
    active = "lifecycle_state = 'active', promoted_at = NULL, archived_at = NULL, expires_at = NULL"
    for why, ids in back.items():
        _update(f"{active}, reason = %s", [why], ids)
    for why, ids in renamed.items():
        _update("reason = %s", [why], ids)
    return Chunk(taken_back=sum(map(len, back.values())))


@dataclass(frozen=True, slots=True)
class Foreseen:
    """What a promotion would make of some fragments: observations, of which `converted` show something else than came,
    and, by the reason why not, how many would stay."""

    observations: tuple[NewObservation, ...]
    converted: int
    misfits: Mapping[str, int]


@collector_paused()
def fragments_foreseen(*, entity_type: str, user_id: int, declared: Field, spots: Sequence[Spot]) -> Foreseen:
    """What `fragments_promote` would come to were the field declared so. Changes nothing, locks nothing."""
    observations: list[NewObservation] = []
    misfits: dict[str, int] = {}
    converted = 0
    for row in _rows(_WAITING, declared.name, spots):
        judged = judge(decode_trusted(row.value), declared)
        if judged.reason is None:
            observations.append(row.observation(entity_type, user_id, {declared.name: judged.value}))
            converted += judged.is_converted
        else:
            misfits[judged.reason] = misfits.get(judged.reason, 0) + 1
    return Foreseen(tuple(observations), converted, misfits)


def taken_back_foreseen(*, declared: Field | None, field: str, spots: Sequence[Spot]) -> int:
    """How many fragments `fragments_take_back` would let wait again were the field declared so, or not at all. Changes
    nothing, locks nothing."""
    rows = [row for row in _rows(_CONCERNED, field, spots) if row.is_promoted]
    return sum(_is_out(decode_trusted(row.value), declared) for row in rows)


def _is_out(value: Json, declared: Field | None) -> bool:
    """Whether a promoted value has no say under what is declared."""
    return declared is None or not is_admitted(value, declared)


class _Row(NamedTuple):
    """A fragment, as far as a chunk needs it. `value` is JSON text."""

    entity_id: str
    fragment_id: int
    value: str
    reason: str
    source_id: str
    priority: int
    specificity: float
    kind: str | None
    observation_id: str
    observed_at: datetime
    entity_key: str
    is_promoted: bool

    def observation(self, entity_type: str, user_id: int, fields: dict[str, Json]) -> NewObservation:
        """What stands in the place of the observation that the value came with, and speaks of this field alone."""
        (field,) = fields
        identity = promotion_observation_id(self.observation_id, field)
        return NewObservation(
            id=identity,
            content_id=identity,
            user_id=user_id,
            entity_type=entity_type,
            entity_id=self.entity_id,
            entity_key=self.entity_key,
            source_id=self.source_id,
            observed_us=to_us(self.observed_at),
            priority=self.priority,
            specificity=exact_specificity(self.specificity),
            kind=self.kind,
            fields=fields,
            origin=ObservationOrigin.PROMOTION,
            ranks_as=self.observation_id,
        )


def _declared(schema: EffectiveSchema) -> Mapping[str, Field]:
    return {} if schema.definition is None else schema.definition.fields


#: Which fragments of a field a chunk is about: those of a promotion, and those of its undo. What a retracted source
#: brought is promoted by nobody; it is taken back as everything is, so that it is right after the undo of that.
_WAITING = "lifecycle_state IN ('active', 'archived') AND NOT is_retracted"
_CONCERNED = "reason <> 'converted_original'"
#: What can be taken back. A converted original was never one that waited.
_PROMOTED = (
    f"{_CONCERNED} AND lifecycle_state IN ('promoted', 'pending_deletion') AND promoted_at IS NOT NULL"
)


def _spots(which: str, entity_type: str, user_id: int, field: str, after: Spot | None) -> list[Spot]:
    sql = f"""
        SELECT entity_id::text, id FROM raw_fragments AS f
         WHERE user_id = %s AND entity_type = %s AND fragment_key = %s AND {which}
           {"AND (entity_id, id) > (%s::uuid, %s)" if after else ""}
         ORDER BY f.entity_id, f.id LIMIT %s
        """  # noqa: S608  every part of it stands in this file
    with connection.cursor() as cursor:
        cursor.execute(sql, [user_id, entity_type, field, *(after or ()), PAGE_FRAGMENTS])
        return [Spot(*row) for row in cursor.fetchall()]


def _rows(which: str, field: str, spots: Sequence[Spot]) -> list[_Row]:
    # By their ids alone, and their entities by theirs: the planner, new to the field, would walk through all of it for
    # every chunk.
    sql = f"""
        WITH f AS MATERIALIZED (SELECT * FROM raw_fragments WHERE id = ANY(%s))
        SELECT f.entity_id::text, f.id, f.value::text, f.reason, f.source_id::text, f.priority, f.specificity, f.kind,
               f.observation_id::text, f.observed_at,
               (SELECT s.entity_key FROM entity_snapshots AS s WHERE s.id = f.entity_id),
               {_PROMOTED}
          FROM f WHERE f.fragment_key = %s AND f.{which}
        """  # noqa: S608
    with connection.cursor() as cursor:
        cursor.execute(sql, [[spot.fragment_id for spot in spots], field])
        return [_Row(*row) for row in cursor.fetchall()]


def _promote(ids: list[int]) -> None:
    _update(
        "lifecycle_state = 'promoted', promoted_at = now(), archived_at = NULL,"
        " expires_at = now() + make_interval(days => %s)",
        [settings.SCHEMAEVO_PROMOTED_RETENTION_DAYS],
        ids,
    )


def _update(assignments: str, values: list[str | int], ids: list[int]) -> None:
    if ids:
        with connection.cursor() as cursor:
            cursor.execute(f"UPDATE raw_fragments SET {assignments} WHERE id = ANY(%s)", [*values, ids])  # noqa: S608
