"""The seven converters: pure, total functions from a value of one type to a value of another.

What a converter cannot read stays NOT_CONVERTED; none of them ever raises on a JSON value.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import Enum
from types import MappingProxyType
from typing import Final, Literal, TypeAlias

from registry.domain.vocabulary import FieldType
from schemaevo.kernel.canonical import MAX_NUMBER_LENGTH, Json, exact_number


class Unconverted(Enum):
    """The type of NOT_CONVERTED, a value that JSON does not have."""

    NOT_CONVERTED = "not_converted"


NOT_CONVERTED: Final = Unconverted.NOT_CONVERTED
NotConverted: TypeAlias = Literal[Unconverted.NOT_CONVERTED]

# 2100-01-01T00:00:00Z: what lies beyond is far more often another unit than a real time.
LATEST_TIMESTAMP_S = 4_102_444_800

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# ASCII digits only: `\d` would take the digits of every script.
_DECIMAL_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_PLAIN_DOWN_TO = -6
_PLAIN_BELOW = 10**21

_TRUE_WORDS = frozenset({"true", "1", "yes"})
_FALSE_WORDS = frozenset({"false", "0", "no"})


@dataclass(frozen=True, slots=True)
class ConverterSpec:
    """What a converter reads, what it gives, and the function that does it."""

    source: FieldType
    target: FieldType
    apply: Callable[[Json], Json | NotConverted]


def convert(function: str, value: Json) -> Json | NotConverted:
    """The value converted, or NOT_CONVERTED where the converter is unknown or cannot read the value."""
    spec = CONVERTERS.get(function)
    return NOT_CONVERTED if spec is None else spec.apply(value)


def _timestamp(per_second: int, *, whole: bool) -> Callable[[Json], Json | NotConverted]:
    """A reader of times counted from 1970 in `per_second` parts of a second."""

    def apply(value: Json) -> Json | NotConverted:
        if not isinstance(value, (int, Decimal)) or isinstance(value, bool):
            return NOT_CONVERTED
        if whole and not isinstance(value, int):
            return NOT_CONVERTED
        if not 0 <= value <= LATEST_TIMESTAMP_S * per_second:
            return NOT_CONVERTED
        # Exact: the numerator is shifted before the division, so that no digit is rounded into the next one.
        numerator, denominator = value.as_integer_ratio()
        milliseconds = numerator * 1000 // (denominator * per_second)
        moment = _EPOCH + timedelta(milliseconds=milliseconds)
        return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")

    return apply


def _number_to_string(value: Json) -> Json | NotConverted:
    """The digits of the value, none more or less, without an exponent as far as people write so.

    A whole number never gets a point; from 1e21 one that is a single digit and zeros is written `1e+21`.
    Of fractions only those below a millionth are written with an exponent, since zeros would crowd out the
    digits.
    """
    if isinstance(value, bool):
        return NOT_CONVERTED
    if isinstance(value, int):
        text = str(value)
        digits = text.rstrip("0")
        if abs(value) >= _PLAIN_BELOW and len(digits.lstrip("-")) == 1:
            return f"{digits}e+{len(text) - len(digits)}"
        return text
    if not isinstance(value, Decimal):
        return NOT_CONVERTED
    if value.adjusted() >= _PLAIN_DOWN_TO:
        return f"{value:f}"
    sign, numerals, _ = value.as_tuple()
    rest = "".join(map(str, numerals[1:]))
    return f"{'-' if sign else ''}{numerals[0]}{'.' if rest else ''}{rest}e{value.adjusted()}"


def _string_to_number(value: Json) -> Json | NotConverted:
    if not isinstance(value, str):
        return NOT_CONVERTED
    text = value.strip()
    if len(text) > MAX_NUMBER_LENGTH or not _DECIMAL_NUMBER.fullmatch(text):
        return NOT_CONVERTED
    try:
        return exact_number(text)
    except ValueError:
        # A number, but one that cannot be stored.
        return NOT_CONVERTED


def _boolean_to_string(value: Json) -> Json | NotConverted:
    if not isinstance(value, bool):
        return NOT_CONVERTED
    return "true" if value else "false"


def _string_to_boolean(value: Json) -> Json | NotConverted:
    if not isinstance(value, str):
        return NOT_CONVERTED
    word = value.strip().lower()
    if word in _TRUE_WORDS:
        return True
    if word in _FALSE_WORDS:
        return False
    return NOT_CONVERTED


CONVERTERS: Final[Mapping[str, ConverterSpec]] = MappingProxyType(
    {
        "timestamp_s_to_iso": ConverterSpec(FieldType.NUMBER, FieldType.DATE, _timestamp(1, whole=False)),
        "timestamp_ms_to_iso": ConverterSpec(FieldType.NUMBER, FieldType.DATE, _timestamp(1000, whole=False)),
        "timestamp_nanos_to_iso": ConverterSpec(
            FieldType.NUMBER, FieldType.DATE, _timestamp(1_000_000_000, whole=True)
        ),
        "number_to_string": ConverterSpec(FieldType.NUMBER, FieldType.STRING, _number_to_string),
        "string_to_number": ConverterSpec(FieldType.STRING, FieldType.NUMBER, _string_to_number),
        "boolean_to_string": ConverterSpec(FieldType.BOOLEAN, FieldType.STRING, _boolean_to_string),
        "string_to_boolean": ConverterSpec(FieldType.STRING, FieldType.BOOLEAN, _string_to_boolean),
    }
)
"""Every converter a definition may name."""
