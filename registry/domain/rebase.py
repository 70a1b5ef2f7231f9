"""Changes that two people made to the same document apart from each other, put together."""

from __future__ import annotations

from enum import Enum
from typing import Final, TypeAlias

from registry.domain.problems import child
from schemaevo.kernel.canonical import Json, JsonObject, canonical_json


class _Absence(Enum):
    """The type of ABSENT, which stands where a document says nothing."""

    ABSENT = "absent"


_ABSENT: Final = _Absence.ABSENT
_Part: TypeAlias = "Json | _Absence"


def rebased(base: JsonObject, mine: JsonObject, theirs: JsonObject) -> tuple[JsonObject, tuple[str, ...]]:
    """The document that has both what led from `base` to `mine` and what led to `theirs`.

    Objects are put together key by key; whatever else both changed, and otherwise, is as in `mine`, and the paths of
    that are given. What comes out need not be valid, though all three are.
    """
    clashes: list[str] = []
    together = _together("", base, mine, theirs, clashes)
    return together if isinstance(together, dict) else mine, tuple(clashes)


def _together(path: str, base: _Part, mine: _Part, theirs: _Part, clashes: list[str]) -> _Part:
    if _says_same(mine, theirs) or _says_same(base, theirs):
        return mine
    if _says_same(base, mine):
        return theirs
    if not (isinstance(mine, dict) and isinstance(theirs, dict)):
        clashes.append(path)
        return mine
    # Something that both added has no base: what they say alike about it stands, too.
    held = base if isinstance(base, dict) else {}
    joined: JsonObject = {}
    for key in [*mine, *(key for key in theirs if key not in mine)]:
        sides = held.get(key, _ABSENT), mine.get(key, _ABSENT), theirs.get(key, _ABSENT)
        part = _together(child(path, key), *sides, clashes)
        if part is not _ABSENT:
            joined[key] = part
    return joined


def _says_same(one: _Part, other: _Part) -> bool:
    if one is _ABSENT or other is _ABSENT:
        return one is other
    return canonical_json(one) == canonical_json(other)
