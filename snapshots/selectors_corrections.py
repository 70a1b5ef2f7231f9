"""What the page shows on which a field is corrected."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from registry.cache import load_current_schema
from registry.domain.definition import Definition, Strategy
from registry.domain.effective import EffectiveSchema
from schemaevo.kernel.canonical import Json
from schemaevo.kernel.errors import Conflict
from schemaevo.kernel.models import User
from snapshots.domain.correction import (
    as_written,
    field_corrected,
    fitting_words,
    still_holds,
    strategy_of,
    takes_plain_text,
    value_seen,
    value_written,
)
from snapshots.domain.merge import project
from snapshots.domain.state import MergeState, read_state
from snapshots.errors import SnapshotNotFound
from snapshots.models import Correction, EntitySnapshot, Observation
from snapshots.services.corrections import state_by

#: So many corrections of an entity are listed, the newest first.
LISTED_MAX = 50


@dataclass(frozen=True, slots=True)
class FieldNow:
    """A field that can be corrected, as it is now. `value` is None where the snapshot shows none; `seen` is what a
    correction that is based on it gives, `written` how a person writes it. `fitting` is empty where anything fits."""

    name: str
    type: str
    strategy: Strategy
    is_required: bool
    value: Json
    seen: str
    written: str
    fitting: str
    takes_text: bool


@dataclass(frozen=True, slots=True)
class CorrectionTold:
    """A correction that was made. `holds` tells whether the field still says so; None where that is not known."""

    observation_id: str
    source_id: UUID | None
    field: str
    value: Json
    reason: str
    made_by: str
    made_at: datetime
    holds: bool | None


@dataclass(frozen=True, slots=True)
class CorrectableTold:
    """An entity whose fields may be corrected. `names` are the fields to choose from, all that there are where the type
    is declared; `is_unreadable` that its history is too long to be read while it waits."""

    snapshot: EntitySnapshot
    owner: User | None
    schema: EffectiveSchema
    is_waiting: bool
    is_unreadable: bool
    deleted: bool
    names: Sequence[str]
    field: FieldNow | None
    corrections: Sequence[CorrectionTold]
    is_more: bool


def correctable_told(*, snapshot_id: UUID, field: str = "") -> CorrectableTold:
    """The entity, the chosen field as it is now by the rules in force, and the corrections that were made.

    Raises: SnapshotNotFound; Invalid `invalid_name`, `undeclared_field`.
    """
    snapshot = EntitySnapshot.objects.defer("merge_state").filter(pk=snapshot_id).first()
    if snapshot is None:
        raise SnapshotNotFound("entity", str(snapshot_id), "Nobody")
    schema = load_current_schema(entity_type=snapshot.entity_type, user_id=snapshot.user_id)
    definition = schema.definition
    state: MergeState | None
    try:
        state = read_state(state_by(str(snapshot_id), schema))
    except Conflict:
        state = None
    deleted = snapshot.deleted if state is None else state.deletion is not None and state.deletion.deleted
    names = definition.fields if definition is not None else state.fields if state is not None else ()
    corrections = list(
        Correction.objects.filter(user=snapshot.user_id, entity=snapshot.pk).order_by(
            "-made_at", "observation"
        )[: LISTED_MAX + 1]
    )
    return CorrectableTold(
        snapshot=snapshot,
        owner=User.objects.only("username").filter(pk=snapshot.user_id).first(),
        schema=schema,
        is_waiting=snapshot.reduction_hash != schema.reduction_hash,
        is_unreadable=state is None,
        deleted=deleted,
        names=sorted(names, key=lambda name: (name.casefold(), name)),
        field=_field_now(field, state, definition) if field and state is not None and not deleted else None,
        corrections=_told(corrections[:LISTED_MAX], state),
        is_more=len(corrections) > LISTED_MAX,
    )


def value_read(*, entity_type: str, user_id: int, field: str, text: str) -> Json:
    """The value that a person wrote for a field of that type and owner.

    Raises: Unstorable; Invalid `invalid_name`, `undeclared_field`.
    """
    schema = load_current_schema(entity_type=entity_type, user_id=user_id)
    return value_written(text, field_corrected(field, schema.definition))


def _field_now(name: str, state: MergeState, definition: Definition | None) -> FieldNow:
    declared = field_corrected(name, definition)
    value = project(state, definition).values.get(name)
    return FieldNow(
        name=name,
        type=declared.type.value if declared else "",
        strategy=strategy_of(name, definition),
        is_required=bool(declared and declared.required),
        value=value,
        seen=value_seen(value),
        written="" if value is None else as_written(value, declared),
        fitting=fitting_words(declared) if declared else "",
        takes_text=takes_plain_text(declared),
    )


def _told(rows: Sequence[Any], state: MergeState | None) -> list[CorrectionTold]:
    observations = {
        row.pk: row
        for row in Observation.objects.filter(pk__in=[row.pk for row in rows]).only(
            "source_id", "priority", "fields"
        )
    }
    told = []
    for row in rows:
        said = observations.get(row.pk)
        told.append(
            CorrectionTold(
                observation_id=str(row.pk),
                source_id=said.source_id if said else None,
                field=row.field,
                value=said.fields.get(row.field) if said else None,
                reason=row.reason,
                made_by=row.made_by_name,
                made_at=row.made_at,
                holds=None
                if state is None or said is None
                else still_holds(state, row.field, str(row.pk), said.priority),
            )
        )
    return told
