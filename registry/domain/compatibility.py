"""Whether what was written under one definition can be read under another, and every reason why not.

What is compared are records as they are stored: every value fits its field, after conversion where one was
needed. So a converter that is removed makes nothing unreadable; it only counts where a type changes.

* BACKWARD: the new definition reads every complete record that was stored under an older one.
* FORWARD: the older definitions read every complete record that is stored under the new one.

The rules look at one property of one field at a time. Where they are stricter than the two sentences above:

* constraints of one field are not seen together (a lower bound that only forbids what the enum forbids anyway,
  an enum that lists both booleans, a field that no value fits);
* a date may not become a string although every date is one, nor a string a date forward;
* FORWARD takes no type change, even where the older definition has a converter from the new type.

Where they are looser: BACKWARD takes a converter from the old type at its word, although `string_to_number`
cannot read every string. What it cannot read is kept as it is and counted by the trial of a proposal.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from registry.domain.changes import (
    Change,
    ConstraintChanged,
    FieldAdded,
    FieldRemoved,
    RequiredChanged,
    TypeChanged,
)
from registry.domain.definition import Definition
from registry.domain.diff import diff
from registry.domain.tightness import Effect
from schemaevo.kernel.canonical import JsonObject
from schemaevo.kernel.errors import Conflict


class Direction(StrEnum):
    """Who has to be able to read what."""

    BACKWARD = "BACKWARD"
    """The new definition what older ones stored."""
    FORWARD = "FORWARD"
    """Older definitions what the new one stores."""


class Mode(StrEnum):
    """What an entity type demands of every new definition; the words are those of schema registries."""

    NONE = "NONE"
    BACKWARD = "BACKWARD"
    FORWARD = "FORWARD"
    FULL = "FULL"
    BACKWARD_TRANSITIVE = "BACKWARD_TRANSITIVE"
    FORWARD_TRANSITIVE = "FORWARD_TRANSITIVE"
    FULL_TRANSITIVE = "FULL_TRANSITIVE"

    @property
    def is_transitive(self) -> bool:
        """Whether every version that was ever active is compared, not the active one alone."""
        return self.value.endswith("_TRANSITIVE")

    @property
    def directions(self) -> tuple[Direction, ...]:
        """The directions in which this mode demands that records can be read."""
        if self is Mode.NONE:
            return ()
        if self in (Mode.FULL, Mode.FULL_TRANSITIVE):
            return (Direction.BACKWARD, Direction.FORWARD)
        is_backward = self in (Mode.BACKWARD, Mode.BACKWARD_TRANSITIVE)
        return (Direction.BACKWARD,) if is_backward else (Direction.FORWARD,)


DEFAULT_MODE: Final = Mode.BACKWARD


class Rule(StrEnum):
    """Why a definition is refused."""

    REQUIRED_FIELD_ADDED = "required_field_added"
    REQUIRED_FIELD_REMOVED = "required_field_removed"
    TYPE_CHANGED = "type_changed"
    BECAME_REQUIRED = "became_required"
    BECAME_OPTIONAL = "became_optional"
    CONSTRAINT_TIGHTENED = "constraint_tightened"
    CONSTRAINT_LOOSENED = "constraint_loosened"
    CONSTRAINT_INCOMPARABLE = "constraint_incomparable"


_CONSTRAINT_RULES: Final[dict[tuple[Direction, Effect], Rule]] = {
    (Direction.BACKWARD, Effect.TIGHTENED): Rule.CONSTRAINT_TIGHTENED,
    (Direction.BACKWARD, Effect.INCOMPARABLE): Rule.CONSTRAINT_INCOMPARABLE,
    (Direction.FORWARD, Effect.LOOSENED): Rule.CONSTRAINT_LOOSENED,
    (Direction.FORWARD, Effect.INCOMPARABLE): Rule.CONSTRAINT_INCOMPARABLE,
}


@dataclass(frozen=True, slots=True)
class Predecessor:
    """An older version that a new definition is compared with; `label` is its number."""

    label: str
    definition: Definition


@dataclass(frozen=True, slots=True)
class Reason:
    """One change that a mode does not admit, against one older version."""

    rule: Rule
    direction: Direction
    change: Change
    against: str

    @property
    def field(self) -> str:
        """The field that changes; no rule looks at anything else."""
        return self.change.field or ""

    @property
    def path(self) -> str:
        """The JSON Pointer into the definition of what changes."""
        return self.change.path

    @property
    def message(self) -> str:
        """The reason as a sentence."""
        if self.direction is Direction.BACKWARD:
            return f"It {self.change.in_words}: records stored under {self.against} could not be read."
        return f"It {self.change.in_words}: {self.against} could not read records stored under it."

    def to_json(self) -> JsonObject:
        """The reason for machines: the change's own words, and rule, direction, against, message."""
        return {
            **self.change.to_json(),
            "rule": self.rule.value,
            "direction": self.direction.value,
            "against": self.against,
            "message": self.message,
        }


class IncompatibleChange(Conflict):
    """A definition is not compatible as its entity type demands; code `incompatible_change`.

    `context` holds the mode and all reasons.
    """

    def __init__(self, mode: Mode, reasons: tuple[Reason, ...]) -> None:
        more = f" (and {len(reasons) - 1} more reasons)" if len(reasons) > 1 else ""
        super().__init__(
            "incompatible_change",
            f"The definition is not compatible ({mode}). {reasons[0].message}{more}",
            mode=mode.value,
            reasons=[reason.to_json() for reason in reasons],
        )


def incompatibilities(
    mode: Mode,
    new: Definition,
    active: Predecessor | None,
    ever_active: Iterable[Predecessor] = (),
) -> tuple[Reason, ...]:
    """Every reason why a mode refuses a definition, by older version, direction and field.

    A mode that is not transitive compares with the active version alone; a transitive one also with every
    version that was ever active, in the order given.
    """
    compared = [] if active is None else [active]
    if mode.is_transitive:
        compared += [one for one in ever_active if active is None or one.label != active.label]
    return tuple(
        reason
        for predecessor in (compared if mode.directions else ())
        for reason in _reasons(mode.directions, new, predecessor)
    )


def _reasons(
    directions: tuple[Direction, ...], new: Definition, predecessor: Predecessor
) -> Iterator[Reason]:
    changes = diff(predecessor.definition, new)
    for direction in directions:
        for change in changes:
            rule = _broken_rule(direction, change, new)
            if rule is not None:
                yield Reason(rule, direction, change, predecessor.label)


def _broken_rule(direction: Direction, change: Change, new: Definition) -> Rule | None:
    is_backward = direction is Direction.BACKWARD
    match change:
        case FieldAdded():
            return Rule.REQUIRED_FIELD_ADDED if is_backward and change.new.field.required else None
        case FieldRemoved():
            return Rule.REQUIRED_FIELD_REMOVED if not is_backward and change.old.field.required else None
        case TypeChanged():
            converters = new.fields[change.field].converters
            is_read = any(converter.source is change.old for converter in converters)
            return None if is_backward and is_read else Rule.TYPE_CHANGED
        case RequiredChanged():
            if is_backward is not change.new:
                return None
            return Rule.BECAME_REQUIRED if is_backward else Rule.BECAME_OPTIONAL
        case ConstraintChanged():
            return _CONSTRAINT_RULES.get((direction, change.effect))
        case _:
            return None
