"""Pages of snapshots."""

from typing import Any, ClassVar

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, path
from django.utils.html import format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from registry.selectors_pages import reduction_hashes_in_force
from schemaevo.kernel.pages.display import amount, badge, moment, short
from schemaevo.kernel.pages.filters import (
    EntityTypeFilter,
    OwnerFilter,
    PickFilter,
    PrefixFilter,
    uuid_or_none,
)
from schemaevo.kernel.pages.keyset import Keyset, KeysetAdmin
from schemaevo.kernel.pages.rights import may_see_values
from snapshots.admin.observations import owner_name
from snapshots.admin.recomputation import recompute_page
from snapshots.models import EntitySnapshot
from snapshots.selectors_pages import snapshot_told


class KeyFilter(PrefixFilter):
    title = _("beginning of the key")
    parameter_name = "key"
    column = "entity_key"


class DeletedFilter(PickFilter):
    title = _("deleted")
    parameter_name = "deleted"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("1", _("Yes")), ("0", _("No"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any] | None:
        return queryset.filter(deleted=self.value() == "1") if self.value() in {"0", "1"} else queryset


@admin.register(EntitySnapshot)
class EntitySnapshotAdmin(KeysetAdmin):
    """The merged state of every entity; on its page each value beside the observation it came from."""

    keyset = Keyset(("user_id", "entity_type", "entity_key"))
    referred: ClassVar[dict[str, tuple[str, ...]]] = {"user": ("username",)}
    list_display = ("key", "entity_type", "owner", "state", "observations", "last_observed", "computed")
    list_filter = (OwnerFilter, EntityTypeFilter, KeyFilter, DeletedFilter)
    search_fields = ("=id",)
    search_help_text = _("Entity key, or an id")
    list_before_template = "admin/snapshots/entitysnapshot/recompute_link.html"
    change_form_outer_before_template = "admin/snapshots/entitysnapshot/explained.html"

    def get_urls(self) -> list[URLPattern]:
        """The page of recomputation, before the addresses of the rows."""
        view = self.admin_site.admin_view(self.recompute_view)
        return [path("recompute/", view, name="snapshots_entitysnapshot_recompute"), *super().get_urls()]

    def recompute_view(self, request: HttpRequest) -> HttpResponse:
        """What waits, and the form that asks for a job; on POST the job is owed."""
        return recompute_page(self, request)

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """None, not even an empty one, which would be drawn as an empty box: the template shows everything."""
        return ()

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        # Lists and headings never need the documents; the page of one entity asks a selector for them.
        return super().get_queryset(request).defer("values", "provenance", "merge_state")

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        term = search_term.strip()
        if not term:
            return queryset, False
        if found := uuid_or_none(term):
            return queryset.filter(pk=found), False
        return queryset.filter(entity_key=term), False

    def attach(self, rows: Any) -> None:
        super().attach(rows)
        wanted = reduction_hashes_in_force(owners={(row.entity_type, row.user_id) for row in rows})
        for row in rows:
            row.is_waiting = row.reduction_hash != wanted[row.entity_type, row.user_id]

    def page_context(self, request: HttpRequest, snapshot: EntitySnapshot) -> dict[str, Any]:
        return {
            "told": snapshot_told(snapshot_id=snapshot.pk),
            "may_see_values": may_see_values(request),
        }

    @admin.display(description=_("key"))
    def key(self, snapshot: EntitySnapshot) -> SafeString:
        return short(snapshot.entity_key)

    @admin.display(description=_("owner"))
    def owner(self, snapshot: EntitySnapshot) -> SafeString:
        return owner_name(snapshot)

    @admin.display(description=_("state"))
    def state(self, snapshot: Any) -> SafeString:
        states = [badge(_("waiting"), "warn")] if snapshot.is_waiting else []
        if snapshot.deleted:
            states.append(badge(_("deleted"), "bad"))
        return format_html_join(" ", "{}", ((state,) for state in states or [badge(_("current"), "good")]))

    @admin.display(description=_("observations"))
    def observations(self, snapshot: EntitySnapshot) -> SafeString:
        return amount(snapshot.observation_count)

    @admin.display(description=_("last observed"))
    def last_observed(self, snapshot: EntitySnapshot) -> SafeString:
        return moment(snapshot.last_observation_at)

    @admin.display(description=_("computed"))
    def computed(self, snapshot: EntitySnapshot) -> SafeString:
        return moment(snapshot.computed_at)
