"""The ingest command: what it reads, what it prints, and how it exits."""

from __future__ import annotations

import io
import json
import os
import signal
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db.models import Min

from fragments.management.commands import ingest as command
from fragments.models import IngestRun, RawFragment
from fragments.services.files import content_of
from fragments.services.letters import LetterFile
from schemaevo.kernel.models import User
from snapshots.models import EntitySnapshot, Observation, Source
from tests.content import stored_content
from tests.factories import THING, make_definition, make_file, make_snapshot, make_user, make_version

pytestmark = pytest.mark.django_db

RECORDS = [{"k": "x", "a": 1}, {"k": "y", "a": "wrong", "b": None}, {"k": "x", "a": 3}]


@pytest.fixture
def ada() -> User:
    """The owner of what is ingested; `a` is declared a number."""
    make_version(document=make_definition(a="number"))
    return make_user(username="ada", email="ada@example.org")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return make_file(path=tmp_path / "things.jsonl", records=RECORDS)


def run(path: Path | str, *arguments: str) -> tuple[dict[str, Any], int]:
    """Runs the command with --json for owner ada, unless told otherwise; gives its summary and exit code."""
    owner = () if "--user-field" in arguments or "--user" in arguments else ("--user", "ada")
    out = io.StringIO()
    code = 0
    try:
        call_command(
            "ingest",
            str(path),
            "--entity-type",
            THING,
            "--key-field",
            "k",
            *owner,
            *arguments,
            "--json",
            stdout=out,
            stderr=io.StringIO(),
        )
    except SystemExit as end:
        code = int(end.code or 0)
    return json.loads(out.getvalue().splitlines()[-1]), code


def refused(path: Path | str, *arguments: str) -> CommandError:
    with pytest.raises(CommandError) as refusal:
        run(path, *arguments)
    return refusal.value


def stdin(monkeypatch: pytest.MonkeyPatch, *records: Any) -> None:
    lines = b"".join(json.dumps(record).encode() + b"\n" for record in records)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(lines)))


def test_the_summary_tells_what_became_of_the_records(ada: User, file: Path) -> None:
    file.write_bytes(file.read_bytes() + b"broken\n" + json.dumps(RECORDS[0]).encode())
    summary, code = run(file, "--observed-at-field", "at")
    seconds, per_second = summary.pop("seconds"), summary.pop("per_second")
    assert seconds >= 0
    assert per_second > 0
    assert (summary, code) == (
        {
            "run": IngestRun.objects.get().pk,
            "records": 5,
            "observations": 4,
            "duplicates": 0,
            "fragments": 2,
            "rejected": 1,
            "retracted": 0,
            "schema_cache": {"hits": 0, "misses": 1, "stale": 0},
        },
        0,
    )


@pytest.mark.django_db(transaction=True)
def test_the_cache_of_schemas_is_told_of_to_who_asks_for_more_words(ada: User, file: Path) -> None:
    out = io.StringIO()
    given = {"entity_type": THING, "key_field": "k", "user": "ada", "batch_size": 1, "stdout": out}
    call_command("ingest", str(file), **given)
    assert "from memory" not in out.getvalue()
    call_command("ingest", str(file), verbosity=2, **given)
    assert "Schemas: 3 loads from memory, 0 from the database, 0 because of a change." in out.getvalue()


def test_people_read_a_sentence(ada: User, file: Path) -> None:
    out = io.StringIO()
    call_command("ingest", str(file), entity_type=THING, key_field="k", user="ADA@example.org", stdout=out)
    assert "3 records" in out.getvalue()
    assert "2 fragments, 0 rejected." in out.getvalue()


def test_the_files_own_time_is_the_time_of_its_records(ada: User, file: Path) -> None:
    moment = datetime(2020, 2, 29, 1, 2, 3, tzinfo=UTC)
    os.utime(file, (moment.timestamp() + 0.75, moment.timestamp() + 0.75))
    run(file)
    times = list(Observation.objects.order_by("observed_at").values_list("observed_at", flat=True))
    assert times == [moment + timedelta(microseconds=number) for number in (1, 2, 3)]
    assert make_snapshot(user=ada, key="x").values == {"a": 3}  # the later line wins


def test_known_content_takes_the_time_of_its_first_run(ada: User, file: Path, tmp_path: Path) -> None:
    os.utime(file, (1_000_000_000, 1_000_000_000))
    run(file)
    before = stored_content()
    os.utime(file, (1_700_000_000, 1_700_000_000))
    summary, _ = run(file)
    assert (summary["observations"], summary["duplicates"]) == (0, 3)
    elsewhere = tmp_path / "copy"
    elsewhere.mkdir()
    copied = make_file(path=elsewhere / file.name, records=RECORDS)
    summary, _ = run(copied)
    assert (summary["observations"], summary["duplicates"]) == (0, 3)
    assert stored_content() == before
    assert IngestRun.objects.aggregate(Min("default_observed_at"))["default_observed_at__min"] == datetime(
        2001, 9, 9, 1, 46, 40, tzinfo=UTC
    )


