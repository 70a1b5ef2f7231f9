"""update_schema, retire_schema, diff_schema, set_compatibility, and register_schema with what it was made from."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest

from registry.models import SchemaCompatibility, SchemaVersion
from registry.selectors import version_in_force
from schemaevo.kernel.canonical import Json, canonical_bytes
from schemaevo.kernel.models import AuditEvent
from tests.factories import THING, make_definition, make_user, make_version
from tests.registry.commands import refusal, refused, run, said, written

pytestmark = pytest.mark.django_db

ONE, TWO = make_definition(a="string"), make_definition(a="string", b="number")
ADD_B: Json = [{"op": "add_field", "field": "b", "declaration": {"type": "number"}}]


@pytest.fixture
def edits(tmp_path: Path) -> str:
    return written(tmp_path / "edits.json", ADD_B)


# --- update_schema --------------------------------------------------------------------------------------
def test_an_update_changes_what_it_was_asked_to_and_nothing_else(edits: str) -> None:
    make_version(document=make_definition(a={"type": "string", "description": "kept"}, kinds=["human"]))
    answer = run("update_schema", THING, edits, "--base", "1.0.0", "--note", "b is everywhere")
    changes = answer.pop("changes")
    assert answer == {
        "entity_type": THING,
        "user": None,
        "base": "1.0.0",
        "version": "1.1.0",
        "created": True,
        "active": False,
        "dry_run": False,
        "size": "minor",
    }
    assert [(change["code"], change["path"]) for change in changes] == [("field_added", "/fields/b")]
    version = SchemaVersion.objects.get(minor=1)
    assert version.note == "b is everywhere"
    assert version.definition == make_definition(
        policies={}, a={"type": "string", "description": "kept"}, b="number", kinds=["human"]
    )


def test_an_update_is_told_in_words_and_a_dry_run_writes_nothing(edits: str) -> None:
    make_version(document=ONE)
    before = AuditEvent.objects.count()
    arguments = ("update_schema", THING, edits, "--base", "1.0.0")
    text = said(*arguments, "--dry-run")
    assert text.splitlines() == [
        "Nothing was written. It would be thing 1.1.0 (global): registered, not in force.",
        "Against 1.0.0, minor change:",
        "  adds the field 'b', a number",
    ]
    answer = run(*arguments, "--dry-run", "--activate", "--without-review", "to see")
    assert (answer["version"], answer["active"], answer["dry_run"]) == ("1.1.0", True, True)
    assert SchemaVersion.objects.count() == 1
    assert AuditEvent.objects.count() == before
    assert "It would be" not in said(*arguments)


def test_an_update_can_be_put_in_force_at_once_with_a_reason(edits: str) -> None:
    make_version(document=ONE)
    arguments = ("update_schema", THING, edits, "--base", "1.0.0", "--activate")
    assert refused(*arguments).returncode == 1
    assert SchemaVersion.objects.count() == 1
    assert run(*arguments, "--without-review", "urgent")["active"] is True
    in_force = version_in_force(entity_type=THING, user_id=None)
    assert in_force is not None
    assert in_force.number == "1.1.0"


def test_an_update_of_an_own_schema_reads_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    owner = make_user(username="ada")
    make_version(document=ONE, user=owner)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(canonical_bytes(ADD_B))))
    answer = run("update_schema", THING, "-", "--base", "1.0.0", "--user", "ada", "--activate")
    assert (answer["user"], answer["version"], answer["active"]) == ("ada", "1.1.0", True)


def test_an_update_that_comes_to_what_there_is_says_so(tmp_path: Path) -> None:
    make_version(document=TWO)
    same: Json = [{"op": "set_required", "field": "a", "required": False}]
    answer = run("update_schema", THING, written(tmp_path / "same.json", same), "--base", "1.0.0")
    assert (answer["created"], answer["size"], answer["changes"]) == (False, None, [])


def test_a_stale_base_is_refused(edits: str, tmp_path: Path) -> None:
    make_version(document=ONE)
    make_version(document=TWO)
    found = refusal("update_schema", THING, edits, "--base", "1.0.0")
    assert (found.exit_code, found.answer["error"]) == (1, "stale_base")
    assert found.answer["context"] == {"entity_type": THING, "given": "1.0.0", "present": "1.1.0"}
    file = written(tmp_path / "three.json", {"entity_type": THING, "definition": ONE})
    assert refusal("register_schema", file, "--base", "1.0.0").answer["error"] == "stale_base"
    assert run("register_schema", file, "--base", "1.1.0")["created"] is False


def test_every_wrong_edit_is_a_line_with_its_place(tmp_path: Path) -> None:
    make_version(document=ONE)
    wrong: Json = [
        {"op": "remove_field", "field": "gone"},
        {"op": "add_field", "field": "a", "declaration": {"type": "string"}},
    ]
    file = written(tmp_path / "wrong.json", wrong)
    found = refusal("update_schema", THING, file, "--base", "1.0.0")
    assert (found.exit_code, found.answer["error"]) == (1, "invalid_edits")
    assert found.problems == [("/0/field", "undeclared_field"), ("/1/field", "already_declared")]
    assert found.text.splitlines()[0] == "2 problems [invalid_edits]"
    assert [line.split(":")[0].strip() for line in found.text.splitlines()[1:]] == ["/0/field", "/1/field"]


# --- incompatible changes -------------------------------------------------------------------------------
def test_every_reason_of_an_incompatible_change_is_a_line(tmp_path: Path) -> None:
    make_version(document=make_definition(a="string", b="number"))
    required = {"type": "string", "required": True}
    document = make_definition(a=required, b="array", c=required)
    file = written(tmp_path / "new.json", {"entity_type": THING, "definition": document})
    found = refusal("register_schema", file)
    assert (found.exit_code, found.answer["error"]) == (1, "incompatible_change")
    assert found.problems == [
        ("/fields/a/required", "became_required"),
        ("/fields/b/type", "type_changed"),
        ("/fields/c", "required_field_added"),
    ]
    lines = found.text.splitlines()
    assert lines[0] == "3 problems [incompatible_change]"
    assert lines[1] == (
        "  /fields/a/required: It makes 'a' required: records stored under 1.0.0 could not be read. "
        "[became_required]"
    )
    assert found.answer["context"]["reasons"][1]["old"] == "number"


def test_a_mode_decides_what_is_taken(tmp_path: Path) -> None:
    make_version(document=TWO)
    file = written(tmp_path / "less.json", {"entity_type": THING, "definition": make_definition(a="number")})
    assert refusal("register_schema", file).answer["error"] == "incompatible_change"
    answer = run("set_compatibility", THING, "NONE", "--reason", "the feed is new")
    assert answer == {"entity_type": THING, "before": "BACKWARD", "mode": "NONE"}
    assert AuditEvent.objects.latest("id").reason == "the feed is new"
    assert run("register_schema", file)["version"] == "2.0.0"
    assert said("set_compatibility", THING, "FULL").strip() == "thing: FULL instead of NONE."
    assert said("set_compatibility", THING, "FULL").strip() == "thing: FULL, as it was."
    assert SchemaCompatibility.objects.get().mode == "FULL"


@pytest.mark.parametrize(
    ("arguments", "code"),
    [((THING, "backward"), "unknown_mode"), (("Thing", "FULL"), "invalid_entity_type")],
)
def test_a_mode_or_type_that_is_none_is_wrong_usage(arguments: tuple[str, str], code: str) -> None:
    found = refusal("set_compatibility", *arguments)
    assert (found.exit_code, found.answer["error"]) == (2, code)


def test_the_way_back_is_refused_where_it_breaks_something_and_taken_where_nothing_is_asked() -> None:
    make_version(document=make_definition(a={"type": "number", "constraints": {"max": 9}}))
    make_version(document=make_definition(a="number"))
    back = ("activate_schema", THING, "1.0.0", "--without-review", "1.1.0 takes too much")
    found = refusal(*back)
    assert (found.exit_code, found.answer["error"]) == (1, "incompatible_change")
    assert found.problems == [("/fields/a/constraints/max", "constraint_tightened")]
    run("set_compatibility", THING, "NONE", "--reason", "way back")
    assert run(*back)["active"] is True
    assert run("set_compatibility", THING, "BACKWARD", "--reason", "as before")["before"] == "NONE"
    assert run("diff_schema", THING, "active", "1.1.0")["size"] == "minor"


# --- retire_schema --------------------------------------------------------------------------------------
def test_a_version_is_retired_and_comes_back() -> None:
    owner = make_user(username="ada")
    make_version(document=ONE, user=owner)
    make_version(document=TWO, user=owner)
    answer = run("retire_schema", THING, "1.0.0", "--user", "ada", "--note", "no more")
    assert answer == {
        "entity_type": THING,
        "user": "ada",
        "retired": ["1.0.0"],
        "in_force": "1.1.0",
        "dry_run": False,
    }
    assert AuditEvent.objects.latest("id").reason == "no more"
    assert "nothing has changed" in said("retire_schema", THING, "1.0.0", "--user", "ada")
    assert run("activate_schema", THING, "1.0.0", "--user", "ada")["active"] is True
    assert SchemaVersion.objects.get(minor=0).retired_at is None


def test_a_schema_is_retired_as_a_whole_after_a_look() -> None:
    make_version(document=ONE)
    make_version(document=TWO)
    found = refusal("retire_schema", THING)
    assert (found.exit_code, found.answer["error"]) == (1, "review_needed")
    text = said("retire_schema", THING, "--dry-run", "--without-review", "over")
    assert text.startswith("Nothing was written. It would be thing (global): retired 1.0.0, 1.1.0.")
    assert not SchemaVersion.objects.filter(retired_at__isnull=False).exists()
    text = said("retire_schema", THING, "--without-review", "over", "--note", "the feed is gone")
    assert AuditEvent.objects.latest("id").reason == "over; the feed is gone"
    assert text.splitlines() == ["thing (global): retired 1.0.0, 1.1.0.", "No version of it is in force."]
    assert version_in_force(entity_type=THING, user_id=None) is None


# --- diff_schema ----------------------------------------------------------------------------------------
def test_a_difference_is_told_in_words_and_in_types() -> None:
    make_version(document=TWO)
    make_version(document=make_definition(a="string", b="number", c="array"))
    text = said("diff_schema", THING, "1.0.0", "active")
    assert text.splitlines() == [
        "thing 1.0.0 to 1.1.0 (global): minor change, 1 in all:",
        "  adds the field 'c', an array",
    ]
    answer = run("diff_schema", THING, "active", "1.0.0")
    assert (answer["old"], answer["new"], answer["size"]) == ("1.1.0", "1.0.0", "major")
    assert [change["code"] for change in answer["changes"]] == ["field_removed"]
    assert run("diff_schema", THING, "1.0.0", "1.0.0")["changes"] == []
    assert said("diff_schema", THING, "1.0.0", "1.0.0").strip().endswith("no change.")


# --- export_schema --------------------------------------------------------------------------------------
DEFINITIONS: list[Json] = [
    ONE,
    make_definition(),
    make_definition(
        kinds=[],
        policies={"tags": {"strategy": "merge_array"}},
        **{
            "Ruby-Versions": {"type": "string", "constraints": {"pattern": "^[0-9.]+$"}},
            "Straße": {"type": "number", "required": True, "constraints": {"min": 0, "max": 10**30}},
            "tags": {"type": "array", "description": "a/b~c \u2028"},
            "at": {"type": "date", "converters": ["timestamp_ms_to_iso", "timestamp_s_to_iso"]},
        },
    ),
]


@pytest.mark.parametrize("document", DEFINITIONS)
def test_what_is_exported_is_imported_as_the_same(document: Json, tmp_path: Path) -> None:
    make_version(document=document)
    exported = said("export_schema", THING)
    file = written(tmp_path / "exported.json", exported.encode())
    assert run("register_schema", file)["created"] is False
    make_user(username="ada")
    assert run("register_schema", file, "--user", "ada", "--activate")["version"] == "1.0.0"
    assert said("export_schema", THING, "--user", "ada") == exported
    assert json.loads(exported)["version"] == "1.0.0"


# --- what is named and does not exist -------------------------------------------------------------------
@pytest.mark.parametrize(
    "arguments",
    [
        ("update_schema", "nothing", "{edits}", "--base", "1.0.0"),
        ("update_schema", THING, "/nowhere/at/all.json", "--base", "1.0.0"),
        ("update_schema", THING, "{edits}", "--base", "1.0.0", "--user", "nobody"),
        ("update_schema", THING, "{edits}", "--base", "1.0.0", "--user", ""),
        ("retire_schema", "nothing"),
        ("retire_schema", "no\udcffthing"),
        ("retire_schema", THING, "9.9.9"),
        ("diff_schema", THING, "1.0.0", "1"),
        ("diff_schema", "nothing", "active", "active"),
        ("diff_schema", THING, "active", "1.0.0", "--user", "ada"),
    ],
)
def test_what_is_named_and_does_not_exist_is_wrong_usage(edits: str, arguments: tuple[str, ...]) -> None:
    make_user(username="ada")
    make_version(document=ONE)
    given = [argument.replace("{edits}", edits) for argument in arguments]
    assert refused(*given).returncode == 2
    assert SchemaVersion.objects.count() == 1
