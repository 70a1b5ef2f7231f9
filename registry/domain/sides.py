"""Two definitions side by side: every field of either, part by part, with what is otherwise marked."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import groupby

from registry.domain.changes import Bump, Change
from registry.domain.definition import Constraints, Declaration, Definition, Policy
from registry.domain.diff import Difference
from registry.domain.vocabulary import ConstraintName
from schemaevo.kernel.canonical import Json, canonical_json

#: Of one part, so many marked items and so many others are listed; an enum can have thousands.
LISTED_MAX = 40
UNMARKED_MAX = 10


class Side(StrEnum):
    """On which side a field stands, and whether it says the same on both."""

    ADDED = "added"
    REMOVED = "removed"
    CHANGED = "changed"
    SAME = "same"


@dataclass(frozen=True, slots=True)
class Item:
    """One thing that a side says; `is_marked` where the other side does not say it, or elsewhere in the order."""

    value: Json
    is_marked: bool


@dataclass(frozen=True, slots=True)
class Part:
    """One part of what is said about a field. `name` is type, required, policy, converters or description, or the
    name of a constraint. A side that says nothing has no items; `…_more` tells how many are not listed."""

    name: str
    old: tuple[Item, ...]
    new: tuple[Item, ...]
    old_more: int = 0
    new_more: int = 0
    is_constraint: bool = False

    @property
    def is_changed(self) -> bool:
        """Whether the two sides say different things."""
        return any(item.is_marked for item in (*self.old, *self.new))


@dataclass(frozen=True, slots=True)
class FieldSides:
    """One field on both sides, and the changes that lead from the old one to the new one."""

    name: str
    side: Side
    old: Declaration | None
    new: Declaration | None
    changes: tuple[Change, ...]

    @property
    def size(self) -> Bump | None:
        """The part of the version number that its changes raise."""
        return Difference(self.changes).size

    @property
    def parts(self) -> tuple[Part, ...]:
        """What either side says about it."""
        return declaration_parts(self.old, self.new)


@dataclass(frozen=True, slots=True)
class Sides:
    """Two definitions side by side: the fields of either by name, and the kind order where it is another."""

    difference: Difference
    fields: tuple[FieldSides, ...]
    kind_order: Part
    kind_changes: tuple[Change, ...]

    def on(self, side: Side) -> tuple[FieldSides, ...]:
        """The fields that stand so."""
        return tuple(field for field in self.fields if field.side is side)

    @property
    def differing(self) -> tuple[FieldSides, ...]:
        """The fields that are not the same on both sides."""
        return tuple(field for field in self.fields if field.side is not Side.SAME)

    @property
    def same(self) -> tuple[FieldSides, ...]:
        """The fields that are."""
        return self.on(Side.SAME)


def side_by_side(difference: Difference, old: Definition, new: Definition) -> Sides:
    """The two definitions that the difference was made of, side by side."""
    ordered = sorted(difference, key=lambda change: change.field or "")
    changes = {field: tuple(found) for field, found in groupby(ordered, lambda change: change.field)}
    fields = tuple(
        _field(name, old, new, changes.get(name, ()))
        for name in sorted(old.fields.keys() | new.fields.keys())
    )
    kind_order = _listing("kind_order", old.kind_order, new.kind_order)
    return Sides(difference, fields, kind_order, changes.get(None, ()))


def declaration_parts(old: Declaration | None, new: Declaration | None) -> tuple[Part, ...]:
    """What two declarations say, part by part; of a side that does not exist nothing."""
    return tuple(_parts(old, new))


def _field(name: str, old: Definition, new: Definition, changes: tuple[Change, ...]) -> FieldSides:
    before = old.declaration(name) if name in old.fields else None
    after = new.declaration(name) if name in new.fields else None
    if before is None:
        side = Side.ADDED
    elif after is None:
        side = Side.REMOVED
    else:
        side = Side.CHANGED if changes else Side.SAME
    return FieldSides(name, side, before, after, changes)


def _parts(old: Declaration | None, new: Declaration | None) -> Iterator[Part]:
    held = [None if side is None else side.field for side in (old, new)]
    yield _single("type", *(None if field is None else field.type.value for field in held))
    if any(field is not None and field.required for field in held):
        yield _single("required", *(None if field is None else field.required for field in held))
    yield _single("policy", *(None if side is None else _policy(side.policy) for side in (old, new)))
    converters = [() if f is None else tuple(one.function for one in f.converters) for f in held]
    if any(converters):
        yield _listing("converters", *converters)
    constraints = [None if field is None else field.constraints for field in held]
    for name in ConstraintName:
        values = [None if one is None else one.get(name) for one in constraints]
        if any(value is not None for value in values):
            yield _constraint(name, *constraints)
    if any(field is not None and field.description for field in held):
        yield _single(
            "description", *(None if field is None else field.description or None for field in held)
        )


def _constraint(name: ConstraintName, old: Constraints | None, new: Constraints | None) -> Part:
    if name is ConstraintName.ENUM:
        values = [() if side is None else side.enum for side in (old, new)]
        # An enum is a set: that its values are listed in another order says nothing.
        return _listing(name.value, *values, is_ordered=False, is_constraint=True)
    bounds = [None if side is None else side.get(name) for side in (old, new)]
    return _single(name.value, *bounds, is_constraint=True)


def _policy(policy: Policy) -> str:
    return f"{policy.strategy}, then {policy.tie_breaker}" if policy.asks_priority_on_tie else policy.strategy


def _single(name: str, old: Json, new: Json, *, is_constraint: bool = False) -> Part:
    """A part of which each side has one value, or None for nothing."""
    is_same = canonical_json(old) == canonical_json(new)
    old_items, new_items = (
        () if value is None else (Item(value, is_marked=not is_same),) for value in (old, new)
    )
    return Part(name, old_items, new_items, is_constraint=is_constraint)


def _listing(
    name: str,
    old: Sequence[Json],
    new: Sequence[Json],
    *,
    is_ordered: bool = True,
    is_constraint: bool = False,
) -> Part:
    """A part of which each side has several values."""
    before, after = ([canonical_json(value) for value in side] for side in (old, new))
    is_moved = is_ordered and [v for v in before if v in set(after)] != [v for v in after if v in set(before)]
    old_items, old_more = _listed(_marked(old, before, () if is_moved else after))
    new_items, new_more = _listed(_marked(new, after, () if is_moved else before))
    return Part(name, old_items, new_items, old_more, new_more, is_constraint)


def _marked(values: Sequence[Json], texts: Sequence[str], others: Iterable[str]) -> list[Item]:
    known = set(others)
    return [Item(value, text not in known) for value, text in zip(values, texts, strict=True)]


def _listed(items: list[Item]) -> tuple[tuple[Item, ...], int]:
    """Those that are shown, in their order, and how many are not: the unmarked are left out first."""
    if len(items) <= LISTED_MAX:
        return tuple(items), 0
    shown: list[Item] = []
    plain = 0
    for item in items:
        plain += not item.is_marked
        if len(shown) < LISTED_MAX and (item.is_marked or plain <= UNMARKED_MAX):
            shown.append(item)
    return tuple(shown), len(items) - len(shown)
