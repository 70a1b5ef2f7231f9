"""The global definition and a user's extension as one definition, with the origin of every field.

Composition is total, since the global schema moves without asking anybody: what an extension says that no
longer goes together with it is settled here, always in the same way, and listed for an admin.

* An additional field that the global schema has too, with the same type: the global one stands; the
  extension's copy is *absorbed*.
* The same with another type: the user's own stands, since the user's data must keep working.
* Two names that people would confuse: both stand, each for its own data.
* A part of an override that would loosen the global field, or that its type cannot have, or after which no
  value would fit: that part is ignored, the other parts of the override count.
* An override of a field that is not declared: ignored, until it is declared again.

The kind order is the global one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from registry.domain.definition import Constraints, Definition, Field, Policy
from registry.domain.extension import Extension, Override
from registry.domain.field_rules import SUITED_TYPES, field_without_enum
from registry.domain.fit import fits
from registry.domain.names import confusable_form
from registry.domain.problems import InvalidExtension, Problem, child, pointer
from registry.domain.tightness import Effect, effect_of
from registry.domain.validation import MAX_FIELDS
from registry.domain.vocabulary import ConstraintName, FieldType
from schemaevo.kernel.canonical import Json, JsonObject, canonical_json


class Origin(StrEnum):
    """Who declares a field of an effective schema."""

    GLOBAL = "global"
    EXTENSION = "extension"
    OVERRIDE = "override"
    """The global schema, in part otherwise for this user."""
    CONFLICT = "conflict"
    """The user, against a global field of the same name and another type."""


class ConflictCode(StrEnum):
    """How an extension and the global schema do not go together."""

    TYPE_DIFFERS = "type_differs"
    AMBIGUOUS_NAME = "ambiguous_name"
    OVERRIDE_OF_UNDECLARED = "override_of_undeclared"
    OVERRIDE_LOOSENS = "override_loosens"
    OVERRIDE_INCOMPARABLE = "override_incomparable"
    OVERRIDE_UNSUITED = "override_unsuited"
    OVERRIDE_EMPTY = "override_empty"
    OVERRIDE_NARROWED = "override_narrowed"


_WORDS: Final[dict[ConflictCode, str]] = {
    ConflictCode.TYPE_DIFFERS: "the global schema declares it with another type; the user's own stands",
    ConflictCode.AMBIGUOUS_NAME: "cannot be told apart from a field of the global schema; both stand",
    ConflictCode.OVERRIDE_OF_UNDECLARED: "the global schema does not declare it; the override is ignored",
    ConflictCode.OVERRIDE_LOOSENS: "the global schema is tighter; this part of the override is ignored",
    ConflictCode.OVERRIDE_INCOMPARABLE: (
        "is not just tighter than the global schema; this part of the override is ignored"
    ),
    ConflictCode.OVERRIDE_UNSUITED: "does not suit the global field; this part of the override is ignored",
    ConflictCode.OVERRIDE_EMPTY: "would leave no value that fits; this part of the override is ignored",
    ConflictCode.OVERRIDE_NARROWED: "lists values that other constraints forbid; those values are ignored",
}


@dataclass(frozen=True, slots=True)
class FieldConflict:
    """One thing that an extension says and the global schema does not admit.

    `path` points into the extension's document; `shared` and `own` are what the two say there.
    """

    code: ConflictCode
    field: str
    path: str
    shared: Json
    own: Json

    @property
    def message(self) -> str:
        """What is the matter, and what stands."""
        return _WORDS[self.code]

    @property
    def identity(self) -> tuple[str, str, str]:
        """What makes it the same conflict with another global schema: what the user says, and what it breaks."""
        return self.code, self.path, canonical_json(self.own)

    def to_json(self) -> JsonObject:
        """The conflict for machines."""
        return {
            "code": self.code.value,
            "field": self.field,
            "path": self.path,
            "shared": self.shared,
            "own": self.own,
            "message": self.message,
        }


@dataclass(frozen=True, slots=True)
class Composition:
    """What applies to one user: the definition, who declares each field, and what did not go together.

    `absorbed` names the additional fields that the global schema has with the same type.
    """

    definition: Definition
    origins: Mapping[str, Origin]
    absorbed: tuple[str, ...]
    conflicts: tuple[FieldConflict, ...]


def compose(shared: Definition, extension: Extension) -> Composition:
    """The global definition with a user's extension; never refuses."""
    fields = dict(shared.fields)
    policies = dict(shared.merge_policies)
    origins: dict[str, Origin] = dict.fromkeys(fields, Origin.GLOBAL)
    absorbed: list[str] = []
    conflicts: list[FieldConflict] = []
    for name, own in extension.additional_fields.items():
        held = shared.fields.get(name)
        if held is None:
            origins[name] = Origin.EXTENSION
            twin = shared.names_by_confusable_form.get(confusable_form(name))
            if twin is not None:
                path = pointer("additional_fields", name)
                conflicts.append(FieldConflict(ConflictCode.AMBIGUOUS_NAME, name, path, twin, name))
        elif held.type is own.type:
            absorbed.append(name)
            continue
        else:
            origins[name] = Origin.CONFLICT
            path = pointer("additional_fields", name, "type")
            sides = held.type.value, own.type.value
            conflicts.append(FieldConflict(ConflictCode.TYPE_DIFFERS, name, path, *sides))
        fields[name] = own
        policies.pop(name, None)
        if name in extension.merge_policies:
            policies[name] = extension.merge_policies[name]
    for name, override in extension.field_overrides.items():
        if origins.get(name) is not Origin.GLOBAL:
            path = pointer("field_overrides", name)
            undeclared = ConflictCode.OVERRIDE_OF_UNDECLARED
            conflicts.append(FieldConflict(undeclared, name, path, None, override.to_json()))
            continue
        overridden = _overridden(shared.fields[name], override, conflicts)
        if overridden is not shared.fields[name] or _is_new_policy(shared, name, override.policy):
            origins[name] = Origin.OVERRIDE
            fields[name] = overridden
            if override.policy is not None:
                policies[name] = override.policy
    definition = Definition(fields, policies, shared.observation_source_priority)
    return Composition(definition, origins, tuple(absorbed), tuple(conflicts))


