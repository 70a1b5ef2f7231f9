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
from registry.domain.names import confusable_form
from registry.domain.vocabulary import (
    DEFAULT_KIND_ORDER,
    FITTING_TYPES,
    ConstraintName,
    FieldType,
    Strategy,
    TieBreaker,
)
from schemaevo.kernel.canonical import Json, JsonObject, content_hash

__all__ = [
    "DEFAULT_KIND_ORDER",
    "UNDECLARED_REDUCTION_HASH",
    "ConstraintName",
    "Constraints",
    "Converter",
    "Declaration",
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

    @classmethod
    def from_json(cls, stored: str | JsonObject) -> Converter:
        """A converter by its name alone, or as an object; what it leaves out is what the function does."""
        if isinstance(stored, str):
            stored = {"function": stored}
        function = cast(str, stored["function"])
        spec = CONVERTERS.get(function)
        source, target = stored.get("from"), stored.get("to")
        return cls(
            source=FieldType(cast(str, source)) if source is not None or spec is None else spec.source,
            target=FieldType(cast(str, target)) if target is not None or spec is None else spec.target,
            function=function,
        )

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

    @classmethod
    def from_json(cls, stored: Mapping[str, Json] | None) -> Constraints:
        """The constraints that a document known to be valid states; those it leaves out are none."""
        if not stored:
            return NO_CONSTRAINTS
        return cls(
            minimum=cast("int | Decimal | None", stored.get("min")),
            maximum=cast("int | Decimal | None", stored.get("max")),
            min_length=cast("int | None", stored.get("min_length")),
            max_length=cast("int | None", stored.get("max_length")),
            pattern=cast("str | None", stored.get("pattern")),
            enum=tuple(cast("list[Json] | None", stored.get("enum")) or ()),
        )

    def to_json(self) -> JsonObject:
        """The stored form, without what is not constrained."""
        return {name.value: value for name in ConstraintName if (value := self.get(name)) is not None}

    def get(self, name: ConstraintName) -> Json:
        """One constraint as it is stored; None if there is none of that name."""
        if name is ConstraintName.ENUM:
            return list(self.enum) or None
        value: Json = getattr(self, _CONSTRAINT_ATTRIBUTES[name])
        return value

    def changed(self, changes: Mapping[ConstraintName, Json]) -> Constraints:
        """These constraints with others in the place of some; None takes one away."""
        stored = self.to_json()
        for name, value in changes.items():
            if value is None:
                stored.pop(name.value, None)
            else:
                stored[name.value] = value
        return Constraints.from_json(stored)


_CONSTRAINT_ATTRIBUTES: Final = {
    ConstraintName.MIN: "minimum",
    ConstraintName.MAX: "maximum",
    ConstraintName.MIN_LENGTH: "min_length",
    ConstraintName.MAX_LENGTH: "max_length",
    ConstraintName.PATTERN: "pattern",
}

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

    @classmethod
    def from_json(cls, name: str, stored: Mapping[str, Json]) -> Field:
        """The field that a document known to be valid declares."""
        converters = cast("list[str | JsonObject]", stored.get("converters") or [])
        return cls(
            name=name,
            type=FieldType(cast(str, stored["type"])),
            required=bool(stored.get("required", False)),
            description=cast("str | None", stored.get("description")) or "",
            converters=tuple(Converter.from_json(converter) for converter in converters),
            constraints=Constraints.from_json(cast("JsonObject | None", stored.get("constraints"))),
        )

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

    @classmethod
    def from_json(cls, stored: Mapping[str, Json]) -> Policy:
        """The policy that a document known to be valid states, without a tie breaker that is never asked."""
        strategy = Strategy(cast(str, stored.get("strategy") or Strategy.LAST_WRITE.value))
        if strategy is not Strategy.MOST_SPECIFIC:
            return cls(strategy)
        return cls(strategy, TieBreaker(cast(str, stored.get("tie_breaker") or TieBreaker.OBSERVED_AT.value)))

    @property
    def normalised(self) -> Policy:
        """The one policy that stands for all that merge as this one does."""
        tie_breaker = TieBreaker.SOURCE_PRIORITY if self.asks_priority_on_tie else TieBreaker.OBSERVED_AT
        return Policy(self.strategy, tie_breaker)

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


@dataclass(frozen=True, slots=True)
class Declaration:
    """A field together with its merge policy: all that a definition says about it."""

    field: Field
    policy: Policy = DEFAULT_POLICY

    @classmethod
    def from_json(cls, name: str, stored: Mapping[str, Json]) -> Declaration:
        """What a document known to be valid says about the field of this name."""
        policy = cast("JsonObject | None", stored.get("merge_policy"))
        field = Field.from_json(name, stored)
        return cls(field) if policy is None else cls(field, Policy.from_json(policy))

    def to_json(self) -> JsonObject:
        """The field's stored form, with its `merge_policy` unless that is the default."""
        document = self.field.to_json()
        if self.policy.normalised != DEFAULT_POLICY:
            document["merge_policy"] = self.policy.to_json()
        return document


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
            fields={name: Field.from_json(name, stored) for name, stored in fields.items()},
            merge_policies={name: Policy.from_json(stored) for name, stored in policies.items()},
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
    def fitting_types(self) -> Mapping[str, frozenset[type]]:
        """For each field the Python types of the values that have its type."""
        return {name: FITTING_TYPES[field.type] for name, field in self.fields.items()}

    @cached_property
    def settling_types(self) -> Mapping[str, frozenset[type]]:
        """For each field the Python types whose values fit whatever they are, so that nothing else need be asked."""
        none = frozenset({type(None)})
        return {
            name: FITTING_TYPES[field.type]
            if field.constraints == NO_CONSTRAINTS and field.type is not FieldType.DATE
            else none
            for name, field in self.fields.items()
        }

    @cached_property
    def _kind_ranks(self) -> dict[str, int]:
        return _ranks(self.kind_order)

    def declaration(self, name: str) -> Declaration:
        """All that is said about a declared field."""
        return Declaration(self.fields[name], self.policy_of(name).normalised)

    @cached_property
    def names_by_confusable_form(self) -> Mapping[str, str]:
        """The declared names by the form in which names that people would confuse are equal."""
        return {confusable_form(name): name for name in self.fields}

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


NO_FIELDS: Final = Definition(fields={}, merge_policies={})
"""What declares nothing: what the first version of a schema is compared with."""


def kind_rank(definition: Definition | None, kind: str | None) -> int:
    """The place of a kind in the kind order in force, with or without a definition."""
    if definition is not None:
        return definition.kind_rank(kind)
    return len(_DEFAULT_RANKS) if kind is None else _DEFAULT_RANKS.get(kind, len(_DEFAULT_RANKS))


def _ranks(order: tuple[str, ...]) -> dict[str, int]:
    return {kind: rank for rank, kind in enumerate(order)}


_DEFAULT_RANKS: Final = _ranks(DEFAULT_KIND_ORDER)
