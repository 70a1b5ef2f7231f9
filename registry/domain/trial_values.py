"""Which part of a trial's result holds stored values, and names owners."""

from __future__ import annotations

from typing import Final

from schemaevo.kernel.canonical import JsonObject

#: The key under which values stand, and nothing else does.
VALUES: Final = "values"


def without_values(result: JsonObject) -> JsonObject:
    """A result as those may see it who may not see values."""
    return {key: value for key, value in result.items() if key != VALUES}