def extension_problems(
    extension: Extension, shared: Definition, before: Extension | None = None
) -> list[Problem]:
    """What a writer of an extension is told: every conflict, and every field that the global schema has already.

    What the extension before it said in the same words is not refused again: the global schema may have moved
    against it, and its user must still be able to change the rest.
    """
    composition = compose(shared, extension)
    standing = None if before is None else compose(shared, before)
    known = {conflict.identity for conflict in standing.conflicts} if standing else set()
    problems = [
        Problem(conflict.path, conflict.code.value, conflict.own, conflict.message)
        for conflict in composition.conflicts
        if conflict.identity not in known
    ]
    for name in composition.absorbed:
        if before is None or name not in before.additional_fields:
            path = pointer("additional_fields", name)
            message = "the global schema declares it already, with the same type"
            problems.append(Problem(path, "already_declared", name, message))
    count = len(composition.definition.fields)
    if count > MAX_FIELDS and (standing is None or count > len(standing.definition.fields)):
        message = f"with those of the global schema at most {MAX_FIELDS} fields may be declared"
        problems.append(Problem("/additional_fields", "too_many_fields", count, message))
    return problems


def require_extensible(extension: Extension, shared: Definition, before: Extension | None = None) -> None:
    """The extension goes together with the global schema. Raises: InvalidExtension with every problem."""
    problems = extension_problems(extension, shared, before)
    if problems:
        raise InvalidExtension(problems)


def _is_new_policy(shared: Definition, name: str, policy: Policy | None) -> bool:
    return policy is not None and policy.normalised != shared.policy_of(name).normalised


