"""What the store should hold: the observations, fragments and waiting snapshots of one entity type, in memory."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from registry.domain.effective import EffectiveSchema
from schemaevo.kernel.canonical import canonical_bytes
from snapshots.domain.identity import entity_id, named_observation_id, observation_content_id, source_id
from snapshots.services.corrections import SOURCE_NAME
from tests.factories import NOON
from tests.snapshots.reduction_model import Document, Said, reduced, rules, split, text_of

OWNER, KEY, AT, ID = "o", "k", "at", "i"
CONTROL = (OWNER, KEY, AT)
EPOCH = datetime(1970, 1, 1, tzinfo=NOON.tzinfo)


@dataclass(frozen=True)
class Feed:
    """Where records come from, and how far they are trusted; whether they bring ids of their own."""

    source: str
    priority: int = 100
    specificity: Decimal = Decimal(1)
    kind: str | None = None
    names_its_records: bool = False

    @property
    def options(self) -> dict[str, Any]:
        """How ingest is told."""
        named = {"id_field": ID} if self.names_its_records else {}
        return {
            "user_field": OWNER,
            "observed_at_field": AT,
            "priority": self.priority,
            "specificity": float(self.specificity),
            "kind": self.kind,
            **named,
        }


Record = Mapping[str, Any]
#: What a row says of its schema: the version, the revision of the extension, and the reduction hash. The first two
#: alone would not do: an own schema that is read as an extension has no revision.
Stamp = tuple[int | None, int | None, str]


@dataclass
class StoreModel:
    """One entity type; `owners` gives the number of each by name. `inline_max` is the length up to which ingest itself
    recomputes what was reduced by other rules."""

    entity_type: str
    owners: Mapping[str, int]
    inline_max: int
    in_force: dict[int, tuple[Stamp, Document]] = field(default_factory=dict)
    #: Every schema that ever applied to an owner.
    known: dict[tuple[int, Stamp], Document] = field(default_factory=dict)
    owner_of: dict[str, int] = field(default_factory=dict)
    observations: dict[str, Said] = field(default_factory=dict)
    histories: dict[str, list[Said]] = field(default_factory=lambda: defaultdict(list))
    #: By which rules each entity is reduced; None for those that take in no more until they are recomputed.
    reduced_by: dict[str, str | None] = field(default_factory=dict)
    sightings: dict[tuple[Any, ...], set[str]] = field(default_factory=lambda: defaultdict(set))
    #: Owner and source of each observation, and those of them that are retracted.
    origins: dict[str, tuple[int, str]] = field(default_factory=dict)
    retracted: set[tuple[int, str]] = field(default_factory=set)
    _reductions: dict[tuple[str, tuple[str, ...], str], dict[str, Any]] = field(default_factory=dict)

    def schemas_are(self, schemas: Mapping[int, EffectiveSchema]) -> None:
        """These apply from now on."""
        for user_id, schema in schemas.items():
            stamp = schema.version_id, schema.extension_revision_id, schema.reduction_hash
            document = None if schema.definition is None else schema.definition.to_json()
            self.in_force[user_id] = stamp, document
            self.known[user_id, stamp] = document

    def rules_of(self, user_id: int) -> str:
        """The rules in force for an owner."""
        return rules(self.in_force[user_id][1])

    def waiting(self) -> set[str]:
        """The entities that were reduced by other rules than those in force."""
        return {
            entity
            for entity, reduced_by in self.reduced_by.items()
            if reduced_by != self.rules_of(self.owner_of[entity])
        }

    def takes_in(self, records: Sequence[Record], feed: Feed) -> int:
        """What one transaction of ingest stores; gives the number of new observations."""
        fresh: dict[str, int] = defaultdict(int)
        taking_part = set()
        for record in records:
            user_id = self.owners[record[OWNER]]
            identity = self.id_of(record, feed)
            if identity in self.observations:
                continue
            entity = entity_id(user_id, self.entity_type, record[KEY])
            kept, left = split(record, self.in_force[user_id][1], CONTROL)
            at = (datetime.fromisoformat(record[AT]) - EPOCH) // timedelta(microseconds=1)
            said = Said(identity, at, feed.priority, feed.specificity, feed.kind, kept)
            self.observations[identity] = said
            self.histories[entity].append(said)
            self.owner_of[entity] = user_id
            for name, value in left.items():
                trust = feed.priority, float(feed.specificity), feed.kind
                self.sightings[entity, name, text_of(value), feed.source, *trust].add(identity)
            fresh[entity] += 1
            self.origins[identity] = user_id, feed.source
            if self.origins[identity] not in self.retracted:
                taking_part.add(entity)
        for entity in fresh:
            wanted = self.rules_of(self.owner_of[entity])
            if entity not in self.reduced_by:
                self.reduced_by[entity] = wanted
            elif entity in taking_part and self.reduced_by[entity] not in (wanted, None):
                is_short = len(self.taking_part(entity)) <= self.inline_max
                self.reduced_by[entity] = wanted if is_short else None
        return sum(fresh.values())

    def turn(self, user_id: int, source: str, *, is_retracted: bool) -> None:
        """The source takes no part any more, or takes part again: its entities wait."""
        (self.retracted.add if is_retracted else self.retracted.remove)((user_id, source))
        for entity, history in self.histories.items():
            if any(self.origins[said.id] == (user_id, source) for said in history):
                self.reduced_by[entity] = None

    def taking_part(self, entity: str) -> list[Said]:
        """The observations of an entity whose source is not retracted."""
        return [said for said in self.histories[entity] if self.origins[said.id] not in self.retracted]

    def corrects(self, entity: str, said: Said) -> None:
        """A correction is stored; the entity is reduced by the rules in force, with all that it has."""
        self.observations[said.id] = said
        self.origins[said.id] = self.owner_of[entity], SOURCE_NAME
        self.histories[entity].append(said)
        self.recomputed([entity])

    def recomputed(self, entities: Iterable[str]) -> None:
        """These are reduced by the rules in force."""
        for entity in entities:
            self.reduced_by[entity] = self.rules_of(self.owner_of[entity])

    def id_of(self, record: Record, feed: Feed) -> str:
        """The id of the observation that a record makes."""
        user_id = self.owners[record[OWNER]]
        if feed.names_its_records:
            return named_observation_id(user_id, record[ID])
        return observation_content_id(
            entity=entity_id(user_id, self.entity_type, record[KEY]),
            source=source_id(user_id, feed.source, ""),
            observed_us=(datetime.fromisoformat(record[AT]) - EPOCH) // timedelta(microseconds=1),
            priority=feed.priority,
            specificity=int(feed.specificity)
            if feed.specificity == int(feed.specificity)
            else feed.specificity,
            kind=feed.kind,
            record=canonical_bytes(dict(record)),
        )

    def row_of(self, entity: str, stamp: Stamp) -> dict[str, Any]:
        """What the row of an entity holds that was reduced under that schema."""
        document = self.known[self.owner_of[entity], stamp]
        history = self.taking_part(entity)
        # Slow as it is, nothing is asked of it twice.
        asked = entity, tuple(said.id for said in history), rules(document)
        if asked not in self._reductions:
            self._reductions[asked] = reduced(history, document)
        return self._reductions[asked]
