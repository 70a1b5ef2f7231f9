"""Ways to write a date or a time that are not the one that a field of type date holds. No converter reads them."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Final

from registry.domain.times import parse_time


class Notation(StrEnum):
    """How a text writes a date."""

    ISO_WITHOUT_OFFSET = "ISO time without an offset"
    ISO_BASIC = "YYYYMMDD"
    YEAR_FIRST = "YYYY/MM/DD"
    DAY_FIRST_POINTS = "DD.MM.YYYY"
    DAY_FIRST = "DD/MM/YYYY"
    MONTH_FIRST = "MM/DD/YYYY"
    DAY_OR_MONTH_FIRST = "DD/MM/YYYY or MM/DD/YYYY"
    MAIL = "Day, DD Mon YYYY hh:mm:ss zone"
    MONTH_NAME = "a month by its name"
    EPOCH_TEXT = "seconds or milliseconds since 1970, as text"
    YEAR_MONTH = "YYYY-MM"


_MONTH: Final = r"(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\.?"
_TIME: Final = r"(?:[ T,]+\d{1,2}:\d{2}(?::\d{2}(?:\.\d+)?)?\s*(?:[ap]m|z|utc|gmt|[+-]\d{2}:?\d{2})?)?"
_LENGTH_MAX: Final = 64

_BASIC = re.compile(
    r"(?:19|20)\d{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])(?:T\d{4}(?:\d{2})?Z?)?", re.ASCII
)
_YEAR_FIRST = re.compile(r"\d{4}[/.](\d{1,2})[/.](\d{1,2})" + _TIME, re.ASCII | re.IGNORECASE)
_POINTS = re.compile(r"(\d{1,2})\.(\d{1,2})\.\d{4}" + _TIME, re.ASCII | re.IGNORECASE)
_SLASHES = re.compile(r"(\d{1,2})[/-](\d{1,2})[/-]\d{4}" + _TIME, re.ASCII | re.IGNORECASE)
_MAIL = re.compile(
    rf"(?:mon|tue|wed|thu|fri|sat|sun)[a-z]*,? \d{{1,2}} {_MONTH} \d{{4}} \d{{2}}:\d{{2}}(?::\d{{2}})?.{{0,8}}",
    re.ASCII | re.IGNORECASE,
)
_NAMED = re.compile(
    rf"(?:\d{{1,2}}\.?[ -]{_MONTH}[ ,-]+\d{{4}}|{_MONTH} \d{{1,2}},? \d{{4}}){_TIME}",
    re.ASCII | re.IGNORECASE,
)
_EPOCH = re.compile(r"(\d{9,10}|\d{12,13})", re.ASCII)
_YEAR_MONTH = re.compile(r"\d{4}-(?:0[1-9]|1[0-2])", re.ASCII)


def notation_of(text: str) -> Notation | None:
    """The notation in which a text writes a date; None where it does not, or as a field of type date holds it."""
    text = text.strip()
    if not text or len(text) > _LENGTH_MAX:
        return None
    if _is_time_without_offset(text):
        return Notation.ISO_WITHOUT_OFFSET
    for pattern, notation in _WHOLE:
        if pattern.fullmatch(text):
            return notation
    if (found := _YEAR_FIRST.fullmatch(text)) and _is_day(found[2], found[1]):
        return Notation.YEAR_FIRST
    if (found := _POINTS.fullmatch(text)) and _is_day(found[1], found[2]):
        return Notation.DAY_FIRST_POINTS
    if found := _SLASHES.fullmatch(text):
        return _slashed(found[1], found[2])
    return None


_WHOLE: Final = (
    (_BASIC, Notation.ISO_BASIC),
    (_MAIL, Notation.MAIL),
    (_NAMED, Notation.MONTH_NAME),
    (_EPOCH, Notation.EPOCH_TEXT),
    (_YEAR_MONTH, Notation.YEAR_MONTH),
)


def _is_time_without_offset(text: str) -> bool:
    if ":" not in text:
        return False
    try:
        parse_time(text)
    except ValueError:
        return False
    return True


def _is_day(day: str, month: str) -> bool:
    return 1 <= int(day) <= 31 and 1 <= int(month) <= 12


def _slashed(first: str, second: str) -> Notation | None:
    day_first, month_first = _is_day(first, second), _is_day(second, first)
    if day_first and month_first:
        return Notation.DAY_OR_MONTH_FIRST
    if day_first:
        return Notation.DAY_FIRST
    return Notation.MONTH_FIRST if month_first else None
