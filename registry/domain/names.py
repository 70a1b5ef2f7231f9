"""Which names fields and entity types may have."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from typing import Final

NAME_MAX_BYTES: Final = 1_000
"""A record that has a longer field name is rejected as a whole."""

FIELD_NAME_MAX_LENGTH: Final = 128

_ENTITY_TYPE = re.compile(r"[a-z][a-z0-9_]{0,62}")
_SEPARATORS = re.compile(r"[-. _]+")


@lru_cache(maxsize=8192)
def field_name_problem(name: str) -> str | None:
    """Why a name cannot be declared, in words, or None if it can.

    Whatever real data is called may be declared; refused is only what two people could not tell apart.
    """
    if not name:
        return "a name must not be empty"
    if len(name) > FIELD_NAME_MAX_LENGTH:
        return f"a name has at most {FIELD_NAME_MAX_LENGTH} characters"
    if name.startswith("_"):
        return "names that start with _ are reserved"
    if name != name.strip():
        return "a name must not start or end with white space"
    if not name.isprintable():
        return "a name must consist of printable characters"
    if not unicodedata.is_normalized("NFC", name):
        return "a name must be in Unicode's composed form (NFC)"
    return None


def entity_type_problem(name: str) -> str | None:
    """Why an entity type cannot have this name, in words, or None if it can."""
    if _ENTITY_TYPE.fullmatch(name):
        return None
    return "an entity type is 1 to 63 of a-z, 0-9 and _, and starts with a letter"


def confusable_form(name: str) -> str:
    """The form in which names that people would confuse are equal."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def normalised_name(name: str) -> str:
    """The name as rules about names see it: `createdAt`, `Created-At`, `created.at` are `created_at`."""
    words = [word for part in _SEPARATORS.split(name) for word in _camel_case_words(part)]
    return "_".join(word.lower() for word in words)


def _camel_case_words(part: str) -> list[str]:
    words: list[str] = []
    start = 0
    for index in range(1, len(part)):
        if not part[index].isupper():
            continue
        follows_small = not part[index - 1].isupper()
        rest = part[index + 1 :]
        # `HTTPServer` is two words, but the s of `userIDs` belongs to its capitals.
        starts_word = rest[:1].islower() and not (rest[0] == "s" and not rest[1:2].islower())
        if follows_small or starts_word:
            words.append(part[start:index])
            start = index
    words.append(part[start:])
    return [word for word in words if word]
