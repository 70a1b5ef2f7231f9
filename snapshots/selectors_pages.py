"""The reads behind the page of one entity: every value beside the observation that it came from."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from registry.cache import load_current_schema
from registry.domain.effective import EffectiveSchema
from registry.domain.times import from_us
from schemaevo.kernel.canonical import Json
from schemaevo.kernel.models import User
from snapshots.domain.explanation import Contender, FieldExplanation, explain, explain_deletion
from snapshots.models import EntitySnapshot, Observation, RecomputeFailure, Source
from snapshots.selectors_failures import failure_of_entity
from snapshots.services.merging import histories_of

#: A page reads the whole history of an entity up to this many observations, to tell who lost and why.
EXPLAINED_MAX = 500
#: Of one field, so many winners and runners-up are listed; the rest is counted.
LISTED_MAX = 20


@dataclass(frozen=True, slots=True)
class Told:
    """What one observation said about a field, and where it came from. `lost_by` is empty for a winner."""

    observation_id: str
    source_id: UUID | None
    source_name: str
    observed_at: datetime | None
    priority: int | None
    kind: str
    value: Json = None
    lost_by: str = ""


@dataclass(frozen=True, slots=True)
class FieldTold:
    """One field of a snapshot. `runners_up_count` is None where the history was not read."""

    name: str
    type: str
    policy: str
    is_required: bool
    has_value: bool
    is_cleared: bool
    value: Json
    winners: tuple[Told, ...]
    winner_count: int
    runners_up: tuple[Told, ...]
    runners_up_count: int | None


@dataclass(frozen=True, slots=True)
class SnapshotTold:
    """An entity as its page shows it. `deleted_by` is what decided that it is deleted, where it is; `failure` is why it
    waits on, where a recomputation tried in vain."""

    snapshot: EntitySnapshot
    owner: User | None
    schema: EffectiveSchema
    is_waiting: bool
    is_explained: bool
    fields: tuple[FieldTold, ...]
    missing_required: tuple[str, ...]
    deleted_by: Told | None
    failure: RecomputeFailure | None


def snapshot_told(*, snapshot_id: UUID) -> SnapshotTold:
    """Everything that the page of an entity shows. The number of queries does not depend on it.

    A history longer than EXPLAINED_MAX is not read; neither is that of a waiting snapshot, since its values
    were chosen by rules that are no longer in force. Then the stored provenance speaks alone.
    """
    snapshot = EntitySnapshot.objects.defer("merge_state").get(pk=snapshot_id)
    schema = load_current_schema(entity_type=snapshot.entity_type, user_id=snapshot.user_id)
    is_waiting = snapshot.reduction_hash != schema.reduction_hash
    is_explained = not is_waiting and snapshot.observation_count <= EXPLAINED_MAX
    explained: Mapping[str, FieldExplanation] = {}
    deletion: FieldExplanation | None = None
    if is_explained:
        history = histories_of([str(snapshot.pk)]).get(str(snapshot.pk), [])
        explained = explain(history, schema.definition)
        deletion = explain_deletion(history, schema.definition) if snapshot.deleted else None
    spoke = _origins(_ids_shown(snapshot, explained, deletion))
    declared = schema.definition.fields if schema.definition else {}
    names = sorted({*declared, *snapshot.values, *explained}, key=lambda name: (name.casefold(), name))
    fields = tuple(_field(name, snapshot, schema, explained.get(name), spoke) for name in names)
    return SnapshotTold(
        snapshot=snapshot,
        owner=User.objects.only("username").filter(pk=snapshot.user_id).first(),
        schema=schema,
        is_waiting=is_waiting,
        is_explained=is_explained,
        fields=() if snapshot.deleted else fields,
        missing_required=()
        if snapshot.deleted
        else tuple(field.name for field in fields if field.is_required and not field.has_value),
        deleted_by=_told(deletion.winners[0], spoke) if deletion else None,
        failure=failure_of_entity(entity_id=snapshot.pk) if is_waiting else None,
    )


def _field(
    name: str,
    snapshot: EntitySnapshot,
    schema: EffectiveSchema,
    why: FieldExplanation | None,
    spoke: Mapping[str, Told],
) -> FieldTold:
    definition = schema.definition
    declared = definition.fields.get(name) if definition else None
    policy = definition.policy_of(name).strategy.value if definition else "last_write"
    if why is not None:
        winners = [_told(contender, spoke) for contender in why.winners[:LISTED_MAX]]
        winner_count, lost = len(why.winners), why.runners_up
    else:
        ids = snapshot.provenance.get(name, [])
        winners = [spoke[identity] for identity in ids[:LISTED_MAX]]
        winner_count, lost = len(ids), ()
    return FieldTold(
        name=name,
        type=declared.type.value if declared else "",
        policy=policy,
        is_required=bool(declared and declared.required),
        has_value=name in snapshot.values,
        is_cleared=bool(why and why.is_cleared),
        value=snapshot.values.get(name),
        winners=tuple(winners),
        winner_count=winner_count,
        runners_up=tuple(_told(contender, spoke) for contender in lost[:LISTED_MAX]),
        runners_up_count=None if why is None and name in snapshot.values else len(lost),
    )


def _told(contender: Contender, spoke: Mapping[str, Told]) -> Told:
    observed = contender.observed
    origin = spoke[observed.ranking_id]
    return Told(
        observation_id=observed.ranking_id,
        source_id=origin.source_id,
        source_name=origin.source_name,
        observed_at=from_us(observed.observed_us),
        priority=observed.priority,
        kind=observed.kind or "",
        value=contender.converted,
        lost_by=contender.lost_by or "",
    )


def _ids_shown(
    snapshot: EntitySnapshot,
    explained: Mapping[str, FieldExplanation],
    deletion: FieldExplanation | None,
) -> set[str]:
    """The observations that the page will name."""
    ids = {identity for supplied in snapshot.provenance.values() for identity in supplied[:LISTED_MAX]}
    for why in [*explained.values(), *([deletion] if deletion else [])]:
        shown: Iterable[Contender] = [*why.winners[:LISTED_MAX], *why.runners_up[:LISTED_MAX]]
        ids.update(contender.observed.ranking_id for contender in shown)
    return ids


def _origins(ids: Collection[str]) -> dict[str, Told]:
    """Where each observation came from; what is gone is told by its id alone."""
    rows: list[Any] = list(
        Observation.objects.filter(pk__in=ids).values_list(
            "pk", "source_id", "observed_at", "priority", "kind"
        )
    )
    sources = dict(Source.objects.filter(pk__in={row[1] for row in rows}).values_list("pk", "name"))
    found = {
        str(pk): Told(str(pk), source_id, sources.get(source_id, ""), observed_at, priority, kind or "")
        for pk, source_id, observed_at, priority, kind in rows
    }
    return {identity: found.get(identity) or Told(identity, None, "", None, None, "") for identity in ids}
