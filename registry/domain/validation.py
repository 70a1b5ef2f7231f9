"""A document either becomes a definition, or every rule it breaks is named at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from decimal import Decimal
from enum import StrEnum
from typing import Final, TypeVar

from registry.domain.converters import CONVERTERS
from registry.domain.definition import Constraints, Definition, Field
from registry.domain.fit import fits, pattern_problem
from registry.domain.names import (
    NAME_MAX_BYTES,
    confusable_form,
    entity_type_problem,
    field_name_problem,
    normalised_name,
)
from registry.domain.vocabulary import FieldType, Strategy, TieBreaker
from schemaevo.kernel.canonical import Json, JsonObject, canonical_bytes, canonical_json
from schemaevo.kernel.errors import Invalid

__all__ = [
    "MAX_DEFINITION_BYTES",
    "MAX_FIELDS",
    "NAME_MAX_BYTES",
    "InvalidDefinition",
    "Problem",
    "entity_type_problem",
    "field_name_problem",
    "normalised_name",
    "parse_definition",
    "validate",
]

MAX_FIELDS: Final = 2_000
MAX_DEFINITION_BYTES: Final = 1_000_000

_DEFINITION_KEYS = ("fields", "merge_policies", "observation_source_priority")
_FIELD_KEYS = ("type", "required", "description", "converters", "constraints")
_CONVERTER_KEYS = ("function", "from", "to", "deterministic")
_CONSTRAINT_KEYS = ("min", "max", "min_length", "max_length", "pattern", "enum")
_POLICY_KEYS = ("strategy", "tie_breaker")

_EVERY_TYPE = frozenset(FieldType)
_SUITED_TYPES: Final[Mapping[str, frozenset[FieldType]]] = {
    "min": frozenset({FieldType.NUMBER}),
    "max": frozenset({FieldType.NUMBER}),
    "min_length": frozenset({FieldType.STRING, FieldType.ARRAY}),
    "max_length": frozenset({FieldType.STRING, FieldType.ARRAY}),
    "pattern": frozenset({FieldType.STRING}),
    "enum": _EVERY_TYPE,
}


_Word = TypeVar("_Word", bound=StrEnum)


@dataclass(frozen=True, slots=True)
class Problem:
    """One broken rule: where (a JSON Pointer into the document), which rule, by what value, and in words."""

    path: str
    rule: str
    value: Json
    message: str


class InvalidDefinition(Invalid):
    """A document is no definition; `context["problems"]` lists all that is wrong with it."""

    def __init__(self, code: str, message: str, *, problems: list[dict[str, Json]]) -> None:
        super().__init__(code, message, problems=problems)


def parse_definition(document: Json) -> Definition:
    """The definition that a document states. Raises InvalidDefinition with every problem it has."""
    problems = validate(document)
    if not problems and isinstance(document, dict):
        return Definition.from_json(document)
    first = problems[0]
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    raise InvalidDefinition(
        "invalid_definition",
        f"{first.path or 'the document'}: {first.message}{more}",
        problems=[asdict(problem) for problem in problems],
    )


def validate(document: Json) -> list[Problem]:
    """Every problem of a document, in its order; an empty list means that it is a definition."""
    return list(_definition_problems(document))


def _definition_problems(document: Json) -> Iterator[Problem]:
    if not isinstance(document, dict):
        yield _wrong_type("", document, "an object")
        return
    size = len(canonical_bytes(document))
    if size > MAX_DEFINITION_BYTES:
        # Not a value worth repeating, and not worth a list of problems as long as itself.
        message = f"a definition has at most {MAX_DEFINITION_BYTES} bytes"
        yield Problem("", "too_large", size, message)
        return
    yield from _unknown_keys("", document, _DEFINITION_KEYS)
    fields = document.get("fields")
    if "fields" not in document:
        yield Problem("/fields", "missing_key", None, "a definition needs fields")
    elif not isinstance(fields, dict):
        yield _wrong_type("/fields", fields, "an object of fields by name")
    else:
        yield from _fields_problems(fields)
    declared = fields if isinstance(fields, dict) else None
    yield from _policies_problems(document.get("merge_policies", {}), declared)
    if "observation_source_priority" in document:
        yield from _kinds_problems(document["observation_source_priority"])


def _fields_problems(fields: JsonObject) -> Iterator[Problem]:
    if len(fields) > MAX_FIELDS:
        yield Problem(
            "/fields", "too_many_fields", len(fields), f"at most {MAX_FIELDS} fields may be declared"
        )
        return
    seen: dict[str, str] = {}
    for name, stored in fields.items():
        path = _child("/fields", name)
        message = field_name_problem(name)
        if message is not None:
            yield Problem(path, "invalid_name", name, message)
        twin = seen.setdefault(confusable_form(name), name)
        if twin != name:
            yield Problem(path, "ambiguous_name", name, f"cannot be told apart from {twin!r}")
        if isinstance(stored, dict):
            yield from _field_problems(path, name, stored)
        else:
            yield _wrong_type(path, stored, "an object")


def _field_problems(path: str, name: str, stored: JsonObject) -> Iterator[Problem]:
    yield from _unknown_keys(path, stored, _FIELD_KEYS)
    field_type: FieldType | None = None
    if "type" not in stored:
        yield Problem(f"{path}/type", "missing_key", None, f"a field needs a type: {_listed(FieldType)}")
    else:
        field_type = _member(FieldType, stored["type"])
        if field_type is None:
            message = f"the types are {_listed(FieldType)}"
            yield Problem(f"{path}/type", "unknown_type", stored["type"], message)
    if not isinstance(stored.get("required", False), bool):
        yield _wrong_type(f"{path}/required", stored["required"], "true or false")
    if not isinstance(stored.get("description", ""), str):
        yield _wrong_type(f"{path}/description", stored["description"], "a text")
    converters = stored.get("converters", [])
    if isinstance(converters, list):
        yield from _converters_problems(f"{path}/converters", converters, field_type)
    else:
        yield _wrong_type(f"{path}/converters", converters, "a list")
    constraints = stored.get("constraints", {})
    if isinstance(constraints, dict):
        yield from _constraints_problems(f"{path}/constraints", constraints, name, field_type)
    else:
        yield _wrong_type(f"{path}/constraints", constraints, "an object")


def _converters_problems(
    path: str, converters: list[Json], field_type: FieldType | None
) -> Iterator[Problem]:
    seen: set[str] = set()
    for index, given in enumerate(converters):
        here = _child(path, str(index))
        stored: Json = {"function": given} if isinstance(given, str) else given
        if not isinstance(stored, dict):
            yield _wrong_type(here, stored, "the name of a converter, or an object")
            continue
        yield from _unknown_keys(here, stored, _CONVERTER_KEYS)
        if not isinstance(stored.get("deterministic", True), bool):
            yield _wrong_type(f"{here}/deterministic", stored["deterministic"], "true or false")
        elif stored.get("deterministic") is False:
            yield Problem(
                f"{here}/deterministic", "contradiction", False, "every converter here is deterministic"
            )
        function = stored.get("function")
        spec = CONVERTERS.get(function) if isinstance(function, str) else None
        if not isinstance(function, str) or spec is None:
            rule = "unknown_converter" if "function" in stored else "missing_key"
            message = f"the converters are {', '.join(CONVERTERS)}"
            yield Problem(f"{here}/function", rule, function, message)
            continue
        if function in seen:
            yield Problem(f"{here}/function", "duplicate", function, "this converter is already listed")
        seen.add(function)
        for key, actual in (("from", spec.source), ("to", spec.target)):
            if key in stored and stored[key] != actual.value:
                message = f"{function} converts from {spec.source} to {spec.target}"
                yield Problem(f"{here}/{key}", "contradiction", stored[key], message)
        if field_type is not None and spec.target is not field_type:
            message = f"{function} gives a {spec.target}, the field is of type {field_type}"
            yield Problem(here, "wrong_end", function, message)


def _constraints_problems(
    path: str, stored: JsonObject, name: str, field_type: FieldType | None
) -> Iterator[Problem]:
    yield from _unknown_keys(path, stored, _CONSTRAINT_KEYS)
    problems: list[Problem] = []
    for key in _CONSTRAINT_KEYS:
        if key not in stored:
            continue
        if field_type is not None and field_type not in _SUITED_TYPES[key]:
            suited = _listed(sorted(_SUITED_TYPES[key]))
            message = f"{key} constrains {suited}, the field is of type {field_type}"
            problems.append(Problem(f"{path}/{key}", "unsuited_constraint", stored[key], message))
        problems.extend(_constraint_problems(f"{path}/{key}", key, stored[key]))
    yield from problems
    if problems:
        # Values cannot be tried against constraints that mean nothing.
        return
    for low, high in (("min", "max"), ("min_length", "max_length")):
        bounds = _number(stored.get(low)), _number(stored.get(high))
        if bounds[0] is not None and bounds[1] is not None and bounds[0] > bounds[1]:
            message = f"{low} is above {high}, so that nothing fits"
            yield Problem(f"{path}/{low}", "empty_range", stored[low], message)
    allowed = stored.get("enum")
    if field_type is not None and isinstance(allowed, list):
        field = _lone_field(name, field_type, stored)
        for index, value in enumerate(allowed):
            misfit = fits(value, field)
            if misfit is not None:
                why = f"is no {field_type}" if misfit == "type_mismatch" else "breaks another constraint"
                yield Problem(_child(f"{path}/enum", str(index)), "enum_misfit", value, f"the value {why}")


def _constraint_problems(path: str, key: str, value: Json) -> Iterator[Problem]:
    """What is wrong with one constraint, taken alone."""
    if key in ("min", "max"):
        if _number(value) is None:
            yield _wrong_type(path, value, "a number")
    elif key in ("min_length", "max_length"):
        if not isinstance(value, int) or isinstance(value, bool) or value < 0:
            yield _wrong_type(path, value, "a whole number from 0")
    elif key == "pattern":
        if not isinstance(value, str):
            yield _wrong_type(path, value, "a text")
        elif (reason := pattern_problem(value)) is not None:
            yield Problem(path, "bad_pattern", value, f"not an RE2 pattern: {reason}")
    elif not isinstance(value, list) or not value:
        yield _wrong_type(path, value, "a list of at least one value")
    else:
        yield from _duplicates(path, value)


def _policies_problems(policies: Json, declared: JsonObject | None) -> Iterator[Problem]:
    if not isinstance(policies, dict):
        yield _wrong_type("/merge_policies", policies, "an object of policies by field name")
        return
    for name, stored in policies.items():
        path = _child("/merge_policies", name)
        if declared is not None and name not in declared:
            yield Problem(path, "undeclared_field", name, "a policy needs a declared field")
        if not isinstance(stored, dict):
            yield _wrong_type(path, stored, "an object")
            continue
        yield from _unknown_keys(path, stored, _POLICY_KEYS)
        if "strategy" not in stored:
            message = f"a policy needs a strategy: {_listed(Strategy)}"
            yield Problem(f"{path}/strategy", "missing_key", None, message)
        elif _member(Strategy, stored["strategy"]) is None:
            message = f"the strategies are {_listed(Strategy)}"
            yield Problem(f"{path}/strategy", "unknown_strategy", stored["strategy"], message)
        if "tie_breaker" in stored and _member(TieBreaker, stored["tie_breaker"]) is None:
            message = f"the tie breakers are {_listed(TieBreaker)}"
            yield Problem(f"{path}/tie_breaker", "unknown_tie_breaker", stored["tie_breaker"], message)


def _kinds_problems(kinds: Json) -> Iterator[Problem]:
    path = "/observation_source_priority"
    if not isinstance(kinds, list):
        yield _wrong_type(path, kinds, "a list of observation kinds")
        return
    for index, kind in enumerate(kinds):
        if not isinstance(kind, str) or not kind:
            yield _wrong_type(_child(path, str(index)), kind, "a text that is not empty")
    yield from _duplicates(path, kinds)


def _duplicates(path: str, values: list[Json]) -> Iterator[Problem]:
    seen: set[str] = set()
    for index, value in enumerate(values):
        form = canonical_json(value)
        if form in seen:
            yield Problem(_child(path, str(index)), "duplicate", value, "this value is already listed")
        seen.add(form)


def _unknown_keys(path: str, document: JsonObject, known: tuple[str, ...]) -> Iterator[Problem]:
    for key in document:
        if key not in known:
            yield Problem(_child(path, key), "unknown_key", key, f"the keys here are {', '.join(known)}")


def _lone_field(name: str, field_type: FieldType, constraints: JsonObject) -> Field:
    """The field with every constraint but its enum, against which the values of the enum are tried."""
    stored: JsonObject = {"type": field_type.value, "constraints": constraints}
    field = Definition.from_json({"fields": {name: stored}}).fields[name]
    return replace(field, constraints=replace(field.constraints, enum=Constraints().enum))


def _wrong_type(path: str, value: Json, wanted: str) -> Problem:
    return Problem(path, "wrong_type", value, f"must be {wanted}")


def _number(value: Json) -> int | Decimal | None:
    return value if isinstance(value, (int, Decimal)) and not isinstance(value, bool) else None


def _member(words: type[_Word], value: Json) -> _Word | None:
    if not isinstance(value, str):
        return None
    try:
        return words(value)
    except ValueError:
        return None


def _listed(words: Iterable[str]) -> str:
    return ", ".join(words)


def _child(path: str, key: str) -> str:
    """The JSON Pointer of a key below a path."""
    return f"{path}/{key.replace('~', '~0').replace('/', '~1')}"
