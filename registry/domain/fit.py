"""Whether a value fits a declared field, and what conversion makes of one that does not."""

from __future__ import annotations

from decimal import Decimal
from functools import lru_cache
from typing import Any, Literal, TypeAlias

import re2

from registry.domain.converters import NOT_CONVERTED, NotConverted, convert
from registry.domain.definition import NO_CONSTRAINTS, Constraints, Converter, Field
from registry.domain.times import is_date_or_time
from registry.domain.vocabulary import FITTING_TYPES, JSON_TYPES, FieldType
from schemaevo.kernel.canonical import Json, canonical_bytes

Misfit: TypeAlias = Literal["type_mismatch", "constraint"]

# RE2 finds a pattern too large only once it has made about so many instructions of it.
_SIZE_OF_A_REFUSED_ONE = 50_000


def json_type(value: Json) -> FieldType | None:
    """The type that JSON gives a value; None for null, which has none."""
    return None if value is None else JSON_TYPES[type(value)]


def fits_type(value: Json, field_type: FieldType) -> bool:
    """Whether a value has a field's type by its JSON type alone; any string is a date, and null fits."""
    return type(value) in FITTING_TYPES[field_type]


def fits(value: Json, field: Field) -> Misfit | None:
    """None if a value may be stored as this field at ingest, else why not. null always fits."""
    if value is None:
        return None
    if not _is_of(value, field.type):
        return "type_mismatch"
    if field.constraints is NO_CONSTRAINTS or satisfies(value, field.constraints):
        return None
    return "constraint"


def satisfies(value: Json, constraints: Constraints) -> bool:
    """Whether a value of the right type keeps every constraint."""
    if isinstance(value, (int, Decimal)) and not isinstance(value, bool):
        if constraints.minimum is not None and value < constraints.minimum:
            return False
        if constraints.maximum is not None and value > constraints.maximum:
            return False
    elif isinstance(value, (str, list)):
        if constraints.min_length is not None and len(value) < constraints.min_length:
            return False
        if constraints.max_length is not None and len(value) > constraints.max_length:
            return False
        if isinstance(value, str) and constraints.pattern is not None:
            return _search(constraints.pattern, value) and _is_among(value, constraints.enum)
    return _is_among(value, constraints.enum)


def convert_for_ingest(value: Json, field: Field) -> Json | NotConverted:
    """What the first converter makes of a value that reads it and whose result fits entirely."""
    source = json_type(value)
    for converter in field.converters:
        if converter.source is source:
            converted = convert(converter.function, value)
            if converted is not NOT_CONVERTED and fits(converted, field) is None:
                return converted
    return NOT_CONVERTED


def convert_for_reduction(value: Json, field: Field) -> Json:
    """The value as a snapshot shows it: converted if it is of another type and a converter applies."""
    converted = conversion_for_reduction(value, field)
    return value if converted is None else converted[1]


def conversion_for_reduction(value: Json, field: Field) -> tuple[Converter, Json] | None:
    """By which converter a snapshot shows the value, and as what; None where it shows it as it is."""
    if type(value) in FITTING_TYPES[field.type]:
        return None
    source = json_type(value)
    for converter in field.converters:
        if converter.source is source:
            converted = convert(converter.function, value)
            if converted is not NOT_CONVERTED and fits_type(converted, field.type):
                return converter, converted
    return None


def is_admitted(value: Json, field: Field) -> bool:
    """Whether ingest would let a value in as this field, as far as its type and converters go; constraints aside."""
    return value is None or _is_of(convert_for_reduction(value, field), field.type)


def pattern_problem(pattern: str) -> str | None:
    """Why a pattern cannot be used, or None. RE2 refuses what could take more than linear time."""
    try:
        _compiled(pattern)
    except re2.error as error:
        reason = error.args[0] if error.args else "not a pattern"
        return reason.decode(errors="replace") if isinstance(reason, bytes) else str(reason)
    return None


def pattern_size(pattern: str) -> int:
    """How many instructions RE2 makes of a pattern, which is what compiling it costs in time and memory."""
    return _SIZE_OF_A_REFUSED_ONE if pattern_problem(pattern) else int(_compiled(pattern).programsize)


def _is_of(value: Json, field_type: FieldType) -> bool:
    """Whether a value is of a field's type as ingest sees it: of strings only some are dates."""
    if type(value) not in FITTING_TYPES[field_type]:
        return False
    return field_type is not FieldType.DATE or (isinstance(value, str) and is_date_or_time(value))


@lru_cache(maxsize=1024)
def _compiled(pattern: str) -> Any:
    options = re2.Options()
    options.log_errors = False
    return re2.compile(pattern, options=options)


def _search(pattern: str, text: str) -> bool:
    return _compiled(pattern).search(text) is not None


def _is_among(value: Json, allowed: tuple[Json, ...]) -> bool:
    """Whether a value equals an allowed one as JSON, where true is not 1."""
    if not allowed:
        return True
    if isinstance(value, str):
        return value in allowed
    wanted = canonical_bytes(value)
    return any(canonical_bytes(one) == wanted for one in allowed)
