"""The closed lists of words that a definition is written in."""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum
from typing import Final


class FieldType(StrEnum):
    """The type of a declared field; a date is a string that is read as a time."""

    STRING = "string"
    NUMBER = "number"
    DATE = "date"
    BOOLEAN = "boolean"
    ARRAY = "array"
    OBJECT = "object"


class Strategy(StrEnum):
    """How one value is chosen, or many are joined, of what observations say about a field."""

    LAST_WRITE = "last_write"
    HIGHEST_PRIORITY = "highest_priority"
    MOST_SPECIFIC = "most_specific"
    MERGE_ARRAY = "merge_array"


class TieBreaker(StrEnum):
    """What `most_specific` asks next when specificities are equal; the other strategies never ask."""

    OBSERVED_AT = "observed_at"
    SOURCE_PRIORITY = "source_priority"


class ConstraintName(StrEnum):
    """What a constraint is called in a definition."""

    MIN = "min"
    MAX = "max"
    MIN_LENGTH = "min_length"
    MAX_LENGTH = "max_length"
    PATTERN = "pattern"
    ENUM = "enum"


DEFAULT_KIND_ORDER = ("sensor", "workflow_state", "llm_summary", "human", "import", "sync")
"""Observation kinds from the most to the least trusted, where a definition does not say otherwise."""


JSON_TYPES: Final[dict[type, FieldType]] = {
    str: FieldType.STRING,
    int: FieldType.NUMBER,
    Decimal: FieldType.NUMBER,
    bool: FieldType.BOOLEAN,
    list: FieldType.ARRAY,
    dict: FieldType.OBJECT,
}
"""The type that JSON gives a value, by the Python type in which it is held."""

# Asked for every value of every record, so one look-up has to answer.
FITTING_TYPES: Final[dict[FieldType, frozenset[type]]] = {
    field_type: frozenset(
        {type(None)}
        | {
            python_type
            for python_type, found in JSON_TYPES.items()
            if found is field_type or (found is FieldType.STRING and field_type is FieldType.DATE)
        }
    )
    for field_type in FieldType
}
"""The Python types of the values that have a field's type: null has every type, and any string can be a date."""
