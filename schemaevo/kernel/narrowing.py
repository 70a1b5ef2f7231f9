"""By what the rows of a list can be narrowed, without a request: for the filters of its page, and for whatever acts on
the same rows later. Both go by one description, so that what is shown is what is acted on."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from django.db.models import Case, IntegerField, Q, QuerySet, When
from django.utils import timezone
from django.utils.dateparse import parse_date, parse_datetime
from django.utils.translation import gettext_lazy as _

from schemaevo.kernel.models import User

if TYPE_CHECKING:
    from django.utils.functional import _StrPromise

#: What a text stands for, as JSON can carry it.
Value = int | str


@dataclass(frozen=True, slots=True)
class Criterion:
    """The column equals what a text stands for. `read` makes the value of a text, and raises ValueError for one that no
    row has; where there are `choices`, by value, no other text stands for anything."""

    parameter: str
    title: str | _StrPromise
    column: str
    read: Callable[[str], Value] = str
    choices: tuple[tuple[str, str | _StrPromise], ...] = ()

    def value_of(self, text: str) -> Value:
        """Raises: ValueError for a text that no row has."""
        # PostgreSQL has no text with NUL in it, so nothing equals it.
        if "\0" in text or (self.choices and text not in dict(self.choices)):
            raise ValueError(text)
        return self.read(text)

    def where(self, value: Value) -> Q:
        """The rows that have this value."""
        return Q(**{self.column: value})

    def narrowed(self, rows: QuerySet[Any], text: str) -> QuerySet[Any]:
        """Those of the rows that have what the text stands for: all where it is empty, none where it makes no sense."""
        text = text.strip()
        if not text:
            return rows
        try:
            return rows.filter(self.where(self.value_of(text)))
        except ValueError:
            return rows.none()


def owner_read(text: str) -> int:
    """The number of the owner that a text names. Raises: ValueError."""
    found = user_named(text)
    if found is None:
        raise ValueError(text)
    return found


def id_read(text: str) -> str:
    """The id that a text writes out, in its one form. Raises: ValueError."""
    return str(uuid.UUID(text))


def moment_read(text: str) -> datetime:
    """The time, in UTC, that a text writes out as a date or a time in the zone of the login. Raises: ValueError."""
    moment = parse_datetime(text)
    if moment is None:
        day = parse_date(text)
        if day is None:
            raise ValueError(text)
        moment = datetime(day.year, day.month, day.day)  # noqa: DTZ001  made aware below
    try:
        return (timezone.make_aware(moment) if timezone.is_naive(moment) else moment).astimezone(UTC)
    except OverflowError:  # the first and the last day there are, in a zone far from UTC
        raise ValueError(text) from None


def time_read(text: str) -> str:
    """The same, written out, so that it means the same time in every zone. Raises: ValueError."""
    return moment_read(text).isoformat()


def user_named(text: str) -> int | None:
    """The id of the user that a number, a user name or an e-mail names; None where it names nobody.

    A user name that looks like a number of somebody else wins over the number: it was typed as a name.
    """
    by_name = Q(username=text) | Q(email=text)
    if (number := number_or_none(text)) is not None:
        by_name |= Q(pk=number)
    # However many share an e-mail that is the name of somebody else, by which lists lead to them.
    is_other = Case(When(username=text, then=0), default=1, output_field=IntegerField())
    return User.objects.filter(by_name).order_by(is_other, "pk").values_list("pk", flat=True).first()


def number_or_none(text: str) -> int | None:
    """The number of a row that a text writes out, if it does. Python refuses to read very long ones at all."""
    if not (text.isascii() and text.isdigit() and len(text) < 20):
        return None
    number = int(text)
    return number if number < 2**63 else None


def uuid_or_none(text: str) -> uuid.UUID | None:
    """The id that a text writes out, if it does."""
    try:
        return uuid.UUID(text)
    except ValueError:
        return None


OWNER: Final = Criterion("owner", _("owner"), "user_id", owner_read)
ENTITY_TYPE: Final = Criterion("type", _("entity type"), "entity_type")
