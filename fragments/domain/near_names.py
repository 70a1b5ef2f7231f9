"""Names that may mean the same: shown beside each other, never merged."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final, TypeAlias

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
    """Names to look among: in the time of a few look-ups each, and of a quick glance at those of like length."""

    def __init__(self, names: Iterable[UsedName]) -> None:
        self._by_stem: dict[str, list[UsedName]] = defaultdict(list)
        self._by_words: dict[_Words, list[UsedName]] = defaultdict(list)
        self._by_core: dict[_Words, list[UsedName]] = defaultdict(list)
        self._by_length: dict[int, list[tuple[int, str, UsedName]]] = defaultdict(list)
        for used in names:
            form = _Form(used.name)
            for stem in form.stems:
                self._by_stem[stem].append(used)
            for core in form.cores:
                self._by_core[core].append(used)
            self._by_words[form.words].append(used)
            self._by_length[len(form.letters)].append((form.bits, form.letters, used))

    def of(self, name: str) -> tuple[UsedName, ...]:
        """The names that are near to this one: what is declared first, then by users."""
        form = _Form(name)
        near = {*self._by_core.get(form.words, ()), *self._mistyped(form)}
        for stem in form.stems:
            near.update(self._by_stem.get(stem, ()))
        for core in form.cores:
            near.update(self._by_words.get(core, ()))
        found = [used for used in near if used.name != name and _digits(used.name) == form.digits]
        found.sort(key=lambda used: (not used.is_declared, -used.users, used.name))
        return tuple(found[:SHOWN_MAX])

    def _mistyped(self, form: _Form) -> Iterator[UsedName]:
        """Those of which one letter is another, or two where both names are long enough."""
        length = len(form.letters)
        for other_length in range(length - 2, length + 3):
            shorter = min(length, other_length)
            most = 2 if shorter >= TWO_LETTERS_FROM else 1 if shorter >= ONE_LETTER_FROM else 0
            if abs(length - other_length) > most or not most:
                continue
            for bits, letters, used in self._by_length.get(other_length, ()):
                # Few pass what is quick to ask, and only they are compared letter by letter.
                if (bits ^ form.bits).bit_count() <= 2 * most and _is_within(form.letters, letters, most):
                    yield used


def are_near(one: str, other: str) -> bool:
    """Whether two different names may mean the same.

    They do where their normalised forms are equal, or differ by an ending such as a plural's (`type`, `types`,
    `typings`), by a word of two letters before or behind (`active`, `is_active`), by one letter (of names with five or
    more) or by two (eight or more). Names with other digits never do: `line_1` is not `line_2`.
    """
    return bool(NearNames([UsedName(other, 0)]).of(one))


_Words: TypeAlias = tuple[str, ...]


class _Form:
    """What is compared of a name. `cores` are its words without one at an end that may be left out."""

    __slots__ = ("bits", "cores", "digits", "letters", "stems", "words")

    def __init__(self, name: str) -> None:
        self.words: _Words = tuple(normalised_name(name).split("_"))
        self.letters = "".join(self.words)
        self.digits = _digits(name)
        self.stems = frozenset(_stems(self.letters))
        cores = ((self.words[0], self.words[1:]), (self.words[-1], self.words[:-1]))
        self.cores = {
            core
            for affix, core in cores
            if len(affix) <= _AFFIX_MAX and len("".join(core)) >= ONE_LETTER_FROM
        }
        #: Which letters occur. A letter that is taken for another changes two of these at most.
        self.bits = 0
        for letter in self.letters:
            self.bits |= 1 << (ord(letter) & 63)


def _digits(name: str) -> str:
    return "".join(filter(str.isdigit, name))


def _stems(letters: str) -> Iterator[str]:
    yield letters
    for ending, instead in _ENDINGS:
        stem = letters.removesuffix(ending) + instead
        if letters.endswith(ending) and not letters.endswith("ss") and len(stem) >= _STEM_MIN:
            yield stem


def _is_within(one: str, other: str, most: int) -> bool:
    """Whether so many letters that are put in, taken away or changed make one text of the other."""
    shorter = min(len(one), len(other))
    same = 0
    while same < shorter and one[same] == other[same]:
        same += 1
    one, other = one[same:], other[same:]
    if not one or not other:
        return len(one) + len(other) <= most
    if not most:
        return False
    return (
        _is_within(one[1:], other[1:], most - 1)
        or _is_within(one[1:], other, most - 1)
        or _is_within(one, other[1:], most - 1)
    )
