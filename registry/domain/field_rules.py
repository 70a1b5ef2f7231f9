"""The rules for each part of a declared field, wherever it is written: in a definition, an extension, an edit.

Every function gives all problems of its part, with paths below the one that it is given.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from decimal import Decimal
from enum import StrEnum
from typing import Final, TypeVar

from registry.domain.converters import CONVERTERS
from registry.domain.definition import Constraints, Field
from registry.domain.fit import fits, pattern_problem, pattern_size
from registry.domain.names import confusable_form, field_name_problem
from registry.domain.problems import Problem, child, shortened, unknown_keys, wrong_type
from registry.domain.vocabulary import ConstraintName, FieldType, Strategy, TieBreaker
from schemaevo.kernel.canonical import Json, canonical_json

FIELD_KEYS: Final = ("type", "required", "description", "converters", "constraints")

_CONVERTER_KEYS = ("function", "from", "to", "deterministic")
_CONSTRAINT_KEYS = tuple(name.value for name in ConstraintName)
_POLICY_KEYS = ("strategy", "tie_breaker")

SUITED_TYPES: Final[Mapping[ConstraintName, frozenset[FieldType]]] = {
    ConstraintName.MIN: frozenset({FieldType.NUMBER}),
    ConstraintName.MAX: frozenset({FieldType.NUMBER}),
    ConstraintName.MIN_LENGTH: frozenset({FieldType.STRING, FieldType.ARRAY}),
    ConstraintName.MAX_LENGTH: frozenset({FieldType.STRING, FieldType.ARRAY}),
    ConstraintName.PATTERN: frozenset({FieldType.STRING}),
    ConstraintName.ENUM: frozenset(FieldType),
}
"""The types of the fields that a constraint can be put on."""

MAX_PATTERN_SIZE: Final = 1_000_000
"""So many instructions may all patterns of one document come to: about a second, and 30 MB in every process."""

_RANGES = ((ConstraintName.MIN, ConstraintName.MAX), (ConstraintName.MIN_LENGTH, ConstraintName.MAX_LENGTH))

_Word = TypeVar("_Word", bound=StrEnum)


def name_problems(path: str, name: str, seen: dict[str, str]) -> Iterator[Problem]:
    """What is wrong with a name; `seen` holds, by confusable form, those that are taken, and takes it in."""
    message = field_name_problem(name)
    if message is not None:
        yield Problem(path, "invalid_name", name, message)
    twin = seen.setdefault(confusable_form(name), name)
    if twin != name:
        yield Problem(path, "ambiguous_name", name, f"cannot be told apart from {shortened(twin)!r}")


def field_problems(
    path: str, name: str, stored: Json, keys: Collection[str] = FIELD_KEYS
) -> Iterator[Problem]:
    """What is wrong with the declaration of a field; `keys` are those it may have here."""
    if not isinstance(stored, dict):
        yield wrong_type(path, stored, "an object")
        return
    yield from unknown_keys(path, stored, keys)
    field_type: FieldType | None = None
    if "type" not in stored:
        yield Problem(f"{path}/type", "missing_key", None, f"a field needs a type: {listed(FieldType)}")
    else:
        field_type = member(FieldType, stored["type"])
        yield from type_problems(f"{path}/type", stored["type"])
    yield from required_problems(f"{path}/required", stored.get("required", False))
    yield from description_problems(f"{path}/description", stored.get("description", ""))
    yield from converters_problems(f"{path}/converters", stored.get("converters", []), field_type)
    yield from constraints_problems(f"{path}/constraints", stored.get("constraints", {}), name, field_type)


def type_problems(path: str, stored: Json) -> Iterator[Problem]:
    """What is wrong with the name of a type."""
    if member(FieldType, stored) is None:
        yield Problem(path, "unknown_type", stored, f"the types are {listed(FieldType)}")


def required_problems(path: str, stored: Json) -> Iterator[Problem]:
    """What is wrong with the mark of a required field."""
    if not isinstance(stored, bool):
        yield wrong_type(path, stored, "true or false")


def description_problems(path: str, stored: Json) -> Iterator[Problem]:
    """What is wrong with a description."""
    if not isinstance(stored, str):
        yield wrong_type(path, stored, "a text")


def converters_problems(path: str, stored: Json, field_type: FieldType | None) -> Iterator[Problem]:
    """What is wrong with the converters of a field of this type; None where it is not known."""
    if not isinstance(stored, list):
        yield wrong_type(path, stored, "a list")
        return
    seen: set[str] = set()
    for index, given in enumerate(stored):
        yield from converter_problems(child(path, index), given, field_type, seen)


def converter_problems(
    path: str, given: Json, field_type: FieldType | None, seen: set[str] | None = None
) -> Iterator[Problem]:
    """What is wrong with one converter; `seen` holds the functions listed before it, and takes it in."""
    seen = set() if seen is None else seen
    stored: Json = {"function": given} if isinstance(given, str) else given
    if not isinstance(stored, dict):
        yield wrong_type(path, stored, "the name of a converter, or an object")
        return
    yield from unknown_keys(path, stored, _CONVERTER_KEYS)
    if not isinstance(stored.get("deterministic", True), bool):
        yield wrong_type(f"{path}/deterministic", stored["deterministic"], "true or false")
    elif stored.get("deterministic") is False:
        yield Problem(
            f"{path}/deterministic", "contradiction", False, "every converter here is deterministic"
        )
    function = stored.get("function")
    spec = CONVERTERS.get(function) if isinstance(function, str) else None
    if not isinstance(function, str) or spec is None:
        rule = "unknown_converter" if "function" in stored else "missing_key"
        message = f"the converters are {listed(CONVERTERS)}"
        yield Problem(f"{path}/function", rule, function, message)
        return
    if function in seen:
        yield Problem(f"{path}/function", "duplicate", function, "this converter is already listed")
    seen.add(function)
    for key, actual in (("from", spec.source), ("to", spec.target)):
        if key in stored and stored[key] != actual.value:
            message = f"{function} converts from {spec.source} to {spec.target}"
            yield Problem(f"{path}/{key}", "contradiction", stored[key], message)
    if field_type is not None and spec.target is not field_type:
        message = f"{function} gives a {spec.target}, the field is of type {field_type}"
        yield Problem(path, "wrong_end", function, message)


def constraints_problems(
    path: str, stored: Json, name: str, field_type: FieldType | None
) -> Iterator[Problem]:
    """What is wrong with the constraints of a field of this type; None where it is not known."""
    if not isinstance(stored, dict):
        yield wrong_type(path, stored, "an object")
        return
    yield from unknown_keys(path, stored, _CONSTRAINT_KEYS)
    problems: list[Problem] = []
    for key in ConstraintName:
        if key not in stored:
            continue
        if field_type is not None and field_type not in SUITED_TYPES[key]:
            suited = listed(sorted(SUITED_TYPES[key]))
            message = f"{key} constrains {suited}, the field is of type {field_type}"
            problems.append(Problem(f"{path}/{key}", "unsuited_constraint", stored[key], message))
        problems.extend(constraint_problems(f"{path}/{key}", key, stored[key]))
    yield from problems
    if problems:
        # Values cannot be tried against constraints that mean nothing.
        return
    for low, high in _RANGES:
        bounds = _number(stored.get(low)), _number(stored.get(high))
        if bounds[0] is not None and bounds[1] is not None and bounds[0] > bounds[1]:
            message = f"{low} is above {high}, so that nothing fits"
            yield Problem(f"{path}/{low}", "empty_range", stored[low], message)
    allowed = stored.get(ConstraintName.ENUM)
    if field_type is not None and isinstance(allowed, list):
        field = field_without_enum(name, field_type, Constraints.from_json(stored))
        for index, value in enumerate(allowed):
            misfit = fits(value, field)
            if misfit is not None:
                why = f"is no {field_type}" if misfit == "type_mismatch" else "breaks another constraint"
                yield Problem(child(f"{path}/enum", index), "enum_misfit", value, f"the value {why}")


def constraint_problems(path: str, name: ConstraintName, value: Json) -> Iterator[Problem]:
    """What is wrong with one constraint, taken alone."""
    if name in (ConstraintName.MIN, ConstraintName.MAX):
        if _number(value) is None:
            yield wrong_type(path, value, "a number")
    elif name in (ConstraintName.MIN_LENGTH, ConstraintName.MAX_LENGTH):
        if not isinstance(value, int) or isinstance(value, bool) or value < 0:
            yield wrong_type(path, value, "a whole number from 0")
    elif name is ConstraintName.PATTERN:
        if not isinstance(value, str):
            yield wrong_type(path, value, "a text")
        elif (reason := pattern_problem(value)) is not None:
            yield Problem(path, "bad_pattern", value, f"not an RE2 pattern: {reason}")
    elif not isinstance(value, list) or not value:
        yield wrong_type(path, value, "a list of at least one value")
    else:
        yield from duplicates(path, value)


def patterns_problem(constraints: Iterable[tuple[str, Json]]) -> Problem | None:
    """Why the patterns of a document are too much together, or None.

    `constraints` are all those of the document with their paths. Asked before anything that compiles patterns:
    a thousand of them can be so written that each is admissible and all together take minutes.
    """
    size = 0
    for path, stored in constraints:
        pattern = stored.get(ConstraintName.PATTERN) if isinstance(stored, dict) else None
        if isinstance(pattern, str):
            size += pattern_size(pattern)
            if size > MAX_PATTERN_SIZE:
                message = "the patterns up to this one are too large together"
                return Problem(f"{path}/{ConstraintName.PATTERN}", "patterns_too_large", pattern, message)
    return None


def constraints_of(path: str, fields: Mapping[str, Json]) -> Iterator[tuple[str, Json]]:
    """The constraints of every field of a document, as they are written, with their paths."""
    for name, stored in fields.items():
        if isinstance(stored, dict):
            yield child(path, name) + "/constraints", stored.get("constraints")


def policy_problems(path: str, stored: Json) -> Iterator[Problem]:
    """What is wrong with a merge policy."""
    if not isinstance(stored, dict):
        yield wrong_type(path, stored, "an object")
        return
    yield from unknown_keys(path, stored, _POLICY_KEYS)
    if "strategy" not in stored:
        message = f"a policy needs a strategy: {listed(Strategy)}"
        yield Problem(f"{path}/strategy", "missing_key", None, message)
    elif member(Strategy, stored["strategy"]) is None:
        message = f"the strategies are {listed(Strategy)}"
        yield Problem(f"{path}/strategy", "unknown_strategy", stored["strategy"], message)
    if "tie_breaker" in stored and member(TieBreaker, stored["tie_breaker"]) is None:
        message = f"the tie breakers are {listed(TieBreaker)}"
        yield Problem(f"{path}/tie_breaker", "unknown_tie_breaker", stored["tie_breaker"], message)


def kinds_problems(path: str, kinds: Json) -> Iterator[Problem]:
    """What is wrong with a kind order."""
    if not isinstance(kinds, list):
        yield wrong_type(path, kinds, "a list of observation kinds")
        return
    for index, kind in enumerate(kinds):
        if not isinstance(kind, str) or not kind:
            yield wrong_type(child(path, index), kind, "a text that is not empty")
    yield from duplicates(path, kinds)


def duplicates(path: str, values: list[Json]) -> Iterator[Problem]:
    """The values that stand in a list for the second time."""
    seen: set[str] = set()
    for index, value in enumerate(values):
        form = canonical_json(value)
        if form in seen:
            yield Problem(child(path, index), "duplicate", value, "this value is already listed")
        seen.add(form)


def field_without_enum(name: str, field_type: FieldType, constraints: Constraints) -> Field:
    """A field with every constraint but the enum, against which the values of the enum are tried."""
    return Field(name, field_type, constraints=replace(constraints, enum=()))


def member(words: type[_Word], value: Json) -> _Word | None:
    """The word of a closed list that a value is, or None."""
    if not isinstance(value, str):
        return None
    try:
        return words(value)
    except ValueError:
        return None


def listed(words: Iterable[str]) -> str:
    """The words of a closed list, for a sentence."""
    return ", ".join(words)


def _number(value: Json) -> int | Decimal | None:
    return value if isinstance(value, (int, Decimal)) and not isinstance(value, bool) else None
