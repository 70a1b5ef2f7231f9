"""Reads of this floor."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from django.db import connection

from registry.cache import load_current_schema
from registry.domain.definition import Definition, Strategy
from registry.domain.effective import EffectiveSchema
from registry.domain.times import from_us
from schemaevo.kernel.bulk import uuid_array
from schemaevo.kernel.canonical import Json, is_storable_text
from snapshots.domain.explanation import Contender, FieldExplanation, explain, explain_deletion
from snapshots.errors import SnapshotNotFound
from snapshots.models import EntitySnapshot, Observation, Source
from snapshots.services.merging import histories_of


@dataclass(frozen=True, slots=True)
class Statement:
    """What one observation says about a field, and what decided against it ('' for a winner)."""

    observation_id: str
    source: str
    observed_at: datetime
    priority: int
    kind: str
    value: Json
    shown: Json
    lost_by: str


@dataclass(frozen=True, slots=True)
class FieldExplained:
    """Why a field has its value. `is_absent` tells that the winner says null, or supplies nothing."""

    name: str
    policy: str
    value: Json
    is_absent: bool
    winners: tuple[Statement, ...]
    runners_up: tuple[Statement, ...]


@dataclass(frozen=True, slots=True)
class SnapshotExplained:
    """A snapshot with the reasons for each value, by the schema in force now.

    `is_waiting` tells that the stored values were computed by other rules and wait for recomputation.
    `missing` are required fields without a value. `is_complete` is False where the history was too long to be
    read for a page; then `fields` is empty.
    """

    snapshot: EntitySnapshot
    schema: EffectiveSchema
    is_waiting: bool
    is_complete: bool
    fields: tuple[FieldExplained, ...]
    deletion: tuple[Statement, ...]
    missing: tuple[str, ...]


def snapshot_by_key(*, entity_type: str, entity_key: str, user_id: int, owner: str = "") -> EntitySnapshot:
    """The snapshot of the entity that the user calls so. Raises: SnapshotNotFound."""
    found = None
    if is_storable_text(entity_type) and is_storable_text(entity_key):
        found = EntitySnapshot.objects.filter(
            user_id=user_id, entity_type=entity_type, entity_key=entity_key
        ).first()
    if found is None:
        raise SnapshotNotFound(entity_type, entity_key, owner or f"User {user_id}")
    return found


def snapshot_explained(*, snapshot_id: str, history_max: int = 10_000) -> SnapshotExplained:
    """The snapshot of that entity with its reasons, from all its observations.

    Raises: SnapshotNotFound.
    """
    snapshot = EntitySnapshot.objects.filter(pk=snapshot_id).first()
    if snapshot is None:
        raise SnapshotNotFound("entity", str(snapshot_id), "Nobody")
    schema = load_current_schema(entity_type=snapshot.entity_type, user_id=snapshot.user_id)
    is_complete = snapshot.observation_count <= history_max
    fields: tuple[FieldExplained, ...] = ()
    deletion: tuple[Statement, ...] = ()
    if is_complete:
        history = histories_of([str(snapshot.pk)])[str(snapshot.pk)]
        explained = explain(history, schema.definition)
        marks = explain_deletion(history, schema.definition)
        sources = _source_names([observed.id for observed in history])
        fields = tuple(
            _field(name, explanation, snapshot, schema.definition, sources)
            for name, explanation in explained.items()
        )
        deletion = tuple(_statement(c, sources) for c in marks.winners) if marks else ()
    stored = snapshot.values if isinstance(snapshot.values, dict) else {}
    return SnapshotExplained(
        snapshot=snapshot,
        schema=schema,
        is_waiting=snapshot.reduction_hash != schema.reduction_hash,
        is_complete=is_complete,
        fields=fields,
        deletion=deletion,
        missing=_missing(schema.definition, stored, is_deleted=snapshot.deleted),
    )


def _missing(definition: Definition | None, values: dict[str, Json], *, is_deleted: bool) -> tuple[str, ...]:
    if definition is None or is_deleted:
        return ()
    return tuple(name for name, field in definition.fields.items() if field.required and name not in values)


def _field(
    name: str,
    explanation: FieldExplanation,
    snapshot: EntitySnapshot,
    definition: Definition | None,
    sources: dict[str, str],
) -> FieldExplained:
    policy = explanation.policy
    words = policy.strategy.value
    if policy.asks_priority_on_tie:
        words = f"{words}, then {policy.tie_breaker.value}"
    is_joined = policy.strategy is Strategy.MERGE_ARRAY and definition is not None
    stored = snapshot.values if isinstance(snapshot.values, dict) else {}
    value = stored.get(name) if is_joined else explanation.winners[0].converted
    return FieldExplained(
        name=name,
        policy=words,
        value=value,
        is_absent=explanation.is_cleared,
        winners=tuple(_statement(contender, sources) for contender in explanation.winners),
        runners_up=tuple(_statement(contender, sources) for contender in explanation.runners_up),
    )


def _statement(contender: Contender, sources: dict[str, str]) -> Statement:
    observed = contender.observed
    return Statement(
        observation_id=observed.ranking_id,
        source=sources.get(observed.id, ""),
        observed_at=from_us(observed.observed_us),
        priority=observed.priority,
        kind=observed.kind or "",
        value=contender.value,
        shown=contender.converted,
        lost_by=contender.lost_by or "",
    )


def _source_names(observation_ids: Collection[str]) -> dict[str, str]:
    source_of = dict(Observation.objects.filter(pk__in=observation_ids).values_list("id", "source_id"))
    names = {source.pk: str(source) for source in Source.objects.filter(pk__in=set(source_of.values()))}
    return {str(identity): names.get(source, "") for identity, source in source_of.items()}


def observation_contents(observation_ids: Collection[str]) -> dict[str, str]:
    """The content ids of those of these observations that are stored, by id."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT id::text, content_id::text FROM observations WHERE id = ANY(%s::uuid[])",
            [uuid_array(observation_ids)],
        )
        return dict(cursor.fetchall())
