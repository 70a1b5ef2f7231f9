"""Edits of a definition: each says what is to be otherwise, and everything else stays as it is.

Edits are made in the order given, and only what comes out has to be valid. So `change_type` may come before or
after the edits that take away what the new type cannot have; what it leaves invalid is refused, unless it says
`drop_invalid`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Final, TypeAlias

from registry.domain.definition import (
    DEFAULT_POLICY,
    Constraints,
    Converter,
    Declaration,
    Definition,
    Field,
    Policy,
)
from registry.domain.field_rules import SUITED_TYPES, field_without_enum
from registry.domain.fit import fits
from registry.domain.names import confusable_form
from registry.domain.problems import InvalidEdits, Problem, pointer
from registry.domain.validation import parse_definition
from registry.domain.vocabulary import ConstraintName, FieldType
from schemaevo.kernel.canonical import Json, JsonObject


class _Draft:
    """The definition while edits are made to it."""

    def __init__(self, definition: Definition) -> None:
        self.fields = dict(definition.fields)
        self.policies = dict(definition.merge_policies)
        self.kinds = definition.observation_source_priority
        self.names = dict(definition.names_by_confusable_form)

    def finished(self) -> Definition:
        """The definition that the edits came to. Raises: InvalidDefinition if it breaks a rule."""
        return parse_definition(Definition(self.fields, self.policies, self.kinds).to_json())


class _Refused(Exception):
    """An edit cannot be made; `key` is the part of it that is to blame."""

    def __init__(self, key: str, rule: str, value: Json, message: str) -> None:
        super().__init__(message)
        self.key, self.rule, self.value, self.message = key, rule, value, message


class _Edit(ABC):
    """What all edits have in common; `Edit` is the closed list of them."""

    __slots__ = ()
    op: ClassVar[str]

    @abstractmethod
    def to_json(self) -> JsonObject:
        """The edit as `parse_edits` reads it."""

    @abstractmethod
    def make(self, draft: _Draft) -> None:
        """Changes the draft. Raises: _Refused."""


class _FieldEdit(_Edit):
    """An edit of one declared field."""

    __slots__ = ()
    field: str

    @abstractmethod
    def said(self) -> JsonObject:
        """What the edit says beyond its name and its field, as JSON."""

    def to_json(self) -> JsonObject:
        return {"op": self.op, "field": self.field, **self.said()}

    def _change(self, draft: _Draft, change: Callable[[Field], Field]) -> None:
        draft.fields[self.field] = change(_declared(draft, self.field))


@dataclass(frozen=True, slots=True)
class AddField(_FieldEdit):
    """A field is declared that was not."""

    op: ClassVar[str] = "add_field"
    field: str
    new: Declaration

    def said(self) -> JsonObject:
        document: JsonObject = {"declaration": self.new.field.to_json()}
        if self.new.policy.normalised != DEFAULT_POLICY:
            document["merge_policy"] = self.new.policy.to_json()
        return document

    def make(self, draft: _Draft) -> None:
        name = self.field
        if name in draft.fields:
            raise _Refused("field", "already_declared", name, "this field is declared already")
        twin = draft.names.setdefault(confusable_form(name), name)
        if twin != name:
            raise _Refused("field", "ambiguous_name", name, f"cannot be told apart from {twin!r}")
        draft.fields[name] = self.new.field
        draft.policies[name] = self.new.policy


@dataclass(frozen=True, slots=True)
class RemoveField(_FieldEdit):
    """A field is no longer declared; its merge policy goes with it."""

    op: ClassVar[str] = "remove_field"
    field: str

    def said(self) -> JsonObject:
        return {}

    def make(self, draft: _Draft) -> None:
        _declared(draft, self.field)
        del draft.fields[self.field]
        draft.policies.pop(self.field, None)
        del draft.names[confusable_form(self.field)]


@dataclass(frozen=True, slots=True)
class ChangeType(_FieldEdit):
    """A field is of another type, and keeps its description, mark, merge policy, constraints and converters.

    With `drop_invalid` it loses those constraints and converters that the new type cannot have; an enum with one
    value that no longer fits is lost as a whole, since what is left of it was never decided by anybody.
    """

    op: ClassVar[str] = "change_type"
    field: str
    type: FieldType
    drop_invalid: bool = False

    def said(self) -> JsonObject:
        document: JsonObject = {"type": self.type.value}
        if self.drop_invalid:
            document["drop_invalid"] = True
        return document

    def make(self, draft: _Draft) -> None:
        def change(field: Field) -> Field:
            changed = replace(field, type=self.type)
            return _without_invalid(changed) if self.drop_invalid else changed

        self._change(draft, change)


@dataclass(frozen=True, slots=True)
class SetRequired(_FieldEdit):
    """A field is required, or optional."""

    op: ClassVar[str] = "set_required"
    field: str
    required: bool

    def said(self) -> JsonObject:
        return {"required": self.required}

    def make(self, draft: _Draft) -> None:
        self._change(draft, lambda field: replace(field, required=self.required))


@dataclass(frozen=True, slots=True)
class SetDescription(_FieldEdit):
    """A field has this description; an empty one is none."""

    op: ClassVar[str] = "set_description"
    field: str
    description: str

    def said(self) -> JsonObject:
        return {"description": self.description}

    def make(self, draft: _Draft) -> None:
        self._change(draft, lambda field: replace(field, description=self.description))


@dataclass(frozen=True, slots=True)
class SetConstraints(_FieldEdit):
    """Some constraints of a field are these; None takes one away. The others stay."""

    op: ClassVar[str] = "set_constraints"
    field: str
    changes: Mapping[ConstraintName, Json]

    def said(self) -> JsonObject:
        document: JsonObject = {}
        given: JsonObject = {name.value: value for name, value in self.changes.items() if value is not None}
        if given:
            document["set"] = given
        if unset := [name.value for name, value in self.changes.items() if value is None]:
            document["unset"] = list(unset)
        return document

    def make(self, draft: _Draft) -> None:
        held = _declared(draft, self.field).constraints
        for name, value in self.changes.items():
            if value is None and held.get(name) is None:
                raise _Refused("unset", "not_set", name.value, f"{self.field} has no constraint {name}")
        self._change(draft, lambda field: replace(field, constraints=held.changed(self.changes)))


@dataclass(frozen=True, slots=True)
class SetPolicy(_FieldEdit):
    """The observations of a field merge by this policy; None is the default one."""

    op: ClassVar[str] = "set_policy"
    field: str
    policy: Policy | None

    def said(self) -> JsonObject:
        return {"merge_policy": None if self.policy is None else self.policy.to_json()}

    def make(self, draft: _Draft) -> None:
        _declared(draft, self.field)
        draft.policies[self.field] = self.policy or DEFAULT_POLICY


@dataclass(frozen=True, slots=True)
class AddConverter(_FieldEdit):
    """A field has one converter more, at a position or as the last one."""

    op: ClassVar[str] = "add_converter"
    field: str
    converter: Converter
    position: int | None = None

    def said(self) -> JsonObject:
        document: JsonObject = {"converter": self.converter.to_json()}
        if self.position is not None:
            document["position"] = self.position
        return document

    def make(self, draft: _Draft) -> None:
        held = _declared(draft, self.field).converters
        if self.converter in held:
            function = self.converter.function
            raise _Refused("converter", "already_declared", function, f"{self.field} has {function} already")
        position = len(held) if self.position is None else self.position
        if not 0 <= position <= len(held):
            message = f"{self.field} has {len(held)} converters"
            raise _Refused("position", "no_such_position", position, message)
        converters = (*held[:position], self.converter, *held[position:])
        self._change(draft, lambda field: replace(field, converters=converters))


@dataclass(frozen=True, slots=True)
class RemoveConverter(_FieldEdit):
    """A field has a converter no more."""

    op: ClassVar[str] = "remove_converter"
    field: str
    function: str

    def said(self) -> JsonObject:
        return {"converter": self.function}

    def make(self, draft: _Draft) -> None:
        held = _declared(draft, self.field).converters
        kept = tuple(converter for converter in held if converter.function != self.function)
        if kept == held:
            message = f"{self.field} has no converter {self.function}"
            raise _Refused("converter", "not_set", self.function, message)
        self._change(draft, lambda field: replace(field, converters=kept))


@dataclass(frozen=True, slots=True)
class OrderConverters(_FieldEdit):
    """The converters of a field, exactly those that it has, are tried in this order."""

    op: ClassVar[str] = "order_converters"
    field: str
    functions: tuple[str, ...]

    def said(self) -> JsonObject:
        return {"converters": list(self.functions)}

    def make(self, draft: _Draft) -> None:
        held = {converter.function: converter for converter in _declared(draft, self.field).converters}
        if sorted(held) != sorted(self.functions):
            message = f"must be the converters of {self.field}, each once: {', '.join(held) or 'none'}"
            raise _Refused("converters", "other_converters", list(self.functions), message)
        ordered = tuple(held[function] for function in self.functions)
        self._change(draft, lambda field: replace(field, converters=ordered))


@dataclass(frozen=True, slots=True)
class SetKindOrder(_Edit):
    """Observation kinds are trusted in this order; in none of them more than another if it is empty."""

    op: ClassVar[str] = "set_kind_order"
    kinds: tuple[str, ...]

    def to_json(self) -> JsonObject:
        return {"op": self.op, "kinds": list(self.kinds)}

    def make(self, draft: _Draft) -> None:
        draft.kinds = self.kinds


@dataclass(frozen=True, slots=True)
class ResetKindOrder(_Edit):
    """Observation kinds are trusted in the default order."""

    op: ClassVar[str] = "reset_kind_order"

    def to_json(self) -> JsonObject:
        return {"op": self.op}

    def make(self, draft: _Draft) -> None:
        draft.kinds = None


FieldEdit: TypeAlias = (
    AddField
    | RemoveField
    | ChangeType
    | SetRequired
    | SetDescription
    | SetConstraints
    | SetPolicy
    | AddConverter
    | RemoveConverter
    | OrderConverters
)
Edit: TypeAlias = FieldEdit | SetKindOrder | ResetKindOrder
"""Everything that an incremental update can ask for."""


def edited(definition: Definition, edits: Sequence[Edit]) -> Definition:
    """The definition with every edit made to it, in order; what no edit speaks of is as it was.

    Raises: InvalidEdits with every edit that cannot be made to this definition (paths into the list of edits);
    InvalidDefinition with every rule that the result breaks (paths into the result).
    """
    draft = _Draft(definition)
    problems: list[Problem] = []
    uncertain: set[str] = set()
    for index, edit in enumerate(edits):
        name = None if isinstance(edit, (SetKindOrder, ResetKindOrder)) else edit.field
        if name in uncertain:
            # Whatever is wrong here may follow from the edit of this field that was refused.
            continue
        try:
            edit.make(draft)
        except _Refused as refusal:
            path = pointer(index, refusal.key)
            problems.append(Problem(path, refusal.rule, refusal.value, refusal.message))
            if name is not None:
                uncertain.add(name)
    if problems:
        raise InvalidEdits(problems)
    return draft.finished()


def _declared(draft: _Draft, name: str) -> Field:
    field = draft.fields.get(name)
    if field is None:
        raise _Refused("field", "undeclared_field", name, "this field is not declared")
    return field


_NO_ENUM: Final[Mapping[ConstraintName, Json]] = {ConstraintName.ENUM: None}


def _without_invalid(field: Field) -> Field:
    """The field without the converters and constraints that its type cannot have."""
    unsuited: dict[ConstraintName, Json] = {
        name: None for name, suited in SUITED_TYPES.items() if field.type not in suited
    }
    constraints: Constraints = field.constraints.changed(unsuited)
    bounds = field_without_enum(field.name, field.type, constraints)
    if any(fits(value, bounds) is not None for value in constraints.enum):
        constraints = constraints.changed(_NO_ENUM)
    converters = tuple(converter for converter in field.converters if converter.target is field.type)
    return replace(field, converters=converters, constraints=constraints)
