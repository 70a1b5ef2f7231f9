"""What a retraction, or its undo, would come to: counted as far as an index tells, and tried on some entities."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from django.db import connection

from registry.cache import load_current_schema
from registry.domain.definition import Definition
from schemaevo.kernel.canonical import JsonObject, canonical_json
from schemaevo.kernel.pages.estimates import COUNTED_MAX, Amount
from snapshots.domain.merge import merged
from snapshots.domain.observed import Observed
from snapshots.domain.reducer import Reduced
from snapshots.models import Retraction, Source
from snapshots.providers import SourceImpact, impacts_of_source
from snapshots.selectors_retractions import newest_retraction, observations_counted
from snapshots.services.merging import histories_supposing
from snapshots.services.waiting import lengths_of

#: Entities that are reduced with the source and without it, and observations that may be read for that.
SAMPLE_ENTITIES: Final = 200
SAMPLE_OBSERVATIONS: Final = 20_000
#: Names of fields that are told.
FIELDS_TOLD: Final = 20
#: What the job goes through in a second, at least, on the machine that was measured.
OBSERVATIONS_PER_S: Final = 5_000


@dataclass(frozen=True, slots=True)
class FieldChanged:
    """A field that would be shown otherwise, of so many of the entities looked at."""

    entity_type: str
    name: str
    count: int


@dataclass(frozen=True, slots=True)
class RetractionPreview:
    """What it would come to. Of the entities that the source spoke of `looked_at` were reduced both ways: `changed`
    would show other values; of `emptied` nothing would be left, or, to undo, nothing is left now. `long` had too many
    observations to be looked at. `seconds` is about how long the jobs take."""

    source: Source
    is_undo: bool
    newest: Retraction | None
    observations: Amount
    entities: Amount
    impact: SourceImpact
    looked_at: int
    changed: int
    emptied: int
    long: int
    fields: tuple[FieldChanged, ...]
    seconds: int

    @property
    def is_whole(self) -> bool:
        """Whether every entity was looked at."""
        return self.entities.is_exact and self.looked_at == self.entities.value

    def to_json(self) -> JsonObject:
        """As results hold it."""
        return {
            "observations": self.observations.value,
            "observations_exact": self.observations.is_exact,
            "entities": self.entities.value,
            "entities_exact": self.entities.is_exact,
            "fragments": self.impact.fragments,
            "looked_at": self.looked_at,
            "changed": self.changed,
            "emptied": self.emptied,
            "fields": [f"{field.entity_type}.{field.name}" for field in self.fields],
            "seconds": self.seconds,
        }


class _Entity(NamedTuple):
    entity_id: str
    entity_type: str


def retraction_preview(*, source: Source) -> RetractionPreview:
    """What retracting the source would come to, or, where it is retracted, undoing that. Changes nothing.

    The number of queries depends only on how many entity types the source spoke of.
    """
    newest = newest_retraction(source.pk)
    is_undo = newest is not None and newest.undone_at is None
    entities, sample = _entities_of(source)
    observations = observations_counted(source.pk)
    began = time.monotonic()
    chosen, long = _chosen(sample)
    emptied = changed = 0
    fields: Counter[tuple[str, str]] = Counter()
    for with_source, without, entity_type in _reduced(source, chosen):
        if not without.observation_count:
            emptied += 1
        elif names := _names_changed(with_source, without):
            changed += 1
            fields.update((entity_type, name) for name in names)
    per_entity = (time.monotonic() - began) / max(1, len(chosen))
    return RetractionPreview(
        source=source,
        is_undo=is_undo,
        newest=newest,
        observations=observations,
        entities=entities,
        impact=impacts_of_source(source_id=source.pk, user_id=source.user_id),
        looked_at=len(chosen),
        changed=changed,
        emptied=emptied,
        long=long,
        fields=tuple(
            FieldChanged(entity_type, name, count)
            for (entity_type, name), count in sorted(fields.items(), key=lambda one: (-one[1], one[0]))
        )[:FIELDS_TOLD],
        seconds=max(1, round(observations.value / OBSERVATIONS_PER_S + per_entity * entities.value)),
    )


def _entities_of(source: Source) -> tuple[Amount, list[_Entity]]:
    """How many entities the source spoke of, at least, and some of them: by their ids, which are as good as drawn."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            WITH few AS MATERIALIZED (
                SELECT entity_id, entity_type FROM observations WHERE source_id = %(source)s LIMIT %(most)s
            ), entity AS MATERIALIZED (
                SELECT DISTINCT entity_id, entity_type FROM few
            )
            SELECT (SELECT count(*) FROM few), (SELECT count(*) FROM entity), entity_id::text, entity_type
              FROM entity ORDER BY entity_id LIMIT %(sample)s
            """,
            {"source": source.pk, "most": COUNTED_MAX + 1, "sample": SAMPLE_ENTITIES},
        )
        rows = cursor.fetchall()
    if not rows:
        return Amount(0), []
    read, count = rows[0][:2]
    return Amount(count, is_exact=read <= COUNTED_MAX), [_Entity(*row[2:]) for row in rows]


def _chosen(sample: Sequence[_Entity]) -> tuple[list[_Entity], int]:
    """Those of the entities whose histories are together short enough to be read, and how many are passed over."""
    lengths = lengths_of([entity.entity_id for entity in sample])
    chosen: list[_Entity] = []
    read = 0
    for entity in sample:
        length = lengths.get(entity.entity_id, 0)
        if read + length <= SAMPLE_OBSERVATIONS:
            read += length
            chosen.append(entity)
    return chosen, len(sample) - len(chosen)


def _reduced(source: Source, chosen: Sequence[_Entity]) -> list[tuple[Reduced, Reduced, str]]:
    """Each entity with the source and without it, by the rules in force, and its type."""
    ids = [entity.entity_id for entity in chosen]
    with_source = histories_supposing(ids, source_id=str(source.pk), takes_part=True)
    without = histories_supposing(ids, source_id=str(source.pk), takes_part=False)
    definitions: Mapping[str, Definition | None] = {
        name: load_current_schema(entity_type=name, user_id=source.user_id).definition
        for name in sorted({entity.entity_type for entity in chosen})
    }

    def both(entity: _Entity) -> tuple[Reduced, Reduced, str]:
        definition = definitions[entity.entity_type]
        one: list[Observed] = with_source.get(entity.entity_id, [])
        other: list[Observed] = without.get(entity.entity_id, [])
        return merged(one, definition), merged(other, definition), entity.entity_type

    return [both(entity) for entity in chosen]


def _names_changed(one: Reduced, other: Reduced) -> set[str]:
    """The fields that are shown otherwise."""
    return {
        name
        for name in one.values.keys() | other.values.keys()
        if (name in one.values) != (name in other.values)
        or canonical_json(one.values[name]) != canonical_json(other.values[name])
    }
