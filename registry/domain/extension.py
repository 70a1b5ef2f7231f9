"""What one user adds to a global schema, or overrides in it, as a document that is kept in immutable revisions.

The document, normalised; every key but the type of an additional field may be left out::

    {"base_schema_version": "1.2.0",
     "additional_fields": {name: {"type": …, "required": …, "description": …, "converters": […],
                                  "constraints": {…}, "merge_policy": {"strategy": …, "tie_breaker": …}}},
     "field_overrides": {name: {"description": …, "merge_policy": {…}, "converters": […],
                                "constraints": {…}, "required": true}}}

`base_schema_version` is the global version that the user looked at. An override says only what is otherwise:
its converters stand in the place of the whole global list, its constraints join the global ones, each of them
tighter, and `required` can only be true, since nothing may be loosened.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Final, cast

from registry.domain.definition import (
    DEFAULT_POLICY,
    NO_CONSTRAINTS,
    Constraints,
    Converter,
    Declaration,
    Definition,
    Field,
    Policy,
)
from registry.domain.field_rules import (
    FIELD_KEYS,
    constraints_of,
    constraints_problems,
    converters_problems,
    description_problems,
    field_problems,
    name_problems,
    patterns_problem,
    policy_problems,
    required_problems,
)
from registry.domain.problems import InvalidExtension, Problem, child, unknown_keys, wrong_type
from registry.domain.validation import MAX_FIELDS, size_problem
from schemaevo.kernel.canonical import Json, JsonObject

_EXTENSION_KEYS = ("base_schema_version", "additional_fields", "field_overrides")
_ADDITIONAL_KEYS = (*FIELD_KEYS, "merge_policy")
_OVERRIDE_KEYS = ("description", "merge_policy", "converters", "constraints", "required")
_VERSION = re.compile(r"(?:0|[1-9][0-9]{0,8})(?:\.(?:0|[1-9][0-9]{0,8})){2}")


@dataclass(frozen=True, slots=True)
class Override:
    """What is otherwise about one global field, for one user; None, no constraints and False say nothing."""

    description: str | None = None
    policy: Policy | None = None
    converters: tuple[Converter, ...] | None = None
    constraints: Constraints = NO_CONSTRAINTS
    required: bool = False

    @classmethod
    def from_json(cls, stored: Mapping[str, Json]) -> Override:
        """The override that a document known to be valid states."""
        policy = cast("JsonObject | None", stored.get("merge_policy"))
        converters = cast("list[str | JsonObject] | None", stored.get("converters"))
        return cls(
            description=cast("str | None", stored.get("description")),
            policy=None if policy is None else Policy.from_json(policy),
            converters=None if converters is None else tuple(map(Converter.from_json, converters)),
            constraints=Constraints.from_json(cast("JsonObject | None", stored.get("constraints"))),
            required=bool(stored.get("required", False)),
        )

    def to_json(self) -> JsonObject:
        """The stored form, of what is otherwise alone; empty if nothing is."""
        document: JsonObject = {}
        if self.description is not None:
            document["description"] = self.description
        if self.policy is not None:
            document["merge_policy"] = self.policy.to_json()
        if self.converters is not None:
            document["converters"] = [converter.to_json() for converter in self.converters]
        if constraints := self.constraints.to_json():
            document["constraints"] = constraints
        if self.required:
            document["required"] = True
        return document


@dataclass(frozen=True, slots=True)
class Extension:
    """Additional fields, the merge policies of those, and overrides of global fields."""

    base_schema_version: str | None = None
    additional_fields: Mapping[str, Field] = field(default_factory=dict)
    merge_policies: Mapping[str, Policy] = field(default_factory=dict)
    field_overrides: Mapping[str, Override] = field(default_factory=dict)

    @classmethod
    def from_json(cls, document: Mapping[str, Json]) -> Extension:
        """The extension that a document known to be valid stands for; nothing is checked."""
        additional = cast("Mapping[str, JsonObject]", document.get("additional_fields") or {})
        overrides = cast("Mapping[str, JsonObject]", document.get("field_overrides") or {})
        return cls(
            base_schema_version=cast("str | None", document.get("base_schema_version")),
            additional_fields={name: Field.from_json(name, stored) for name, stored in additional.items()},
            merge_policies={
                name: Policy.from_json(cast(JsonObject, stored["merge_policy"]))
                for name, stored in additional.items()
                if "merge_policy" in stored
            },
            field_overrides={name: Override.from_json(stored) for name, stored in overrides.items()},
        )

    @classmethod
    def of_own_schema(cls, own: Definition, base_schema_version: str | None = None) -> Extension:
        """A user's own schema read as an extension: its fields are additional. Its kind order is not taken
        along, since observation kinds are trusted as the global schema says."""
        return cls(base_schema_version, own.fields, own.merge_policies)

    def to_json(self) -> JsonObject:
        """The stored form: normalised, so that equal meaning gives an equal document."""
        document: JsonObject = {}
        if self.base_schema_version is not None:
            document["base_schema_version"] = self.base_schema_version
        document["additional_fields"] = {
            name: self.declaration(name).to_json() for name in self.additional_fields
        }
        document["field_overrides"] = {
            name: stored for name, override in self.field_overrides.items() if (stored := override.to_json())
        }
        return document

    @property
    def is_empty(self) -> bool:
        """Whether it neither adds nor overrides anything, so that the global schema applies as it is."""
        return not self.additional_fields and not any(
            override.to_json() for override in self.field_overrides.values()
        )

    @property
    def field_count(self) -> int:
        """How many fields count against the owner's quota."""
        return len(self.additional_fields)

    def declaration(self, name: str) -> Declaration:
        """All that is said about an additional field."""
        return Declaration(self.additional_fields[name], self.merge_policies.get(name, DEFAULT_POLICY))

    def without(self, names: Collection[str]) -> Extension:
        """The extension that no longer adds these fields, as after their absorption."""
        return replace(
            self,
            additional_fields={n: kept for n, kept in self.additional_fields.items() if n not in names},
            merge_policies={n: kept for n, kept in self.merge_policies.items() if n not in names},
        )

    def with_fields(self, declarations: Iterable[Declaration]) -> Extension:
        """The extension that adds these fields as well, as after a promotion or the undo of an absorption.

        What was overridden under such a name is so no longer: an additional field is declared in one place.
        """
        added = {declaration.field.name: declaration for declaration in declarations}
        rest = self.without(added)
        return replace(
            rest,
            additional_fields={**rest.additional_fields, **{n: one.field for n, one in added.items()}},
            merge_policies={**rest.merge_policies, **{n: one.policy for n, one in added.items()}},
            field_overrides={n: kept for n, kept in self.field_overrides.items() if n not in added},
        )


