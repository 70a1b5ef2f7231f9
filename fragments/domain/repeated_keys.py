"""Keys that an object repeats: which of the values was meant nobody can know, and a decoder keeps the last."""

from __future__ import annotations

import json
from typing import Any

from schemaevo.kernel.canonical import Json

_SPACE = b" \t\n\r"


def repeated_key(text: bytes, value: Json) -> str | None:
    """A key that stands twice in one object of a JSON text, or None. `value` is what the text decodes to.

    There are at most as many keys as colons in the text, and, with all white space taken out, as `":`. So where the
    decoded value has as many, none was dropped; that takes a few substring searches. Only what fails this is parsed
    once more, as it happens where a string quotes JSON.
    """
    count = _key_count(value)
    if text.count(b":") == count or text.translate(None, _SPACE).count(b'":') == count:
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


def _key_count(value: Json) -> int:
    if isinstance(value, dict):
        count = len(value)
        for child in value.values():
            if isinstance(child, (dict, list)):
                count += _key_count(child)
        return count
    count = 0
    if isinstance(value, list):
        for child in value:
            if isinstance(child, (dict, list)):
                count += _key_count(child)
    return count
