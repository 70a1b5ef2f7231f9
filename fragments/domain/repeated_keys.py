"""Keys that an object repeats: which of the values was meant nobody can know, and a decoder keeps the last."""

from __future__ import annotations

import json
from typing import Any


def repeated_key(text: bytes, canonical: bytes) -> str | None:
    """A key that stands twice in one object of a JSON text, or None. `canonical` is what the text decodes to, written.

    A key that was dropped took its colon along. All others are in both texts, unless one was escaped: so where both
    have as many, and none is escaped, nothing was dropped, and that takes three substring searches. Only what fails
    this is parsed once more.
    """
    if text.count(b":") == canonical.count(b":") and b"\\u003" not in text:
        return None
    try:
        json.loads(text, object_pairs_hook=_unrepeated, parse_int=str, parse_float=str)
    except _Repeated as repeated:
        return repeated.key
    return None


class _Repeated(Exception):
    def __init__(self, key: str) -> None:
        super().__init__(key)
        self.key = key


def _unrepeated(pairs: list[tuple[str, Any]]) -> None:
    seen: set[str] = set()
    for key, _ in pairs:
        if key in seen:
            raise _Repeated(key)
        seen.add(key)
