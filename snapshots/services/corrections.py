"""Corrections: one field of one entity says what a person knows, against all that was observed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple
from uuid import UUID

from django.conf import settings
from django.db import connection, transaction
from django.db.utils import OperationalError
from django.utils import timezone
from psycopg import errors as pg

from registry.cache import load_current_schema
from registry.domain.effective import EffectiveSchema
from registry.domain.times import to_us
from schemaevo.kernel.actors import Actor
from schemaevo.kernel.audit import audit_record
from schemaevo.kernel.canonical import Json, canonical_bytes, canonical_json, content_hash, require_storable
from schemaevo.kernel.erasing import require_not_erased
from schemaevo.kernel.errors import Conflict, Invalid, LockTimeout
from snapshots.domain.correction import (
    CORRECTION_KIND,
    Foreseen,
    Reached,
    Standing,
    field_corrected,
    foresee,
    require_fitting,
    standing_above,
    strategy_of,
)
from snapshots.domain.identity import observation_content_id, source_id
from snapshots.domain.merge import merged
from snapshots.errors import SnapshotNotFound
from snapshots.models import Correction, EntitySnapshot, ObservationOrigin
from snapshots.services.merging import TAKES_PART, histories_of, snapshots_lock_for_update
from snapshots.services.observations import NewObservation, observations_record
from snapshots.services.recompute import schemas_held, snapshots_recompute
from snapshots.services.sources import sources_ensure
from snapshots.services.waiting import lengths_of

MAY_CORRECT = "snapshots.correct_value"
_SEE_VALUES = "snapshots.see_values"
#: Every correction has a source of its own, so that each can be retracted alone.
SOURCE_NAME = "correction"
REASON_MAX = 2_000


class Wanted(NamedTuple):
    """What a field is to say. `seen` tells of the value that this is based on (`value_seen`), if it is of one."""

    field: str
    value: Json
    seen: str | None = None


@dataclass(frozen=True, slots=True)
class Corrected:
    """The observation by which a field was corrected, and what that did."""

    observation_id: str
    source_id: str
    foreseen: Foreseen


class _Entity(NamedTuple):
    id: str
    user_id: int
    entity_type: str
    entity_key: str


@transaction.atomic
def field_correct(*, entity_id: str, wanted: Wanted, reason: str, actor: Actor) -> Corrected:
    """The field says what is wanted, by an observation with a source of its own, and why is kept beside it.

    Takes the schema locks as ingest does, then the entity's row; what holds is read in later statements. So of two who
    correct one value at once the second is told that it changed. A snapshot that waits is recomputed first.

    Raises: Denied; NotFound `snapshot_not_found`; Unstorable; Invalid `reason_needed`, `reason_too_long`,
    `invalid_name`, `undeclared_field`, `value_misfit`, `repeated_items`; Conflict `entity_deleted`, `value_changed`,
    `nothing_to_correct`, `cannot_win`, `snapshot_waiting`, `owner_erased`, `entity_erased`; LockTimeout.
    """
    _authorise(actor)
    require_reason(reason)
    entity = _entity_of(entity_id)
    schemas = schemas_held(entity.entity_type, {entity.user_id})
    require_not_erased(entity.user_id, entity.id)
    schema = schemas[entity.user_id]
    correction, foreseen = _weighed(entity, _locked_state(entity, schema), schema, wanted)
    sources_ensure(
        user_ids=[entity.user_id],
        name=SOURCE_NAME,
        content_hash=_source_hash(entity, wanted, foreseen.standing),
    )
    observations_record(observations=[correction], schemas=schemas, are_new=True)
    Correction.objects.create(
        observation_id=correction.id,
        user_id=entity.user_id,
        entity_id=entity.id,
        field=wanted.field,
        reason=reason.strip(),
        made_by=actor.user,
        made_by_name=actor.name,
    )
    audit_record(
        actor=actor,
        action="snapshot.correct",
        target_type="snapshot",
        target_id=entity.id,
        # Neither the value nor the reason: what is in the audit log stays there for good.
        after={"field": wanted.field, "observation": correction.id},
    )
    return Corrected(correction.id, correction.source_id, foreseen)


def correction_foresee(*, entity_id: str, wanted: Wanted, actor: Actor) -> Foreseen:
    """What the correction would do now. Changes nothing, and waits for nobody.

    Raises what `field_correct` does, but for reasons and locks.
    """
    _authorise(actor)
    entity = _entity_of(entity_id)
    schema = load_current_schema(entity_type=entity.entity_type, user_id=entity.user_id)
    return _weighed(entity, state_by(entity.id, schema), schema, wanted)[1]


def require_reason(reason: str) -> None:
    """Raises: Invalid `reason_needed`, `reason_too_long`; Unstorable."""
    require_storable(reason)
    if not reason.strip():
        raise Invalid("reason_needed", "Say why: what was observed is not changed without a reason.")
    if len(reason.strip()) > REASON_MAX:
        raise Invalid("reason_too_long", f"A reason has at most {REASON_MAX} characters.", max=REASON_MAX)


def state_by(entity_id: str, schema: EffectiveSchema) -> str:
    """The merge state of an entity by the rules in force, as JSON text: as it is stored, or reduced anew where the
    snapshot waits. Raises: SnapshotNotFound; Conflict `snapshot_waiting`."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT reduction_hash, merge_state FROM entity_snapshots WHERE id = %s", [entity_id])
        row = cursor.fetchone()
    if row is None:
        raise _not_found(entity_id)
    if row[0] == schema.reduction_hash:
        return str(row[1])
    _require_short(entity_id)
    return canonical_json(merged(histories_of([entity_id]).get(entity_id, []), schema.definition).state)


