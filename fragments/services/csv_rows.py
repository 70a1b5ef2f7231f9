"""CSV with a header row, read strictly: a row that does not fit it, or breaks the quoting, is refused and told."""

from __future__ import annotations

import csv
from collections import Counter, deque
from collections.abc import Collection, Iterable, Iterator

from fragments.services.records import LINE_MAX_BYTES, Line, encoding_problem
from registry.domain.names import NAME_MAX_BYTES
from schemaevo.kernel.canonical import JsonObject
from schemaevo.kernel.errors import Invalid

# The module's own bound of 128 KiB is for the whole process; nobody else here reads CSV.
csv.field_size_limit(LINE_MAX_BYTES)


def csv_rows(lines: Iterable[bytes], named_fields: Collection[str]) -> Iterator[Line]:
    """The rows of a CSV file. Every value is a text; an empty cell is a field that the record does not have.

    `named_fields` must stand in the header. An input without any row has no header either.
    Raises: Invalid `invalid_header`, at once.
    """
    feed = _Feed(lines)
    header = _header(feed, named_fields)
    return iter(()) if header is None else _rows(feed, header)


class _Unclosed(Exception):
    """A quote was opened, and what follows it is longer than any record."""


class _Feed:
    """The lines for the csv module, which tells only cells: `held` are those of the record being read."""

    def __init__(self, lines: Iterable[bytes]) -> None:
        self._lines = iter(lines)
        self._again: deque[bytes] = deque()
        self._held_bytes = 0
        self.held: list[bytes] = []
        self.line_number = 0
        self.is_at_end = False

    def __iter__(self) -> _Feed:
        return self

    def __next__(self) -> str:
        if self._held_bytes > LINE_MAX_BYTES:
            raise _Unclosed
        line = self._again.popleft() if self._again else next(self._lines, None)
        if line is None:
            self.is_at_end = True
            raise StopIteration
        self.line_number += 1
        if self.line_number == 1:
            line = line.removeprefix(b"\xef\xbb\xbf")
        self.held.append(line)
        self._held_bytes += len(line)
        # Bytes that are no text must not hide where the cells end; they are refused with the row.
        return line.decode(errors="surrogateescape")

    def begin(self) -> None:
        """Another record begins with the next line."""
        self.held.clear()
        self._held_bytes = 0
        self.is_at_end = False

    def take_back(self) -> None:
        """All lines of this record but its first will be read again."""
        self._again.extendleft(reversed(self.held[1:]))
        self.line_number -= len(self.held) - 1
        del self.held[1:]

    @property
    def raw(self) -> bytes:
        """The bytes of the record being read."""
        return b"".join(self.held).rstrip(b"\r\n")


def _header(feed: _Feed, named_fields: Collection[str]) -> list[str] | None:
    reader = csv.reader(feed, strict=True)
    names: list[str] = []
    while not names:
        feed.begin()
        try:
            names = next(reader)
        except StopIteration:
            return None
        except (csv.Error, _Unclosed) as error:
            raise _bad_header(feed, _reason(error, feed)) from None
    problem = encoding_problem(feed.raw)
    if problem is not None:
        raise _bad_header(feed, problem.message)
    repeated = [name for name, count in Counter(names).items() if count > 1 and name]
    if repeated:
        raise _bad_header(feed, f"it names {', '.join(map(repr, repeated))} more than once.")
    if "" in names:
        raise _bad_header(feed, f"column {names.index('') + 1} has no name.")
    for name in names:
        if "\0" in name or len(name.encode()) > NAME_MAX_BYTES:
            raise _bad_header(feed, f"{name[:40]!r} is longer than {NAME_MAX_BYTES} bytes or holds NUL.")
    missing = sorted(set(named_fields) - set(names))
    if missing:
        has = ", ".join(names)
        raise _bad_header(
            feed, f"it has no {', '.join(missing)}; it has {has[:200]}. Cells are parted by commas."
        )
    return names


def _bad_header(feed: _Feed, reason: str) -> Invalid:
    return Invalid("invalid_header", f"Line {max(feed.line_number, 1)}, the header row: {reason}")


def _rows(feed: _Feed, header: list[str]) -> Iterator[Line]:
    reader = csv.reader(feed, strict=True)
    record_number = 0
    while True:
        feed.begin()
        content: JsonObject | Invalid
        try:
            cells = next(reader)
        except StopIteration:
            return
        except (csv.Error, _Unclosed) as error:
            is_unclosed = feed.is_at_end or isinstance(error, _Unclosed)
            code = "unclosed_quote" if is_unclosed else "malformed_csv"
            content = Invalid(code, _reason(error, feed))
            if is_unclosed:
                # The lines that follow are no part of a cell, however they are read. They hold quotes in pairs
                # only, so that none of them opens one for long again: each line is read twice at most.
                feed.take_back()
        else:
            if len(cells) <= 1 and not feed.raw.strip():
                continue
            content = _content(feed.raw, header, cells)
        record_number += 1
        yield Line(feed.line_number - len(feed.held) + 1, record_number, feed.raw, content)


def _content(raw: bytes, header: list[str], cells: list[str]) -> JsonObject | Invalid:
    problem = None if raw.isascii() else encoding_problem(raw)
    if problem is not None:
        return problem
    if len(cells) != len(header):
        return Invalid("ragged_row", f"The header names {len(header)} fields, and this row has {len(cells)}.")
    fields: JsonObject = {name: cell for name, cell in zip(header, cells, strict=True) if cell}
    if b"\0" in raw:
        name = next(name for name, cell in zip(header, cells, strict=True) if "\0" in cell)
        return Invalid("unstorable_text", f"{name[:40]}: a text holds the NUL character.", field=name)
    return fields


def _reason(error: Exception, feed: _Feed) -> str:
    if feed.is_at_end or isinstance(error, _Unclosed):
        return "a quote is opened in this line and never closed."
    where = f"lines {feed.line_number - len(feed.held) + 1} to {feed.line_number}"
    span = "" if len(feed.held) == 1 else f" ({where} are one record, by their quotes)"
    if "new-line character" in str(error):
        return f"a carriage return stands alone outside quotes; lines end in LF or CR LF{span}."
    return f"this is no CSV: {error}{span}."
