"""Why an entity is what it is, now or as of a time: the one read behind its page and show_snapshot."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from registry.cache import load_current_schema
from registry.domain.definition import Definition, Field, Policy
from registry.domain.effective import EffectiveSchema
from registry.domain.times import from_us, to_us
from schemaevo.kernel.canonical import Json, JsonObject, canonical_json
from schemaevo.kernel.models import User
from snapshots.domain.explanation import Contender, FieldExplanation, explain, explain_deletion
from snapshots.domain.merge import merged
from snapshots.domain.observed import Observed
from snapshots.domain.reducer import Provenance, Reduced
from snapshots.errors import SnapshotNotFound
from snapshots.models import EntitySnapshot, Observation, RecomputeFailure, Source
from snapshots.selectors_failures import failure_of_entity
from snapshots.services.merging import histories_of
from snapshots.services.recompute import history_merged


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much is read to explain an entity.

    Of a history of up to `explained` observations everybody's part is told, of a longer one only who won. Up to `read`
    it is read to say what was as of a time; None: however long it is. Of one field so many winners and runners-up are
    `listed`, and the others counted.
    """

    explained: int
    read: int | None
    listed: int | None


#: A page answers at once.
ON_PAGE = Bounds(explained=1_000, read=10_000, listed=10)
#: Somebody at a shell can wait, and reads as much as there is.
AT_SHELL = Bounds(explained=10_000, read=None, listed=None)


@dataclass(frozen=True, slots=True)
class Statement:
    """What one observation says about a field, and where it came from.

    `observation_id` is the one that ranks and stands in provenance; where the value came by a promotion, `promotion_id`
    is the observation that holds it. `shown` is what the snapshot would show of the value, by the `converter` if it
    took one, and `supplies` what of it stands in a joined array. `lost_by` is what the winner has over it, empty for a
    winner. Where the history was not read all this is left out, and only where it came from is told; what is gone is
    told by its id alone.
    """

    observation_id: str
    source_id: UUID | None
    source: str
    observed_at: datetime | None
    priority: int | None
    kind: str
    promotion_id: str = ""
    is_read: bool = False
    value: Json = None
    shown: Json = None
    converter: str = ""
    supplies: tuple[Json, ...] = ()
    lost_by: str = ""


@dataclass(frozen=True, slots=True)
class Instead:
    """What a field shows elsewhere; None where it shows nothing there."""

    value: Json


@dataclass(frozen=True, slots=True)
class FieldExplained:
    """One field of a snapshot, and why.

    `instead` is set where it differs from what it is compared with. `runners_up_count` is None where the history was
    not read.
    """

    name: str
    declared: Field | None
    policy: Policy
    has_value: bool
    is_cleared: bool
    value: Json
    winners: tuple[Statement, ...]
    winner_count: int
    runners_up: tuple[Statement, ...]
    runners_up_count: int | None
    instead: Instead | None

    @property
    def is_required(self) -> bool:
        """Whether a snapshot without it is incomplete."""
        return self.declared is not None and self.declared.required

    @property
    def is_spoken_of(self) -> bool:
        """Whether any observation says something about it, as far as that was read."""
        return bool(self.winners or self.runners_up)

    @property
    def policy_name(self) -> str:
        """The policy as schemas write it, with the tie breaker where it is asked."""
        words = self.policy.strategy.value
        return f"{words}, then {self.policy.tie_breaker.value}" if self.policy.asks_priority_on_tie else words


@dataclass(frozen=True, slots=True)
class Content:
    """What a snapshot shows: as it is stored, or as some observations come to."""

    values: JsonObject
    provenance: Provenance
    deleted: bool
    observation_count: int
    last_observation_at: datetime | None


@dataclass(frozen=True, slots=True)
class SnapshotExplained:
    """A snapshot with its reasons, by the schema in force now.

    `content` is what is stored or, with `as_of`, what the observations up to then come to. It is compared with what
    the rules in force make of all observations: so `instead` of a field tells what it is now, or what it will be once a
    waiting snapshot is recomputed. `is_explained` is False where the history is too long to tell who lost, and
    `is_readable` where it is so long that nothing can be said as of a time; both are False where it cannot be reduced.
    `decided_by` is what decided that the entity is deleted, where it is; `failure` is why it waits on, where a
    recomputation tried in vain.
    """

    snapshot: EntitySnapshot
    owner: User | None
    schema: EffectiveSchema
    as_of: datetime | None
    is_waiting: bool
    is_explained: bool
    is_readable: bool
    content: Content
    fields: tuple[FieldExplained, ...]
    decided_by: Statement | None
    missing: tuple[str, ...]
    is_deleted_elsewhere: bool
    failure: RecomputeFailure | None

    @property
    def differing(self) -> list[FieldExplained]:
        """The fields that show something else in what it is compared with."""
        return [field for field in self.fields if field.instead]


