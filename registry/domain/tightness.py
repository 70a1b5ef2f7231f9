"""Whether a constraint allows more or fewer values than another of the same name did.

Judged one constraint at a time: that an enum already keeps out what a new bound forbids is not looked at.
"""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum
from typing import cast

from registry.domain.vocabulary import ConstraintName
from schemaevo.kernel.canonical import Json, canonical_json


class Effect(StrEnum):
    """What becomes of the values that a constraint allows."""

    TIGHTENED = "tightened"
    LOOSENED = "loosened"
    INCOMPARABLE = "incomparable"
    """Some may be allowed that were not, and some not that were."""
    EQUIVALENT = "equivalent"
    """The same values, written in another way."""


def effect_of(name: ConstraintName, old: Json, new: Json) -> Effect | None:
    """What the step from one constraint to another does; None for no step. Both as stored, None for none."""
    if name is ConstraintName.ENUM:
        return _enum_effect(cast("list[Json] | None", old), cast("list[Json] | None", new))
    if old == new:
        return None
    if name is ConstraintName.PATTERN:
        if old is None or new is None:
            return Effect.LOOSENED if new is None else Effect.TIGHTENED
        # Nobody can say of two patterns in general which one accepts more.
        return Effect.INCOMPARABLE
    is_lower = name in (ConstraintName.MIN, ConstraintName.MIN_LENGTH)
    return _bound_effect(
        cast("int | Decimal | None", old),
        cast("int | Decimal | None", new),
        is_lower=is_lower,
        # Nothing is shorter than 0, so that it bounds nothing.
        weakest=0 if name is ConstraintName.MIN_LENGTH else None,
    )


def _bound_effect(
    old: int | Decimal | None, new: int | Decimal | None, *, is_lower: bool, weakest: int | None
) -> Effect:
    before, after = (weakest if bound is None else bound for bound in (old, new))
    if before == after:
        return Effect.EQUIVALENT
    if before is None or after is None:
        return Effect.LOOSENED if after is None else Effect.TIGHTENED
    return Effect.TIGHTENED if (after > before) is is_lower else Effect.LOOSENED


def _enum_effect(old: list[Json] | None, new: list[Json] | None) -> Effect | None:
    if old is None or new is None:
        if old is new:
            return None
        return Effect.LOOSENED if new is None else Effect.TIGHTENED
    # As text, where true is not 1.
    before, after = ([canonical_json(value) for value in values] for values in (old, new))
    if before == after:
        return None
    had, has = set(before), set(after)
    if had == has:
        return Effect.EQUIVALENT
    if has < had:
        return Effect.TIGHTENED
    return Effect.LOOSENED if had < has else Effect.INCOMPARABLE
