"""What is wrong with a document, as a list of typed problems, and the refusals that carry such a list."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Final

from schemaevo.kernel.canonical import Json, JsonObject, canonical_json
from schemaevo.kernel.errors import Invalid

MAX_LISTED_PROBLEMS: Final = 1_000
"""So many problems are told of one document; a document of a megabyte can have a hundred thousand."""

_MAX_SHOWN = 200
_MAX_MESSAGE = 500


@dataclass(frozen=True, slots=True)
class Problem:
    """One broken rule: where (a JSON Pointer into the document), which rule, by what value, and in words."""

    path: str
    rule: str
    value: Json
    message: str

    def to_json(self) -> JsonObject:
        """The problem as doors show it, with a long value cut short."""
        return {
            "path": self.path,
            "rule": self.rule,
            "value": shortened(self.value),
            "message": _cut(self.message, _MAX_MESSAGE),
        }


class InvalidDocument(Invalid):
    """A document is refused; `context["problems"]` lists what is wrong with it, `problem_count` counts it."""

    refused: ClassVar[str] = "invalid_document"

    def __init__(self, problems: Sequence[Problem]) -> None:
        first = problems[0]
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        listed = listing(problems)
        super().__init__(
            self.refused,
            f"{first.path or 'the document'}: {_cut(first.message, _MAX_MESSAGE)}{more}",
            problems=listed,
            problem_count=len(problems),
        )


class InvalidDefinition(InvalidDocument):
    """A document is no definition; code `invalid_definition`."""

    refused = "invalid_definition"


class InvalidExtension(InvalidDocument):
    """A document is no extension, or none that the global schema admits; code `invalid_extension`."""

    refused = "invalid_extension"


class InvalidEdits(InvalidDocument):
    """Edits are written wrongly, or cannot be made to this definition; code `invalid_edits`."""

    refused = "invalid_edits"


def listing(problems: Iterable[Problem]) -> list[JsonObject]:
    """The first problems, as doors show them."""
    return [problem.to_json() for problem in list(problems)[:MAX_LISTED_PROBLEMS]]


def shortened(value: Json) -> Json:
    """The value itself if it is short, else the beginning of its text."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return _cut(value, _MAX_SHOWN)
    text = canonical_json(value)
    return value if len(text) <= _MAX_SHOWN else _cut(text, _MAX_SHOWN)


def pointer(*keys: str | int) -> str:
    """The JSON Pointer that these keys make."""
    return "".join(f"/{str(key).replace('~', '~0').replace('/', '~1')}" for key in keys)


def child(path: str, key: str | int) -> str:
    """The JSON Pointer of a key below a path."""
    return path + pointer(key)


def wrong_type(path: str, value: Json, wanted: str) -> Problem:
    """The problem of a value that is of another JSON type than it must be."""
    return Problem(path, "wrong_type", value, f"must be {wanted}")


def unknown_keys(path: str, document: JsonObject, known: Iterable[str]) -> Iterable[Problem]:
    """The problems of keys that mean nothing here; a misspelled key must not be passed over in silence."""
    allowed = tuple(known)
    for key in document:
        if key not in allowed:
            yield Problem(child(path, key), "unknown_key", key, f"the keys here are {', '.join(allowed)}")


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[:length]}…"