def snapshot_explained(
    *, snapshot_id: UUID | str, as_of: datetime | None = None, bounds: Bounds | None = None
) -> SnapshotExplained:
    """The snapshot of that entity with its reasons, as of now or of a time: of what was observed up to then.

    The number of queries does not depend on it. Raises: SnapshotNotFound.
    """
    bounds = bounds or ON_PAGE
    snapshot = EntitySnapshot.objects.defer("merge_state").filter(pk=snapshot_id).first()
    if snapshot is None:
        raise SnapshotNotFound("entity", str(snapshot_id), "Nobody")
    schema = load_current_schema(entity_type=snapshot.entity_type, user_id=snapshot.user_id)
    definition = schema.definition
    is_waiting = snapshot.reduction_hash != schema.reduction_hash
    failure = failure_of_entity(entity_id=snapshot.pk) if is_waiting else None
    most = bounds.explained if as_of is None else max(bounds.explained, bounds.read or 0)
    # What a recomputation could not reduce, a page cannot either.
    history = None if failure else history_if_short(snapshot.pk, most)
    is_patient = bounds.read is None and failure is None
    content, compared = _contents(snapshot, schema, history, as_of, is_patient=is_patient)
    shown = content or Content({}, {}, False, 0, None)
    heard = [] if history is None else _up_to(history, as_of)
    is_explained = history is not None and len(heard) <= bounds.explained
    explained = explain(heard, definition) if is_explained else {}
    mark = explain_deletion(heard, definition) if is_explained else None
    fields, decided_by = _fields(shown, compared, definition, explained, mark, bounds.listed)
    return SnapshotExplained(
        snapshot=snapshot,
        owner=User.objects.only("username").filter(pk=snapshot.user_id).first(),
        schema=schema,
        as_of=as_of,
        is_waiting=is_waiting,
        is_explained=is_explained,
        is_readable=content is not None,
        content=shown,
        fields=fields if content is not None else (),
        decided_by=decided_by if shown.deleted else None,
        missing=()
        if content is None or shown.deleted
        else tuple(field.name for field in fields if field.is_required and not field.has_value),
        is_deleted_elsewhere=compared is not None and compared.deleted,
        failure=failure,
    )


def history_if_short(entity_id: UUID, at_most: int) -> list[Observed] | None:
    """All observations of the entity that take part; None where there are more than that, promoted ones among them."""
    # Counted in the database: what has been promoted is not in the count that the snapshot keeps.
    rows = Observation.objects.filter(entity_id=entity_id).order_by()
    if rows[: at_most + 1].count() > at_most:
        return None
    return histories_of([str(entity_id)]).get(str(entity_id), [])


def _contents(
    snapshot: EntitySnapshot,
    schema: EffectiveSchema,
    history: Sequence[Observed] | None,
    as_of: datetime | None,
    *,
    is_patient: bool,
) -> tuple[Content | None, Content | None]:
    """What is shown, None where its history is too long to be read; and what it is compared with, if with anything."""
    definition, stored = schema.definition, _stored(snapshot)
    is_waiting = snapshot.reduction_hash != schema.reduction_hash
    now = stored
    if is_waiting and history is not None:
        # What is stored was chosen by other rules.
        now = _content(merged(history, definition))
    if as_of is None:
        return stored, now if is_waiting and history is not None else None
    if history is not None:
        return _content(merged(_up_to(history, as_of), definition)), now
    if not is_patient:
        return None, None
    if is_waiting:
        now = _content(history_merged(str(snapshot.pk), definition, None))
    return _content(history_merged(str(snapshot.pk), definition, None, up_to=as_of)), now


