"""Corrections once more: what was recorded for them, so that the same history can come in another order."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from django.db import transaction

from registry.domain.times import to_us
from registry.selectors import effective_schemas
from schemaevo.kernel.canonical import exact_number
from schemaevo.kernel.locks import LockSpace, hold
from snapshots.models import Observation, ObservationOrigin
from snapshots.services.corrections import SOURCE_NAME
from snapshots.services.observations import NewObservation, observations_record
from snapshots.services.sources import sources_ensure


@dataclass(frozen=True)
class Again:
    """The observation of a correction, and what its source is called by."""

    observation: NewObservation
    content_hash: str


def remembered(row: Observation) -> Again:
    """A correction as it was recorded, from its row."""
    return Again(
        NewObservation(
            id=str(row.pk),
            content_id=str(row.content_id),
            user_id=row.user_id,
            entity_type=row.entity_type,
            entity_id=str(row.entity_id),
            entity_key=row.entity.entity_key,
            source_id=str(row.source_id),
            observed_us=to_us(row.observed_at),
            priority=row.priority,
            specificity=exact_number(row.specificity),
            kind=row.kind,
            fields=row.fields,
            origin=ObservationOrigin.CORRECTION,
        ),
        row.source.content_hash,
    )


def record_again(corrections: Iterable[Again]) -> None:
    """Each is recorded, under the schema that is in force now, whatever else is there."""
    for correction in corrections:
        new = correction.observation
        with transaction.atomic():
            hold(LockSpace.SCHEMA_TYPE, [(new.entity_type,)], shared=True)
            hold(LockSpace.SCHEMA_OWNER, [(new.entity_type, new.user_id)], shared=True)
            schemas = effective_schemas(entity_type=new.entity_type, user_ids=[new.user_id])
            sources_ensure(user_ids=[new.user_id], name=SOURCE_NAME, content_hash=correction.content_hash)
            observations_record(observations=[new], schemas=schemas)
