"""Pages of raw fragments."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, path
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from fragments.admin.bulk_asking import BulkingAdmin
from fragments.admin.field_filters import SeenFromFilter, SeenToFilter
from fragments.admin.restore import MAY_RESTORE, restore_page
from fragments.models import BulkList, LifecycleState, RawFragment
from fragments.selectors_entity import LIFECYCLE_TONES
from fragments.selectors_exports import FRAGMENT_COLUMNS, fragment_lines
from fragments.selectors_lifecycle import deletable_at
from fragments.selectors_narrowed import (
    ENTITY,
    FIELD,
    REASON,
    STATE,
    VALUE_TYPE,
    fragments_searched,
)
from schemaevo.kernel.canonical import JsonObject
from schemaevo.kernel.narrowing import ENTITY_TYPE, OWNER
from schemaevo.kernel.pages.display import (
    NOTHING,
    ago,
    amount,
    badge,
    code,
    hidden,
    json_block,
    json_line,
    moment,
    row_link,
    short,
)
from schemaevo.kernel.pages.filters import (
    ByCriterion,
    ChoiceByCriterion,
    EntityTypeFilter,
    OwnerFilter,
)
from schemaevo.kernel.pages.keyset import Keyset
from schemaevo.kernel.pages.rights import may_see_values
from schemaevo.kernel.pages.views_bar import ReadyView


class FieldFilter(ByCriterion):
    title = FIELD.title
    parameter_name = FIELD.parameter
    column = FIELD.column
    criterion = FIELD


class ListOwnerFilter(ByCriterion, OwnerFilter):
    criterion = OWNER


class ListTypeFilter(ByCriterion, EntityTypeFilter):
    criterion = ENTITY_TYPE


class ReasonFilter(ChoiceByCriterion):
    title = REASON.title
    parameter_name = REASON.parameter
    criterion = REASON


class LifecycleFilter(ChoiceByCriterion):
    title = STATE.title
    parameter_name = STATE.parameter
    criterion = STATE


class ValueTypeFilter(ChoiceByCriterion):
    title = VALUE_TYPE.title
    parameter_name = VALUE_TYPE.parameter
    criterion = VALUE_TYPE


class FragmentEntityFilter(ByCriterion):
    title = ENTITY.title
    parameter_name = ENTITY.parameter
    column = ENTITY.column
    criterion = ENTITY


@admin.register(RawFragment)
class RawFragmentAdmin(BulkingAdmin):
    """Field values that fit no schema yet, newest first; narrowed by when they were seen, the last seen first."""

    keyset = Keyset(("-id",))
    # By number one would have to walk past all that was seen later, or earlier.
    by_last_seen = Keyset(("-last_seen_at", "-id"))
    referred: ClassVar[dict[str, tuple[str, ...]]] = {
        "user": ("username",),
        "entity": ("entity_key", "entity_type"),
    }
    referred_on_page: ClassVar[dict[str, tuple[str, ...]]] = {"source": ("name", "content_hash")}
    nothing_yet = _(
        "Everything that came in was declared. A value that fits no schema is kept here until its "
        "field is promoted."
    )
    begins_at = (_("Ingest runs"), "admin:fragments_ingestrun_changelist")
    list_display = (
        "field",
        "shown_value",
        "value_type",
        "reason_short",
        "entity_shown",
        "owner",
        "seen",
        "shown_state",
        "last_seen_ago",
    )
    list_filter = (
        ListOwnerFilter,
        ListTypeFilter,
        FieldFilter,
        ReasonFilter,
        LifecycleFilter,
        ValueTypeFilter,
        SeenFromFilter,
        SeenToFilter,
        FragmentEntityFilter,
    )
    ready_views: ClassVar[tuple[ReadyView, ...]] = (
        ReadyView(_("Did not fit"), {"reason": "type_mismatch"}),
        ReadyView(_("Waits for deletion"), {"state": "pending_deletion"}),
    )
    search_fields = ("fragment_key",)
    search_help_text = _("Name of a field, or an id")
    bulk_list = BulkList.FRAGMENTS
    export_name = "fragments"
    export_columns = FRAGMENT_COLUMNS
    export_reads = (
        *("id", "user", "entity_type", "entity", "fragment_key", "value", "value_type", "value_format"),
        *("reason", "lifecycle_state", "frequency_count", "source", "priority", "specificity", "kind"),
        *("observation_id", "observed_at", "first_seen_at", "last_seen_at"),
        *("promoted_at", "archived_at", "expires_at"),
    )
    export_referred: ClassVar[dict[str, tuple[str, ...]]] = {
        "user": ("username",),
        "entity": ("entity_key",),
        "source": ("name", "content_hash"),
    }
    list_before_template = "admin/fragments/rawfragment/restore_link.html"
    change_form_outer_before_template = "admin/fragments/rawfragment/deletable.html"
    fieldsets: ClassVar[Any] = (
        (
            None,
            {
                "fields": (
                    ("field", "reason_shown"),
                    ("type_shown", "shown_state"),
                    ("entity_shown", "owner"),
                    ("source_shown", "seen"),
                    ("priority", "specificity"),
                    ("kind_shown", "newest_shown"),
                )
            },
        ),
        (_("Value"), {"fields": ("whole_value",)}),
        (
            _("When"),
            {"fields": (("observed", "first_seen"), ("last_seen", "promoted"), ("archived", "expires"))},
        ),
    )

    def get_urls(self) -> list[URLPattern]:
        """The page that restores, before the addresses of the rows."""
        view = self.admin_site.admin_view(self.restore_view)
        return [path("restore/", view, name="fragments_rawfragment_restore"), *super().get_urls()]

    def restore_view(self, request: HttpRequest) -> HttpResponse:
        """What waits for its deletion, of an owner and entity type; on POST it is restored."""
        return restore_page(self, request)

    def page_context(self, request: HttpRequest, fragment: RawFragment) -> dict[str, Any]:
        if fragment.lifecycle_state != LifecycleState.PENDING_DELETION or fragment.expires_at is None:
            return {}
        return {
            "fragment": fragment,
            "deletable_at": deletable_at(fragment.expires_at),
            "may_restore": request.user.has_perm(MAY_RESTORE),
        }

    def keyset_for(self, narrowed: Mapping[str, Sequence[str]]) -> Keyset:
        is_by_age = {SeenFromFilter.parameter_name, SeenToFilter.parameter_name} & narrowed.keys()
        return self.by_last_seen if is_by_age else self.keyset

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        queryset = super().get_queryset(request).defer("value_hash")
        return queryset if may_see_values(request) else queryset.defer("value_hash", "value")

    def get_list_display(self, request: HttpRequest) -> tuple[str, ...]:
        shown = tuple(self.list_display)
        return shown if may_see_values(request) else tuple(name for name in shown if name != "shown_value")

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        if may_see_values(request):
            return self.fieldsets
        first, value, when = self.fieldsets
        return (first, (value[0], {"fields": ("hidden_value",)}), when)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        return fragments_searched(queryset, search_term), False

    def export_lines(self, rows: Any) -> Iterable[JsonObject]:
        return fragment_lines(rows)

    @admin.display(description=_("field"))
    def field(self, fragment: RawFragment) -> SafeString:
        return code(fragment.fragment_key)

    @admin.display(description=_("value"))
    def shown_value(self, fragment: RawFragment) -> SafeString:
        return json_line(fragment.value)

    @admin.display(description=_("value"))
    def whole_value(self, fragment: RawFragment) -> SafeString:
        return json_block(fragment.value)

    @admin.display(description=_("value"))
    def hidden_value(self, fragment: RawFragment) -> SafeString:
        return hidden()

    @admin.display(description=_("type"))
    def type_shown(self, fragment: RawFragment) -> str:
        return (
            f"{fragment.value_type}, {fragment.value_format}"
            if fragment.value_format
            else fragment.value_type
        )

    @admin.display(description=_("reason"))
    def reason_shown(self, fragment: RawFragment) -> str:
        return fragment.get_reason_display()

    @admin.display(description=_("reason"))
    def reason_short(self, fragment: RawFragment) -> SafeString:
        return format_html('<span class="se-nowrap">{}</span>', fragment.reason.replace("_", " "))

    @admin.display(description=_("state"))
    def shown_state(self, fragment: RawFragment) -> SafeString:
        state = LifecycleState(fragment.lifecycle_state)
        shown = badge(state.label, LIFECYCLE_TONES[state])
        # Beside its state, which it keeps until the source takes part again.
        return format_html("{} {}", shown, badge(_("retracted"), "warn")) if fragment.is_retracted else shown

    @admin.display(description=_("entity"))
    def entity_shown(self, fragment: RawFragment) -> SafeString:
        key = fragment.entity.entity_key if fragment.entity else fragment.entity_id
        return row_link("snapshots_entitysnapshot", fragment.entity_id, short(key))

    @admin.display(description=_("owner"))
    def owner(self, fragment: RawFragment) -> SafeString:
        return short(fragment.user.get_username() if fragment.user else f"#{fragment.user_id}")

    @admin.display(description=_("source"))
    def source_shown(self, fragment: RawFragment) -> SafeString:
        return row_link("snapshots_source", fragment.source_id, fragment.source or fragment.source_id)

    @admin.display(description=_("seen"))
    def seen(self, fragment: RawFragment) -> SafeString:
        return amount(fragment.frequency_count)

    @admin.display(description=_("kind"))
    def kind_shown(self, fragment: RawFragment) -> SafeString:
        return format_html("{}", fragment.kind) if fragment.kind else NOTHING

    @admin.display(description=_("newest observation"))
    def newest_shown(self, fragment: RawFragment) -> SafeString:
        return row_link("snapshots_observation", fragment.observation_id, fragment.observation_id)

    @admin.display(description=_("observed"))
    def observed(self, fragment: RawFragment) -> SafeString:
        return moment(fragment.observed_at)

    @admin.display(description=_("first seen"))
    def first_seen(self, fragment: RawFragment) -> SafeString:
        return moment(fragment.first_seen_at)

    @admin.display(description=_("last seen"))
    def last_seen(self, fragment: RawFragment) -> SafeString:
        return moment(fragment.last_seen_at)

    @admin.display(description=_("last seen"))
    def last_seen_ago(self, fragment: RawFragment) -> SafeString:
        return ago(fragment.last_seen_at)

    @admin.display(description=_("promoted"))
    def promoted(self, fragment: RawFragment) -> SafeString:
        return moment(fragment.promoted_at)

    @admin.display(description=_("archived"))
    def archived(self, fragment: RawFragment) -> SafeString:
        return moment(fragment.archived_at)

    @admin.display(description=_("expires"))
    def expires(self, fragment: RawFragment) -> SafeString:
        return moment(fragment.expires_at)
