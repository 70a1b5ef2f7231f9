"""The elements of a JSON array, or one object, cut out of a text of any length without decoding it.

Each element is then decoded by the same strict door as a line of JSON Lines, so that one that is broken costs no
other, and its bytes can be kept as they came.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import chain

from fragments.services.records import LINE_MAX_BYTES, Line
from schemaevo.kernel.errors import Invalid

_SPACE = b" \t\n\r"
_BOM = b"\xef\xbb\xbf"
# Possessive throughout: whatever the text is, it is looked at once.
_INSIDE = re.compile(rb'(?:[^"\[\]{}]++|"(?:[^"\\]++|\\.)*+")*+', re.DOTALL)
_BETWEEN = re.compile(rb'(?:[^"\[\]{},]++|"(?:[^"\\]++|\\.)*+")*+', re.DOTALL)
_REST_OF_STRING = re.compile(rb'(?:[^"\\]++|\\.)*+(")?', re.DOTALL)
_QUOTE, _COMMA, _OPENING = ord('"'), ord(","), b"[{"


def json_elements(pieces: Iterable[bytes]) -> Iterator[Line]:
    """The elements of the array that the input is, or the one object; `line_number` is the element's number.

    Nothing is held but the element that is being read. Raises: Invalid `not_an_array`, at once.
    """
    rest = iter(pieces)
    start = b""
    for piece in rest:
        # A piece may be a single byte, so that the mark comes in parts.
        start = (start + piece).lstrip(_SPACE)
        if start and not (len(start) < len(_BOM) and _BOM.startswith(start)):
            start = start.removeprefix(_BOM).lstrip(_SPACE)
            if start:
                break
    if start and start[:1] not in (b"[", b"{"):
        raise Invalid(
            "not_an_array",
            f"The input begins with {start[:20].decode(errors='backslashreplace')!r}: a JSON file is an array of "
            "objects, or one object. For one object per line take --format jsonl.",
        )
    return _lines(chain([start], rest)) if start else iter(())


def _lines(pieces: Iterator[bytes]) -> Iterator[Line]:
    splitter = _Splitter()
    number = 0
    for piece in pieces:
        for element in splitter.feed(piece):
            number += 1
            yield Line(number, number, element)
    if not splitter.is_closed:
        left = splitter.left
        if left:
            number += 1
            yield Line(number, number, left)
        number += 1
        yield Line(
            number, number, b"", Invalid("unclosed_array", "The input ends before its array or object does.")
        )
    elif splitter.left:
        number += 1
        message = "Something follows the end of the array or object, and is not read; this is how it begins."
        yield Line(number, number, splitter.left, Invalid("trailing_data", message))


class _Splitter:
    """Cuts the text of an array into those of its elements, whatever pieces it comes in."""

    def __init__(self) -> None:
        self.is_closed = False
        self._is_array = False
        self._depth = 0
        self._is_in_string = False
        self._is_first = True
        self._held = bytearray()
        # A backslash that ends a piece: what it means is in the next.
        self._carried = b""

    @property
    def left(self) -> bytes:
        """What no element was made of: of one that is not whole, or after the end."""
        held = bytes(self._held) + self._carried
        return held if len(held) > LINE_MAX_BYTES else held.strip(_SPACE)

    def feed(self, piece: bytes) -> Iterator[bytes]:
        """The elements that end in this piece."""
        text = self._carried + piece
        self._carried = b""
        position = start = 0
        if not self._depth and not self.is_closed:
            self._depth = 1
            self._is_array = text.startswith(b"[")
            position = 1
            start = 1 if self._is_array else 0
        while not self.is_closed:
            position = self._next_mark(text, position)
            if position >= len(text):
                break
            mark = text[position]
            position += 1
            if mark == _QUOTE:
                self._is_in_string = True
            elif mark in _OPENING:
                self._depth += 1
            elif mark == _COMMA:
                self._hold(text[start : position - 1])
                start = position
                self._is_first = False
                yield self._taken()
            else:
                self._depth -= 1
                self.is_closed = self._depth == 0
                if self.is_closed:
                    self._hold(text[start : position - self._is_array])
                    start = position
                    element = self._taken()
                    # Nothing before the bracket is no element only in an empty array.
                    if element or not self._is_first:
                        yield element
        self._hold(text[start : len(text) - len(self._carried)])

    def _next_mark(self, text: bytes, position: int) -> int:
        """Where the next byte is that changes something, or the end of the text."""
        if self._is_in_string:
            found = _REST_OF_STRING.match(text, position)
            position = found.end() if found else position
            if not (found and found[1]):
                self._carried = text[position:]
                return len(text)
            self._is_in_string = False
        pattern = _BETWEEN if self._is_array and self._depth == 1 else _INSIDE
        found = pattern.match(text, position)
        return found.end() if found else position

    def _hold(self, part: bytes) -> None:
        self._held += part
        # Of an element that is too long the beginning is enough.
        del self._held[LINE_MAX_BYTES + 1 :]

    def _taken(self) -> bytes:
        element = self.left
        self._held.clear()
        return element
