"""The closed lists of words that a definition is written in."""

from __future__ import annotations

from enum import StrEnum


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


DEFAULT_KIND_ORDER = ("sensor", "workflow_state", "llm_summary", "human", "import", "sync")
"""Observation kinds from the most to the least trusted, where a definition does not say otherwise."""
