"""Documents as rows of text that people type, and back: one row for each field, or for each override of one.

Every value is text, also in the browser, so that no number is ever read by anything less exact than the server.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Final, cast

from registry.domain.converters import CONVERTERS
from registry.domain.definition import DEFAULT_POLICY, Constraints, Declaration, Definition, Policy
from registry.domain.extension import Extension, Override
from registry.domain.field_rules import SUITED_TYPES
from registry.domain.vocabulary import DEFAULT_KIND_ORDER, ConstraintName, FieldType, Strategy, TieBreaker
from schemaevo.kernel.canonical import Json, JsonObject, Unstorable, canonical_json, decode

SLOTS: Final = max(sum(spec.target is field_type for spec in CONVERTERS.values()) for field_type in FieldType)
"""So many converters can be declared for one field; each has a place of its own, since their order counts."""

_BOUNDS: Final = tuple(name.value for name in ConstraintName if name is not ConstraintName.ENUM)
_TEXTUAL: Final = frozenset({FieldType.STRING.value, FieldType.DATE.value})
_LINE_BREAK = re.compile(r"[\r\n]")


@dataclass(slots=True)
class Row:
    """What is typed about one field. In an override an empty strategy, and a constraint that is left out, mean what
    the global schema says; the two marks say that a description and converters are the override's own."""

    name: str = ""
    type: str = ""
    required: bool = False
    strategy: str = ""
    tie_breaker: str = ""
    description: str = ""
    converter_1: str = ""
    converter_2: str = ""
    converter_3: str = ""
    min: str = ""
    max: str = ""
    min_length: str = ""
    max_length: str = ""
    pattern: str = ""
    enum: str = ""
    own_description: bool = False
    own_converters: bool = False

    @classmethod
    def from_mapping(cls, typed: Mapping[str, object]) -> Row:
        """The row that a browser sent; what is no part of a row is passed over."""
        row = cls()
        for part in PARTS:
            value = typed.get(part)
            if isinstance(getattr(row, part), bool):
                setattr(row, part, value in (True, "on"))
            elif isinstance(value, str):
                # A form sends every line break as two characters.
                setattr(row, part, value.replace("\r\n", "\n"))
        return row

    def to_json(self) -> JsonObject:
        """What is typed, without what is not."""
        return {part: value for part in PARTS if (value := getattr(self, part))}

    @property
    def is_blank(self) -> bool:
        """Whether nothing is typed that would be missed: the row is there to be filled."""
        return not self.to_json().keys() - {"type", "strategy", "tie_breaker"}

    @property
    def has_more(self) -> bool:
        """Whether it says more than what stands on its first line."""
        return bool(self.to_json().keys() - {"name", "type", "required", "strategy"})

    @property
    def converters(self) -> list[str]:
        """The converters by name, in their order."""
        slots = (self.converter_1, self.converter_2, self.converter_3)
        return [function for function in slots if function]

    def constraints(self) -> JsonObject:
        """The constraints as they stand in a document; text that is no number stays text, and is refused there."""
        stored: JsonObject = {}
        for name in _BOUNDS:
            text: str = getattr(self, name)
            if text:
                stored[name] = text if name == ConstraintName.PATTERN else _number(text)
        if values := list(_listed(self.enum, self.type)):
            stored[ConstraintName.ENUM.value] = values
        return stored

    def policy(self) -> JsonObject | None:
        """The merge policy as it stands in a document, or None for what holds without one."""
        if not self.strategy:
            return None
        policy: JsonObject = {"strategy": self.strategy}
        if self.tie_breaker and self.strategy == Strategy.MOST_SPECIFIC:
            policy["tie_breaker"] = self.tie_breaker
        return policy

    def declaration(self) -> JsonObject:
        """The field as it stands in a document, without its merge policy."""
        document: JsonObject = {"type": self.type} if self.type else {}
        if self.required:
            document["required"] = True
        if self.description:
            document["description"] = self.description
        if self.converters:
            document["converters"] = [*self.converters]
        if constraints := self.constraints():
            document["constraints"] = constraints
        return document

    def override(self) -> JsonObject:
        """The override as it stands in a document."""
        document = self.declaration()
        document.pop("type", None)
        if self.own_description:
            document["description"] = self.description
        else:
            document.pop("description", None)
        if self.own_converters:
            document["converters"] = [*self.converters]
        else:
            document.pop("converters", None)
        if (policy := self.policy()) is not None:
            document["merge_policy"] = policy
        return document


PARTS: Final = tuple(part.name for part in fields(Row))


@dataclass(slots=True)
class Rows:
    """All that is typed: fields, overrides (of an extension), and the kind order (of a schema), a kind on a line."""

    fields: list[Row] = field(default_factory=list)
    overrides: list[Row] = field(default_factory=list)
    has_own_kinds: bool = False
    kind_order: str = ""

    def definition(self) -> JsonObject:
        """The definition that is typed, valid or not."""
        rows = [row for row in self.fields if not row.is_blank]
        policies: JsonObject = {row.name: policy for row in rows if (policy := row.policy())}
        document: JsonObject = {
            "fields": {row.name: row.declaration() for row in rows},
            "merge_policies": policies,
        }
        if self.has_own_kinds:
            document["observation_source_priority"] = [*_lines(self.kind_order)]
        return document

    def extension(self) -> JsonObject:
        """The extension that is typed, valid or not, without the version that it was written for."""
        additional: JsonObject = {}
        for row in self.fields:
            if not row.is_blank:
                policy = row.policy()
                more: JsonObject = {"merge_policy": policy} if policy else {}
                additional[row.name] = {**row.declaration(), **more}
        return {
            "additional_fields": additional,
            "field_overrides": {row.name: row.override() for row in self.overrides},
        }

    @property
    def repeated(self) -> Iterator[tuple[str, int, str]]:
        """The rows whose name an earlier one has: section, place, name. No document can hold both."""
        for section, rows in (("fields", self.fields), ("overrides", self.overrides)):
            seen: set[str] = set()
            for place, row in enumerate(rows):
                if row.name in seen and not row.is_blank:
                    yield section, place, row.name
                seen.add(row.name)

    def to_json(self) -> JsonObject:
        """What is typed, for the browser."""
        return {
            "fields": [row.to_json() for row in self.fields],
            "overrides": [row.to_json() for row in self.overrides],
        }


