"""Pages of fields over all owners: what the data wants to become, the surest first."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.formats import number_format
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from fragments.admin.aggregates import DominantTypeFilter, percent, type_of_most
from fragments.admin.field_displays import Way, confidence_meter, recommendation_shown
from fragments.admin.field_filters import (
    ConfidenceFilter,
    FieldPrefixFilter,
    OwnersFilter,
    SeenFromFilter,
    SeenToFilter,
)
from fragments.admin.fragments import FieldFilter
from fragments.domain.recommendation import ObstacleCode
from fragments.models import FieldTotal
from fragments.selectors_aggregates import FieldKey
from fragments.selectors_counting import rebuilds_told
from fragments.selectors_exports import TOTAL_COLUMNS, total_lines
from fragments.selectors_fields import field_over_owners
from fragments.selectors_growth import gains_of
from fragments.selectors_narrowed import TYPES
from fragments.selectors_undeclared import types_told
from schemaevo.kernel.canonical import JsonObject
from schemaevo.kernel.pages.charts import chart_of_days
from schemaevo.kernel.pages.display import NOTHING, ago, amount, badge, code
from schemaevo.kernel.pages.exporting import ExportingAdmin
from schemaevo.kernel.pages.filters import EntityTypeFilter
from schemaevo.kernel.pages.keyset import Keyset, KeysetChangeList

#: Days over which the list tells who gained owners.
GAIN_DAYS = 30


class TotalsList(KeysetChangeList):
    """The list, which knows of when it is."""

    @property
    def counted_at(self) -> datetime | None:
        """When the oldest of the figures that are shown was counted."""
        return min((row.counted_at for row in self.result_list), default=None)


@admin.register(FieldTotal)
class FieldTotalAdmin(ExportingAdmin):
    """Every undeclared field of every entity type, all its owners added up; the surest and most used first."""

    keyset = Keyset(("-confidence", "-user_count", "-id"))
    many = _("fields")
    nothing_yet = _(
        "No field was counted yet. What comes in undeclared is added up over all owners soon after the store was "
        "started, and then every hour."
    )
    begins_at = (_("Undeclared fields"), "admin:fragments_rawfragmentaggregate_changelist")
    list_display = (
        "field",
        "entity_type",
        "shown_confidence",
        "owners",
        "gained",
        "shown_type",
        "values",
        "seen",
        "sources",
        "last_seen_ago",
    )
    list_filter = (
        EntityTypeFilter,
        FieldFilter,
        FieldPrefixFilter,
        DominantTypeFilter,
        ConfidenceFilter,
        OwnersFilter,
        SeenFromFilter,
        SeenToFilter,
    )
    search_fields = ("fragment_key",)
    search_help_text = _("Name of a field")
    export_name = "fields"
    export_columns = TOTAL_COLUMNS
    export_reads = (
        *("entity_type", "fragment_key", "user_count", "sample_count", "frequency_total", "unique_sources"),
        *("dominant_type", "type_consistency", "type_counts", "format_counts", "confidence"),
        *("last_seen_at", "counted_at"),
    )
    list_before_template = "admin/fragments/fieldtotal/before.html"
    change_form_outer_before_template = "admin/fragments/fieldtotal/page.html"

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """None: the template shows everything."""
        return ()

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[Any]:
        return TotalsList

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        term = search_term.strip()
        return (queryset.filter(fragment_key=term) if term else queryset), False

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        return super().changelist_view(request, {**(extra_context or {}), "rebuilds": rebuilds_told()})

    def attach(self, rows: Sequence[Any]) -> None:
        """Every row has by how many its owners became more; nothing is known of those that few owners have."""
        super().attach(rows)
        keys = {row.pk: FieldKey(row.entity_type, row.fragment_key) for row in rows}
        gains = gains_of(keys.values(), days=GAIN_DAYS) if keys else {}
        for row in rows:
            row.is_followed = keys[row.pk] in gains
            row.gained = gains.get(keys[row.pk])

    def page_context(self, request: HttpRequest, row: FieldTotal) -> dict[str, Any]:
        found = field_over_owners(entity_type=row.entity_type, name=row.fragment_key)
        recommendation = found.recommendation
        owners_url = list_url("rawfragmentaggregate", type=row.entity_type, field=row.fragment_key)
        return {
            "row": row,
            "found": found,
            "counts": recommendation.counts if recommendation else None,
            "shown": recommendation_shown(recommendation, _ways(request, row)) if recommendation else None,
            "types": [
                (
                    told,
                    percent(told.share),
                    list_url(
                        "rawfragmentaggregate",
                        type=row.entity_type,
                        field=row.fragment_key,
                        value_type=told.name,
                    )
                    if told.name in TYPES
                    else "",
                )
                for told in types_told(recommendation.counts if recommendation else None)
            ],
            "owners": [
                (
                    share.name,
                    share.row,
                    percent(share.row.type_consistency) if share.row.dominant_type else NOTHING,
                )
                for share in found.owners
            ],
            "owners_url": owners_url,
            "eligible_words": _(
                "It is good enough for a global schema. Where enough owners have it, an analysis drafts a proposal."
            ),
            "chart": chart_of_days(str(_("Owners")), found.owners_by_day),
            "rebuilds": rebuilds_told(),
        }

    def export_lines(self, rows: Any) -> Iterable[JsonObject]:
        return total_lines(rows)

    @admin.display(description=_("field"))
    def field(self, row: FieldTotal) -> SafeString:
        return code(row.fragment_key)

    @admin.display(description=_("confidence"))
    def shown_confidence(self, row: FieldTotal) -> SafeString:
        return confidence_meter(row.confidence)

    @admin.display(description=_("owners"))
    def owners(self, row: FieldTotal) -> SafeString:
        return amount(row.user_count)

    @admin.display(description=_("in 30 days"))
    def gained(self, row: Any) -> SafeString:
        """By how many its owners became more; nothing of fields whose days are not kept."""
        if not row.is_followed:
            return NOTHING
        return badge(_("new"), "busy") if row.gained is None else gain(row.gained)

    @admin.display(description=_("type of most"))
    def shown_type(self, row: FieldTotal) -> SafeString:
        return type_of_most(row)

    @admin.display(description=_("values"))
    def values(self, row: FieldTotal) -> SafeString:
        return amount(row.sample_count)

    @admin.display(description=_("seen"))
    def seen(self, row: FieldTotal) -> SafeString:
        return amount(row.frequency_total)

    @admin.display(description=_("sources"))
    def sources(self, row: FieldTotal) -> SafeString:
        return amount(row.unique_sources)

    @admin.display(description=_("last seen"))
    def last_seen_ago(self, row: FieldTotal) -> SafeString:
        return ago(row.last_seen_at)


def gain(count: int) -> SafeString:
    """By how many there are more, with its sign."""
    sign, tone = (
        ("+", "se-good-text") if count > 0 else ("−", "se-warn-text") if count < 0 else ("±", "se-muted")
    )
    return format_html(
        '<span class="se-number se-nowrap {}">{}{}</span>',
        tone,
        sign,
        number_format(abs(count), force_grouping=True),
    )


def list_url(model: str, **query: str) -> str:
    """That list of this floor, narrowed so."""
    return f"{reverse(f'admin:fragments_{model}_changelist')}?{urlencode(query)}"


def _ways(request: HttpRequest, row: FieldTotal) -> dict[ObstacleCode, Way]:
    """Where something is done about what speaks against the field over all its owners."""
    ways = {}
    if request.user.has_perm("registry.view_schema"):
        effective = reverse("admin:registry_schema_effective")
        ways[ObstacleCode.ALREADY_DECLARED] = ways[ObstacleCode.AMBIGUOUS_NAME] = Way(
            f"{effective}?{urlencode({'type': row.entity_type})}", _("The schema in force")
        )
    return ways
