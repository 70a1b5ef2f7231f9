"""Filters that several pages of this floor have."""

from typing import Any, ClassVar

from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from schemaevo.kernel.pages.filters import PickFilter


class YesOrNoFilter(PickFilter):
    """Rows for which `condition` holds, or those for which it does not."""

    condition: ClassVar[Q]

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("1", _("Yes")), ("0", _("No"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any] | None:
        if self.value() in {"0", "1"}:
            return queryset.filter(self.condition if self.value() == "1" else ~self.condition)
        return queryset


class InForceFilter(YesOrNoFilter):
    title = _("in force")
    parameter_name = "in_force"
    condition = Q(is_active=True)
