"""What is left of texts and documents when somebody is erased who is named in them.

Names are looked for as whole words, whatever their case. A name that other words are as likely to be as it, being short
or a small number, is not looked for in what people wrote: it would clear what says nothing of anybody.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

from schemaevo.kernel.canonical import Json, JsonObject

NAME_MIN: Final = 4
NUMBER_MIN: Final = 6
#: Keys of states in the audit log and of results of jobs under which the program's own words stand.
CODES: Final = frozenset(
    {
        "state",
        "kind",
        "mode",
        "entity_type",
        "cause",
        "act",
        "verdict",
        "target",
        "version",
        "in_force",
        "limit",
    }
)


def is_distinctive(name: str) -> bool:
    """Whether a text that holds the name as a word is about whom it names."""
    return len(name) >= (NUMBER_MIN if name.isdigit() else NAME_MIN)


@dataclass(frozen=True)
class Clearing:
    """Takes some names out of texts, and puts `instead` in their place."""

    names: tuple[str, ...]
    instead: str
    _pattern: re.Pattern[str] | None = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        # The longest first: one name may begin as another does.
        listed = "|".join(re.escape(name) for name in sorted(set(self.names), key=len, reverse=True) if name)
        pattern = re.compile(rf"(?<!\w)(?:{listed})(?!\w)", re.IGNORECASE) if listed else None
        object.__setattr__(self, "_pattern", pattern)

    def is_in(self, text: str) -> bool:
        """Whether the text names whom it is about."""
        return self._pattern is not None and self._pattern.search(text) is not None

    def text(self, text: str) -> str:
        """The text without the names."""
        return text if self._pattern is None else self._pattern.sub(lambda _: self.instead, text)

    def document(self, document: Json) -> Json:
        """The document without the names, but for what the program itself says in it."""
        if isinstance(document, str):
            return self.text(document)
        if isinstance(document, list):
            return [self.document(item) for item in document]
        if isinstance(document, dict):
            return {
                self.text(key): item if key in CODES and isinstance(item, str) else self.document(item)
                for key, item in document.items()
            }
        return document


def reduced(document: Json) -> Json:
    """Of a state or a result that is about whom is erased what holds no value: numbers, and the program's own words."""
    if not isinstance(document, dict):
        return None
    return {
        key: item
        for key, item in document.items()
        if item is None or not isinstance(item, (str, list, dict)) or (key in CODES and isinstance(item, str))
    }


def without_examples(document: Json, *, user_id: int) -> Json:
    """A result of verify without its examples of that owner, which may name fields."""
    if isinstance(document, list):
        return [without_examples(item, user_id=user_id) for item in document if not _is_of(item, user_id)]
    if isinstance(document, dict):
        return {key: without_examples(item, user_id=user_id) for key, item in document.items()}
    return document


def _is_of(item: Json, user_id: int) -> bool:
    return isinstance(item, dict) and user_id in (item.get("user_id"), item.get("owner"))


def view_names(
    name: str, query: Mapping[str, str], called: Clearing, meant: Mapping[str, Collection[str]]
) -> bool:
    """Whether a saved view is about whom is erased: they stand as a word in one of its filters or in its own name, or
    a filter says just what it means them by, which may be as short as a number (`meant`, in lower case, by filter)."""
    told = any(
        text in meant.get(filter_name, ()) or _id_in(text) in meant.get(filter_name, ())
        for filter_name, text in ((key, said.strip().lower()) for key, said in query.items())
    )
    return told or any(map(called.is_in, (name, *query.values())))


def _id_in(text: str) -> str:
    """The id that a text writes out, in whichever form, as it is written here; the text itself where it is none."""
    try:
        return str(UUID(text))
    except ValueError:
        return text


def added(counts: JsonObject, more: Iterable[tuple[str, int]]) -> JsonObject:
    """The counts with these added."""
    summed = dict(counts)
    for name, count in more:
        before = summed.get(name, 0)
        if count:
            summed[name] = (before if isinstance(before, int) else 0) + count
    return summed
