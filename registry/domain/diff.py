"""The semantic difference of two definitions, the version number that follows from it, and its application."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final, TypeAlias, assert_never

from registry.domain.changes import (
    Bump,
    Change,
    ConstraintChanged,
    ConverterAdded,
    ConverterChange,
    ConverterRemoved,
    ConvertersReordered,
    DescriptionChanged,
    FieldAdded,
    FieldChange,
    FieldRemoved,
    KindOrderChanged,
    KindOrderReset,
    PolicyChanged,
    RequiredChanged,
    TypeChanged,
)
from registry.domain.definition import (
    DEFAULT_KIND_ORDER,
    DEFAULT_POLICY,
    ConstraintName,
    Converter,
    Declaration,
    Definition,
    Field,
    Policy,
)
from registry.domain.problems import Problem, listing
from registry.domain.tightness import effect_of
from registry.domain.validation import parse_definition
from schemaevo.kernel.canonical import Json, canonical_json
from schemaevo.kernel.errors import Conflict

__all__ = [
    "FIRST_VERSION",
    "Bump",
    "Difference",
    "StaleDifference",
    "Version",
    "apply",
    "bump",
    "diff",
    "next_version",
]

Version: TypeAlias = tuple[int, int, int]

FIRST_VERSION: Final[Version] = (1, 0, 0)


@dataclass(frozen=True, slots=True)
class Difference:
    """All that leads from one definition to another: by field in code point order, the kind order last."""

    changes: tuple[Change, ...]

    def __bool__(self) -> bool:
        return bool(self.changes)

    def __len__(self) -> int:
        return len(self.changes)

    def __iter__(self) -> Iterator[Change]:
        return iter(self.changes)

    @property
    def size(self) -> Bump | None:
        """The part of the version number that all the changes together raise; None if there are none."""
        sizes = {change.size for change in self.changes}
        if "major" in sizes:
            return "major"
        if "minor" in sizes:
            return "minor"
        return "patch" if sizes else None

    @property
    def in_words(self) -> tuple[str, ...]:
        """One short sentence for each change."""
        return tuple(change.in_words for change in self.changes)

    def to_json(self) -> list[Json]:
        """The changes for machines."""
        return [change.to_json() for change in self.changes]


class StaleDifference(Conflict):
    """A definition does not hold what a difference would change; code `stale_difference`.

    `context["problems"]` lists all that it does not hold, with what it holds instead as `value`.
    """

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__(
            "stale_difference",
            f"The definition has changed meanwhile. {problems[0].message}",
            problems=listing(problems),
            problem_count=len(problems),
        )


def diff(old: Definition, new: Definition) -> Difference:
    """The changes that lead from the old definition to the new one; none if the two say the same."""
    return Difference(tuple(_changes(old, new)))


def bump(old: Definition | None, new: Definition) -> Bump | None:
    """The part of the version number that a change raises; None if the two are equal."""
    return "major" if old is None else diff(old, new).size


def next_version(highest: Version | None, size: Bump) -> Version:
    """The number after the highest one that a schema ever had."""
    if highest is None:
        return FIRST_VERSION
    major, minor, patch = highest
    if size == "major":
        return major + 1, 0, 0
    if size == "minor":
        return major, minor + 1, 0
    return major, minor, patch + 1


def apply(difference: Difference, definition: Definition) -> Definition:
    """The definition with every change made to it: the new one exactly, if it is the one that was compared.

    Another one is taken too, as long as it holds everything that changes. Raises: StaleDifference with all that
    it does not hold; InvalidDefinition if what comes out breaks a rule.
    """
    fields = dict(definition.fields)
    policies = dict(definition.merge_policies)
    kinds = definition.kind_order
    problems: list[Problem] = []
    for change in difference:
        problem = _obstacle(change, fields, policies, kinds)
        if problem is not None:
            problems.append(problem)
            continue
        match change:
            case FieldAdded():
                fields[change.field] = change.new.field
                policies[change.field] = change.new.policy
            case FieldRemoved():
                del fields[change.field]
                policies.pop(change.field, None)
            case KindOrderChanged() | KindOrderReset():
                kinds = change.new
            case PolicyChanged():
                policies[change.field] = change.new
            case _:
                fields[change.field] = _with(fields[change.field], change)
    if problems:
        raise StaleDifference(problems)
    # Written out and read back: what two people changed apart from each other may not go together.
    return parse_definition(Definition(fields, policies, kinds).to_json())


def _changes(old: Definition, new: Definition) -> Iterator[Change]:
    for name in sorted(old.fields.keys() | new.fields.keys()):
        if name not in new.fields:
            yield FieldRemoved(name, old.declaration(name))
        elif name not in old.fields:
            yield FieldAdded(name, new.declaration(name))
        else:
            yield from _field_changes(old.fields[name], new.fields[name])
            before, after = old.policy_of(name).normalised, new.policy_of(name).normalised
            if before != after:
                yield PolicyChanged(name, before, after)
    if old.kind_order != new.kind_order:
        if new.kind_order == DEFAULT_KIND_ORDER:
            yield KindOrderReset(old.kind_order)
        else:
            yield KindOrderChanged(old.kind_order, new.kind_order)


def _field_changes(old: Field, new: Field) -> Iterator[FieldChange]:
    if old is new:
        return
    if old.type is not new.type:
        yield TypeChanged(new.name, old.type, new.type)
    if old.required != new.required:
        yield RequiredChanged(new.name, old.required, new.required)
    if old.description != new.description:
        yield DescriptionChanged(new.name, old.description, new.description)
    if old.converters != new.converters:
        yield from _converter_changes(new.name, old.converters, new.converters)
    if old.constraints is not new.constraints:
        for name in ConstraintName:
            before, after = old.constraints.get(name), new.constraints.get(name)
            if effect_of(name, before, after) is not None:
                yield ConstraintChanged(new.name, name, before, after)


def _converter_changes(
    field: str, old: tuple[Converter, ...], new: tuple[Converter, ...]
) -> Iterator[ConverterChange]:
    """Removals, then the order of those that stay, then additions from left to right: made in this order they
    give the new list exactly."""
    for converter in old:
        if converter not in new:
            yield ConverterRemoved(field, converter)
    before = tuple(converter for converter in old if converter in new)
    after = tuple(converter for converter in new if converter in old)
    if before != after:
        yield ConvertersReordered(field, before, after)
    for position, converter in enumerate(new):
        if converter not in old:
            yield ConverterAdded(field, converter, position)


def _obstacle(
    change: Change, fields: dict[str, Field], policies: dict[str, Policy], kinds: tuple[str, ...]
) -> Problem | None:
    """Why a change cannot be made to a definition of these parts: it does not hold the old side."""
    if isinstance(change, (KindOrderChanged, KindOrderReset)):
        return _differs(change, list(change.old), list(kinds))
    field = fields.get(change.field)
    if isinstance(change, FieldAdded):
        if field is None:
            return None
        message = f"{change.field} is declared already."
        return Problem(change.path, "already_declared", field.to_json(), message)
    if field is None:
        return Problem(change.path, "undeclared_field", None, f"{change.field} is not declared.")
    policy = policies.get(change.field, DEFAULT_POLICY)
    match change:
        case FieldRemoved():
            return _differs(change, change.old.to_json(), Declaration(field, policy).to_json())
        case TypeChanged():
            return _differs(change, change.old.value, field.type.value)
        case RequiredChanged():
            return _differs(change, change.old, field.required)
        case DescriptionChanged():
            return _differs(change, change.old, field.description)
        case ConverterRemoved():
            held = change.old.to_json() if change.old in field.converters else None
            return _differs(change, change.old.to_json(), held)
        case ConvertersReordered():
            return _differs(
                change, [one.to_json() for one in change.old], [one.to_json() for one in field.converters]
            )
        case ConverterAdded():
            held = change.new.to_json() if change.new in field.converters else None
            return _differs(change, None, held)
        case ConstraintChanged():
            return _differs(change, change.old, field.constraints.get(change.name))
        case PolicyChanged():
            return _differs(change, change.old.to_json(), policy.to_json())
        case _:
            assert_never(change)


def _differs(change: Change, expected: Json, found: Json) -> Problem | None:
    if canonical_json(expected) == canonical_json(found):
        return None
    message = f"A change that {change.in_words} expects it to be otherwise than it is now."
    return Problem(change.path, "differs", found, message)


def _with(
    field: Field,
    change: TypeChanged | RequiredChanged | DescriptionChanged | ConverterChange | ConstraintChanged,
) -> Field:
    """The field with one change made to it, whose old side it holds."""
    match change:
        case TypeChanged():
            return replace(field, type=change.new)
        case RequiredChanged():
            return replace(field, required=change.new)
        case DescriptionChanged():
            return replace(field, description=change.new)
        case ConverterRemoved():
            kept = tuple(converter for converter in field.converters if converter != change.old)
            return replace(field, converters=kept)
        case ConvertersReordered():
            return replace(field, converters=change.new)
        case ConverterAdded():
            before, after = field.converters[: change.position], field.converters[change.position :]
            return replace(field, converters=(*before, change.new, *after))
        case ConstraintChanged():
            return replace(field, constraints=field.constraints.changed({change.name: change.new}))
        case _:
            assert_never(change)