def rows_of_definition(definition: Definition) -> Rows | None:
    """The rows that say what a definition says, or None where text fields cannot hold it."""
    order = definition.kind_order
    rows = Rows(
        fields=[row_of_declaration(definition.declaration(name)) for name in sorted(definition.fields)],
        has_own_kinds=order != DEFAULT_KIND_ORDER,
        kind_order="\n".join(order) if order != DEFAULT_KIND_ORDER else "",
    )
    same = (
        _is_typable(rows.fields) and Definition.from_json(rows.definition()).to_json() == definition.to_json()
    )
    return rows if same else None


def rows_of_extension(extension: Extension, shared: Definition) -> Rows | None:
    """The rows that say what an extension of a global definition says, or None where text fields cannot hold it."""
    said = {name: override for name, override in extension.field_overrides.items() if override.to_json()}
    rows = Rows(
        fields=[
            row_of_declaration(extension.declaration(name)) for name in sorted(extension.additional_fields)
        ],
        overrides=[
            _row_of_override(name, override, type_of(shared, name)) for name, override in sorted(said.items())
        ],
    )
    stored = extension.to_json()
    stored.pop("base_schema_version", None)
    same = (
        _is_typable([*rows.fields, *rows.overrides])
        and Extension.from_json(rows.extension()).to_json() == stored
    )
    return rows if same else None


def row_of_declaration(declaration: Declaration) -> Row:
    """The row that says what a declaration says."""
    declared = declaration.field
    row = Row(
        name=declared.name,
        type=declared.type.value,
        required=declared.required,
        description=declared.description,
    )
    if declaration.policy.normalised != DEFAULT_POLICY:
        _put_policy(row, declaration.policy)
    _put_converters(row, [converter.function for converter in declared.converters])
    _put_constraints(row, declared.constraints)
    return row


def type_of(shared: Definition, name: str) -> str:
    """The type of a global field; empty for one that is not declared."""
    return shared.fields[name].type.value if name in shared.fields else ""


def _row_of_override(name: str, override: Override, field_type: str) -> Row:
    row = Row(name=name, type=field_type, required=override.required)
    if override.policy is not None:
        _put_policy(row, override.policy)
    if override.description is not None:
        row.description, row.own_description = override.description, True
    if override.converters is not None:
        row.own_converters = True
        _put_converters(row, [converter.function for converter in override.converters])
    _put_constraints(row, override.constraints)
    return row


def _put_policy(row: Row, policy: Policy) -> None:
    row.strategy = policy.strategy.value
    row.tie_breaker = TieBreaker.SOURCE_PRIORITY.value if policy.asks_priority_on_tie else ""


def _put_converters(row: Row, functions: Sequence[str]) -> None:
    for place, function in enumerate(functions[:SLOTS], start=1):
        setattr(row, f"converter_{place}", function)


def _put_constraints(row: Row, constraints: Constraints) -> None:
    for name, value in constraints.to_json().items():
        if name == ConstraintName.ENUM:
            row.enum = "\n".join(_line(one, row.type) for one in cast("list[Json]", value))
        else:
            setattr(row, name, value if isinstance(value, str) else canonical_json(value))


def _number(text: str) -> Json:
    try:
        value = decode(text.strip())
    except Unstorable:
        return text
    return text if isinstance(value, (bool, str, list, dict)) or value is None else value


def _listed(text: str, field_type: str) -> Iterator[Json]:
    """The values of an enum, one on a line. A text may stand as it is; one that begins with a quote is JSON."""
    for line in _lines(text):
        if field_type in _TEXTUAL and not line.startswith('"'):
            yield line
            continue
        try:
            yield decode(line)
        except Unstorable:
            yield line


def _line(value: Json, field_type: str) -> str:
    """A value of an enum on one line, so that `_listed` gives it back."""
    plain = isinstance(value, str) and field_type in _TEXTUAL and value.strip() != ""
    if isinstance(value, str) and plain and not value.startswith('"') and not _LINE_BREAK.search(value):
        return value
    return canonical_json(value)


def _lines(text: str) -> Iterator[str]:
    """The lines that are not empty."""
    return (line for line in text.split("\n") if line.strip())


def _is_typable(rows: Iterable[Row]) -> bool:
    """Whether text fields of a page hold the rows as they are: most of them have one line, none a bare return."""
    return not any(
        _LINE_BREAK.search(value) if part not in {"description", "enum"} else "\r" in value
        for row in rows
        for part in PARTS
        if isinstance(value := getattr(row, part), str)
    )


def suits() -> dict[str, str]:
    """For each constraint the types that it suits, with spaces between them."""
    return {name.value: " ".join(sorted(SUITED_TYPES[name])) for name in ConstraintName}
