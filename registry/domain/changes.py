"""The ways in which one definition can differ from another, each a typed change with its size and its words."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar, Final, Literal, TypeAlias

from registry.domain.definition import DEFAULT_KIND_ORDER, Converter, Declaration, Policy
from registry.domain.problems import pointer, shortened
from registry.domain.tightness import Effect, effect_of
from registry.domain.vocabulary import ConstraintName, FieldType
from schemaevo.kernel.canonical import Json, JsonObject, canonical_json

Bump: TypeAlias = Literal["major", "minor", "patch"]
"""Major is what can make a record or a reader fail that was fine before, minor what cannot, patch what only
people read, or what says the same in another way."""

_EFFECT_SIZES: Final[dict[Effect, Bump]] = {
    Effect.TIGHTENED: "major",
    Effect.INCOMPARABLE: "major",
    Effect.LOOSENED: "minor",
    Effect.EQUIVALENT: "patch",
}


class _Change(ABC):
    """What all changes have in common; `Change` is the closed list of them."""

    __slots__ = ()
    code: ClassVar[str]

    @property
    @abstractmethod
    def path(self) -> str:
        """The JSON Pointer into the definition of what changes."""

    @property
    @abstractmethod
    def size(self) -> Bump:
        """The part of the version number that this change raises."""

    @property
    @abstractmethod
    def in_words(self) -> str:
        """The change as a short sentence without its subject, such as `makes size required`."""

    @abstractmethod
    def _sides(self) -> tuple[str | None, Json, Json]:
        """The field, what it was and what it is, as JSON."""

    def _details(self) -> JsonObject:
        """What this change has beyond what all have, as JSON."""
        return {}

    def to_json(self) -> JsonObject:
        """The change for machines: code, field, path, old, new, size, and what else it has."""
        field, old, new = self._sides()
        return {
            "code": self.code,
            "field": field,
            "path": self.path,
            "old": old,
            "new": new,
            "size": self.size,
            **self._details(),
        }


@dataclass(frozen=True, slots=True)
class FieldAdded(_Change):
    """A field is declared that was not."""

    code: ClassVar[str] = "field_added"
    field: str
    new: Declaration
    old: ClassVar[None] = None

    @property
    def path(self) -> str:
        return pointer("fields", self.field)

    @property
    def size(self) -> Bump:
        # A required field that is new asks of old records what they do not have, like optional to required.
        return "major" if self.new.field.required else "minor"

    @property
    def in_words(self) -> str:
        required = "required " if self.new.field.required else ""
        return f"adds the {required}field {self.field!r}, {_a(self.new.field.type)}"

    def _sides(self) -> tuple[str | None, Json, Json]:
        return self.field, None, self.new.to_json()


@dataclass(frozen=True, slots=True)
class FieldRemoved(_Change):
    """A field is no longer declared; its merge policy goes with it."""

    code: ClassVar[str] = "field_removed"
    field: str
    old: Declaration
    new: ClassVar[None] = None

    @property
    def path(self) -> str:
        return pointer("fields", self.field)

    @property
    def size(self) -> Bump:
        return "major"

    @property
    def in_words(self) -> str:
        return f"removes the field {self.field!r}, {_a(self.old.field.type)}"

    def _sides(self) -> tuple[str | None, Json, Json]:
        return self.field, self.old.to_json(), None


@dataclass(frozen=True, slots=True)
class TypeChanged(_Change):
    """A field is of another type."""

    code: ClassVar[str] = "type_changed"
    field: str
    old: FieldType
    new: FieldType

    @property
    def path(self) -> str:
        return pointer("fields", self.field, "type")

    @property
    def size(self) -> Bump:
        return "major"

    @property
    def in_words(self) -> str:
        return f"makes {self.field!r} {_a(self.new)} instead of {_a(self.old)}"

    def _sides(self) -> tuple[str | None, Json, Json]:
        return self.field, self.old.value, self.new.value


@dataclass(frozen=True, slots=True)
class RequiredChanged(_Change):
    """A field is required that was optional, or the other way round."""

    code: ClassVar[str] = "required_changed"
    field: str
    old: bool
    new: bool

    @property
    def path(self) -> str:
        return pointer("fields", self.field, "required")

    @property
    def size(self) -> Bump:
        return "major" if self.new else "minor"

    @property
    def in_words(self) -> str:
        return f"makes {self.field!r} {'required' if self.new else 'optional'}"

    def _sides(self) -> tuple[str | None, Json, Json]:
        return self.field, self.old, self.new


@dataclass(frozen=True, slots=True)
class DescriptionChanged(_Change):
    """A field is described in other words."""

    code: ClassVar[str] = "description_changed"
    field: str
    old: str
    new: str

    @property
    def path(self) -> str:
        return pointer("fields", self.field, "description")

    @property
    def size(self) -> Bump:
        return "patch"

    @property
    def in_words(self) -> str:
        return (
            f"describes {self.field!r} in other words" if self.new else f"no longer describes {self.field!r}"
        )

    def _sides(self) -> tuple[str | None, Json, Json]:
        return self.field, self.old, self.new


@dataclass(frozen=True, slots=True)
class ConverterRemoved(_Change):
    """A field has a converter no more."""

    code: ClassVar[str] = "converter_removed"
    field: str
    old: Converter
    new: ClassVar[None] = None

    @property
    def path(self) -> str:
        return pointer("fields", self.field, "converters")

    @property
    def size(self) -> Bump:
        return "major"

    @property
    def in_words(self) -> str:
        return f"no longer converts {self.field!r} by {self.old.function}"

    def _sides(self) -> tuple[str | None, Json, Json]:
        return self.field, self.old.to_json(), None


@dataclass(frozen=True, slots=True)
class ConvertersReordered(_Change):
    """The converters that a field keeps are tried in another order. Both sides list those alone."""

    code: ClassVar[str] = "converters_reordered"
    field: str
    old: tuple[Converter, ...]
    new: tuple[Converter, ...]

    @property
    def path(self) -> str:
        return pointer("fields", self.field, "converters")

    @property
    def size(self) -> Bump:
        # It can change what a value is converted to, but not whether it is.
        return "minor"

    @property
    def in_words(self) -> str:
        order = ", ".join(converter.function for converter in self.new)
        return f"tries the converters of {self.field!r} in the order {order}"

    def _sides(self) -> tuple[str | None, Json, Json]:
        return self.field, _listed(self.old), _listed(self.new)


@dataclass(frozen=True, slots=True)
class ConverterAdded(_Change):
    """A field has one converter more, at `position` among those of the new definition."""

    code: ClassVar[str] = "converter_added"
    field: str
    new: Converter
    position: int
    old: ClassVar[None] = None

    @property
    def path(self) -> str:
        return pointer("fields", self.field, "converters", self.position)

    @property
    def size(self) -> Bump:
        return "minor"

    @property
    def in_words(self) -> str:
        return f"converts {self.field!r} from {self.new.source} by {self.new.function}"

    def _details(self) -> JsonObject:
        return {"position": self.position}

    def _sides(self) -> tuple[str | None, Json, Json]:
        return self.field, None, self.new.to_json()


@dataclass(frozen=True, slots=True)
class ConstraintChanged(_Change):
    """One constraint of a field is another; None stands for no constraint."""

    code: ClassVar[str] = "constraint_changed"
    field: str
    name: ConstraintName
    old: Json
    new: Json

    @property
    def effect(self) -> Effect:
        """Whether fewer values are allowed than before, or more."""
        return effect_of(self.name, self.old, self.new) or Effect.EQUIVALENT

    @property
    def path(self) -> str:
        return pointer("fields", self.field, "constraints", self.name.value)

    @property
    def size(self) -> Bump:
        return _EFFECT_SIZES[self.effect]

    @property
    def in_words(self) -> str:
        what = f"{self.name} of {self.field!r}"
        if self.old is None:
            return f"sets {what} to {_text(self.new)} ({self.effect})"
        if self.new is None:
            return f"lifts {what}, which was {_text(self.old)} ({self.effect})"
        return f"changes {what} from {_text(self.old)} to {_text(self.new)} ({self.effect})"

    def _details(self) -> JsonObject:
        return {"constraint": self.name.value, "effect": self.effect.value}

    def _sides(self) -> tuple[str | None, Json, Json]:
        return self.field, self.old, self.new


@dataclass(frozen=True, slots=True)
class PolicyChanged(_Change):
    """The observations of a field merge in another way."""

    code: ClassVar[str] = "policy_changed"
    field: str
    old: Policy
    new: Policy

    @property
    def path(self) -> str:
        return pointer("merge_policies", self.field)

    @property
    def size(self) -> Bump:
        return "minor"

    @property
    def in_words(self) -> str:
        return f"merges {self.field!r} by {_policy(self.new)} instead of {_policy(self.old)}"

    def _sides(self) -> tuple[str | None, Json, Json]:
        return self.field, self.old.to_json(), self.new.to_json()


@dataclass(frozen=True, slots=True)
class KindOrderChanged(_Change):
    """Observation kinds are trusted in another order, which is not the default one."""

    code: ClassVar[str] = "kind_order_changed"
    field: ClassVar[None] = None
    old: tuple[str, ...]
    new: tuple[str, ...]

    @property
    def path(self) -> str:
        return pointer("observation_source_priority")

    @property
    def size(self) -> Bump:
        return "minor"

    @property
    def in_words(self) -> str:
        if not self.new:
            return "trusts every observation kind alike"
        return f"trusts observation kinds in the order {', '.join(self.new)}"

    def _sides(self) -> tuple[str | None, Json, Json]:
        return None, list(self.old), list(self.new)


@dataclass(frozen=True, slots=True)
class KindOrderReset(_Change):
    """Observation kinds are trusted in the default order again."""

    code: ClassVar[str] = "kind_order_reset"
    field: ClassVar[None] = None
    old: tuple[str, ...]
    new: ClassVar[tuple[str, ...]] = DEFAULT_KIND_ORDER

    @property
    def path(self) -> str:
        return pointer("observation_source_priority")

    @property
    def size(self) -> Bump:
        return "minor"

    @property
    def in_words(self) -> str:
        return "trusts observation kinds in the default order again"

    def _sides(self) -> tuple[str | None, Json, Json]:
        return None, list(self.old), list(self.new)


ConverterChange: TypeAlias = ConverterRemoved | ConvertersReordered | ConverterAdded
FieldChange: TypeAlias = (
    TypeChanged
    | RequiredChanged
    | DescriptionChanged
    | ConverterRemoved
    | ConvertersReordered
    | ConverterAdded
    | ConstraintChanged
    | PolicyChanged
)
"""What can change about a field that both definitions declare."""
KindOrderChange: TypeAlias = KindOrderChanged | KindOrderReset
Change: TypeAlias = FieldAdded | FieldRemoved | FieldChange | KindOrderChange
"""Every way in which a definition can differ from another."""


def _a(field_type: FieldType) -> str:
    return f"an {field_type}" if field_type.value[0] in "ao" else f"a {field_type}"


def _listed(converters: Iterable[Converter]) -> Json:
    return [converter.to_json() for converter in converters]


def _policy(policy: Policy) -> str:
    return f"{policy.strategy} (by priority on a tie)" if policy.asks_priority_on_tie else policy.strategy


def _text(value: Json) -> str:
    short = shortened(value)
    return short if isinstance(short, str) else canonical_json(short)
