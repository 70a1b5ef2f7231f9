"""Times as the system reads and counts them: aware, UTC, whole microseconds since 1970."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone
from functools import lru_cache

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_DATE = r"(?P<year>[0-9]{4})-(?P<month>[0-9]{2})-(?P<day>[0-9]{2})"
_CALENDAR_DATE = re.compile(_DATE)
# RFC 3339, section 5.6, with the space and the small letters its notes allow.
_STRICT_TIME = re.compile(
    _DATE + r"[Tt ](?P<hour>[0-9]{2}):(?P<minute>[0-9]{2}):(?P<second>[0-9]{2})"
    r"(?:\.(?P<fraction>[0-9]+))?"
    r"(?:[Zz]|(?P<sign>[+-])(?P<offset_hour>[0-9]{2}):(?P<offset_minute>[0-9]{2}))"
)
# Nearly every time and date is written like this, and what matches it the standard library reads as we do, only
# faster; what it then refuses is read once more the long way.
_COMMON = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}(?:T(?:[01][0-9]|2[0-3]):[0-9]{2}:[0-9]{2}(?:\.[0-9]+)?Z)?")
# What ISO 8601 allows besides: no seconds, a comma, no offset, a shorter offset.
_LENIENT_TIME = re.compile(
    _DATE + r"[Tt ](?P<hour>[0-9]{2}):(?P<minute>[0-9]{2})"
    r"(?::(?P<second>[0-9]{2})(?:[.,](?P<fraction>[0-9]+))?)?"
    r"(?:[Zz]|(?P<sign>[+-])(?P<offset_hour>[0-9]{2})(?::?(?P<offset_minute>[0-9]{2}))?)?"
)


def parse_time(text: str) -> datetime:
    """The instant, in UTC, that an RFC 3339 or ISO 8601 text names.

    A time without an offset is UTC and a date alone its midnight; digits beyond microseconds are cut off.
    Raises ValueError for what cannot be read, a leap second among it.
    """
    match = _LENIENT_TIME.fullmatch(text) or _CALENDAR_DATE.fullmatch(text)
    if match is None:
        raise ValueError("not an ISO 8601 date or time")
    return _instant(match)


def is_date_or_time(text: str) -> bool:
    """Whether a text may stand in a field of type date: a real calendar date, or a real RFC 3339 time."""
    if _is_common(text):
        return True
    match = _CALENDAR_DATE.fullmatch(text) or _STRICT_TIME.fullmatch(text)
    if match is None:
        return False
    try:
        _instant(match)
    except ValueError:
        return False
    return True


def to_us(moment: datetime) -> int:
    """Whole microseconds since 1970; exact. Raises ValueError for a naive time."""
    if moment.tzinfo is None:
        raise ValueError("a naive time names no instant")
    since = moment - _EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def from_us(microseconds: int) -> datetime:
    """The instant so many microseconds after 1970. Raises ValueError outside the years 1 to 9999."""
    try:
        return _EPOCH + timedelta(microseconds=microseconds)
    except OverflowError:
        raise ValueError("outside the years 1 to 9999") from None


@lru_cache(maxsize=4096)
def text_of_us(microseconds: int) -> str:
    """The text, as a database or a person reads it, of the instant so many microseconds after 1970.

    Remembered, since an observation's time stands in its snapshot and its fragments too. Raises ValueError outside
    the years 1 to 9999.
    """
    return from_us(microseconds).isoformat()


LAST_US = to_us(datetime.max.replace(tzinfo=UTC))
"""The last microsecond of the year 9999."""


def _is_common(text: str) -> bool:
    """Whether a text has the common form and names an instant; other texts may name one too."""
    if _COMMON.fullmatch(text) is None:
        return False
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return True


def _instant(match: re.Match[str]) -> datetime:
    part = match.groupdict()
    offset = timedelta(hours=int(part.get("offset_hour") or 0), minutes=int(part.get("offset_minute") or 0))
    if int(part.get("offset_minute") or 0) > 59:
        raise ValueError("an offset has at most 59 minutes")
    local = datetime(
        int(part["year"]),
        int(part["month"]),
        int(part["day"]),
        int(part.get("hour") or 0),
        int(part.get("minute") or 0),
        int(part.get("second") or 0),
        int((part.get("fraction") or "")[:6].ljust(6, "0")),
        tzinfo=timezone(-offset if part.get("sign") == "-" else offset),
    )
    try:
        return local.astimezone(UTC)
    except OverflowError:
        raise ValueError("outside the years 1 to 9999") from None
