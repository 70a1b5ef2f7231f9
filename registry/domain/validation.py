"""A document either becomes a definition, or every rule it breaks is named at once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from registry.domain.definition import Definition
from registry.domain.field_rules import (
    constraints_of,
    field_problems,
    kinds_problems,
    name_problems,
    patterns_problem,
    policy_problems,
)
from registry.domain.names import NAME_MAX_BYTES, entity_type_problem, field_name_problem, normalised_name
from registry.domain.problems import InvalidDefinition, Problem, child, unknown_keys, wrong_type
from schemaevo.kernel.canonical import Json, JsonObject, Unstorable, canonical_bytes, require_storable

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
    "size_problem",
    "validate",
]

MAX_FIELDS: Final = 2_000
MAX_DEFINITION_BYTES: Final = 1_000_000

_DEFINITION_KEYS = ("fields", "merge_policies", "observation_source_priority")


def parse_definition(document: Json) -> Definition:
    """The definition that a document states. Raises InvalidDefinition with every problem it has."""
    problems = validate(document)
    if not problems and isinstance(document, dict):
        return Definition.from_json(document)
    raise InvalidDefinition(problems)


def validate(document: Json) -> list[Problem]:
    """Every problem of a document, in its order; an empty list means that it is a definition."""
    return list(_definition_problems(document))


def size_problem(document: Json, what: str) -> Problem | None:
    """Why a document is not worth reading: it cannot be stored, or is too large. Asked before all else."""
    try:
        require_storable(document)
    except Unstorable as error:
        return Problem("", "unstorable_json", None, error.message)
    size = len(canonical_bytes(document))
    if size <= MAX_DEFINITION_BYTES:
        return None
    # Neither a value worth repeating, nor worth a list of problems as long as itself.
    return Problem("", "too_large", size, f"{what} has at most {MAX_DEFINITION_BYTES} bytes")


def _definition_problems(document: Json) -> Iterator[Problem]:
    if not isinstance(document, dict):
        yield wrong_type("", document, "an object")
        return
    if (unreadable := size_problem(document, "a definition")) is not None:
        yield unreadable
        return
    yield from unknown_keys("", document, _DEFINITION_KEYS)
    fields = document.get("fields")
    if "fields" not in document:
        yield Problem("/fields", "missing_key", None, "a definition needs fields")
    elif not isinstance(fields, dict):
        yield wrong_type("/fields", fields, "an object of fields by name")
    else:
        yield from _fields_problems(fields)
    declared = fields if isinstance(fields, dict) else None
    yield from _policies_problems(document.get("merge_policies", {}), declared)
    if "observation_source_priority" in document:
        yield from kinds_problems("/observation_source_priority", document["observation_source_priority"])


def _fields_problems(fields: JsonObject) -> Iterator[Problem]:
    if len(fields) > MAX_FIELDS:
        message = f"at most {MAX_FIELDS} fields may be declared"
        yield Problem("/fields", "too_many_fields", len(fields), message)
        return
    if (too_large := patterns_problem(constraints_of("/fields", fields))) is not None:
        yield too_large
        return
    seen: dict[str, str] = {}
    for name, stored in fields.items():
        path = child("/fields", name)
        yield from name_problems(path, name, seen)
        yield from field_problems(path, name, stored)


def _policies_problems(policies: Json, declared: JsonObject | None) -> Iterator[Problem]:
    if not isinstance(policies, dict):
        yield wrong_type("/merge_policies", policies, "an object of policies by field name")
        return
    for name, stored in policies.items():
        path = child("/merge_policies", name)
        if declared is not None and name not in declared:
            yield Problem(path, "undeclared_field", name, "a policy needs a declared field")
        yield from policy_problems(path, stored)
