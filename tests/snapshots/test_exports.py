"""What leaves the store is whole, exact, in order, and enough to build the same content again."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fragments.models import RawFragment
from fragments.selectors_exports import observations_with_fragments
from fragments.services.formats import Format, read_records
from fragments.services.ingest import Input, ingest
from fragments.services.records import IngestOptions
from registry.domain.definition import Definition
from schemaevo.kernel.canonical import canonical_bytes, decode
from schemaevo.kernel.errors import Conflict
from schemaevo.kernel.streams import new_file, one_instant
from snapshots.models import Observation
from snapshots.selectors_exports import observations_exported, snapshots_exported
from tests.content import forget_content, stored_content
from tests.domain.histories import FIELD_NAMES, definitions, values
from tests.factories import NOON, SHELL, THING, make_definition, make_run, make_user, make_version
from tests.rounds import rounds

names = st.sampled_from([*FIELD_NAMES, "_deleted", "_x", "", " a", "x" * 200, "'\"\\", "\u202e"])
records = st.dictionaries(names, values, max_size=5).flatmap(
    lambda fields: st.sampled_from(["one", "two", 3, "Ä"]).map(lambda key: {**fields, "k": key})
)
runs = st.fixed_dictionaries(
    {
        "records": st.lists(records, max_size=6),
        # Several runs at one time from one source: equal values are seen again, and times are equal.
        "source": st.sampled_from(["feed", "file"]),
        "observed_at": st.sampled_from([NOON, NOON, NOON + timedelta(microseconds=1)]),
        "priority": st.sampled_from([100, 100, 7]),
        "kind": st.sampled_from([None, "human"]),
        "specificity": st.sampled_from([1.0, 0.1]),
    }
)


@pytest.mark.rounds
@pytest.mark.django_db
@settings(
    max_examples=rounds(20),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    definition=st.none() | definitions(),
    history=st.lists(runs, max_size=5),
    order=st.randoms(use_true_random=False),
    batch_size=st.integers(1, 8),
)
def test_exported_observations_build_the_same_content_again(
    definition: Definition | None, history: list[dict[str, Any]], order: Any, batch_size: int
) -> None:
    with transaction.atomic():
        owners = [make_user(), make_user()]
        if definition is not None:
            make_version(document=definition.to_json())
        for number, run in enumerate(history):
            make_run(user=owners[number % 2], **run)
        content = stored_content()
        lines = list(map(canonical_bytes, observations_with_fragments(entity_type=THING)))
        count = len(lines)
        assert count == Observation.objects.count()

        with connection.cursor() as cursor:
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")  # tables with checks pending cannot be emptied
        forget_content()
        order.shuffle(lines)
        # Some twice, as after an import that was broken off and begun again.
        again = lines[: count // 2]
        done = ingest(
            source=Input(read_records(iter([*lines, *again]), Format.OBSERVATIONS, ()), "stream"),
            options=replace(IngestOptions.for_export(entity_type=THING), batch_size=batch_size),
            actor=SHELL,
        )

        assert (done.observation_count, done.duplicate_count, done.rejected_count) == (count, len(again), 0)
        assert stored_content() == content
        transaction.set_rollback(True)


@pytest.mark.django_db
def test_a_line_holds_the_observation_and_its_fragments() -> None:
    owner = make_user(username="ann")
    make_version(document=make_definition(total={"type": "number", "converters": ["string_to_number"]}))
    make_run(
        user=owner,
        records=[{"k": "A", "total": "12.50", "colour": None}, {"k": "A", "total": 13, "colour": None}],
        kind="human",
    )

    first, second = observations_with_fragments(entity_type=THING)

    assert first | {"id": "", "content_id": ""} == {
        "id": "",
        "content_id": "",
        "entity_type": THING,
        "user": "ann",
        "user_id": owner.pk,
        "key": "A",
        "observed_at": "2024-05-01T12:00:00.000001Z",
        "source": {"name": "feed", "content_hash": ""},
        "priority": 100,
        "specificity": 1,
        "kind": "human",
        "origin": "ingest",
        "ranks_as": None,
        "schema_version": "1.0.0",
        "fields": {"total": decode("12.5")},
        "fragments": [
            {"field": "total", "value": "12.50", "reason": "converted_original", "count": 1},
        ],
    }
    assert second["fields"] == {"total": 13}
    assert second["fragments"] == [{"field": "colour", "value": None, "reason": "unknown_field", "count": 2}]


@pytest.mark.django_db
def test_snapshots_come_by_owner_and_key_with_their_version() -> None:
    one, two = make_user(username="zoe"), make_user(username="abe")
    make_run(user=two, records=[{"k": "y", "a": 1}])
    make_version(document=make_definition(a="number"), user=one)
    make_run(
        user=one,
        records=[{"k": "b", "a": 2}, {"k": "a", "a": 1, "other": 1}, {"k": "gone", "_deleted": True}],
    )

    exported = [
        (line["user"], line["key"], line["deleted"], line["schema_version"], line["values"])
        for line in snapshots_exported(entity_type=THING, with_deleted=True)
    ]

    assert exported == [
        ("zoe", "a", False, "1.0.0", {"a": 1}),
        ("zoe", "b", False, "1.0.0", {"a": 2}),
        ("zoe", "gone", True, "1.0.0", {}),
        ("abe", "y", False, None, {"a": 1, "k": "y"}),
    ]
    assert [line["key"] for line in snapshots_exported(entity_type=THING)] == ["a", "b", "y"]
    assert [line["key"] for line in snapshots_exported(entity_type=THING, user_id=two.pk)] == ["y"]
    assert list(snapshots_exported(entity_type="other")) == []


@pytest.mark.django_db
def test_only_one_owner_and_type_are_exported() -> None:
    one, two = make_user(), make_user()
    for owner in (one, two):
        make_version(document=make_definition(a="number"), user=owner)
        make_run(user=owner, records=[{"k": "x", "a": 1, "left": 1}])
        make_run(user=owner, records=[{"k": "x", "a": 1}], entity_type="other")

    (line,) = observations_with_fragments(entity_type=THING, user_id=two.pk)

    assert (line["user_id"], line["fields"]) == (two.pk, {"a": 1})
    assert [f["field"] for f in line["fragments"] if isinstance(f, dict)] == ["left"]  # type: ignore[union-attr]


@pytest.mark.django_db
@pytest.mark.parametrize("export", [snapshots_exported, observations_exported, observations_with_fragments])
def test_rows_are_read_through_cursors_of_the_server(export: Any) -> None:
    make_run(user=make_user(), records=[{"k": str(n)} for n in range(3)])
    with closing(export(entity_type=THING)) as lines:
        next(lines)
        assert open_cursors() >= 1
    assert open_cursors() == 0


def open_cursors() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_cursors WHERE name LIKE '\\_django\\_curs%'")
        return int(cursor.fetchone()[0])


@pytest.mark.django_db
def test_a_fragment_whose_observation_is_missing_is_not_passed_over_in_silence() -> None:
    make_version(document=make_definition(a="number"))
    make_run(user=make_user(), records=[{"k": "1", "left": 1}, {"k": "2", "left": 2}])
    row = RawFragment.objects.order_by("id").first()
    assert row is not None
    RawFragment.objects.filter(pk=row.pk).update(observation_id="00000000-0000-4000-8000-000000000000")

    with pytest.raises(Conflict) as raised:
        list(observations_with_fragments(entity_type=THING))
    assert raised.value.code == "dangling_fragments"
    # What is left to the garbage collector would break the next transaction.
    assert open_cursors() == 0


def run(command: str, *arguments: str) -> dict[str, Any]:
    out = io.StringIO()
    call_command(command, *arguments, "--json", stdout=out, stderr=io.StringIO())
    result: dict[str, Any] = json.loads(out.getvalue())
    return result


@pytest.mark.django_db(transaction=True)
def test_the_commands_write_a_whole_file_for_its_owner_only(tmp_path: Path) -> None:
    owner = make_user()
    make_run(user=owner, records=[{"k": "1", "Straße": "ß", "n": 10**30}, {"k": "2", "_deleted": True}])
    snapshots, observations = tmp_path / "s.jsonl", tmp_path / "o.jsonl"

    assert run("export_snapshots", THING, "--output", str(snapshots)) == {
        "lines": 1,
        "output": str(snapshots),
    }
    assert (
        run("export_observations", THING, "--user", str(owner.pk), "--output", str(observations))["lines"]
        == 2
    )

    line = decode(snapshots.read_bytes())
    assert isinstance(line, dict)
    assert line["values"] == {"Straße": "ß", "k": "1", "n": 10**30}
    assert len(observations.read_bytes().splitlines()) == 2
    assert snapshots.stat().st_mode & 0o777 == 0o600
    assert sorted(path.name for path in tmp_path.iterdir()) == ["o.jsonl", "s.jsonl"]

    before = snapshots.read_bytes()
    with pytest.raises(CommandError, match="exists already"):
        run("export_snapshots", THING, "--deleted", "--output", str(snapshots))
    assert snapshots.read_bytes() == before
    with pytest.raises(CommandError, match="cannot be written"):
        run("export_snapshots", THING, "--output", str(tmp_path / "nowhere" / "x"))


@pytest.mark.django_db(transaction=True)
def test_lines_on_standard_output_are_utf8_and_nothing_else_is_there() -> None:
    make_run(user=make_user(), records=[{"k": "1", "Straße": "ß"}])
    binary = io.BytesIO()
    out, said = io.TextIOWrapper(binary, encoding="ascii"), io.StringIO()

    call_command("export_snapshots", THING, stdout=out, stderr=said)

    line = decode(binary.getvalue())
    assert isinstance(line, dict)
    assert line["values"] == {"Straße": "ß", "k": "1"}
    assert said.getvalue() == "1 lines\n"
    with pytest.raises(CommandError, match="--output") as raised:
        run("export_snapshots", THING)
    assert raised.value.returncode == 2


@pytest.mark.django_db(transaction=True)
def test_an_export_sees_one_instant() -> None:
    owner = make_user()
    make_run(user=owner, records=[{"k": "1"}])
    with one_instant():
        lines = observations_with_fragments(entity_type=THING)
        first = next(lines)
        late = subprocess.run(
            [sys.executable, "-c", _INGEST, connection.settings_dict["NAME"], str(owner.pk)],
            capture_output=True,
            text=True,
            check=False,
        )
        assert late.returncode == 0, late.stderr
        assert list(lines) == []
        assert [line["id"] for line in observations_with_fragments(entity_type=THING)] == [first["id"]]
    assert Observation.objects.count() == 2


_INGEST = """
import os, sys
server, _, _ = os.environ["DATABASE_URL"].rpartition("/")
os.environ["DATABASE_URL"] = server + "/" + sys.argv[1]
os.environ["DJANGO_SETTINGS_MODULE"] = "schemaevo.settings"
import django; django.setup()
from tests.factories import make_run
make_run(records=[{"k": "2", "left": 1}], user_id=int(sys.argv[2]))
"""


def test_a_file_that_could_not_be_finished_is_not_there(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    with pytest.raises(TypeError), new_file(path) as file:
        file.write("no bytes")  # type: ignore[call-overload]
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(Conflict, match="exists already"), new_file(path) as file:
        path.write_text("somebody else's")
    assert path.read_text() == "somebody else's"
    assert list(tmp_path.iterdir()) == [path]