def test_known_content_of_another_type_has_its_own_time(ada: User, file: Path) -> None:
    os.utime(file, (1_000_000_000, 1_000_000_000))
    run(file)
    os.utime(file, (1_100_000_000, 1_100_000_000))
    run(file, "--entity-type", "other")
    other = Observation.objects.filter(entity_type="other").aggregate(first=Min("observed_at"))["first"]
    assert other.timestamp() == pytest.approx(1_100_000_000.000001)


def test_a_given_time_and_source_are_taken(ada: User, file: Path) -> None:
    run(
        file,
        "--observed-at",
        "2024-05-01T12:00",
        "--source",
        "my feed",
        "--priority",
        "-5",
        "--kind",
        "human",
    )
    row = Observation.objects.order_by("observed_at")[0]
    assert row.observed_at == datetime(2024, 5, 1, 12, 0, 0, 1, tzinfo=UTC)
    assert (row.priority, row.kind) == (-5, "human")
    source = Source.objects.get()
    assert (source.name, source.content_hash) == ("my feed", "")


def test_a_file_is_a_source_by_name_and_content(ada: User, file: Path) -> None:
    run(file)
    make_file(path=file, records=[{"k": "z"}])
    run(file)
    assert list(Source.objects.values_list("name", flat=True)) == ["things.jsonl", "things.jsonl"]
    assert Source.objects.values("content_hash").distinct().count() == 2


def test_a_stream_needs_a_time(ada: User, monkeypatch: pytest.MonkeyPatch) -> None:
    stdin(monkeypatch, *RECORDS)
    refusal = refused("-")
    assert refusal.returncode == 2
    assert "--observed-at" in str(refusal)
    assert not IngestRun.objects.exists()
    summary, _ = run("-", "--observed-at", "2024-05-01")
    assert summary["observations"] == 3
    stdin(monkeypatch, {"k": 1, "at": "2024-05-01"}, {"k": 2})
    summary, code = run("-", "--observed-at-field", "at")
    assert (summary["observations"], summary["rejected"], code) == (1, 1, 0)


def test_owners_from_a_field_are_made_only_if_asked_for(ada: User, tmp_path: Path) -> None:
    file = make_file(path=tmp_path / "o.jsonl", records=[{"k": 1, "o": "ada"}, {"k": 2, "o": "eve"}])
    summary, _ = run(file, "--user-field", "o")
    assert (summary["observations"], summary["rejected"]) == (1, 1)
    assert refused(file, "--create-users").returncode == 2
    summary, _ = run(file, "--user-field", "o", "--create-users")
    assert (summary["observations"], summary["duplicates"]) == (1, 1)
    assert User.objects.filter(username="eve").exists()


def test_the_dead_letter_file_has_line_reason_and_record(ada: User, tmp_path: Path) -> None:
    file = make_file(
        path=tmp_path / "bad.jsonl",
        records=[{"k": 1}, b"", b'{"k":"\xff"}', {"a": 1}, {"k": "x", "at": "never"}],
    )
    letters = tmp_path / "letters.jsonl"
    summary, code = run(file, "--observed-at-field", "at", "--dead-letter", str(letters), "--batch-size", "2")
    assert (summary["rejected"], code) == (3, 0)
    found = [json.loads(line) for line in letters.read_text().splitlines()]
    assert [(letter["file"], letter["line"], letter["field"], letter["reason"]) for letter in found] == [
        ("bad.jsonl", 3, None, "not_utf8"),
        ("bad.jsonl", 4, "k", "missing_key"),
        ("bad.jsonl", 5, "at", "unreadable_time"),
    ]
    assert found[0]["record"] == '{"k":"\\xff"}'
    assert json.loads(found[1]["record"]) == {"a": 1}
    assert all(letter["message"] for letter in found)
    assert refused(file, "--dead-letter", str(tmp_path)).returncode == 2


@pytest.mark.parametrize(
    ("records", "code"),
    [
        ([], 0),
        ([b"", b"  "], 0),
        ([b"broken"], 1),
        ([b"broken", {"a": 1}], 1),
        ([b"broken", {"k": 1}], 0),
        ([{"k": 1}], 0),
    ],
)
def test_it_fails_only_if_nothing_could_be_read(
    ada: User, tmp_path: Path, records: list[Any], code: int
) -> None:
    file = make_file(path=tmp_path / "some.jsonl", records=records)
    assert run(file)[1] == code


