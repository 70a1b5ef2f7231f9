"""Filters that cost one indexed look: people type or pick a value, nothing scans for the values there are."""

import uuid
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.dateparse import parse_date, parse_datetime
from django.utils.translation import gettext_lazy as _

from schemaevo.kernel.models import User

if TYPE_CHECKING:
    from django.contrib.admin import ModelAdmin, SimpleListFilter

    InputFilter = SimpleListFilter
    PickFilter = SimpleListFilter
else:
    from unfold.contrib.filters.admin import DropdownFilter, TextFilter

    class InputFilter(TextFilter):
        """Something to type into the sheet of filters."""

    class PickFilter(DropdownFilter):
        """A choice from a fixed set."""


class ExactFilter(InputFilter):
    """The column equals what was typed."""

    column: str
    #: Whether the audit log may keep what was typed: not where that stands in records.
    may_be_told = True

    def read(self, text: str) -> Any:
        """The typed text as a value of the column. Raises: ValueError."""
        return text

    def lookups(self, request: HttpRequest, model_admin: "ModelAdmin[Any]") -> Iterable[tuple[Any, str]]:
        return ()

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any] | None:
        text = (self.value() or "").strip()
        if not text:
            return queryset
        try:
            # PostgreSQL has no text with NUL in it, so nothing equals it.
            return queryset.none() if "\0" in text else self.narrowed(queryset, self.read(text))
        except ValueError:
            return queryset.none()

    def narrowed(self, queryset: QuerySet[Any], value: Any) -> QuerySet[Any]:
        return queryset.filter(**{self.column: value})


class NumberFilter(ExactFilter):
    """The number column equals what was typed."""

    def read(self, text: str) -> int:
        number = int(text)
        if not -(2**63) <= number < 2**63:
            raise ValueError(text)
        return number


class IdFilter(ExactFilter):
    """The column of ids equals what was typed."""

    def read(self, text: str) -> uuid.UUID:
        return uuid.UUID(text)


class PrefixFilter(ExactFilter):
    """The column begins with what was typed."""

    def narrowed(self, queryset: QuerySet[Any], value: str) -> QuerySet[Any]:
        return queryset.filter(**{f"{self.column}__startswith": value})


class TimeFilter(ExactFilter):
    """A bound of a time column, typed as a date or a time in the zone of the login."""

    lookup = "gte"

    def read(self, text: str) -> datetime:
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

    def narrowed(self, queryset: QuerySet[Any], value: datetime) -> QuerySet[Any]:
        return queryset.filter(**{f"{self.column}__{self.lookup}": value})


class ChoiceFilter(PickFilter):
    """The column equals one of the choices of its field."""

    column: str
    choices_from: type[Any]

    def lookups(self, request: HttpRequest, model_admin: "ModelAdmin[Any]") -> list[tuple[str, Any]]:
        return [(value, label) for value, label in self.choices_from.choices]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any] | None:
        chosen = self.value()
        if not chosen:
            return queryset
        return (
            queryset.filter(**{self.column: chosen})
            if chosen in self.choices_from.values
            else queryset.none()
        )


class OwnerFilter(ExactFilter):
    """The owner, named by number, user name or e-mail."""

    title = _("owner")
    parameter_name = "owner"
    column = "user_id"

    def read(self, text: str) -> int:
        found = user_named(text)
        if found is None:
            raise ValueError(text)
        return found


class EntityTypeFilter(ExactFilter):
    title = _("entity type")
    parameter_name = "type"
    column = "entity_type"


def user_named(text: str) -> int | None:
    """The id of the user that a number, a user name or an e-mail names; None where it names nobody.

    A user name that looks like a number of somebody else wins over the number: it was typed as a name.
    """
    by_name = Q(username=text) | Q(email=text)
    if text.isascii() and text.isdigit() and int(text) < 2**63:
        by_name |= Q(pk=int(text))
    matches = list(User.objects.filter(by_name).order_by("pk").values_list("pk", "username")[:10])
    exact = [pk for pk, username in matches if username == text]
    return exact[0] if exact else (matches[0][0] if matches else None)


def uuid_or_none(text: str) -> uuid.UUID | None:
    """The id that a text writes out, if it does."""
    try:
        return uuid.UUID(text)
    except ValueError:
        return None
