"""What a value looks like: its type and format, inferred from the value and, for epoch numbers, the name."""

from __future__ import annotations

import re
from typing import Literal, TypeAlias

from registry.domain.fit import json_type
from registry.domain.names import normalised_name
from registry.domain.times import is_date_or_time
from registry.domain.vocabulary import FieldType
from schemaevo.kernel.canonical import Json

ValueType: TypeAlias = Literal["null", "string", "number", "date", "boolean", "array", "object"]

_EMAIL = re.compile(r"[^@\s]{1,64}@[^@\s.]+(?:\.[^@\s.]+)+")
_URL = re.compile(r"[a-z][a-z0-9+.-]*://\S+", re.IGNORECASE)
_UUID = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}", re.IGNORECASE)
_UUID_LENGTH = 36
_DATE_STARTS = frozenset("0123456789")
_NUMERIC_STARTS = frozenset("0123456789+-.")
_NUMERIC = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
# No format is that long; a pattern need not walk through a book.
_FORMAT_MAX = 2048

#: Last words of a normalised name that make a number in range an instant.
_TIME_WORDS = frozenset({"at", "date", "time", "timestamp"})
#: 1990-01-01 to 2100-01-01 in seconds; below it lie too many plain counts.
_EPOCH_S = range(631_152_000, 4_102_444_801)
_EPOCH_MS = range(631_152_000_000, 4_102_444_800_001)


def infer(name: str, value: Json) -> tuple[ValueType, str]:
    """The type of a value and its format.

    Formats: of strings numeric, email, url, uuid, text; of dates date, datetime, epoch_s, epoch_ms; of numbers
    integer, decimal; other types have none (''). "1", "yes" and "12abc" are strings.
    """
    kind = json_type(value)
    if kind is None:
        return "null", ""
    if isinstance(value, str):
        return _of_string(value)
    if kind is FieldType.NUMBER:
        if isinstance(value, int):
            epoch = _epoch_format(name, value)
            return ("date", epoch) if epoch else ("number", "integer")
        return "number", "decimal"
    if kind is FieldType.BOOLEAN:
        return "boolean", ""
    return ("array", "") if kind is FieldType.ARRAY else ("object", "")


def _of_string(text: str) -> tuple[ValueType, str]:
    if len(text) > _FORMAT_MAX:
        return "string", "text"
    # Most texts are just that: what every text of a format has is looked for before its pattern is asked.
    if text[:1] in _DATE_STARTS and is_date_or_time(text):
        return "date", "date" if len(text) == len("2024-01-01") else "datetime"
    if text[:1] in _NUMERIC_STARTS and _NUMERIC.fullmatch(text):
        return "string", "numeric"
    if len(text) == _UUID_LENGTH and _UUID.fullmatch(text):
        return "string", "uuid"
    if "://" in text and _URL.fullmatch(text):
        return "string", "url"
    if "@" in text and _EMAIL.fullmatch(text):
        return "string", "email"
    return "string", "text"


def _epoch_format(name: str, value: int) -> str:
    in_range = "epoch_s" if value in _EPOCH_S else "epoch_ms" if value in _EPOCH_MS else ""
    return in_range if in_range and normalised_name(name).rpartition("_")[2] in _TIME_WORDS else ""
