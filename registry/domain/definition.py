"""A definition: the declared fields of an entity type, how they merge, and whom to trust first.

Stored as one JSON document in a normalised form: what is equal in meaning is equal in text, so that the
hash of the document tells whether two definitions are the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from typing import Final, cast

from registry.domain.converters import CONVERTERS
from registry.domain.vocabulary import DEFAULT_KIND_ORDER, FieldType, Strategy, TieBreaker
from schemaevo.kernel.canonical import Json, JsonObject, content_hash

__all__ = [
    "DEFAULT_KIND_ORDER",
    "UNDECLARED_REDUCTION_HASH",
    "Constraints",
    "Converter",
    "Definition",
    "Field",
    "FieldType",
    "Policy",
    "Strategy",
    "TieBreaker",
    "kind_rank",
]

# Part of every reduction hash: raised when the rules of reduction change, it makes all snapshots be
# recomputed.
REDUCTION_RULES = 1


@dataclass(frozen=True, slots=True)
class Converter:
    """A function that turns values of `source` into values of `target`."""

    source: FieldType
    target: FieldType
    function: str

    def to_json(self) -> JsonObject:
        """The stored form."""
        return {"from": self.source.value, "to": self.target.value, "function": self.function}


@dataclass(frozen=True, slots=True)
class Constraints:
    """What a value must satisfy beyond its type; None and () mean "anything".

    `minimum` and `maximum` bound numbers, the lengths bound strings and arrays, `pattern` (RE2) has to be
    found somewhere in a string, and `enum` lists every allowed value.
    """

    minimum: int | Decimal | None = None
    maximum: int | Decimal | None = None
    min_length: int | None = None
    max_length: int | None = None
    pattern: str | None = None
    enum: tuple[Json, ...] = ()

    def to_json(self) -> JsonObject:
        """The stored form, without what is not constrained."""
        document: dict[str, Json] = {
            "min": self.minimum,
            "max": self.maximum,
            "min_length": self.min_length,
            "max_length": self.max_length,
            "pattern": self.pattern,
            "enum": list(self.enum) or None,
        }
        return {key: value for key, value in document.items() if value is not None}


NO_CONSTRAINTS: Final = Constraints()


@dataclass(frozen=True, slots=True)
class Field:
    """One declared field."""

    name: str
    type: FieldType
    required: bool = False
    description: str = ""
    converters: tuple[Converter, ...] = ()
    constraints: Constraints = NO_CONSTRAINTS

    def to_json(self) -> JsonObject:
        """The stored form, without defaults."""
        document: JsonObject = {"type": self.type.value}
        if self.required:
            document["required"] = True
        if self.description:
            document["description"] = self.description
        if self.converters:
            document["converters"] = [converter.to_json() for converter in self.converters]
        if self.constraints != NO_CONSTRAINTS:
            document["constraints"] = self.constraints.to_json()
        return document


@dataclass(frozen=True, slots=True)
class Policy:
    """How the observations of one field merge."""

    strategy: Strategy = Strategy.LAST_WRITE
    tie_breaker: TieBreaker = TieBreaker.OBSERVED_AT

    @property
    def asks_priority_on_tie(self) -> bool:
        """Whether equal specificities are settled by priority before the kind order."""
        return self.strategy is Strategy.MOST_SPECIFIC and self.tie_breaker is TieBreaker.SOURCE_PRIORITY

    def to_json(self) -> JsonObject:
        """The stored form; a tie breaker that is never asked is not part of it."""
        document: JsonObject = {"strategy": self.strategy.value}
        if self.asks_priority_on_tie:
            document["tie_breaker"] = self.tie_breaker.value
        return document


DEFAULT_POLICY: Final = Policy()


@dataclass(frozen=True)
class Definition:
    """The declared fields of an entity type with their merge policies and the kind order."""

    fields: Mapping[str, Field]
    merge_policies: Mapping[str, Policy]
    observation_source_priority: tuple[str, ...] | None = None

    @classmethod
    def from_json(cls, document: Mapping[str, Json]) -> Definition:
        """The definition that a document known to be valid stands for; nothing is checked."""
        fields = cast(Mapping[str, JsonObject], document["fields"])
        policies = cast(Mapping[str, JsonObject], document.get("merge_policies") or {})
        kinds = cast("list[str] | None", document.get("observation_source_priority"))
        return cls(
            fields={name: _field(name, stored) for name, stored in fields.items()},
            merge_policies={name: _policy(stored) for name, stored in policies.items()},
            observation_source_priority=None if kinds is None else tuple(kinds),
        )

    def to_json(self) -> JsonObject:
        """The stored form: normalised, so that equal meaning gives an equal document."""
        document: JsonObject = {
            "fields": {name: field.to_json() for name, field in self.fields.items()},
            "merge_policies": {
                name: stored
                for name, policy in self.merge_policies.items()
                if (stored := policy.to_json()) != DEFAULT_POLICY.to_json()
            },
        }
        if self.kind_order != DEFAULT_KIND_ORDER:
            document["observation_source_priority"] = list(self.kind_order)
        return document

    @property
    def kind_order(self) -> tuple[str, ...]:
        """Observation kinds from the most to the least trusted, as they are in force."""
        order = self.observation_source_priority
        return DEFAULT_KIND_ORDER if order is None else order

    def policy_of(self, name: str) -> Policy:
        """The merge policy in force for a field."""
        return self.merge_policies.get(name, DEFAULT_POLICY)

    def kind_rank(self, kind: str | None) -> int:
        """The place of a kind in the kind order: 0 is trusted most; unknown and none come last, together."""
        ranks = self._kind_ranks
        return len(ranks) if kind is None else ranks.get(kind, len(ranks))

    @cached_property
    def _kind_ranks(self) -> dict[str, int]:
        return _ranks(self.kind_order)

    @cached_property
    def reduction_hash(self) -> str:
        """A hash of just what reduction depends on.

        Definitions that differ in descriptions, constraints, `required` or spelled-out defaults share it.
        """
        return content_hash(
            {
                "rules": REDUCTION_RULES,
                "fields": {
                    name: {
                        "type": field.type.value,
                        "converters": [converter.to_json() for converter in field.converters],
                        "policy": self.policy_of(name).to_json(),
                    }
                    for name, field in self.fields.items()
                },
                "kinds": list(self.kind_order),
            }
        )


UNDECLARED_REDUCTION_HASH: Final = content_hash({"rules": REDUCTION_RULES, "undeclared": True})
"""The reduction hash where no schema is in force."""


def kind_rank(definition: Definition | None, kind: str | None) -> int:
    """The place of a kind in the kind order in force, with or without a definition."""
    if definition is not None:
        return definition.kind_rank(kind)
    return len(_DEFAULT_RANKS) if kind is None else _DEFAULT_RANKS.get(kind, len(_DEFAULT_RANKS))


def _ranks(order: tuple[str, ...]) -> dict[str, int]:
    return {kind: rank for rank, kind in enumerate(order)}


_DEFAULT_RANKS: Final = _ranks(DEFAULT_KIND_ORDER)


def _field(name: str, stored: JsonObject) -> Field:
    converters = cast("list[str | JsonObject]", stored.get("converters") or [])
    return Field(
        name=name,
        type=FieldType(cast(str, stored["type"])),
        required=bool(stored.get("required", False)),
        description=cast("str | None", stored.get("description")) or "",
        converters=tuple(_converter(converter) for converter in converters),
        constraints=_constraints(cast("JsonObject | None", stored.get("constraints"))),
    )


def _converter(stored: str | JsonObject) -> Converter:
    """A converter by its name alone, or as an object; what it leaves out is what the function does."""
    if isinstance(stored, str):
        stored = {"function": stored}
    function = cast(str, stored["function"])
    spec = CONVERTERS.get(function)
    source, target = stored.get("from"), stored.get("to")
    return Converter(
        source=FieldType(cast(str, source)) if source is not None or spec is None else spec.source,
        target=FieldType(cast(str, target)) if target is not None or spec is None else spec.target,
        function=function,
    )


def _constraints(stored: JsonObject | None) -> Constraints:
    if not stored:
        return NO_CONSTRAINTS
    return Constraints(
        minimum=cast("int | Decimal | None", stored.get("min")),
        maximum=cast("int | Decimal | None", stored.get("max")),
        min_length=cast("int | None", stored.get("min_length")),
        max_length=cast("int | None", stored.get("max_length")),
        pattern=cast("str | None", stored.get("pattern")),
        enum=tuple(cast("list[Json] | None", stored.get("enum")) or ()),
    )


def _policy(stored: JsonObject) -> Policy:
    strategy = Strategy(cast(str, stored.get("strategy") or DEFAULT_POLICY.strategy.value))
    if strategy is not Strategy.MOST_SPECIFIC:
        return Policy(strategy)
    return Policy(
        strategy, TieBreaker(cast(str, stored.get("tie_breaker") or DEFAULT_POLICY.tie_breaker.value))
    )
