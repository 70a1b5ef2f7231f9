"""Whatever the input is: no traceback, every record accounted for, and all that is good is stored."""

from __future__ import annotations

import io
import json
import os
import random
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from fragments.models import DeadLetter, IngestRun
from fragments.services import letters
from schemaevo.kernel.models import User
from snapshots.models import EntitySnapshot, Observation
from tests.factories import THING, make_definition, make_file, make_snapshot, make_user, make_version
from tests.rounds import rounds

pytestmark = pytest.mark.django_db


@pytest.fixture
def ada() -> User:
    make_version(
        document=make_definition(
            a={"type": "number", "converters": ["string_to_number"]}, at="date", tags="array"
        )
    )
    return make_user(username="ada")


def ingest(path: Path, *arguments: str) -> dict[str, Any]:
    """The summary of the command; what people read of an error is a message, never a traceback."""
    out = io.StringIO()
    command = ["ingest", str(path), "--entity-type", THING, "--key-field", "k", "--user", "ada", "--json"]
    with suppress(SystemExit):  # where nothing could be read
        call_command(*command, *arguments, stdout=out, stderr=io.StringIO())
    summary: dict[str, Any] = json.loads(out.getvalue().splitlines()[-1])
    return summary


def refused(path: Path, *arguments: str) -> CommandError:
    with pytest.raises(CommandError) as refusal:
        ingest(path, *arguments)
    return refusal.value


def test_csv_becomes_records_and_converters_make_numbers(ada: User, tmp_path: Path) -> None:
    path = tmp_path / "things.csv"
    path.write_bytes(b'\xef\xbb\xbfk,a,note\n1,2.50,"x\ny"\n2,,\n3\n4,many,z\n')
    letters = tmp_path / "letters"
    summary = ingest(path, "--dead-letter", str(letters))
    assert (summary["records"], summary["observations"], summary["rejected"]) == (4, 3, 1)
    assert make_snapshot(user=ada, key="1").values["a"] == pytest.approx(2.5)
    assert make_snapshot(user=ada, key="2").values == {}
    letter = json.loads(letters.read_text())
    assert (letter["file"], letter["line"], letter["reason"], letter["record"]) == (
        "things.csv",
        5,
        "ragged_row",
        "3",
    )
    again = ingest(path)
    assert (again["observations"], again["duplicates"], again["rejected"]) == (0, 3, 1)


def test_the_same_records_in_another_format_are_the_same(ada: User, tmp_path: Path) -> None:
    values: list[dict[str, Any]] = [{"k": "1", "a": "2"}, {"k": "2", "a": "x"}]
    csv, array = tmp_path / "x.csv", tmp_path / "x.json"
    csv.write_text("k,a\n1,2\n2,x\n")
    array.write_text(json.dumps(values, indent=2))
    where = ("--source", "feed", "--observed-at", "2024-05-01")
    assert ingest(make_file(path=tmp_path / "x.jsonl", records=values), *where)["observations"] == 2
    assert ingest(csv, *where)["duplicates"] == 2
    assert ingest(array, *where)["duplicates"] == 2
    array.rename(tmp_path / "y")
    assert ingest(tmp_path / "y", *where, "--format", "json")["duplicates"] == 2


def test_one_object_is_one_record(ada: User, tmp_path: Path) -> None:
    path = tmp_path / "one.json"
    path.write_text('{\n "k": 1,\n "a": 12345678901234567890\n}\n')
    assert ingest(path)["observations"] == 1
    assert make_snapshot(user=ada, key="1").values == {"a": 12345678901234567890}


def test_bad_elements_are_told_by_their_number(ada: User, tmp_path: Path) -> None:
    path = tmp_path / "some.json"
    path.write_bytes(b'[{"k":1}, {"k":NaN}, 7, {"k":2,"k":2}, {"k":"\xe9"}, {"k":3}')
    summary = ingest(path)
    assert (summary["records"], summary["observations"], summary["rejected"]) == (7, 2, 5)
    assert list(DeadLetter.objects.order_by("line_number").values_list("line_number", "code")) == [
        (2, "unstorable_json"),
        (3, "not_an_object"),
        (4, "duplicate_key"),
        (5, "not_utf8"),
        (7, "unclosed_array"),
    ]


@pytest.mark.parametrize(
    ("name", "data", "code"),
    [
        ("x.csv", b"k,k\n1,1\n", 2),
        ("x.csv", b"a,b\n1,1\n", 2),
        ("x.csv", "k,a\n1,é\n".encode("utf-16"), 1),
        ("x.jsonl", '{"k":1}\n'.encode("utf-16-le"), 1),
        ("x.json", b'"k"', 1),
    ],
)
def test_an_input_that_cannot_be_meant_stores_nothing(
    ada: User, tmp_path: Path, name: str, data: bytes, code: int
) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    assert refused(path).returncode == code
    assert not IngestRun.objects.exists()


@pytest.mark.parametrize("name", ["x.csv", "x.json", "x.jsonl"])
def test_an_empty_file_is_no_failure(ada: User, tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"")
    assert ingest(tmp_path / name)["records"] == 0


# --- a full disk --------------------------------------------------------------------------------------------
def test_a_full_disk_for_the_dead_letters_stops_the_run_and_loses_nothing(ada: User, tmp_path: Path) -> None:
    path = make_file(path=tmp_path / "bad.jsonl", records=[{"k": 1}, b"bad", {"k": 2}, {"k": 3}])
    refusal = refused(path, "--dead-letter", "/dev/full", "--batch-size", "2")
    assert refusal.returncode == 1
    assert "/dev/full cannot be written: No space left on device" in str(refusal)
    run = IngestRun.objects.get()
    assert (run.state, run.record_count, run.observation_count, run.rejected_count) == ("failed", 2, 1, 1)
    assert DeadLetter.objects.get().code == "unstorable_json"
    again = ingest(path)
    assert (again["observations"], again["duplicates"], again["rejected"]) == (2, 1, 1)


