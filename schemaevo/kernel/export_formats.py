"""What leaves the store, as bytes: JSON Lines, which are exact, and CSV, which spreadsheets read."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Generator, Iterable, Sequence
from enum import StrEnum
from typing import Final, NamedTuple

from schemaevo.kernel.canonical import Json, JsonObject, canonical_bytes, canonical_json

#: Bytes that are gathered before they are handed on.
WRITE_SIZE: Final = 2**16
#: With one of these at its beginning a cell is read as a formula, or brings the next one to be.
#: Source: OWASP, CSV Injection.
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
#: Without it Excel takes UTF-8 for the code page of its country. Programs take JSON Lines.
_MARK: Final = "\ufeff".encode()


class ExportFormat(StrEnum):
    """How lines are written; the value is the end of a file's name as well."""

    JSONL = "jsonl"
    CSV = "csv"

    @property
    def media_type(self) -> str:
        """What an answer with it says that it is."""
        return (
            "text/csv; charset=utf-8" if self is ExportFormat.CSV else "application/x-ndjson; charset=utf-8"
        )


class Portion(NamedTuple):
    """Some bytes of a file, and how many lines end in them."""

    data: bytes
    lines: int


def portions(
    lines: Iterable[JsonObject], export_format: ExportFormat, columns: Sequence[str] = ()
) -> Generator[Portion, None, None]:
    """The lines as a file, in portions of about WRITE_SIZE. CSV has these columns, and their names first."""
    write: Callable[[JsonObject], bytes] = _jsonl
    waiting, count = bytearray(), 0
    if export_format is ExportFormat.CSV:
        write = _CsvWriter(columns).line
        waiting += _MARK + write({name: name for name in columns})
    for line in lines:
        waiting += write(line)
        count += 1
        if len(waiting) >= WRITE_SIZE:
            yield Portion(bytes(waiting), count)
            waiting.clear()
            count = 0
    if waiting:
        yield Portion(bytes(waiting), count)


def _jsonl(line: JsonObject) -> bytes:
    return canonical_bytes(line) + b"\n"


class _CsvWriter:
    """Lines as RFC 4180 has them."""

    def __init__(self, columns: Sequence[str]) -> None:
        self._columns = columns
        self._text = io.StringIO(newline="")
        self._writer = csv.writer(self._text)

    def line(self, line: JsonObject) -> bytes:
        self._writer.writerow([cell(line[name]) for name in self._columns])
        data = self._text.getvalue().encode()
        self._text.seek(0)
        self._text.truncate()
        return data


def cell(value: Json) -> str:
    """A value as a cell: nothing for null, a text as it is, and all else as JSON.

    A text that a spreadsheet would run as a formula begins with an apostrophe, which makes it text there.
    """
    if value is None:
        return ""
    if isinstance(value, str):
        return f"'{value}" if value.startswith(_FORMULA) else value
    return canonical_json(value)
