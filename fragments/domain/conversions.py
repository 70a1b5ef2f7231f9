"""Which converter would bring a value, or all values of a form, to a field's type.

A *form* is what inference says of a value, ``type:format``, and what aggregates count by.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Final, cast

from registry.domain.converters import CONVERTERS, NOT_CONVERTED, convert
from registry.domain.definition import Converter
from registry.domain.fit import json_type
from registry.domain.vocabulary import FieldType
from schemaevo.kernel.canonical import Json

#: Numbers of the form ``date``: what is a time by name and size is a number all the same.
_EPOCH_FORMS: Final = frozenset({"date:epoch_s", "date:epoch_ms"})

#: Every value of such a form is converted.
_ALWAYS: Final[dict[tuple[FieldType, str], str]] = {
    (FieldType.DATE, "date:epoch_s"): "timestamp_s_to_iso",
    (FieldType.DATE, "date:epoch_ms"): "timestamp_ms_to_iso",
    (FieldType.NUMBER, "string:numeric"): "string_to_number",
    (FieldType.STRING, "number:integer"): "number_to_string",
    (FieldType.STRING, "number:decimal"): "number_to_string",
    (FieldType.STRING, "date:epoch_s"): "number_to_string",
    (FieldType.STRING, "date:epoch_ms"): "number_to_string",
    (FieldType.STRING, "boolean:"): "boolean_to_string",
}

#: Texts that are something else than a number or a truth value.
_NEVER_A_SCALAR: Final = frozenset(
    {"date:date", "date:datetime", "string:uuid", "string:url", "string:email"}
)

#: The years 1990 to 2100 in seconds. A converter takes everything from 1970 on, but few of the smaller numbers are
#: times, and within these bounds seconds, milliseconds and nanoseconds cannot be taken for each other.
_PLAUSIBLE_FROM_S: Final = 631_152_000
_PLAUSIBLE_TO_S: Final = 4_102_444_800
_UNITS: Final = (
    ("timestamp_s_to_iso", 1),
    ("timestamp_ms_to_iso", 1_000),
    ("timestamp_nanos_to_iso", 1_000_000_000),
)

#: The order in which converters are declared: the first that reads a value is used, and those of seconds refuse what is
#: meant as milliseconds, but not the other way round.
CONVERTER_ORDER: Final = tuple(CONVERTERS)


def json_type_of(form: str) -> FieldType | None:
    """The JSON type of the values of a form; None for null."""
    value_type, _, _format = form.partition(":")
    if form in _EPOCH_FORMS:
        return FieldType.NUMBER
    if value_type == "date":
        return FieldType.STRING
    return None if value_type == "null" else FieldType(value_type)


def form_fits(form: str, field_type: FieldType) -> bool:
    """Whether all values of a form are of a field's type as they are. Constraints are not asked."""
    found = json_type_of(form)
    if found is None:
        return True
    if field_type is FieldType.DATE:
        return form.startswith("date:") and form not in _EPOCH_FORMS
    return found is field_type


def converter_of_form(form: str, field_type: FieldType) -> str | None:
    """The converter that reads every value of a form; None where there is none, or where only values can tell."""
    return _ALWAYS.get((field_type, form))


def may_convert(form: str, field_type: FieldType) -> bool:
    """Whether some converter reads values of a form, or some of them, and gives the field's type."""
    source = json_type_of(form)
    if form in _NEVER_A_SCALAR:
        return False
    return any(spec.source is source and spec.target is field_type for spec in CONVERTERS.values())


def converter_of_value(value: Json, field_type: FieldType) -> str | None:
    """The converter that a value of another type is meant for, if there is one and it reads the value."""
    source = json_type(value)
    if source is FieldType.NUMBER and field_type is FieldType.DATE:
        return _timestamp(cast("int | Decimal", value))
    for function, spec in CONVERTERS.items():
        if (
            spec.source is source
            and spec.target is field_type
            and convert(function, value) is not NOT_CONVERTED
        ):
            return function
    return None


def in_order(functions: set[str]) -> tuple[Converter, ...]:
    """The converters of these names, in the order in which they have to be declared."""
    return tuple(Converter.from_json(function) for function in CONVERTER_ORDER if function in functions)


def _timestamp(value: int | Decimal) -> str | None:
    for function, per_second in _UNITS:
        if _PLAUSIBLE_FROM_S * per_second <= value <= _PLAUSIBLE_TO_S * per_second:
            return function if convert(function, value) is not NOT_CONVERTED else None
    return None
