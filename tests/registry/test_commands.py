"""register_schema, activate_schema and export_schema: one JSON object, readable errors, stable exit codes."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from registry.models import SchemaVersion
from schemaevo.kernel.models import AuditEvent
from tests.factories import THING, make_definition, make_user, make_version
from tests.registry.commands import refused, run

pytestmark = pytest.mark.django_db

ONE, TWO = make_definition(a="string"), make_definition(a="string", b="number")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "thing.json"
    path.write_text(json.dumps({"entity_type": THING, "definition": ONE}))
    return path


def test_register_activate_and_export_go_round(file: Path, tmp_path: Path) -> None:
    assert run("register_schema", str(file)) == {
        "entity_type": THING,
        "user": None,
        "version": "1.0.0",
        "created": True,
        "active": False,
    }
    assert run("activate_schema", THING, "1.0.0")["active"] is True
    exported = run("export_schema", THING)
    assert exported["version"] == "1.0.0"
    again = tmp_path / "again.json"
    again.write_text(json.dumps(exported))
    assert run("register_schema", str(again)) == {
        "entity_type": THING,
        "user": None,
        "version": "1.0.0",
        "created": False,
        "active": True,
    }


def test_the_export_is_json_for_people_too() -> None:
    make_version(document=TWO)
    out = io.StringIO()
    call_command("export_schema", THING, stdout=out)
    assert json.loads(out.getvalue())["definition"]["fields"] == {
        "a": {"type": "string"},
        "b": {"type": "number"},
    }


def test_an_owner_is_named_by_username_email_or_id(file: Path) -> None:
    owner = make_user(username="ada", email="ada@example.org")
    for name in ("ada", "ADA@example.org", str(owner.pk)):
        assert run("register_schema", str(file), "--user", name, "--activate")["user"] == "ada"
    version = SchemaVersion.objects.get()
    assert (version.user_id, version.is_active) == (owner.pk, True)
    assert run("activate_schema", THING, "1.0.0", "--user", "ada")["user"] == "ada"
    assert run("export_schema", THING, "--user", "ada", "--number", "1.0.0")["version"] == "1.0.0"
    assert refused("export_schema", THING).returncode == 2
    # A variable that is empty in a shell must not change what everybody has.
    assert refused("register_schema", str(file), "--user", "").returncode == 2


def test_standard_input_and_a_bare_definition(monkeypatch: pytest.MonkeyPatch) -> None:
    stdin = io.TextIOWrapper(io.BytesIO(json.dumps(ONE).encode()))
    monkeypatch.setattr(sys, "stdin", stdin)
    assert run("register_schema", "-", "--entity-type", "other")["entity_type"] == "other"


def test_a_review_is_asked_for_and_the_refusal_registers_nothing(file: Path) -> None:
    make_version(document=TWO)
    refusal = refused("register_schema", str(file), "--activate")
    assert refusal.returncode == 1
    assert "--without-review" in str(refusal)
    assert SchemaVersion.objects.count() == 1
    assert run("register_schema", str(file), "--activate", "--without-review", "urgent")["active"] is True
    assert AuditEvent.objects.latest("id").reason == "urgent"


def test_refusals_are_json_too_with_a_stable_code(file: Path) -> None:
    make_version(document=TWO)
    out = io.StringIO()
    with pytest.raises(CommandError):
        call_command("register_schema", str(file), "--activate", "--json", stdout=out, stderr=io.StringIO())
    assert json.loads(out.getvalue())["error"] == "review_needed"


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", 1),
        (b"{", 1),
        (b'{"a": NaN}', 1),
        (b"\xff\xfe", 1),
        (b"[]", 2),
        (b'{"fields": {}}', 2),
        (b'{"definition": {}, "entity_type": 7}', 2),
        (b'{"definition": {"fields": 1}, "entity_type": "thing"}', 1),
        (b'{"definition": {"fields": {}}, "entity_type": "Thing"}', 1),
    ],
)
def test_a_bad_file_is_told_apart_from_a_wrong_call(tmp_path: Path, content: bytes, code: int) -> None:
    path = tmp_path / "bad.json"
    path.write_bytes(content)
    assert refused("register_schema", str(path)).returncode == code
    assert not SchemaVersion.objects.exists()


def test_every_problem_is_a_line(tmp_path: Path) -> None:
    path = tmp_path / "bad.json"
    path.write_text(
        json.dumps({"entity_type": THING, "definition": {"fields": {"_a": {"type": "x"}, " ": 1}}})
    )
    message = str(refused("register_schema", str(path)))
    assert len(message.splitlines()) >= 4


def test_a_file_for_another_type_is_refused(file: Path) -> None:
    assert refused("register_schema", str(file), "--entity-type", "other").returncode == 2


@pytest.mark.parametrize(
    "arguments",
    [
        ("register_schema", "/nowhere/at/all.json"),
        ("register_schema", "/"),
        ("register_schema", "a\0b"),
        ("activate_schema", THING, "1.0.0", "--user", "nobody"),
        ("activate_schema", THING, "9.9.9"),
        ("activate_schema", THING, "1"),
        ("activate_schema", THING, "1.٠.0"),
        ("activate_schema", "nothing", "1.0.0"),
        ("activate_schema", THING, "99999999999999999999.0.0"),
        ("export_schema", "nothing"),
        ("export_schema", "no\udcffthing"),
        ("export_schema", THING, "--number", "7.0.0"),
    ],
)
def test_what_is_named_and_does_not_exist_is_wrong_usage(arguments: tuple[str, ...]) -> None:
    make_version(document=ONE)
    assert refused(*arguments).returncode == 2