LIMITED = """
import resource, signal, sys
from fragments.services.letters import LetterFile, LettersUnwritable
from fragments.services.records import Line, Rejection
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
def letters(count):
    return [Rejection(Line(number, number, b"x" * 50), "code", "words") for number in range(count)]
with LetterFile(sys.argv[1]) as file:
    file.write("f", letters(3))
    try:
        file.write("f", letters(20))
    except LettersUnwritable as error:
        print(error.code)
"""


def test_a_file_that_takes_half_of_a_batch_is_left_without_it(tmp_path: Path) -> None:
    path = tmp_path / "letters"
    code = f"import django; django.setup()\n{LIMITED}"
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "schemaevo.settings"}
    said = subprocess.run(
        [sys.executable, "-c", code, str(path)],
        env=environment,
        cwd=Path(letters.__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stdout.strip() == "dead_letters_unwritable"
    assert [json.loads(line)["line"] for line in path.read_text().splitlines()] == [0, 1, 2]


# --- anything -----------------------------------------------------------------------------------------------
GARBAGE: list[Callable[[random.Random], bytes]] = [
    lambda dice: dice.randbytes(dice.randrange(1, 40)),
    lambda dice: b'{"k":' + dice.choice([b"NaN", b"", b"1e999", b'"\\ud800"', b"'x'", b"01", b"\xff"]) + b"}",
    lambda dice: b'{"k":"x","a":' + b"[" * (deep := dice.choice([99, 101, 5000])) + b"]" * deep + b"}",
    lambda dice: b'{"k":"x","k":1}',
    lambda dice: (
        b'{"k":"x","at":"' + dice.choice([b"0000-01-01", b"9999-12-31", b"never", b"\\u0000"]) + b'"}'
    ),
    lambda dice: b'{"":"","__proto__":{}}',
    lambda dice: b'"' * dice.randrange(1, 6),
    lambda dice: b"," * dice.randrange(1, 6) + b"]" * dice.randrange(3),
    lambda dice: b"[{" * dice.randrange(1, 4),
    lambda dice: b"\0\r\xef\xbb\xbf",
    lambda dice: b'{"k":"' + b"n" * 2000 + b'","' + b"n" * 2000 + b'":1}',
]


def make_file_of_anything(dice: random.Random, form: str) -> tuple[bytes, int]:
    """A file with good records and anything between them, and how many lines were made."""
    good = {"jsonl": b'{"k":"g%d","a":1}', "json": b'{"k":"g%d","a":1}', "csv": b"g%d,1,"}[form]
    parts = [
        dice.choice(GARBAGE)(dice) if dice.random() < 0.4 else good % dice.randrange(50) for _ in range(20)
    ]
    if form == "json":
        return b"[" + b",\n".join(parts) + b"]" * dice.randrange(2), len(parts)
    data = dice.choice([b"\n", b"\r\n"]).join(parts)
    if dice.random() < 0.3:
        data = data[: dice.randrange(len(data))]
    return (b"k,a,at\n" + data if form == "csv" else data), len(parts)


def assert_all_is_accounted_for(seed: int, path: Path) -> int:
    """One generated file through the command; gives how many lines were made for it."""
    dice = random.Random(seed)
    form = dice.choice(["jsonl", "csv", "json"])
    data, made = make_file_of_anything(dice, form)
    path.write_bytes(data)
    before = Observation.objects.count()
    try:
        summary = ingest(path, "--format", form, "--observed-at-field", "at", "--batch-size", "7")
    except CommandError as error:
        if error.returncode not in (1, 2) or Observation.objects.count() != before:
            raise AssertionError(f"seed {seed}") from error
        return made
    run = IngestRun.objects.get(pk=summary["run"])
    assert run.state == "done", seed
    assert summary["records"] == sum(summary[name] for name in ("observations", "duplicates", "rejected")), (
        seed
    )
    assert Observation.objects.count() - before == summary["observations"], seed
    assert run.dead_letters.count() == summary["rejected"], seed
    if form == "jsonl":
        lines = [line.strip() for line in data.removeprefix(b"\xef\xbb\xbf").split(b"\n")]
        assert summary["records"] == sum(1 for line in lines if line), seed
        whole = [line for line in lines if line.startswith(b'{"k":"g') and line.endswith(b"}")]
        stored = {json.loads(line)["k"] for line in whole}
        found = EntitySnapshot.objects.filter(entity_key__in=stored).count()
        assert found == len(stored), seed
    return made


@pytest.mark.rounds
@pytest.mark.parametrize("seed", range(3))
def test_anything_at_all_is_stored_or_refused_with_a_reason(ada: User, tmp_path: Path, seed: int) -> None:
    for number in range(rounds(8)):
        assert_all_is_accounted_for(seed * 1_000_000 + number, tmp_path / "anything")


@pytest.mark.rounds
@pytest.mark.long
def test_ten_thousand_malformed_lines_are_accounted_for(ada: User, tmp_path: Path) -> None:
    """10,000 generated lines at scale 10."""
    made = number = 0
    while made < rounds(1000):
        number += 1
        made += assert_all_is_accounted_for(-number, tmp_path / "anything")
    print(f"{made} lines in {number} files")
