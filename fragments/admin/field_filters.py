"""Filters of the lists of undeclared fields, over all owners and of one."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from fragments.domain.bands import BANDS, Band
from fragments.selectors_fields import fields_of_confidence
from fragments.selectors_narrowed import CONFIDENCE, SEEN_FROM, SEEN_TO
from schemaevo.kernel.pages.filters import (
    ByCriterion,
    EntityTypeFilter,
    NumberFilter,
    OwnerFilter,
    PickFilter,
    PrefixFilter,
    user_named,
)


class FieldPrefixFilter(PrefixFilter):
    title = _("field begins with")
    parameter_name = "begins"
    column = "fragment_key"


class OwnersFilter(NumberFilter):
    title = _("owners at least")
    parameter_name = "owners"
    column = "user_count__gte"


class SeenFromFilter(ByCriterion):
    title = SEEN_FROM.title
    parameter_name = SEEN_FROM.parameter
    criterion = SEEN_FROM


class SeenToFilter(ByCriterion):
    title = SEEN_TO.title
    parameter_name = SEEN_TO.parameter
    criterion = SEEN_TO


class ConfidenceFilter(PickFilter):
    """The confidence, which is a column, is in a band."""

    title = CONFIDENCE.title
    parameter_name = CONFIDENCE.parameter

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return list(CONFIDENCE.choices)

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any] | None:
        chosen = (self.value() or "").strip()
        if not chosen:
            return queryset
        band = BANDS.get(chosen)
        return queryset.none() if band is None else self.narrowed(request, queryset, band)

    def narrowed(self, request: HttpRequest, queryset: QuerySet[Any], band: Band) -> QuerySet[Any]:
        return queryset.filter(confidence__gte=band.low, confidence__lt=band.high)


class OwnConfidenceFilter(ConfidenceFilter):
    """The same where confidence is computed from counts: those of one owner are read, so an owner has to be chosen.

    Without one the list is empty, and the page says why.
    """

    #: No owner is chosen.
    needs_owner = False
    #: The owner has more fields than were looked at.
    is_cut = False

    def narrowed(self, request: HttpRequest, queryset: QuerySet[Any], band: Band) -> QuerySet[Any]:
        owner = _typed(request, OwnerFilter)
        if not owner:
            self.needs_owner = True
            return queryset.none()
        user_id = None if "\0" in owner else user_named(owner)
        entity_type = _typed(request, EntityTypeFilter)
        if user_id is None or "\0" in entity_type:
            return queryset.none()
        found = fields_of_confidence(user_id=user_id, entity_type=entity_type or None, band=band)
        self.is_cut = found.is_cut
        return found.of(queryset)


def _typed(request: HttpRequest, declared: type[OwnerFilter] | type[EntityTypeFilter]) -> str:
    return request.GET.get(declared.parameter_name, "").strip()
