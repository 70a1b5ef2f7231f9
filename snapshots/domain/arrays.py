"""What one observation contributes to a field whose policy is merge_array."""

from __future__ import annotations

from registry.domain.definition import Field
from registry.domain.fit import convert_for_reduction
from schemaevo.kernel.canonical import Json, Unstorable, decode

_JSON_SPACE = " \t\n\r"


def contributed_items(value: Json, field: Field) -> list[Json]:
    """The items of an array, of a string that is a JSON array, or else the value itself as the only item.

    A lone value is converted to the field's type; the items of an array stand as they are. null gives
    nothing.
    """
    if value is None:
        return []
    if isinstance(value, list):
        return value
    if isinstance(value, str) and value.lstrip(_JSON_SPACE).startswith("["):
        try:
            parsed = decode(value)
        except Unstorable:
            # By the law what the strict parser refuses is a text like any other, not an error.
            pass
        else:
            if isinstance(parsed, list):
                return parsed
    return [convert_for_reduction(value, field)]
