"""How large the difference between two definitions is, and the version number that follows from it."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Final, Literal, TypeAlias

from registry.domain.definition import Constraints, Definition, Field
from schemaevo.kernel.canonical import canonical_json

Bump: TypeAlias = Literal["major", "minor", "patch"]
Version: TypeAlias = tuple[int, int, int]

FIRST_VERSION: Final[Version] = (1, 0, 0)


def bump(old: Definition | None, new: Definition) -> Bump | None:
    """The part of the version number that a change raises; None if the two are equal.

    Major is what can make a record or a reader fail that was fine before, minor what cannot, patch what only
    people read.
    """
    if old is None:
        return "major"
    if canonical_json(old.to_json()) == canonical_json(new.to_json()):
        return None
    sizes = set(_differences(old, new))
    if "major" in sizes:
        return "major"
    return "minor" if "minor" in sizes else "patch"


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


def _differences(old: Definition, new: Definition) -> Iterator[Bump]:
    if old.fields.keys() - new.fields.keys():
        yield "major"
    for name, field in new.fields.items():
        before = old.fields.get(name)
        if before is None:
            # A required field that is new asks of old records what they do not have, like optional to
            # required.
            yield "major" if field.required else "minor"
            continue
        yield from _field_differences(before, field)
        if old.policy_of(name).to_json() != new.policy_of(name).to_json():
            yield "minor"
    if old.kind_order != new.kind_order:
        yield "minor"


def _field_differences(old: Field, new: Field) -> Iterator[Bump]:
    if old.type is not new.type or set(old.converters) - set(new.converters):
        yield "major"
    if old.converters != new.converters:
        # Added, or only put in another order, which can change what a value is converted to.
        yield "minor"
    if old.required != new.required:
        yield "major" if new.required else "minor"
    yield from _constraint_differences(old.constraints, new.constraints)


def _constraint_differences(old: Constraints, new: Constraints) -> Iterator[Bump]:
    yield from _bound_difference(old.minimum, new.minimum, lower=True)
    yield from _bound_difference(old.maximum, new.maximum, lower=False)
    yield from _bound_difference(old.min_length, new.min_length, lower=True)
    yield from _bound_difference(old.max_length, new.max_length, lower=False)
    if old.pattern != new.pattern:
        # Nobody can say of two patterns in general which one accepts more.
        yield "minor" if new.pattern is None else "major"
    before, after = ({canonical_json(value) for value in side.enum} for side in (old, new))
    if before != after:
        # An empty list allows everything.
        is_looser = not after or (bool(before) and before < after)
        yield "minor" if is_looser else "major"


def _bound_difference(old: int | Decimal | None, new: int | Decimal | None, *, lower: bool) -> Iterator[Bump]:
    if old == new:
        return
    if new is None:
        yield "minor"
    elif old is None:
        yield "major"
    else:
        yield "major" if (new > old) is lower else "minor"