def _up_to(history: Sequence[Observed], as_of: datetime | None) -> Sequence[Observed]:
    """What was observed up to then."""
    return history if as_of is None else [one for one in history if one.observed_us <= to_us(as_of)]


def _stored(snapshot: EntitySnapshot) -> Content:
    return Content(
        values=snapshot.values,
        provenance=snapshot.provenance,
        deleted=snapshot.deleted,
        observation_count=snapshot.observation_count,
        last_observation_at=snapshot.last_observation_at,
    )


def _content(reduced: Reduced) -> Content:
    last = reduced.last_observed_us
    return Content(
        values=reduced.values,
        provenance=reduced.provenance,
        deleted=reduced.deleted,
        observation_count=reduced.observation_count,
        last_observation_at=None if last is None else from_us(last),
    )


def _fields(
    content: Content,
    compared: Content | None,
    definition: Definition | None,
    explained: Mapping[str, FieldExplanation],
    mark: FieldExplanation | None,
    listed: int | None,
) -> tuple[tuple[FieldExplained, ...], Statement | None]:
    """Every field that is declared, shown or spoken of, and what decided about deletion."""
    shown_ids = {identity for ids in content.provenance.values() for identity in ids[:listed]}
    for why in [*explained.values(), *([mark] if mark else [])]:
        named: Iterable[Contender] = [*why.winners[:listed], *why.runners_up[:listed]]
        shown_ids.update(contender.observed.ranking_id for contender in named)
    origins = _origins(shown_ids)
    declared = definition.fields if definition else {}
    elsewhere = compared.values if compared else {}
    names = sorted(
        {*declared, *content.values, *explained, *elsewhere}, key=lambda name: (name.casefold(), name)
    )
    fields = []
    for name in names:
        reason = explained.get(name)
        if reason is not None:
            winners = [_statement(contender, origins) for contender in reason.winners[:listed]]
            winner_count, lost = len(reason.winners), reason.runners_up
        else:
            ids = content.provenance.get(name, [])
            winners, winner_count, lost = [origins[one] for one in ids[:listed]], len(ids), ()
        is_known = reason is not None or name not in content.values
        fields.append(
            FieldExplained(
                name=name,
                declared=declared.get(name),
                policy=definition.policy_of(name) if definition else Policy(),
                has_value=name in content.values,
                is_cleared=reason is not None and reason.is_cleared,
                value=content.values.get(name),
                winners=tuple(winners),
                winner_count=winner_count,
                runners_up=tuple(_statement(contender, origins) for contender in lost[:listed]),
                runners_up_count=len(lost) if is_known else None,
                instead=_instead(name, content, compared),
            )
        )
    return tuple(fields), _statement(mark.winners[0], origins) if mark else None


def _instead(name: str, content: Content, compared: Content | None) -> Instead | None:
    if compared is None:
        return None
    here, there = content.values.get(name), compared.values.get(name)
    # By their texts: to Python true is 1, and a snapshot never shows a null.
    return None if canonical_json(here) == canonical_json(there) else Instead(there)


def _statement(contender: Contender, origins: Mapping[str, Statement]) -> Statement:
    observed = contender.observed
    origin = origins[observed.ranking_id]
    return Statement(
        observation_id=observed.ranking_id,
        source_id=origin.source_id,
        source=origin.source,
        observed_at=from_us(observed.observed_us),
        priority=observed.priority,
        kind=observed.kind or "",
        promotion_id="" if observed.ranks_as is None else observed.id,
        is_read=True,
        value=contender.value,
        shown=contender.converted,
        converter=contender.converter.function if contender.converter else "",
        supplies=contender.supplies,
        lost_by=contender.lost_by or "",
    )


def _origins(ids: Collection[str]) -> dict[str, Statement]:
    """Where each observation came from; what is gone is told by its id alone."""
    rows: Sequence[Any] = list(
        Observation.objects.filter(pk__in=ids).values_list(
            "pk", "source_id", "observed_at", "priority", "kind"
        )
    )
    names = {source.pk: str(source) for source in Source.objects.filter(pk__in={row[1] for row in rows})}
    found = {
        str(pk): Statement(str(pk), source_id, names.get(source_id, ""), observed_at, priority, kind or "")
        for pk, source_id, observed_at, priority, kind in rows
    }
    return {
        identity: found.get(identity) or Statement(identity, None, "", None, None, "") for identity in ids
    }
