"""Bad definitions, edits and extensions: the same codes, paths and values from the service and from the command."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from registry.domain.fit import fits
from registry.models import ExtensionRevision, SchemaVersion
from registry.services.extensions import extension_save
from registry.services.schemas import schema_register, schema_update
from schemaevo.kernel.canonical import Json
from schemaevo.kernel.errors import DomainError
from tests.factories import SHELL, THING, make_definition, make_user, make_version
from tests.registry.commands import Refusal, refusal, written

pytestmark = pytest.mark.django_db

Found = list[tuple[str, str]]


def field(**parts: Any) -> dict[str, Any]:
    """A definition of one field `f`; a string unless told otherwise."""
    return make_definition(f={"type": "string", **parts})


#: Definition, and path and rule of every problem that it has.
BAD_DEFINITIONS: dict[str, tuple[Json, Found]] = {
    "no object": ([], [("", "wrong_type")]),
    "no fields": ({}, [("/fields", "missing_key")]),
    "unknown type": (field(type="text"), [("/fields/f/type", "unknown_type")]),
    "type of no type": (field(type=["string"]), [("/fields/f/type", "unknown_type")]),
    "unknown converter": (
        field(converters=["guess"]),
        [("/fields/f/converters/0/function", "unknown_converter")],
    ),
    "converter that ends elsewhere": (
        field(converters=["number_to_string", "string_to_number"]),
        [("/fields/f/converters/1", "wrong_end")],
    ),
    "policy of an undeclared field": (
        make_definition(f="string", policies={"g": {"strategy": "last_write"}}),
        [("/merge_policies/g", "undeclared_field")],
    ),
    "unknown strategy": (
        make_definition(f="string", policies={"f": {"strategy": "newest"}}),
        [("/merge_policies/f/strategy", "unknown_strategy")],
    ),
    "unknown tie breaker": (
        make_definition(f="string", policies={"f": {"strategy": "most_specific", "tie_breaker": "dice"}}),
        [("/merge_policies/f/tie_breaker", "unknown_tie_breaker")],
    ),
    "10,000 fields": (
        {"fields": {f"field_{n}": {"type": "string"} for n in range(10_000)}},
        [("/fields", "too_many_fields")],
    ),
    "names that differ by case": (
        make_definition(colour="string", Colour="string"),
        [("/fields/Colour", "ambiguous_name")],
    ),
    "names that differ by Unicode form": (
        {"fields": {"Caf\u00e9": {"type": "string"}, "Cafe\u0301": {"type": "string"}}},
        [("/fields/Cafe\u0301", "invalid_name"), ("/fields/Cafe\u0301", "ambiguous_name")],
    ),
    "pattern that needs backtracking": (
        field(constraints={"pattern": r"(a+)\1"}),
        [("/fields/f/constraints/pattern", "bad_pattern")],
    ),
    "pattern that grows without bound": (
        field(constraints={"pattern": "((a{1,1000}){1,1000}){1,1000}"}),
        [("/fields/f/constraints/pattern", "bad_pattern")],
    ),
    "5 MB": (field(description="x" * 5_000_000), [("", "too_large")]),
    "everything at once": (
        {
            "fields": {"_a": {"type": "text"}, "b": {"type": "number", "constraints": {"pattern": "x"}}},
            "merge_policies": {"c": {"strategy": "best"}},
        },
        [
            ("/fields/_a", "invalid_name"),
            ("/fields/_a/type", "unknown_type"),
            ("/fields/b/constraints/pattern", "unsuited_constraint"),
            ("/merge_policies/c", "undeclared_field"),
            ("/merge_policies/c/strategy", "unknown_strategy"),
        ],
    ),
}

STRING: Json = {"type": "string"}
#: Edits of a definition with the fields `f` (string) and `n` (number), and path and rule of every problem.
BAD_EDITS: dict[str, tuple[Json, str, Found]] = {
    "no list": ({}, "invalid_edits", [("", "wrong_type")]),
    "unknown edit": ([{"op": "rename", "field": "f"}], "invalid_edits", [("/0/op", "unknown_op")]),
    "unknown type": (
        [{"op": "change_type", "field": "f", "type": "text"}],
        "invalid_edits",
        [("/0/type", "unknown_type")],
    ),
    "unknown converter": (
        [{"op": "add_converter", "field": "f", "converter": "guess"}],
        "invalid_edits",
        [("/0/converter/function", "unknown_converter")],
    ),
    "undeclared field": (
        [{"op": "set_policy", "field": "g", "merge_policy": {"strategy": "last_write"}}],
        "invalid_edits",
        [("/0/field", "undeclared_field")],
    ),
    "name that differs by case": (
        [{"op": "add_field", "field": "F", "declaration": STRING}],
        "invalid_edits",
        [("/0/field", "ambiguous_name")],
    ),
    "converter that ends elsewhere": (
        [{"op": "add_converter", "field": "f", "converter": "string_to_number"}],
        "invalid_definition",
        [("/fields/f/converters/0", "wrong_end")],
    ),
    "too many fields": (
        [{"op": "add_field", "field": f"field_{n}", "declaration": STRING} for n in range(3_000)],
        "invalid_definition",
        [("/fields", "too_many_fields")],
    ),
    "5 MB": (
        [{"op": "set_description", "field": "f", "description": "x" * 5_000_000}],
        "invalid_edits",
        [("", "too_large")],
    ),
}

#: Extensions of the same definition, and path and rule of every problem.
BAD_EXTENSIONS: dict[str, tuple[Json, Found]] = {
    "no object": (7, [("", "wrong_type")]),
    "unknown type": (
        {"additional_fields": {"x": {"type": "text"}}},
        [("/additional_fields/x/type", "unknown_type")],
    ),
    "declared already": (
        {"additional_fields": {"f": {"type": "string"}}},
        [("/additional_fields/f", "already_declared")],
    ),
    "declared with another type": (
        {"additional_fields": {"f": {"type": "array"}}},
        [("/additional_fields/f/type", "type_differs")],
    ),
    "name that differs by case": (
        {"additional_fields": {"F": {"type": "string"}}},
        [("/additional_fields/F", "ambiguous_name")],
    ),
    "override of an undeclared field": (
        {"field_overrides": {"g": {"description": "?"}}},
        [("/field_overrides/g", "override_of_undeclared")],
    ),
    "looser": (
        {"field_overrides": {"n": {"constraints": {"max": 99}, "required": False}}},
        [("/field_overrides/n/required", "override_loosens")],
    ),
    "looser than the global bound": (
        {"field_overrides": {"n": {"constraints": {"max": 99}}}},
        [("/field_overrides/n/constraints/max", "override_loosens")],
    ),
    "converter that ends elsewhere": (
        {"field_overrides": {"n": {"converters": ["number_to_string"]}}},
        [("/field_overrides/n/converters", "override_unsuited")],
    ),
    "unknown strategy": (
        {"field_overrides": {"n": {"merge_policy": {"strategy": "newest"}}}},
        [("/field_overrides/n/merge_policy/strategy", "unknown_strategy")],
    ),
    "10,000 fields": (
        {"additional_fields": {f"x{n}": {"type": "string"} for n in range(10_000)}},
        [("/additional_fields", "too_many_fields")],
    ),
    "5 MB": ({"field_overrides": {"n": {"description": "x" * 5_000_000}}}, [("", "too_large")]),
}

PRESENT = make_definition(f="string", n={"type": "number", "constraints": {"max": 9}})


def told_alike(service: Callable[[], object], command: Refusal) -> DomainError:
    """The service refuses as the command did: code, and every problem with path, rule, value and words."""
    with pytest.raises(DomainError) as refused:
        service()
    assert command.answer["error"] == refused.value.code
    assert command.answer["message"] == refused.value.message
    assert command.answer["context"] == refused.value.context
    assert command.exit_code == 1
    for path, rule in command.problems:
        assert f"  {path}: " in command.text
        assert f"[{rule}]" in command.text
    return refused.value


@pytest.mark.parametrize(("document", "found"), BAD_DEFINITIONS.values(), ids=BAD_DEFINITIONS)
def test_a_bad_definition_is_told_alike_by_service_and_command(
    tmp_path: Path, document: Json, found: Found
) -> None:
    file = written(tmp_path / "bad.json", document)
    command = refusal("register_schema", file, "--entity-type", THING)
    error = told_alike(lambda: schema_register(entity_type=THING, document=document, actor=SHELL), command)
    assert error.code == "invalid_definition"
    assert command.problems == found
    assert not SchemaVersion.objects.exists()


@pytest.mark.parametrize(("edits", "code", "found"), BAD_EDITS.values(), ids=BAD_EDITS)
def test_bad_edits_are_told_alike_by_service_and_command(
    tmp_path: Path, edits: Json, code: str, found: Found
) -> None:
    make_version(document=PRESENT)
    file = written(tmp_path / "bad.json", edits)
    command = refusal("update_schema", THING, file, "--base", "1.0.0")
    error = told_alike(
        lambda: schema_update(entity_type=THING, edits=edits, base="1.0.0", actor=SHELL), command
    )
    assert error.code == code
    assert command.problems == found
    assert SchemaVersion.objects.count() == 1


@pytest.mark.parametrize(("document", "found"), BAD_EXTENSIONS.values(), ids=BAD_EXTENSIONS)
def test_a_bad_extension_is_told_alike_by_service_and_command(
    tmp_path: Path, document: Json, found: Found
) -> None:
    make_version(document=PRESENT)
    owner = make_user()
    file = written(tmp_path / "bad.json", {"extension": document})
    command = refusal("extend_schema", file, "--entity-type", THING, "--user", owner.username)
    error = told_alike(
        lambda: extension_save(entity_type=THING, user_id=owner.pk, document=document, actor=SHELL), command
    )
    assert error.code == "invalid_extension"
    assert command.problems == found
    assert not ExtensionRevision.objects.exists()


def test_version_conflicts_are_told_alike_by_service_and_command(tmp_path: Path) -> None:
    make_version(document=PRESENT)
    tighter: Json = [{"op": "set_constraints", "field": "n", "set": {"max": 5}}]
    file = written(tmp_path / "edits.json", tighter)
    stale = refusal("update_schema", THING, file, "--base", "0.9.0")
    told_alike(lambda: schema_update(entity_type=THING, edits=tighter, base="0.9.0", actor=SHELL), stale)
    assert stale.answer["error"] == "stale_base"
    incompatible = refusal("update_schema", THING, file, "--base", "1.0.0")
    told_alike(
        lambda: schema_update(entity_type=THING, edits=tighter, base="1.0.0", actor=SHELL), incompatible
    )
    assert incompatible.answer["error"] == "incompatible_change"
    assert incompatible.problems == [("/fields/n/constraints/max", "constraint_tightened")]
    (reason,) = incompatible.answer["context"]["reasons"]
    assert (reason["old"], reason["new"], reason["against"]) == (9, 5, "1.0.0")


def test_of_too_many_problems_the_first_are_listed_and_all_are_counted(tmp_path: Path) -> None:
    document: Json = {"fields": {f"_{n}": {"type": "string"} for n in range(1_500)}}
    command = refusal("register_schema", written(tmp_path / "bad.json", document), "--entity-type", THING)
    lines = command.text.splitlines()
    assert lines[0] == "1500 problems, of which the first 1000 are [invalid_definition]"
    assert len(lines) == 1_001
    assert command.answer["context"]["problem_count"] == 1_500


def test_values_are_told_as_numbers_that_they_are(tmp_path: Path) -> None:
    file = written(tmp_path / "bad.json", b'{"fields": {"f": {"type": "string", "required": 1.50}}}')
    command = refusal("register_schema", file, "--entity-type", THING)
    assert command.answer["context"]["problems"][0]["value"] == 1.5


def test_a_pattern_that_would_run_for_ever_elsewhere_does_not_here() -> None:
    version = make_version(document=field(constraints={"pattern": "^(a+)+$"}))
    declared = version.parsed.fields["f"]
    assert fits("a" * 100_000, declared) is None
    assert fits("a" * 100_000 + "!", declared) is not None
