"""Names that may mean the same: shown beside each other, never merged."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from registry.domain.names import normalised_name

#: So many near names are shown of one field.
SHOWN_MAX: Final = 5
#: Of shorter names one letter makes another word, and of those below the second number two letters do.
ONE_LETTER_FROM: Final = 5
TWO_LETTERS_FROM: Final = 8
#: A word that may stand before or behind a name and leave it what it is, as in `is_active` and `created_at`.
_AFFIX_MAX: Final = 2
_STEM_MIN: Final = 3
#: Endings that one word has in one form and not in another, and what stands in their place.
_ENDINGS: Final = (("ies", "y"), ("ings", ""), ("ing", ""), ("es", ""), ("s", ""), ("e", ""))


@dataclass(frozen=True, slots=True)
class UsedName:
    """A name, by how many users it is used, and whether the global schema declares it."""

    name: str
    users: int
    is_declared: bool = False


class NearNames:
    """Names to look among. Made once for many questions, since each of them is compared with all."""

    def __init__(self, names: Iterable[UsedName]) -> None:
        self._names = [(_Form(used.name), used) for used in names]

    def of(self, name: str) -> tuple[UsedName, ...]:
        """The names that are near to this one: what is declared first, then by users."""
        form = _Form(name)
        found = [used for other, used in self._names if used.name != name and _are_near(form, other)]
        found.sort(key=lambda used: (not used.is_declared, -used.users, used.name))
        return tuple(found[:SHOWN_MAX])


def are_near(one: str, other: str) -> bool:
    """Whether two different names may mean the same.

    They do where their normalised forms are equal, or differ by an ending such as a plural's (`type`, `types`,
    `typings`), by a word of two letters before or behind (`active`, `is_active`), by one letter (of names with five or
    more) or by two (eight or more). Names with other digits never do: `line_1` is not `line_2`.
    """
    return one != other and _are_near(_Form(one), _Form(other))


class _Form:
    """What is compared of a name."""

    __slots__ = ("bits", "digits", "length", "letters", "stems", "words")

    def __init__(self, name: str) -> None:
        self.words = normalised_name(name).split("_")
        self.letters = "".join(self.words)
        self.length = len(self.letters)
        self.digits = "".join(filter(str.isdigit, self.letters))
        self.stems = frozenset(_stems(self.letters))
        #: Which letters occur. A letter that is taken for another changes two of these at most.
        self.bits = 0
        for letter in self.letters:
            self.bits |= 1 << (ord(letter) & 63)


def _stems(letters: str) -> Iterator[str]:
    yield letters
    for ending, instead in _ENDINGS:
        stem = letters.removesuffix(ending) + instead
        if letters.endswith(ending) and not letters.endswith("ss") and len(stem) >= _STEM_MIN:
            yield stem


def _are_near(one: _Form, other: _Form) -> bool:
    if one.digits != other.digits:
        return False
    if not one.stems.isdisjoint(other.stems) or _differ_by_affix(one.words, other.words):
        return True
    shorter = min(one.length, other.length)
    if shorter < ONE_LETTER_FROM:
        return False
    most = 2 if shorter >= TWO_LETTERS_FROM else 1
    # Few pass what is quick to ask, and only they are compared letter by letter.
    if abs(one.length - other.length) > most or (one.bits ^ other.bits).bit_count() > 2 * most:
        return False
    return _is_within(one.letters, other.letters, most)


def _differ_by_affix(one: list[str], other: list[str]) -> bool:
    few, many = sorted((one, other), key=len)
    if len(many) != len(few) + 1 or len("".join(few)) < ONE_LETTER_FROM:
        return False
    return (many[1:] == few and len(many[0]) <= _AFFIX_MAX) or (
        many[:-1] == few and len(many[-1]) <= _AFFIX_MAX
    )


def _is_within(one: str, other: str, most: int) -> bool:
    """Whether so many letters that are put in, taken away or changed make one text of the other."""
    row = list(range(len(other) + 1))
    for i, letter in enumerate(one, start=1):
        before, row = row, [i]
        for j, opposite in enumerate(other, start=1):
            row.append(min(before[j] + 1, row[-1] + 1, before[j - 1] + (letter != opposite)))
        if min(row) > most:
            return False
    return row[-1] <= most
