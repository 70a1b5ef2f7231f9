"""Readers of the formats that records come in: each gives the records one by one, as they stand in the input.

What a reader cannot make sense of is a record as well, with the reason: nothing of the input goes unseen. Only an
input that cannot be meant (another encoding, a header that names a field twice) is refused as a whole, before
anything of it is stored.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from enum import StrEnum
from itertools import chain
from pathlib import PurePath
from typing import Final

from fragments.services.csv_rows import csv_rows
from fragments.services.exported import EXPORTED_LINE_MAX_BYTES, exported_lines
from fragments.services.json_elements import json_elements
from fragments.services.records import LINE_MAX_BYTES, Line, jsonl_lines
from schemaevo.kernel.errors import Invalid

# Longer marks first: that of UTF-32 begins as that of UTF-16 does.
_OTHER_MARKS: Final = {
    b"\xff\xfe\0\0": "UTF-32",
    b"\0\0\xfe\xff": "UTF-32",
    b"\xff\xfe": "UTF-16",
    b"\xfe\xff": "UTF-16",
}


class Format(StrEnum):
    """How records are written down."""

    JSONL = "jsonl"
    CSV = "csv"
    JSON = "json"
    #: What export_observations writes.
    OBSERVATIONS = "observations"

    @property
    def has_lines(self) -> bool:
        """Whether a record begins with a line."""
        return self is not Format.JSON

    @property
    def line_max_bytes(self) -> int:
        """Of a line that is longer only the beginning is read."""
        return EXPORTED_LINE_MAX_BYTES if self is Format.OBSERVATIONS else LINE_MAX_BYTES


_SUFFIXES: Final = frozenset(Format) - {Format.OBSERVATIONS}


def format_of(name: str) -> Format:
    """The format that a file's name tells; JSON Lines where it tells none. No name tells that it is an export."""
    suffix = PurePath(name).suffix.lower().removeprefix(".")
    return Format(suffix) if suffix in _SUFFIXES else Format.JSONL


def read_records(pieces: Iterable[bytes], form: Format, named_fields: Collection[str]) -> Iterator[Line]:
    """The records of an input. `pieces` are its lines where the format has lines, else pieces of any size;
    `named_fields` are those that the options speak of. The beginning is read at once, the rest as it is asked for.

    Raises: Invalid `not_utf8`, `not_an_array`, `invalid_header`, at once.
    """
    pieces = _utf8(pieces)
    match form:
        case Format.CSV:
            return csv_rows(pieces, named_fields)
        case Format.JSON:
            return json_elements(pieces)
        case Format.JSONL:
            return jsonl_lines(pieces)
        case Format.OBSERVATIONS:
            return exported_lines(pieces)


def _utf8(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The pieces, unless the first of them shows that they are in another encoding."""
    rest = iter(pieces)
    first = next(rest, b"")
    found = next((name for mark, name in _OTHER_MARKS.items() if first.startswith(mark)), None)
    if found is None and b"\0" in first[:4]:
        found = "UTF-16"  # without a mark; no format begins with NUL
    if found is not None:
        raise Invalid(
            "not_utf8",
            f"The input is {found} from its first byte (offset 0), and only UTF-8 is read. "
            f"Convert it: iconv -f {found} -t UTF-8",
            offset=0,
        )
    return chain([first] if first else [], rest)
