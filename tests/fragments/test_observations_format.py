"""What `export_observations` wrote is ingested as the observations that it was, by the command and its options."""

from __future__ import annotations

import io
import json
import random
import sys
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError
from django.db import connection
from django.db.models import Sum

from fragments.models import IngestRun, RawFragment
from fragments.services.formats import Format, read_records
from fragments.services.ingest import Input, ingest
from fragments.services.records import IngestOptions
from schemaevo.kernel.actors import Actor
from schemaevo.kernel.canonical import canonical_bytes
from schemaevo.kernel.errors import Denied
from schemaevo.kernel.models import User
from snapshots.domain.identity import entity_id, source_id
from snapshots.models import EntitySnapshot, Observation, Source
from tests.content import CONTENT, forget_content, stored_content
from tests.factories import (
    NOON,
    THING,
    make_definition,
    make_file,
    make_login,
    make_run,
    make_snapshot,
    make_user,
    make_version,
)
from tests.fragments.exports import (
    Line,
    exported_lines,
    forget,
    id_numbered,
    import_export,
    make_exported,
    make_import,
    run,
)
from tests.threads import side_by_side

DOCUMENT = make_definition(
    total={"type": "number", "converters": ["string_to_number"], "constraints": {"max": 1000}},
    tags="array",
    born="date",
    state="string",
    policies={"tags": {"strategy": "merge_array"}, "state": {"strategy": "highest_priority"}},
)


