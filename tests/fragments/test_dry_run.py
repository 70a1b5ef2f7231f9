"""--dry-run tells exactly what the run would do, and writes nothing."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from fragments.models import IngestRun
from schemaevo.kernel.models import User
from tests.content import stored_content
from tests.factories import THING, make_definition, make_file, make_user, make_version

pytestmark = pytest.mark.django_db

AT = "2024-05-01T00:00:00Z"
COUNTED = ("records", "observations", "duplicates", "fragments", "rejected")


def ingest(path: Path, *arguments: str) -> dict[str, Any]:
    out = io.StringIO()
    command = ["ingest", str(path), "--entity-type", THING, "--key-field", "k", "--json"]
    call_command(
        *command, "--observed-at", AT, "--batch-size", "3", *arguments, stdout=out, stderr=io.StringIO()
    )
    summary: dict[str, Any] = json.loads(out.getvalue().splitlines()[-1])
    return summary


def record(k: int, owner: str = "ada", **fields: Any) -> dict[str, Any]:
    return {"k": k, "o": owner, "id": f"id-{k}", "at": AT, **fields}


@pytest.fixture
def records() -> list[Any]:
    make_user(username="ada")
    number = {"type": "number", "converters": ["string_to_number"]}
    make_version(document=make_definition(a=number, at="date", id="string"))
    return [
        record(1, a=1),
        record(2, a="2", b=None),
        b"broken",
        record(3, a="x", b=[1]),
        record(1, a=1),
        record(4, "eve", c=1),
        record(1, a=2),
        record(4, "eve", c=1),
        record(5, "eve", _bad=1),
        {"k": 6},
    ]


FIELDS = ("--user-field", "o", "--id-field", "id", "--observed-at-field", "at")


@pytest.mark.parametrize("options", [(), ("--create-users",), ("--create-users", "--source", "feed")])
def test_it_foresees_what_the_run_then_does(
    tmp_path: Path, records: list[Any], options: tuple[str, ...]
) -> None:
    earlier = make_file(path=tmp_path / "earlier.jsonl", records=records[:2])
    file = make_file(path=tmp_path / "things.jsonl", records=records)
    ingest(earlier, *FIELDS, "--source", "feed")
    content, runs, users = stored_content(), IngestRun.objects.count(), User.objects.count()
    foreseen = ingest(file, *FIELDS, *options, "--dry-run")
    assert (stored_content(), IngestRun.objects.count(), User.objects.count()) == (content, runs, users)
    assert foreseen["run"] is None
    done = ingest(file, *FIELDS, *options)
    assert [foreseen[name] for name in COUNTED] == [done[name] for name in COUNTED]
    again = ingest(file, *FIELDS, *options, "--dry-run")
    assert (again["observations"], again["fragments"], again["rejected"]) == (0, 0, done["rejected"])


def test_fragments_are_told_by_field_and_reason_and_rejections_by_code(
    tmp_path: Path, records: list[Any]
) -> None:
    file = make_file(path=tmp_path / "things.jsonl", records=records)
    foreseen = ingest(file, *FIELDS, "--create-users", "--dry-run")
    assert foreseen["by_field"] == {
        "a": {"converted_original": 1, "type_mismatch": 1},
        "b": {"unknown_field": 2},
        "c": {"unknown_field": 1},
        "_bad": {"invalid_name": 1},
    }
    assert foreseen["by_code"] == {"unstorable_json": 1, "id_conflict": 1, "missing_user": 1}


def test_people_read_it_line_by_line(tmp_path: Path, records: list[Any]) -> None:
    file = make_file(path=tmp_path / "things.jsonl", records=records)
    out = io.StringIO()
    call_command("ingest", str(file), entity_type=THING, key_field="k", user="ada", dry_run=True, stdout=out)
    assert "Nothing was written" in out.getvalue()
    assert "  o: 8 unknown_field" in out.getvalue()
    assert "rejected, unstorable_json: 1" in out.getvalue()


def test_it_writes_no_dead_letters_either(tmp_path: Path, records: list[Any]) -> None:
    file = make_file(path=tmp_path / "things.jsonl", records=records)
    with pytest.raises(CommandError) as refusal:
        ingest(file, "--user", "ada", "--dry-run", "--dead-letter", str(tmp_path / "letters"))
    assert refusal.value.returncode == 2
    assert not (tmp_path / "letters").exists()