def _overridden(held: Field, override: Override, conflicts: list[FieldConflict]) -> Field:
    """The global field as an override makes it, the same object if nothing is otherwise; adds what is ignored."""
    field = held
    if override.description not in (None, held.description):
        field = replace(field, description=override.description or "")
    if override.required and not held.required:
        field = replace(field, required=True)
    if override.converters is not None and override.converters != held.converters:
        if all(converter.target is held.type for converter in override.converters):
            field = replace(field, converters=override.converters)
        else:
            path = pointer("field_overrides", held.name, "converters")
            own: Json = [converter.to_json() for converter in override.converters]
            unsuited = ConflictCode.OVERRIDE_UNSUITED
            conflicts.append(FieldConflict(unsuited, held.name, path, held.type.value, own))
    stored = override.constraints.to_json()
    if stored:
        constraints = _joined(held, stored, conflicts)
        if constraints is not held.constraints:
            field = replace(field, constraints=constraints)
    return field


def _joined(held: Field, stored: JsonObject, conflicts: list[FieldConflict]) -> Constraints:
    """The global constraints and those of an override that tighten them; the same object if none does."""
    base = pointer("field_overrides", held.name, "constraints")

    def ignore(code: ConflictCode, name: ConstraintName) -> None:
        conflicts.append(
            FieldConflict(
                code, held.name, child(base, name.value), held.constraints.get(name), stored[name.value]
            )
        )

    taken: dict[ConstraintName, Json] = {}
    for name in ConstraintName:
        own = stored.get(name.value)
        if own is None:
            continue
        if not _suits(held.type, name, own):
            ignore(ConflictCode.OVERRIDE_UNSUITED, name)
            continue
        effect = effect_of(name, held.constraints.get(name), own)
        if effect is Effect.TIGHTENED:
            taken[name] = own
        elif effect is Effect.LOOSENED:
            ignore(ConflictCode.OVERRIDE_LOOSENS, name)
        elif effect is Effect.INCOMPARABLE:
            ignore(ConflictCode.OVERRIDE_INCOMPARABLE, name)
    joined = held.constraints.changed(taken) if taken else held.constraints
    crossing = [name for name in _crossing(joined) if name in taken]
    if crossing:
        # The other end is the global one: an extension whose own ends cross is refused when it is written.
        for name in crossing:
            del taken[name]
            ignore(ConflictCode.OVERRIDE_EMPTY, name)
        joined = held.constraints.changed(taken)
    if not taken:
        return held.constraints
    if not joined.enum:
        return joined
    bounds = field_without_enum(held.name, held.type, joined)
    left = [value for value in joined.enum if fits(value, bounds) is None]
    if not left:
        for name in taken:
            ignore(ConflictCode.OVERRIDE_EMPTY, name)
        return held.constraints
    if len(left) < len(joined.enum):
        # Both the enum and the bounds have to hold; written so, the definition says what is really allowed.
        joined = joined.changed({ConstraintName.ENUM: left})
        if ConstraintName.ENUM in taken:
            ignore(ConflictCode.OVERRIDE_NARROWED, ConstraintName.ENUM)
    return joined


def _suits(field_type: FieldType, name: ConstraintName, own: Json) -> bool:
    if field_type not in SUITED_TYPES[name]:
        return False
    if not isinstance(own, list):
        return True
    plain = Field("", field_type)
    return all(fits(value, plain) is None for value in own)


def _crossing(constraints: Constraints) -> Iterator[ConstraintName]:
    """The bounds between which nothing lies."""
    low, high = constraints.minimum, constraints.maximum
    if low is not None and high is not None and low > high:
        yield from (ConstraintName.MIN, ConstraintName.MAX)
    shortest, longest = constraints.min_length, constraints.max_length
    if shortest is not None and longest is not None and shortest > longest:
        yield from (ConstraintName.MIN_LENGTH, ConstraintName.MAX_LENGTH)
