"""Edits as they are written: a JSON list, either read into typed edits or refused with every problem at once.

Each edit is an object with its `op`; all but those of the kind order name a `field`::

    {"op": "add_field", "field": …, "declaration": {"type": …, …}, "merge_policy"?: {"strategy": …}}
    {"op": "remove_field", "field": …}
    {"op": "change_type", "field": …, "type": …, "drop_invalid"?: true}
    {"op": "set_required", "field": …, "required": true}
    {"op": "set_description", "field": …, "description": …}
    {"op": "set_constraints", "field": …, "set"?: {"min": …}, "unset"?: ["max"]}
    {"op": "set_policy", "field": …, "merge_policy": {"strategy": …} or null for the default one}
    {"op": "add_converter", "field": …, "converter": …, "position"?: 0}
    {"op": "remove_converter", "field": …, "converter": …}
    {"op": "order_converters", "field": …, "converters": [every converter it has, by name]}
    {"op": "set_kind_order", "kinds": […]}
    {"op": "reset_kind_order"}
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, TypeAlias, cast

from registry.domain.definition import Converter, Declaration, Field, Policy
from registry.domain.edits import (
    AddConverter,
    AddField,
    ChangeType,
    Edit,
    OrderConverters,
    RemoveConverter,
    RemoveField,
    ResetKindOrder,
    SetConstraints,
    SetDescription,
    SetKindOrder,
    SetPolicy,
    SetRequired,
)
from registry.domain.field_rules import (
    constraints_problems,
    converter_problems,
    description_problems,
    duplicates,
    field_problems,
    kinds_problems,
    listed,
    member,
    name_problems,
    patterns_problem,
    policy_problems,
    required_problems,
    type_problems,
)
from registry.domain.problems import InvalidEdits, Problem, child, pointer, unknown_keys, wrong_type
from registry.domain.validation import size_problem
from registry.domain.vocabulary import ConstraintName, FieldType
from schemaevo.kernel.canonical import Json, JsonObject

_Check: TypeAlias = Callable[[str, Json], Iterable[Problem]]


@dataclass(frozen=True, slots=True)
class _Form:
    """How one kind of edit is written: the keys it needs and may have, and what is made of them."""

    build: Callable[[JsonObject], Edit]
    needed: Mapping[str, _Check]
    optional: Mapping[str, _Check] = field(default_factory=dict)


def parse_edits(document: Json) -> tuple[Edit, ...]:
    """The edits that a document lists. Raises: InvalidEdits with every problem it has."""
    problems = list(_edits_problems(document))
    if problems or not isinstance(document, list):
        raise InvalidEdits(problems)
    edits = cast("list[JsonObject]", document)
    return tuple(_FORMS[cast(str, stored["op"])].build(stored) for stored in edits)


def _edits_problems(document: Json) -> Iterator[Problem]:
    if not isinstance(document, list):
        yield wrong_type("", document, "a list of edits")
        return
    if (unreadable := size_problem(document, "a list of edits")) is not None:
        yield unreadable
        return
    if (too_large := patterns_problem(_constraints_of(document))) is not None:
        yield too_large
        return
    for index, stored in enumerate(document):
        yield from _edit_problems(pointer(index), stored)


def _constraints_of(edits: list[Json]) -> Iterator[tuple[str, Json]]:
    for index, stored in enumerate(edits):
        if isinstance(stored, dict):
            yield pointer(index, "set"), stored.get("set")
            declaration = stored.get("declaration")
            if isinstance(declaration, dict):
                yield pointer(index, "declaration", "constraints"), declaration.get("constraints")


def _edit_problems(path: str, stored: Json) -> Iterator[Problem]:
    if not isinstance(stored, dict):
        yield wrong_type(path, stored, "an object")
        return
    op = stored.get("op")
    form = _FORMS.get(op) if isinstance(op, str) else None
    if form is None:
        rule = "unknown_op" if "op" in stored else "missing_key"
        yield Problem(f"{path}/op", rule, op, f"the edits are {listed(_FORMS)}")
        return
    yield from unknown_keys(path, stored, ("op", *form.needed, *form.optional))
    for key in form.needed:
        if key not in stored:
            yield Problem(child(path, key), "missing_key", None, f"{op} needs {listed(form.needed)}")
    for key, check in {**form.needed, **form.optional}.items():
        if key in stored:
            yield from check(child(path, key), stored[key])
    if op == SetConstraints.op:
        yield from _nothing_or_both(path, stored)


def _nothing_or_both(path: str, stored: JsonObject) -> Iterator[Problem]:
    set_, unset = stored.get("set", {}), stored.get("unset", [])
    if not isinstance(set_, dict) or not isinstance(unset, list):
        return
    if not set_ and not unset:
        yield Problem(f"{path}/set", "missing_key", None, "name a constraint to set or to unset")
    for index, name in enumerate(unset):
        if isinstance(name, str) and name in set_:
            here = child(f"{path}/unset", index)
            yield Problem(here, "contradiction", name, "cannot be set and unset at once")


def _name(path: str, name: Json) -> Iterator[Problem]:
    # Whether such a field is declared is asked of the definition.
    if not isinstance(name, str):
        yield wrong_type(path, name, "the name of a field")


def _new_name(path: str, name: Json) -> Iterator[Problem]:
    yield from name_problems(path, name, {}) if isinstance(name, str) else _name(path, name)


def _declaration(path: str, stored: Json) -> Iterator[Problem]:
    yield from field_problems(path, "", stored)


def _boolean(path: str, stored: Json) -> Iterator[Problem]:
    if not isinstance(stored, bool):
        yield wrong_type(path, stored, "true or false")


def _constraints(path: str, stored: Json) -> Iterator[Problem]:
    yield from constraints_problems(path, stored, "", None)


def _constraint_names(path: str, stored: Json) -> Iterator[Problem]:
    if not isinstance(stored, list):
        yield wrong_type(path, stored, "a list of constraints")
        return
    for index, name in enumerate(stored):
        if member(ConstraintName, name) is None:
            message = f"the constraints are {listed(ConstraintName)}"
            yield Problem(child(path, index), "unknown_constraint", name, message)
    yield from duplicates(path, stored)


def _optional_policy(path: str, stored: Json) -> Iterator[Problem]:
    if stored is not None:
        yield from policy_problems(path, stored)


def _converter(path: str, stored: Json) -> Iterator[Problem]:
    yield from converter_problems(path, stored, None)


def _text(path: str, stored: Json) -> Iterator[Problem]:
    if not isinstance(stored, str):
        yield wrong_type(path, stored, "a text")


def _texts(path: str, stored: Json) -> Iterator[Problem]:
    if not isinstance(stored, list) or not all(isinstance(one, str) for one in stored):
        yield wrong_type(path, stored, "a list of texts")


def _position(path: str, stored: Json) -> Iterator[Problem]:
    if not isinstance(stored, int) or isinstance(stored, bool) or stored < 0:
        yield wrong_type(path, stored, "a whole number from 0")


def _of(stored: JsonObject) -> str:
    return cast(str, stored["field"])


def _policy_of(stored: JsonObject) -> Policy | None:
    policy = cast("JsonObject | None", stored.get("merge_policy"))
    return None if policy is None else Policy.from_json(policy)


def _add_field(stored: JsonObject) -> Edit:
    declared = Field.from_json(_of(stored), cast(JsonObject, stored["declaration"]))
    policy = _policy_of(stored)
    return AddField(_of(stored), Declaration(declared) if policy is None else Declaration(declared, policy))


def _set_constraints(stored: JsonObject) -> Edit:
    changes = {ConstraintName(name): value for name, value in cast(JsonObject, stored.get("set", {})).items()}
    for name in cast("list[str]", stored.get("unset", [])):
        changes[ConstraintName(name)] = None
    return SetConstraints(_of(stored), changes)


_FORMS: Final[Mapping[str, _Form]] = {
    AddField.op: _Form(
        _add_field,
        {"field": _new_name, "declaration": _declaration},
        {"merge_policy": policy_problems},
    ),
    RemoveField.op: _Form(lambda stored: RemoveField(_of(stored)), {"field": _name}),
    ChangeType.op: _Form(
        lambda stored: ChangeType(
            _of(stored), FieldType(cast(str, stored["type"])), bool(stored.get("drop_invalid", False))
        ),
        {"field": _name, "type": type_problems},
        {"drop_invalid": _boolean},
    ),
    SetRequired.op: _Form(
        lambda stored: SetRequired(_of(stored), bool(stored["required"])),
        {"field": _name, "required": required_problems},
    ),
    SetDescription.op: _Form(
        lambda stored: SetDescription(_of(stored), cast(str, stored["description"])),
        {"field": _name, "description": description_problems},
    ),
    SetConstraints.op: _Form(
        _set_constraints, {"field": _name}, {"set": _constraints, "unset": _constraint_names}
    ),
    SetPolicy.op: _Form(
        lambda stored: SetPolicy(_of(stored), _policy_of(stored)),
        {"field": _name, "merge_policy": _optional_policy},
    ),
    AddConverter.op: _Form(
        lambda stored: AddConverter(
            _of(stored),
            Converter.from_json(cast("str | JsonObject", stored["converter"])),
            cast("int | None", stored.get("position")),
        ),
        {"field": _name, "converter": _converter},
        {"position": _position},
    ),
    RemoveConverter.op: _Form(
        lambda stored: RemoveConverter(_of(stored), cast(str, stored["converter"])),
        {"field": _name, "converter": _text},
    ),
    OrderConverters.op: _Form(
        lambda stored: OrderConverters(_of(stored), tuple(cast("list[str]", stored["converters"]))),
        {"field": _name, "converters": _texts},
    ),
    SetKindOrder.op: _Form(
        lambda stored: SetKindOrder(tuple(cast("list[str]", stored["kinds"]))), {"kinds": kinds_problems}
    ),
    ResetKindOrder.op: _Form(lambda stored: ResetKindOrder(), {}),
}
