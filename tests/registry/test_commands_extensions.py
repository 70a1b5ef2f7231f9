"""extend_schema, show_schema, settle_extensions, and export_schema --extension."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from registry.management.commands import show_schema
from registry.models import ExtensionRevision, SchemaVersion
from registry.selectors import effective_schema
from registry.selectors_extensions import conflicts_of_users
from schemaevo.kernel.canonical import Json
from schemaevo.kernel.models import AuditEvent, Job, User
from tests.factories import THING, make_definition, make_user, make_version
from tests.registry.commands import refusal, refused, run, said, written

pytestmark = pytest.mark.django_db

GLOBAL = make_definition(a="string", b={"type": "number", "constraints": {"min": 0}})
EXTENSION: dict[str, Any] = {
    "base_schema_version": "1.0.0",
    "additional_fields": {"c": {"type": "array", "merge_policy": {"strategy": "merge_array"}}},
    "field_overrides": {"b": {"constraints": {"max": 9}, "description": "small"}},
}


@pytest.fixture
def ada() -> User:
    return make_user(username="ada")


@pytest.fixture
def file(tmp_path: Path) -> str:
    return written(tmp_path / "extension.json", {"entity_type": THING, "extension": EXTENSION})


# --- extend_schema --------------------------------------------------------------------------------------
def test_an_extension_is_in_force_at_once_and_told_in_words(ada: User, file: str) -> None:
    make_version(document=GLOBAL)
    text = said("extend_schema", file, "--user", "ada", "--note", "they asked")
    assert text.splitlines() == [
        "thing (ada) revision 1: in force.",
        "  describes 'b' in other words",
        "  sets max of 'b' to 9 (tightened)",
        "  adds the field 'c', an array",
    ]
    assert ExtensionRevision.objects.get().note == "they asked"
    definition = effective_schema(entity_type=THING, user_id=ada.pk).definition
    assert definition is not None
    assert sorted(definition.fields) == ["a", "b", "c"]
    again = run("extend_schema", file, "--user", "ada")
    assert (again["created"], again["revision"], again["changes"]) == (False, 1, [])


def test_a_bare_extension_is_taken_and_a_dry_run_writes_nothing(ada: User, tmp_path: Path) -> None:
    make_version(document=GLOBAL)
    bare = written(tmp_path / "bare.json", EXTENSION)
    assert refused("extend_schema", bare, "--user", "ada").returncode == 2
    before = AuditEvent.objects.count()
    answer = run("extend_schema", bare, "--entity-type", THING, "--user", "ada", "--dry-run")
    changes = answer.pop("changes")
    assert answer == {
        "entity_type": THING,
        "user": "ada",
        "revision": 1,
        "created": True,
        "fields": ["c"],
        "overrides": ["b"],
        "conflicts": [],
        "dry_run": True,
        "size": "major",
    }
    assert [change["code"] for change in changes] == [
        "description_changed",
        "constraint_changed",
        "field_added",
    ]
    assert not ExtensionRevision.objects.exists()
    assert AuditEvent.objects.count() == before


def test_an_extension_is_taken_back(ada: User, file: str) -> None:
    make_version(document=GLOBAL)
    run("extend_schema", file, "--user", "ada")
    removal = ("extend_schema", "--remove", "--entity-type", THING, "--user", "ada")
    assert refusal(*removal, "--base", "7").answer["error"] == "stale_base"
    text = said(*removal, "--base", "1")
    assert text.splitlines()[0] == "thing (ada) revision 2: in force."
    assert "  removes the field 'c', an array" in text
    assert (
        effective_schema(entity_type=THING, user_id=ada.pk).definition == SchemaVersion.objects.get().parsed
    )


@pytest.mark.parametrize(
    "arguments",
    [
        ("extend_schema", "--user", "ada"),
        ("extend_schema", "{file}", "--remove", "--user", "ada"),
        ("extend_schema", "--remove", "--user", "ada"),
        ("extend_schema", "--remove", "--entity-type", THING, "--user", "ada"),
        ("extend_schema", "{file}", "--user", "nobody"),
        ("extend_schema", "{file}", "--user", ""),
        ("extend_schema", "{file}", "--entity-type", "other", "--user", "ada"),
        ("export_schema", THING, "--extension"),
        ("export_schema", THING, "--extension", "--user", "ada"),
        ("export_schema", THING, "--extension", "--user", "ada", "--number", "1"),
        ("export_schema", THING, "--extension", "--user", "ada", "--number", "1.0.0"),
        ("export_schema", THING, "--extension", "--user", "ada", "--number", "9999999999"),
        ("settle_extensions", "nothing"),
        ("settle_extensions", "No Thing"),
        ("show_schema", "No Thing"),
        ("show_schema", THING, "--user", "nobody"),
    ],
)
def test_what_is_named_and_does_not_exist_is_wrong_usage(
    ada: User, file: str, arguments: tuple[str, ...]
) -> None:
    make_version(document=GLOBAL)
    given = [argument.replace("{file}", file) for argument in arguments]
    assert refused(*given).returncode == 2
    assert not ExtensionRevision.objects.exists()


def test_an_extension_needs_something_to_extend(ada: User, file: str) -> None:
    found = refusal("extend_schema", file, "--user", "ada")
    assert (found.exit_code, found.answer["error"]) == (1, "no_global_schema")
    make_version(document=make_definition(x="string"), user=ada)
    make_version(document=GLOBAL)
    assert refusal("extend_schema", file, "--user", "ada").answer["error"] == "not_adopted"
    run("settle_extensions", THING)
    assert run("extend_schema", file, "--user", "ada", "--base", "1")["revision"] == 2


# --- export and import ----------------------------------------------------------------------------------
EXTENSIONS: list[Json] = [
    EXTENSION,
    {"additional_fields": {}, "field_overrides": {}},
    {"additional_fields": {"Straße/~": {"type": "number", "constraints": {"enum": [1, 10**25]}}}},
    {"field_overrides": {"a": {"required": True, "converters": ["number_to_string"]}}},
]


@pytest.mark.parametrize("document", EXTENSIONS)
def test_what_is_exported_is_imported_as_the_same(ada: User, tmp_path: Path, document: Json) -> None:
    make_version(document=GLOBAL)
    file = written(tmp_path / "given.json", document)
    run("extend_schema", file, "--entity-type", THING, "--user", "ada")
    exported = said("export_schema", THING, "--user", "ada", "--extension")
    assert set(json.loads(exported)) == {"entity_type", "extension"}
    again = written(tmp_path / "exported.json", exported.encode())
    assert run("extend_schema", again, "--user", "ada")["created"] is False
    make_user(username="bob")
    assert run("extend_schema", again, "--user", "bob")["created"] is True
    assert said("export_schema", THING, "--user", "bob", "--extension") == exported


def test_an_older_revision_is_exported_and_brought_back(ada: User, file: str, tmp_path: Path) -> None:
    make_version(document=GLOBAL)
    run("extend_schema", file, "--user", "ada")
    run("extend_schema", "--remove", "--entity-type", THING, "--user", "ada")
    exported = said("export_schema", THING, "--user", "ada", "--extension", "--number", "1")
    back = written(tmp_path / "back.json", exported.encode())
    assert run("extend_schema", back, "--user", "ada", "--base", "2")["revision"] == 3
    assert said("export_schema", THING, "--user", "ada", "--extension") == exported


# --- show_schema ----------------------------------------------------------------------------------------
def test_every_field_is_shown_with_who_declares_it(ada: User, file: str) -> None:
    make_version(document=GLOBAL)
    run("extend_schema", file, "--user", "ada")
    answer = run("show_schema", THING, "--user", "ada")
    fields = answer.pop("fields")
    assert {name: field["origin"] for name, field in fields.items()} == {
        "a": "global",
        "b": "override",
        "c": "extension",
    }
    assert fields["b"]["constraints"] == {"min": 0, "max": 9}
    assert answer.pop("kind_order")[0] == "sensor"
    assert answer == {
        "entity_type": THING,
        "user": "ada",
        "version": "1.0.0",
        "own_version": None,
        "revision": 1,
        "written_for": "1.0.0",
        "compatibility": "BACKWARD",
        "absorbed": [],
        "conflicts": [],
    }
    assert said("show_schema", THING, "--user", "ada").splitlines() == [
        "thing (ada): global 1.0.0; extension revision 1, written for 1.0.0; compatibility BACKWARD.",
        "  a  string   global     last_write",
        "  b  number   override   last_write",
        "  c  array    extension  merge_array",
    ]


def test_what_is_in_force_is_said_for_everybody_else_too(ada: User) -> None:
    assert said("show_schema", THING, "--user", "ada") == (
        "thing (ada): no global schema; every field is kept as it comes; compatibility BACKWARD.\n"
    )
    assert run("show_schema", THING)["fields"] is None
    make_version(document=make_definition(own="string"), user=ada)
    assert "no global schema; own schema 1.0.0;" in said("show_schema", THING, "--user", "ada")
    make_version(document=GLOBAL)
    text = said("show_schema", THING, "--user", "ada")
    assert "global 1.0.0; own schema 1.0.0, read as an extension;" in text
    assert "own  string   extension" in text
    make_user(username="bob")
    assert "global 1.0.0; nothing of the user's own;" in said("show_schema", THING, "--user", "bob")
    assert "thing (global): global 1.0.0; compatibility" in said("show_schema", THING)


def test_conflicts_are_told_in_words(ada: User, file: str) -> None:
    make_version(document=GLOBAL)
    run("extend_schema", file, "--user", "ada")
    make_version(document={"fields": {**GLOBAL["fields"], "c": {"type": "string"}}})
    wanted = (
        "  /additional_fields/c/type: the global schema declares it with another type; the user's own stands "
        '(global: "string"; own: "array") [type_differs]'
    )
    assert wanted in said("show_schema", THING, "--user", "ada").splitlines()
    assert run("show_schema", THING, "--user", "ada")["fields"]["c"]["origin"] == "conflict"
    assert said("show_schema", THING, "--conflicts").splitlines() == [
        "ada, revision 1:",
        wanted,
        "thing: 1 conflicts of 1 users with the global schema.",
    ]


def test_conflicts_of_many_users_come_in_their_order_with_own_schemas_among_them(
    monkeypatch: pytest.MonkeyPatch, django_assert_max_num_queries: Any
) -> None:
    make_version(document=GLOBAL)
    users = [make_user() for _n in range(7)]
    for number, user in enumerate(users):
        make_version(document=make_definition(a="number" if number % 3 else "string"), user=user)
        if number == 4:
            run("settle_extensions", THING)
    monkeypatch.setattr("registry.selectors_extensions.CHUNK_USERS", 2)
    found = list(conflicts_of_users(entity_type=THING))
    assert [one.user_id for one in found] == [users[number].pk for number in (1, 2, 4, 5)]
    assert [(one.revision, one.own_number) for one in found] == [(1, None)] * 3 + [(None, "1.0.0")]
    monkeypatch.setattr(show_schema, "USERS_LISTED", 2)
    answer = run("show_schema", THING, "--conflicts")
    assert (answer["user_count"], answer["conflict_count"], len(answer["users"])) == (4, 4, 2)
    monkeypatch.setattr("registry.selectors_extensions.CHUNK_USERS", 50)
    with django_assert_max_num_queries(5):
        list(conflicts_of_users(entity_type=THING))


def test_without_a_global_schema_nothing_conflicts(ada: User) -> None:
    make_version(document=make_definition(a="number"), user=ada)
    assert run("show_schema", THING, "--conflicts")["users"] == []


# --- settle_extensions ----------------------------------------------------------------------------------
def test_settling_adopts_and_absorbs_and_changes_no_effective_schema(ada: User, file: str) -> None:
    bob = make_user(username="bob")
    make_version(document=make_definition(a="string", mine="number"), user=bob)
    make_version(document=GLOBAL)
    run("extend_schema", file, "--user", "ada")
    make_version(document={"fields": {**GLOBAL["fields"], "c": {"type": "array"}}})
    before = [effective_schema(entity_type=THING, user_id=user.pk).definition for user in (ada, bob)]
    answer = run("settle_extensions", THING, "--dry-run")
    assert answer == {"entity_type": THING, "adopted": 1, "absorbed": 1, "dry_run": True}
    assert ExtensionRevision.objects.count() == 1
    assert said("settle_extensions", THING).strip() == "thing: 1 own schemas adopted, 1 fields absorbed."
    assert run("settle_extensions", THING) == {
        "entity_type": THING,
        "adopted": 0,
        "absorbed": 0,
        "dry_run": False,
    }
    after = [effective_schema(entity_type=THING, user_id=user.pk).definition for user in (ada, bob)]
    assert after == before
    assert Job.objects.filter(kind="settle_extensions").count() == 1  # asked for by the activations
