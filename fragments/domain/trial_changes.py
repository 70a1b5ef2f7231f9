"""Which fields a change of the global schema is about, for everybody and for one user."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from enum import StrEnum

from registry.domain.definition import NO_FIELDS, Definition, Field


class Change(StrEnum):
    """What becomes of a field of the global schema."""

    ADDED = "added"
    REMOVED = "removed"
    CHANGED = "changed"


def changes_between(before: Definition | None, after: Definition | None) -> dict[str, Change]:
    """The fields about which two global definitions say something else, by name."""
    old, new = before or NO_FIELDS, after or NO_FIELDS
    found: dict[str, Change] = {}
    for name in sorted({*old.fields, *new.fields}):
        if name not in old.fields:
            found[name] = Change.ADDED
        elif name not in new.fields:
            found[name] = Change.REMOVED
        elif old.declaration(name) != new.declaration(name):
            found[name] = Change.CHANGED
    return found


def fields_judged_anew(
    before: Definition | None, after: Definition | None, names: Collection[str]
) -> dict[str, Field]:
    """Those of the fields whose fragments are judged otherwise under `after`, as it declares them."""
    if after is None:
        return {}
    held = {} if before is None else before.fields
    found = {name: after.fields[name] for name in sorted(names) if name in after.fields}
    return {
        name: new
        for name, new in found.items()
        if (old := held.get(name)) is None
        or (old.type, old.constraints, old.converters) != (new.type, new.constraints, new.converters)
    }


def fields_gone(before: Definition | None, after: Definition | None, names: Iterable[str]) -> tuple[str, ...]:
    """Those of the fields that `before` declares and `after` does not. Where nothing is declared at all, nothing is a
    fragment either; what was promoted waits again nevertheless."""
    held = {} if before is None else before.fields
    kept = {} if after is None else after.fields
    return tuple(name for name in sorted(names) if name in held and name not in kept)
