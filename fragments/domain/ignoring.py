"""Patterns of field names that nobody wants recommended."""

from __future__ import annotations

import re
from collections.abc import Iterable
from fnmatch import translate
from functools import lru_cache
from typing import Final

from registry.domain.names import normalised_name

PATTERN_MAX_LENGTH: Final = 128


def pattern_problem(pattern: str) -> str | None:
    """Why a pattern cannot be used, in words, or None if it can."""
    if len(pattern) > PATTERN_MAX_LENGTH:
        return f"a pattern has at most {PATTERN_MAX_LENGTH} characters"
    if not pattern.isprintable():
        return "a pattern must consist of printable characters"
    if not any(sign.isalnum() for sign in pattern):
        return "a pattern names something: it has at least one letter or digit beside * and ?"
    return None


def normalised_pattern(pattern: str) -> str:
    """The pattern as it is compared with normalised names: `X-*` is `x_*`, and `*Id` is `*_id`."""
    return normalised_name(pattern)


def matching_pattern(name: str, patterns: Iterable[str]) -> str | None:
    """The first normalised pattern that the whole normalised name matches.

    `*` stands for any characters, also none, and `?` for one; everything else for itself.
    """
    normalised = normalised_name(name)
    return next((pattern for pattern in patterns if _compiled(pattern).match(normalised)), None)


@lru_cache(maxsize=4096)
def _compiled(pattern: str) -> re.Pattern[str]:
    # fnmatch makes an expression of it that never goes back over what a star took: quick, however many there are.
    return re.compile(translate(pattern.replace("[", "[[]")))