def _authorise(actor: Actor) -> None:
    actor.require(MAY_CORRECT)
    # Whoever corrects is told what is there now, if only by being refused.
    actor.require(_SEE_VALUES)


def _entity_of(entity_id: str) -> _Entity:
    row = (
        EntitySnapshot.objects.filter(pk=UUID(entity_id))
        .values_list("user_id", "entity_type", "entity_key")
        .first()
    )
    if row is None:
        raise _not_found(entity_id)
    return _Entity(entity_id, *row)


def _not_found(entity_id: str) -> SnapshotNotFound:
    return SnapshotNotFound("entity", entity_id, "Nobody")


def _locked_state(entity: _Entity, schema: EffectiveSchema) -> str:
    """Locks the row and gives its merge state, by the rules in force."""
    try:
        rows = snapshots_lock_for_update([entity.id])
    except OperationalError as error:
        if isinstance(error.__cause__, pg.LockNotAvailable):
            message = "Others are writing this entity; try again."
            raise LockTimeout("lock_timeout", message, entity=entity.id) from error
        raise
    if not rows:
        raise _not_found(entity.id)
    if rows[0].reduction_hash != schema.reduction_hash:
        _require_short(entity.id)
        # Recording would leave a row without a hash waiting, and the correction with it.
        snapshots_recompute(entity_type=entity.entity_type, owners={entity.id: entity.user_id})
        rows = snapshots_lock_for_update([entity.id])
    return rows[0].state


def _require_short(entity_id: str) -> None:
    length = lengths_of([entity_id]).get(entity_id, 0)
    if length > settings.SCHEMAEVO_INLINE_RECOMPUTE_MAX:
        raise Conflict(
            "snapshot_waiting",
            "The snapshot waits for its recomputation, and its history is too long to be read here. Recompute it "
            "first (recompute_snapshots), then correct it.",
            length=length,
        )


def _weighed(
    entity: _Entity, state: str, schema: EffectiveSchema, wanted: Wanted
) -> tuple[NewObservation, Foreseen]:
    """The observation that corrects, and what it does to this merge state."""
    definition = schema.definition
    field = field_corrected(wanted.field, definition)
    require_fitting(wanted.field, wanted.value, field)
    standing = standing_above(
        _reached(entity.id, wanted.field), strategy_of(wanted.field, definition), to_us(timezone.now())
    )
    correction = _observation(entity, wanted, standing)
    foreseen = foresee(
        state=state,
        name=wanted.field,
        correction=correction,
        standing=standing,
        definition=definition,
        seen=wanted.seen,
    )
    return correction, foreseen


def _reached(entity_id: str, field: str) -> Reached | None:
    """How far the observations of the entity go that take part and say something about the field."""
    with connection.cursor() as cursor:
        # Of a long history no row is brought here.
        cursor.execute(
            f"""
            SELECT max(observed_at), max(priority), max(specificity) FROM observations AS o
             WHERE entity_id = %s AND fields ? %s AND {TAKES_PART}
            """,  # noqa: S608  a constant
            [entity_id, field],
        )
        observed_at, priority, specificity = cursor.fetchone()
    return None if observed_at is None else Reached(to_us(observed_at), priority, specificity)


def _observation(entity: _Entity, wanted: Wanted, standing: Standing) -> NewObservation:
    fields = {wanted.field: wanted.value}
    source = source_id(entity.user_id, SOURCE_NAME, _source_hash(entity, wanted, standing))
    identity = observation_content_id(
        entity=entity.id,
        source=source,
        observed_us=standing.observed_us,
        priority=standing.priority,
        specificity=standing.specificity,
        kind=CORRECTION_KIND,
        record=canonical_bytes(fields),
    )
    return NewObservation(
        id=identity,
        content_id=identity,
        user_id=entity.user_id,
        entity_type=entity.entity_type,
        entity_id=entity.id,
        entity_key=entity.entity_key,
        source_id=source,
        observed_us=standing.observed_us,
        priority=standing.priority,
        specificity=standing.specificity,
        kind=CORRECTION_KIND,
        fields=fields,
        origin=ObservationOrigin.CORRECTION,
    )


def _source_hash(entity: _Entity, wanted: Wanted, standing: Standing) -> str:
    """What tells the source of a correction from those of all others, without saying anything of the value."""
    return content_hash(
        [entity.id, wanted.field, standing.observed_us, standing.priority, standing.specificity]
    )
