"""Pages of undeclared fields: what waits under each name, and how sure one can be what it is."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar
from urllib.parse import urlencode

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from fragments.admin.bulk_asking import BulkingAdmin
from fragments.admin.field_displays import confidence_meter
from fragments.admin.field_filters import OwnConfidenceFilter, SeenFromFilter, SeenToFilter
from fragments.admin.field_of_owner import owner_context
from fragments.admin.field_verbs.addresses import field_verb_urls, field_verbs
from fragments.admin.fragments import FieldFilter, ListOwnerFilter, ListTypeFilter
from fragments.admin.rebuild import rebuild_page
from fragments.models import BulkList, RawFragmentAggregate
from fragments.selectors_counting import rebuilds_told
from fragments.selectors_exports import AGGREGATE_COLUMNS, aggregate_lines
from fragments.selectors_fields import FIELDS_READ, confidence_of
from fragments.selectors_narrowed import DOMINANT_TYPE, fields_searched, fields_waiting
from fragments.selectors_undeclared import WHOLE, types_told
from schemaevo.kernel.canonical import Json, JsonObject
from schemaevo.kernel.pages.display import NOTHING, ago, amount, code, short
from schemaevo.kernel.pages.estimates import Amount, found_counted
from schemaevo.kernel.pages.filters import ChoiceByCriterion
from schemaevo.kernel.pages.keyset import Keyset
from schemaevo.kernel.pages.rights import may_see_values


class DominantTypeFilter(ChoiceByCriterion):
    title = DOMINANT_TYPE.title
    parameter_name = DOMINANT_TYPE.parameter
    criterion = DOMINANT_TYPE


@admin.register(RawFragmentAggregate)
class RawFragmentAggregateAdmin(BulkingAdmin):
    """Every field that records have and no schema declares, of each owner, by entity type and name."""

    # The order of an index, in which the same field of all owners stands together.
    keyset = Keyset(("entity_type", "fragment_key", "user_id"))
    referred: ClassVar[dict[str, tuple[str, ...]]] = {"user": ("username",)}
    nothing_yet = _(
        "No record had a field that its schema does not declare. What comes in undeclared is "
        "counted here by owner and name."
    )
    begins_at = (_("Ingest runs"), "admin:fragments_ingestrun_changelist")
    list_display = (
        "field",
        "entity_type",
        "owner",
        "shown_confidence",
        "shown_type",
        "values",
        "seen",
        "sources",
        "last_seen_ago",
    )
    list_filter = (
        ListOwnerFilter,
        ListTypeFilter,
        FieldFilter,
        DominantTypeFilter,
        OwnConfidenceFilter,
        SeenFromFilter,
        SeenToFilter,
    )
    search_fields = ("fragment_key",)
    search_help_text = _("Name of a field")
    bulk_list = BulkList.FIELDS
    export_name = "undeclared-fields"
    export_columns = AGGREGATE_COLUMNS
    export_reads = (
        *("user", "entity_type", "fragment_key", "sample_count", "frequency_total", "unique_sources"),
        *("dominant_type", "type_consistency", "type_counts", "format_counts", "last_seen_at"),
        "sample_values",
    )
    export_referred: ClassVar[dict[str, tuple[str, ...]]] = {"user": ("username",)}
    list_before_template = "admin/fragments/rawfragmentaggregate/before.html"
    change_form_outer_before_template = "admin/fragments/rawfragmentaggregate/page.html"

    def get_urls(self) -> list[URLPattern]:
        """The page that asks for a rebuild, and what is done about one field, before the addresses of the rows."""
        view = self.admin_site.admin_view(self.rebuild_view)
        return [
            path("rebuild/", view, name="fragments_rawfragmentaggregate_rebuild"),
            *field_verb_urls(self),
            *super().get_urls(),
        ]

    def rebuild_view(self, request: HttpRequest) -> HttpResponse:
        """What a rebuild does, and the form that asks for one; on POST the job is owed."""
        return rebuild_page(self, request)

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """None: the template shows everything."""
        return ()

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        listed = super().get_queryset(request)
        return listed if may_see_values(request) else listed.defer("sample_values")

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        return fields_searched(queryset, search_term), False

    def rows_in_all(self) -> Amount:
        return found_counted(fields_waiting(RawFragmentAggregate.objects.all()))

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        told = {
            "rebuilds": rebuilds_told(),
            "totals_url": _totals_url(request),
            "fields_read": FIELDS_READ,
        }
        return super().changelist_view(request, {**(extra_context or {}), **told})

    def page_context(self, request: HttpRequest, row: RawFragmentAggregate) -> dict[str, Any]:
        # A username wins over a number: by it the list finds this owner, whatever it looks like.
        owner = row.user.get_username() if row.user else str(row.user_id)
        behind = {"owner": owner, "type": row.entity_type, "field": row.fragment_key}
        sees_values = may_see_values(request)
        return {
            **owner_context(request, row, owner),
            "row": row,
            "owner": owner,
            "types": [
                (told, percent(told.share), _list_url("rawfragment", {**behind, "value_type": told.name}))
                for told in types_told(row)
            ],
            "samples": _samples(row) if sees_values else (),
            "may_see_values": sees_values,
            "share": percent(row.type_consistency) if row.dominant_type else NOTHING,
            "rebuilds": rebuilds_told(),
            "verbs": field_verbs(request, row),
        }

    def export_lines(self, rows: Any) -> Iterable[JsonObject]:
        return aggregate_lines(rows)

    @admin.display(description=_("field"))
    def field(self, row: RawFragmentAggregate) -> SafeString:
        return code(row.fragment_key)

    @admin.display(description=_("owner"))
    def owner(self, row: RawFragmentAggregate) -> SafeString:
        return short(row.user.get_username() if row.user else f"#{row.user_id}")

    @admin.display(description=_("confidence"))
    def shown_confidence(self, row: RawFragmentAggregate) -> SafeString:
        """Computed for each row that is shown, from its own counts."""
        return confidence_meter(
            confidence_of(row.fragment_key, row.type_counts, row.format_counts, row.sample_count)
        )

    @admin.display(description=_("type of most"))
    def shown_type(self, row: RawFragmentAggregate) -> SafeString:
        return type_of_most(row)

    @admin.display(description=_("values"))
    def values(self, row: RawFragmentAggregate) -> SafeString:
        return amount(row.sample_count)

    @admin.display(description=_("seen"))
    def seen(self, row: RawFragmentAggregate) -> SafeString:
        return amount(row.frequency_total)

    @admin.display(description=_("sources"))
    def sources(self, row: RawFragmentAggregate) -> SafeString:
        return amount(row.unique_sources)

    @admin.display(description=_("last seen"))
    def last_seen_ago(self, row: RawFragmentAggregate) -> SafeString:
        return ago(row.last_seen_at)


def type_of_most(row: Any) -> SafeString:
    """The type that most values have, and its share of those that are not null."""
    if not row.dominant_type:
        return NOTHING
    return format_html(
        '<span class="se-nowrap">{} <span class="se-muted">{}</span></span>',
        row.dominant_type,
        percent(row.type_consistency),
    )


def percent(share: int | None) -> SafeString:
    """A share in ten-thousandths, with one digit behind the point, and a hundred per cent only where it is all."""
    if share is None:
        return NOTHING
    tenths = share * 1000 // WHOLE
    text = f"{tenths // 10}" if tenths % 10 == 0 else f"{tenths // 10}.{tenths % 10}"
    return format_html('<span class="se-number se-nowrap">{} %</span>', text)


def _samples(row: RawFragmentAggregate) -> list[tuple[Json, str]]:
    """Each sample with the page of the fragment that has it."""
    samples: Sequence[dict[str, Json]] = row.sample_values
    return [
        (sample["value"], reverse("admin:fragments_rawfragment_change", args=[sample["fragment"]]))
        for sample in samples
    ]


def _totals_url(request: HttpRequest) -> str:
    """The fields over all owners, narrowed as this list is, as far as both know the same filters."""
    shared = (
        ListTypeFilter,
        FieldFilter,
        DominantTypeFilter,
        OwnConfidenceFilter,
        SeenFromFilter,
        SeenToFilter,
    )
    named = [declared.parameter_name for declared in shared]
    return _list_url("fieldtotal", {name: value for name in named if (value := request.GET.get(name, ""))})


def _list_url(model: str, query: dict[str, str]) -> str:
    return f"{reverse(f'admin:fragments_{model}_changelist')}?{urlencode(query)}"