def test_the_commands_build_the_same_store_again(
    transactional_db: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    empty_store()
    fill_store(tmp_path)
    content = stored_content()
    ids = dict(User.objects.values_list("username", "pk"))
    things, free = tmp_path / "things.export", tmp_path / "free.export"
    assert run("export_observations", THING, "--output", things)[0]["lines"] == 14
    run("export_observations", "free", "--output", free)
    schemas = [export_schema(tmp_path), export_schema(tmp_path, "--user", "bob")]

    empty_store()
    # A schema of one's own needs its owner first; all others are made by what they own.
    make_user(username="bob", pk=ids["bob"])
    run("register_schema", schemas[0], "--activate")
    run("register_schema", schemas[1], "--activate", "--user", "bob")
    foreseen = import_export(things, "--create-users", "--dry-run")
    assert Observation.objects.count() == 0
    summary = import_export(things, "--create-users")
    counts = ("records", "observations", "duplicates", "fragments", "rejected")
    assert [summary[name] for name in counts] == [foreseen[name] for name in counts]
    assert (summary["observations"], summary["rejected"]) == (14, 0)
    assert summary["fragments"] == RawFragment.objects.aggregate(n=Sum("frequency_count"))["n"]
    import_export(free, "--create-users", entity_type="free")

    assert stored_content() == content
    here = dict(User.objects.values_list("username", "pk"))
    assert here == {name: ids[name] for name in ("ada", "bob", "eve")}
    verified, code = run("verify", "--all")
    assert (verified["divergent"], verified["waiting"], code) == (0, 0, 0)
    # Whoever is made next gets an id that nobody has.
    assert make_user().pk > max(ids.values())

    again = import_export(things)
    assert (again["observations"], again["duplicates"], again["fragments"]) == (0, 14, 0)
    assert stored_content() == content

    lines = [*things.read_bytes().splitlines(), *things.read_bytes().splitlines()[:5]]
    for seed in range(3):
        forget_content()
        random.Random(seed).shuffle(lines)
        stdin = io.TextIOWrapper(io.BytesIO(b"\n".join(lines)))
        monkeypatch.setattr(sys, "stdin", stdin)
        summary = import_export("-", "--batch-size", seed + 1)
        assert (summary["observations"], summary["duplicates"], summary["rejected"]) == (14, 5, 0)
        import_export(free, entity_type="free")
        assert stored_content() == content
        assert run("verify", "--all")[1] == 0


def test_imports_side_by_side_are_the_same_as_one(transactional_db: None) -> None:
    empty_store()
    make_version(document=DOCUMENT)
    for number in range(4):
        records = [{"k": n % 5, "total": str(n % 3), "colour": n % 2, "n": n} for n in range(20)]
        make_run(user=make_user(username=f"o{number}"), records=records, source=f"feed {number % 2}")
    content, lines = stored_content(), exported_lines()
    empty_store()
    make_version(document=DOCUMENT)

    def in_this_order(order: list[Line]) -> IngestRun:
        return make_import(lines=order, create_users=True, batch_size=7)

    orders = [random.Random(seed).sample(lines, 60) for seed in range(2)]
    runs = side_by_side([partial(in_this_order, order) for order in (*orders, lines[::-1])])
    assert [run.rejected_count for run in runs] == [0, 0, 0]
    assert sum(run.observation_count for run in runs) == len(lines) == 80
    assert stored_content() == content


def empty_store() -> None:
    """Not even users and schemas are there, and ids begin anew."""
    with connection.cursor() as cursor:
        cursor.execute(
            "TRUNCATE users, schemas, schema_registry, schema_epochs, ingest_runs, dead_letters,"
            f" {', '.join(CONTENT)} RESTART IDENTITY CASCADE"
        )


def fill_store(directory: Path) -> None:
    """Two owners with and one without a schema of their own, several files, a named source, and all sorts of values."""
    make_version(document=DOCUMENT)
    make_user(username="not an owner")
    make_version(document=make_definition(colour="string"), user=make_user(username="bob"))
    owned = ("--entity-type", THING, "--user-field", "owner", "--create-users", "--key-field", "k")
    deep: Any = 1
    for _ in range(99):
        deep = [deep]
    at = "2024-05-01T12:00:00.000001Z"
    first: list[Line] = [
        {
            "k": "A",
            "owner": "ada",
            "at": at,
            "total": "12.50",
            "colour": "blue",
            "tags": ["x"],
            "_deleted": True,
        },
        {"k": "A", "owner": "ada", "at": at, "total": "12.50", "colour": "blue", "tags": ["y", "x"]},
        {"k": "A", "owner": "ada", "at": "2024-05-01", "total": "12.50", "colour": None, "born": None},
        {"k": "A", "owner": "bob", "at": at, "total": "no number", "colour": "red", "born": "yesterday"},
        {"k": "A", "owner": "bob", "at": "0001-01-01", "total": 5000, "colour": 7, "": "no name"},
        {"k": 7, "owner": "eve", "at": "9999-12-31T23:59:59.999999Z", "n": 2**70, "f": 0.1},
        {"k": 7, "owner": "eve", "at": at, "deep": deep, "_x": {"b": [1.5e300], "a": "\u2028ß\U0001f600"}},
    ]
    run("ingest", make_file(path=directory / "a.jsonl", records=first), *owned, "--observed-at-field", "at")
    # The same values from another file are other fragments.
    twice = [first[0], {**first[1], "id": "one"}, {**first[2], "id": "two", "_deleted": False}]
    second = make_file(path=directory / "b.jsonl", records=twice[1:])
    run("ingest", second, *owned, "--observed-at-field", "at", "--id-field", "id", "--priority", "7")
    table = directory / "c.csv"
    table.write_text('k,owner,total,state\nA,ada,1e3,"open, new"\nB,ada,,closed\n')
    run("ingest", table, *owned, "--kind", "human", "--priority", "1000", "--observed-at", "2024-05-02")
    named = ("--source", "my feed", "--observed-at", "2024-05-01T12:00:00Z", "--kind", "sensor")
    run("ingest", make_file(path=directory / "d.jsonl", records=twice[:1]), *owned, *named)
    for specificity in (0.1, 2.5):
        make_run(
            user=User.objects.get(username="eve"),
            records=[{"k": "S", "total": "9", "colour": "blue"}],
            specificity=specificity,
        )
    free = ("--entity-type", "free", "--user", "ada", "--key-field", "k")
    run("ingest", make_file(path=directory / "free.jsonl", records=first[:3]), *free)


def export_schema(directory: Path, *arguments: str) -> Path:
    document, _ = run("export_schema", THING, *arguments)
    path = directory / f"schema{len(arguments)}.json"
    path.write_text(json.dumps(document))
    return path


@pytest.mark.django_db
def test_a_promotion_observation_stays_what_it_is() -> None:
    make_version(document=make_definition(a="number"))
    owner = make_user()
    make_run(user=owner, records=[{"k": "x", "a": 1, "colour": "red"}])
    (line,) = exported_lines()
    promoted = {
        **line,
        "id": "00000000-0000-8000-8000-000000000001",
        "content_id": "00000000-0000-8000-8000-000000000002",
        "origin": "promotion",
        "ranks_as": line["id"],
        "fields": {"colour": "red"},
        "fragments": [],
    }

    forget()
    run = make_import(lines=[promoted, line])
    assert (run.observation_count, run.fragment_count) == (2, 1)
    row = Observation.objects.get(origin="promotion")
    assert (str(row.ranks_as), row.fields) == (line["id"], {"colour": "red"})
    assert make_snapshot(user=owner, key="x").observation_count == 1
    correction = {**promoted, "id": promoted["content_id"], "origin": "correction", "ranks_as": None}
    make_import(lines=[correction])
    assert Observation.objects.get(origin="correction").fields == {}
    lines = {line["id"]: line for line in exported_lines()}
    assert lines[promoted["id"]] == promoted | {"schema_version": "1.0.0"}


@pytest.mark.django_db
def test_what_the_schema_here_says_decides() -> None:
    owner = make_user()
    base = make_version(document=make_definition(a={"type": "number", "converters": ["string_to_number"]}))
    make_run(user=owner, records=[{"k": "x", "a": "1", "b": 2}, {"k": "x", "a": "1", "b": 2}])
    lines = exported_lines()
    forget()
    make_version(document=make_definition(a="string", b="number"), user=owner)

    make_import(lines=lines)
    first, second = Observation.objects.order_by("observed_at")
    assert (first.fields, second.fields) == ({}, {"a": "1", "b": 2})
    assert (first.schema_version_id, second.schema_version_id) == (base.pk, base.pk)
    seen = RawFragment.objects.values_list("fragment_key", "value", "reason", "frequency_count")
    assert list(seen) == [("a", 1, "type_mismatch", 1)]


@pytest.fixture
def line(db: None) -> Line:
    return make_exported()


@pytest.mark.parametrize(
    "arguments",
    [
        ("--user", "ada"),
        ("--user-field", "user"),
        ("--key-field", "key"),
        ("--observed-at-field", "observed_at"),
        ("--observed-at", "2024-05-01"),
        ("--id-field", "id"),
        ("--source", "feed"),
        ("--priority", "100"),
        ("--kind", "human"),
    ],
)
@pytest.mark.django_db
def test_what_every_line_says_is_no_option(arguments: tuple[str, str], tmp_path: Path) -> None:
    file = make_file(path=tmp_path / "o.jsonl", records=[])
    with pytest.raises(CommandError, match=arguments[0]) as refusal:
        import_export(file, *arguments)
    assert refusal.value.returncode == 2
    assert not IngestRun.objects.exists()


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("--user", "ada"), "--key-field"),
        (("--key-field", "k"), "--user"),
        (("--key-field", "k", "--create-users"), "--user"),
        (("--key-field", "k", "--user", "ada", "--format", "jsonl", "--create-users"), "--create-users"),
    ],
)
@pytest.mark.django_db
def test_records_need_an_owner_and_a_key(arguments: tuple[str, ...], named: str, tmp_path: Path) -> None:
    make_user(username="ada")
    # No name of a file makes an export of it.
    file = make_file(path=tmp_path / "r.observations", records=[{"k": 1}])
    with pytest.raises(CommandError, match=named) as refusal:
        run("ingest", file, "--entity-type", THING, *arguments)
    assert refusal.value.returncode == 2
    assert not IngestRun.objects.exists()


