"""Long histories, built by COPY in seconds, with the snapshots that merging them one by one would have given."""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, cast

from django.db import connection, transaction
from psycopg import sql

from registry.domain.effective import EffectiveSchema
from registry.domain.times import from_us, to_us
from schemaevo.kernel.canonical import Json, JsonObject, canonical_json
from snapshots.domain.identity import entity_id
from snapshots.domain.merge import merge, project
from snapshots.domain.observed import Observed
from snapshots.domain.reducer import Reduced
from snapshots.domain.state import empty_state
from snapshots.services.observations import NewObservation, observations_record
from tests.benchmarks.records import ENTITY_TYPE, EPOCH, make_owner, random_fields, schema_of

PRIORITY = 100
SOURCE = str(uuid.UUID(int=1))

#: Gives the fields of an entity's first (0), second, … observation.
MakeFields = Callable[[random.Random, int], JsonObject]


@dataclass(frozen=True, slots=True)
class Entity:
    """An entity with a history, and where it is."""

    id: str
    key: str
    user_id: int
    length: int


class Histories:
    """Makes entities of one owner with histories of a wanted length, under the schema in force."""

    def __init__(self, owner: str, make_fields: MakeFields = lambda rng, _: random_fields(rng)) -> None:
        self.user_id = make_owner(owner)
        self.schema: EffectiveSchema = schema_of(self.user_id)
        self._rng = random.Random(owner)
        self._make_fields = make_fields
        self._made = 0

    def make(self, count: int, length: int) -> list[Entity]:
        """So many new entities, each with so many observations."""
        entities = []
        for _ in range(count):
            self._made += 1
            key = f"order-{self._made}"
            entities.append(Entity(entity_id(self.user_id, ENTITY_TYPE, key), key, self.user_id, length))
        reduced: dict[str, Reduced] = {}
        with transaction.atomic():
            copy_rows("observations", OBSERVATION_COLUMNS, self._observations(entities, reduced))
            copy_rows("entity_snapshots", SNAPSHOT_COLUMNS, self._snapshots(entities, reduced))
        vacuum("observations", "entity_snapshots")
        return entities

    def record_one_more(self, entity: Entity, number: int) -> None:
        """The entity's next observation is recorded, in a transaction of its own."""
        identity = self._uuid()
        new = NewObservation(
            id=identity,
            content_id=identity,
            user_id=self.user_id,
            entity_type=ENTITY_TYPE,
            entity_id=entity.id,
            entity_key=entity.key,
            source_id=SOURCE,
            observed_us=to_us(_moment(entity.length + number)),
            priority=PRIORITY,
            specificity=1,
            kind=None,
            fields=self._make_fields(self._rng, entity.length + number),
        )
        with transaction.atomic():
            recorded = observations_record(observations=[new], schemas={self.user_id: self.schema})
        assert recorded.inserted == {identity}

    def _observations(
        self, entities: Sequence[Entity], reduced: dict[str, Reduced]
    ) -> Iterator[tuple[Any, ...]]:
        """The rows of the observations; fills `reduced` on the way, so that no history is kept in memory."""
        version_id, definition = self.schema.version_id, self.schema.definition
        for entity in entities:
            state = empty_state()
            for number in range(entity.length):
                identity, moment = self._uuid(), _moment(number)
                fields = self._make_fields(self._rng, number)
                merge(state, [Observed(identity, to_us(moment), PRIORITY, 1, None, fields)], definition)
                yield (
                    identity,
                    self.user_id,
                    ENTITY_TYPE,
                    entity.id,
                    version_id,
                    SOURCE,
                    moment,
                    PRIORITY,
                    1.0,
                    "ingest",
                    identity,
                    canonical_json(fields),
                )
            reduced[entity.id] = project(state, definition)

    def _snapshots(
        self, entities: Sequence[Entity], reduced: dict[str, Reduced]
    ) -> Iterator[tuple[Any, ...]]:
        for entity in entities:
            result = reduced[entity.id]
            assert result.last_observed_us is not None
            yield (
                entity.id,
                self.user_id,
                ENTITY_TYPE,
                entity.key,
                canonical_json(result.values),
                canonical_json(cast(Json, result.provenance)),
                canonical_json(result.state),
                result.deleted,
                result.observation_count,
                from_us(result.last_observed_us),
                result.last_computed_id,
                self.schema.version_id,
                self.schema.reduction_hash,
            )

    def _uuid(self) -> str:
        return str(uuid.UUID(int=self._rng.getrandbits(128)))


OBSERVATION_COLUMNS = (
    *("id", "user_id", "entity_type", "entity_id", "schema_version_id", "source_id", "observed_at"),
    *("priority", "specificity", "origin", "content_id", "fields"),
)
SNAPSHOT_COLUMNS = (
    *("id", "user_id", "entity_type", "entity_key", "values", "provenance", "merge_state", "deleted"),
    *("observation_count", "last_observation_at", "last_computed_observation_id"),
    *("schema_version_id", "reduction_hash"),
)


def copy_rows(table: str, columns: Sequence[str], rows: Iterator[tuple[Any, ...]]) -> None:
    """The table has these rows too."""
    names = sql.SQL(", ").join(map(sql.Identifier, columns))
    statement = sql.SQL("COPY {} ({}) FROM STDIN").format(sql.Identifier(table), names)
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        for row in rows:
            copy.write_row(row)


def vacuum(*tables: str) -> None:
    """The planner knows the tables, and no background vacuum of them falls into what is measured."""
    with connection.cursor() as cursor:
        for table in tables:
            cursor.execute(sql.SQL("VACUUM ANALYZE {}").format(sql.Identifier(table)))


def _moment(number: int) -> datetime:
    return EPOCH + timedelta(seconds=number)