EMPTY_EXTENSION: Final = Extension()


def parse_extension(document: Json) -> Extension:
    """The extension that a document states, whatever the global schema says about it.

    Raises: InvalidExtension with every problem of the document.
    """
    problems = list(_extension_problems(document))
    if not problems and isinstance(document, dict):
        return Extension.from_json(document)
    raise InvalidExtension(problems)


def _extension_problems(document: Json) -> Iterator[Problem]:
    if not isinstance(document, dict):
        yield wrong_type("", document, "an object")
        return
    if (unreadable := size_problem(document, "an extension")) is not None:
        yield unreadable
        return
    yield from unknown_keys("", document, _EXTENSION_KEYS)
    base = document.get("base_schema_version")
    if "base_schema_version" in document and not (isinstance(base, str) and _VERSION.fullmatch(base)):
        yield wrong_type("/base_schema_version", base, "the number of a version, such as 1.2.0")
    seen: dict[str, str] = {}
    additional = document.get("additional_fields", {})
    overrides = document.get("field_overrides", {})
    for path, fields in (("/additional_fields", additional), ("/field_overrides", overrides)):
        if not isinstance(fields, dict):
            yield wrong_type(path, fields, "an object of fields by name")
        elif len(fields) > MAX_FIELDS:
            message = f"at most {MAX_FIELDS} fields may be listed"
            yield Problem(path, "too_many_fields", len(fields), message)
        elif (too_large := patterns_problem(constraints_of(path, fields))) is not None:
            yield too_large
        elif fields is additional:
            yield from _additional_problems(path, fields, seen)
        else:
            yield from _overrides_problems(path, fields, seen, additional)


def _additional_problems(path: str, fields: JsonObject, seen: dict[str, str]) -> Iterator[Problem]:
    for name, stored in fields.items():
        here = child(path, name)
        yield from name_problems(here, name, seen)
        yield from field_problems(here, name, stored, _ADDITIONAL_KEYS)
        if isinstance(stored, dict) and "merge_policy" in stored:
            yield from policy_problems(f"{here}/merge_policy", stored["merge_policy"])


def _overrides_problems(
    path: str, overrides: JsonObject, seen: dict[str, str], additional: Json
) -> Iterator[Problem]:
    for name, stored in overrides.items():
        here = child(path, name)
        yield from name_problems(here, name, seen)
        if isinstance(additional, dict) and name in additional:
            message = "an additional field is changed where it is declared"
            yield Problem(here, "contradiction", name, message)
        if not isinstance(stored, dict):
            yield wrong_type(here, stored, "an object")
            continue
        yield from unknown_keys(here, stored, _OVERRIDE_KEYS)
        if "description" in stored:
            yield from description_problems(f"{here}/description", stored["description"])
        if "merge_policy" in stored:
            yield from policy_problems(f"{here}/merge_policy", stored["merge_policy"])
        # The field's type is the global schema's to say; against it they are tried in composition.
        if "converters" in stored:
            yield from converters_problems(f"{here}/converters", stored["converters"], None)
        if "constraints" in stored:
            yield from constraints_problems(f"{here}/constraints", stored["constraints"], name, None)
        if "required" in stored:
            yield from required_problems(f"{here}/required", stored["required"])
            if stored["required"] is False:
                message = "an override can only make a field required; left out, the global schema decides"
                yield Problem(f"{here}/required", "override_loosens", False, message)
