"""What a field for a reference suggests while somebody types: the beginning of what there is, never all of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib.admin.views.autocomplete import AutocompleteJsonView
from django.core.paginator import Paginator
from django.db import OperationalError
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils.functional import cached_property
from psycopg.errors import QueryCanceled

from schemaevo.kernel.pages.keyset import KeysetAdmin, page_limit

if TYPE_CHECKING:
    AnyPaginator = Paginator[Any]
else:
    # Generic to the checker alone.
    AnyPaginator = Paginator

#: So many rows can be scrolled through; whoever has not found it by then types more of it.
SUGGESTED_MAX = 200


class Beginning(AnyPaginator):
    """Pages over the first SUGGESTED_MAX rows. No row beyond them is counted or skipped."""

    @cached_property
    def count(self) -> int:
        found: QuerySet[Any] = self.object_list  # type: ignore[assignment]
        # Ordered, the database would have to sort what it counts.
        return found.order_by()[:SUGGESTED_MAX].count()


class SuggestionsView(AutocompleteJsonView):
    """Django's suggestions for whoever may see the list, bounded in what they read and in how long it takes."""

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if "\0" in request.GET.get("term", ""):
            return _nothing()
        try:
            with page_limit():
                return super().get(request, *args, **kwargs)
        except OperationalError as error:
            if not isinstance(error.__cause__, QueryCanceled):
                raise
            return _nothing()

    def get_queryset(self) -> QuerySet[Any]:
        found: QuerySet[Any] = super().get_queryset()
        shown_by = self.model_admin
        if isinstance(shown_by, KeysetAdmin):
            # Its list leaves the order to its pages; without one a row could stand on two of them.
            return found.order_by(*shown_by.keyset.order)
        return found if found.ordered else found.order_by("pk")

    def get_paginator(self, *args: Any, **kwargs: Any) -> AnyPaginator:
        return Beginning(*args, **kwargs)


def _nothing() -> JsonResponse:
    return JsonResponse({"results": [], "pagination": {"more": False}})