def test_only_duplicates_are_no_failure(ada: User, file: Path) -> None:
    run(file)
    summary, code = run(file)
    assert (summary["duplicates"], code) == (3, 0)


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("--user", "nobody"), 2),
        (("--observed-at", "yesterday"), 2),
        (("--observed-at", "2024-02-30"), 2),
        (("--entity-type", "Bad Type"), 2),
        (("--priority", "99999999999"), 2),
        (("--kind", ""), 2),
        (("--source", ""), 2),
        (("--source", "x" * 501), 2),
        (("--user", "\udcff"), 2),
        (("--user-field", "\udcff"), 2),
        (("--observed-at-field", "\udcff"), 2),
    ],
)
def test_wrong_usage_is_told_before_anything_is_read(
    ada: User, file: Path, arguments: tuple[str, ...], code: int
) -> None:
    assert refused(file, *arguments).returncode == code
    assert not IngestRun.objects.exists()


@pytest.mark.parametrize("path", ["/nowhere/things.jsonl", "/"])
def test_a_file_that_cannot_be_read_is_a_failure(ada: User, path: str) -> None:
    refusal = refused(path)
    assert refusal.returncode == 1
    assert path in str(refusal)


def test_a_path_that_can_be_read_only_once_is_refused(ada: User, tmp_path: Path) -> None:
    """As the shell's <(…) gives it: identified first and read then, it would be empty."""
    reader, writer = os.pipe()
    os.write(writer, b'{"k":1}\n')
    os.close(writer)
    try:
        refusal = refused(f"/dev/fd/{reader}")
    finally:
        os.close(reader)
    assert refusal.returncode == 2
    assert "standard input" in str(refusal)
    assert not IngestRun.objects.exists()


def test_a_file_that_changes_while_it_is_read_fails_the_run(
    ada: User, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def hash_and_rewrite(opened: Any) -> Any:
        content = content_of(opened)
        make_file(path=file, records=RECORDS[:2])
        return content

    monkeypatch.setattr(command, "content_of", hash_and_rewrite)
    assert refused(file).returncode == 1
    failed = IngestRun.objects.get()
    assert (failed.state, failed.record_count) == ("failed", 0)
    assert "changed while it was read" in failed.error


def test_sigterm_ends_a_run_as_an_interrupt_does(
    ada: User, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def get_sigterm(letters: LetterFile, name: str, rejections: Any) -> None:
        signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(LetterFile, "write", get_sigterm)
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    with pytest.raises(KeyboardInterrupt):
        run(file, "--dead-letter", os.devnull)
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    assert (IngestRun.objects.get().state, Observation.objects.count()) == ("failed", 3)


def test_a_file_whose_name_is_no_text_is_read(ada: User, tmp_path: Path) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.jsonl"))
    make_file(path=path, records=RECORDS)
    assert run(path)[0]["observations"] == 3
    assert IngestRun.objects.get().name == "caf\\xe9.jsonl"


def test_ids_in_a_field_are_per_user(ada: User, tmp_path: Path) -> None:
    make_user(username="bob")
    at = "2024-05-01T00:00:00Z"
    records = [
        {"k": "x", "o": "ada", "id": "1", "at": at, "a": 1},
        {"k": "x", "o": "bob", "id": "1", "at": at, "a": 2},
        {"k": "x", "o": "ada", "id": "1", "at": at, "a": 2},
    ]
    file = make_file(path=tmp_path / "ids.jsonl", records=records)
    summary, _ = run(file, "--user-field", "o", "--id-field", "id", "--observed-at-field", "at")
    assert (summary["observations"], summary["rejected"]) == (2, 1)
    assert [e.values for e in EntitySnapshot.objects.order_by("user_id")] == [{"a": 1}, {"a": 2}]
    assert set(RawFragment.objects.values_list("fragment_key", flat=True)) == {"id"}


@pytest.mark.parametrize(
    ("form", "data"), [("csv", b'k,a\nx,"1\n"\ny,\n'), ("json", b'[{"k":"x","a":1},\n{"k":"y"}]')]
)
def test_a_stream_has_the_format_that_is_named(
    ada: User, monkeypatch: pytest.MonkeyPatch, form: str, data: bytes
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
    summary, code = run("-", "--observed-at", "2024-05-01", "--format", form)
    assert (summary["observations"], summary["rejected"], code) == (2, 0, 0)
    assert Source.objects.get().name == "stream"
