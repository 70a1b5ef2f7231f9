"""What leaves as a file: exact as JSON Lines, and as CSV nothing that a spreadsheet would run."""

from __future__ import annotations

import csv
import io
import json
from datetime import datetime, timedelta, timezone
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemaevo.kernel.canonical import Json, JsonObject, canonical_json, decode
from schemaevo.kernel.export_formats import WRITE_SIZE, ExportFormat, cell, portions
from schemaevo.kernel.export_lines import exact_time
from tests.domain.histories import values

COLUMNS = ("a", "b")
texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"))
lines = st.fixed_dictionaries({"a": values, "b": texts})


def written(given_lines: list[JsonObject], export_format: ExportFormat) -> bytes:
    return b"".join(part.data for part in portions(given_lines, export_format, COLUMNS))


def read_csv(data: bytes) -> list[dict[str, str]]:
    assert data.startswith("\ufeff".encode())
    return list(csv.DictReader(io.StringIO(data.decode("utf-8-sig"), newline="")))


@given(st.lists(lines, max_size=5))
def test_json_lines_say_exactly_what_there_is(given_lines: list[JsonObject]) -> None:
    data = written(given_lines, ExportFormat.JSONL)
    assert [decode(line) for line in data.splitlines()] == given_lines
    assert data.count(b"\n") == len(given_lines)


@given(st.lists(lines, max_size=5))
def test_a_table_has_every_line_and_every_column(given_lines: list[JsonObject]) -> None:
    read = read_csv(written(given_lines, ExportFormat.CSV))
    assert read == [{name: cell(line[name]) for name in COLUMNS} for line in given_lines]


@given(texts)
def test_no_text_in_a_table_is_a_formula(text: str) -> None:
    (line,) = read_csv(written([{"a": text, "b": None}], ExportFormat.CSV))
    assert line["a"][:1] not in {"=", "+", "-", "@", "\t", "\r", "\n"}
    assert line["a"].removeprefix("'") == text.removeprefix("'")


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("=1+1", "'=1+1"),
        ("+49 30", "'+49 30"),
        ("-", "'-"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\tx", "'\tx"),
        ("\rx", "'\rx"),
        ("＝1", "'＝1"),
        ("a=1", "a=1"),
        ("'quoted'", "'quoted'"),
        ("", ""),
        (None, ""),
        (-5, "-5"),
        (Decimal("-0.5"), "-0.5"),
        (10**20, "1" + "0" * 20),
        (True, "true"),
        (["=1", None], '["=1",null]'),
        ({"b": 1, "a": "ä"}, '{"a":"ä","b":1}'),
    ],
)
def test_numbers_stay_numbers_and_what_is_nested_is_json(value: Json, written: str) -> None:
    assert cell(value) == written


def test_a_table_without_lines_names_its_columns() -> None:
    assert written([], ExportFormat.CSV) == "\ufeffa,b\r\n".encode()
    assert written([], ExportFormat.JSONL) == b""


def test_bytes_are_handed_on_in_portions_that_know_their_lines() -> None:
    many: list[JsonObject] = [{"a": "x" * 1000, "b": n} for n in range(1000)]
    for export_format in ExportFormat:
        parts = list(portions(many, export_format, COLUMNS))
        assert len(parts) > 10
        assert max(len(part.data) for part in parts) < WRITE_SIZE + 2_000
        assert sum(part.lines for part in parts) == 1000
    assert json.loads(canonical_json(many[-1]))["b"] == 999


def test_times_are_written_with_all_they_have_and_in_utc() -> None:
    moment = datetime(2026, 3, 1, 0, 30, 0, 7, tzinfo=timezone(timedelta(hours=2)))
    assert exact_time(moment) == "2026-02-28T22:30:00.000007Z"
    assert exact_time(None) is None