def test_it_needs_the_permission_to_ingest(line: Line) -> None:
    with pytest.raises(Denied):
        ingest(
            source=Input(read_records(iter([canonical_bytes(line)]), Format.OBSERVATIONS, ()), "stream"),
            options=IngestOptions.for_export(entity_type=THING),
            actor=Actor.login(make_login(role="viewer")),
        )
    assert not Observation.objects.exists()


def test_sources_are_those_of_the_lines_and_the_run_is_its_own(line: Line, tmp_path: Path) -> None:
    user_id = int(str(line["user_id"]))
    hashed = {**line, "id": id_numbered(1), "source": {"name": "a file\n.jsonl", "content_hash": "ab" * 32}}
    path = make_file(path=tmp_path / "o.jsonl", records=[])
    path.write_bytes(canonical_bytes(line) + b"\n" + canonical_bytes(hashed))
    answer = import_export(path)
    stored = {str(pk) for pk in Source.objects.values_list("pk", flat=True)}
    assert stored == {source_id(user_id, "feed", ""), source_id(user_id, "a file\n.jsonl", "ab" * 32)}
    made = IngestRun.objects.get(pk=answer["run"])
    assert (made.name, made.default_observed_at) == ("o.jsonl", None)
    assert isinstance(made.options, dict)
    assert made.options["is_export"] is True
    assert EntitySnapshot.objects.get().pk.hex == entity_id(user_id, THING, "x").replace("-", "")
    assert set(Observation.objects.values_list("ingest_run_id", flat=True)) == {made.pk}
    assert Observation.objects.earliest("id").observed_at == NOON + timedelta(microseconds=1)
