"""Filters that cost one indexed look: people type or pick a value, nothing scans for the values there are."""

import uuid
from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar

from django.db.models import QuerySet
from django.http import HttpRequest

from schemaevo.kernel.narrowing import ENTITY_TYPE, OWNER, Criterion, moment_read, owner_read
from schemaevo.kernel.narrowing import user_named as user_named
from schemaevo.kernel.narrowing import uuid_or_none as uuid_or_none

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
        return moment_read(text)

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

    title = OWNER.title
    parameter_name = OWNER.parameter
    column = OWNER.column

    def read(self, text: str) -> int:
        return owner_read(text)


class EntityTypeFilter(ExactFilter):
    title = ENTITY_TYPE.title
    parameter_name = ENTITY_TYPE.parameter
    column = ENTITY_TYPE.column


class ByCriterion(ExactFilter):
    """Narrows as its criterion says, by which others find the same rows without a request."""

    criterion: ClassVar[Criterion]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any] | None:
        return self.criterion.narrowed(queryset, self.value() or "")


class ChoiceByCriterion(PickFilter):
    """The same, as a choice from what the criterion knows."""

    criterion: ClassVar[Criterion]

    def lookups(self, request: HttpRequest, model_admin: "ModelAdmin[Any]") -> list[tuple[str, Any]]:
        return list(self.criterion.choices)

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any] | None:
        return self.criterion.narrowed(queryset, self.value() or "")
