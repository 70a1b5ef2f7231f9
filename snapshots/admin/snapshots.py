"""Pages of snapshots."""

from collections.abc import Iterable
from typing import Any, ClassVar
from uuid import UUID

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, path
from django.utils import timezone
from django.utils.html import format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from registry.selectors_pages import reduction_hashes_in_force
from schemaevo.kernel.canonical import JsonObject
from schemaevo.kernel.entity_panels import entity_panels
from schemaevo.kernel.pages.display import amount, badge, moment, short
from schemaevo.kernel.pages.exporting import ExportingAdmin
from schemaevo.kernel.pages.filters import (
    EntityTypeFilter,
    OwnerFilter,
    PickFilter,
    PrefixFilter,
    uuid_or_none,
)
from schemaevo.kernel.pages.keyset import Keyset
from schemaevo.kernel.pages.rights import may_see_values
from snapshots.admin.as_of import as_of_asked, as_of_typed
from snapshots.admin.corrections import correct_page
from snapshots.admin.history import history_page
from snapshots.admin.observations import owner_name
from snapshots.admin.reasons import reasons_of
from snapshots.admin.recomputation import recompute_page
from snapshots.models import EntitySnapshot
from snapshots.selectors_explained import snapshot_explained
from snapshots.selectors_exports import SNAPSHOT_COLUMNS, snapshot_lines


class KeyFilter(PrefixFilter):
    title = _("beginning of the key")
    parameter_name = "key"
    column = "entity_key"
    may_be_told = False


class DeletedFilter(PickFilter):
    title = _("deleted")
    parameter_name = "deleted"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("1", _("Yes")), ("0", _("No"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any] | None:
        return queryset.filter(deleted=self.value() == "1") if self.value() in {"0", "1"} else queryset


@admin.register(EntitySnapshot)
class EntitySnapshotAdmin(ExportingAdmin):
    """The merged state of every entity; on its page each value beside the observation it came from."""

    keyset = Keyset(("user_id", "entity_type", "entity_key"))
    referred: ClassVar[dict[str, tuple[str, ...]]] = {"user": ("username",)}
    nothing_yet = _(
        "What is believed of an entity is merged from its observations as they come. The first "
        "ingest brings the first ones."
    )
    begins_at = (_("Ingest runs"), "admin:fragments_ingestrun_changelist")
    list_display = ("key", "entity_type", "owner", "state", "observations", "last_observed", "computed")
    list_filter = (OwnerFilter, EntityTypeFilter, KeyFilter, DeletedFilter)
    search_fields = ("=id",)
    search_help_text = _("Entity key, or an id")
    list_before_template = "admin/snapshots/entitysnapshot/recompute_link.html"
    change_form_outer_before_template = "admin/snapshots/entitysnapshot/explained.html"
    export_name = "snapshots"
    export_columns = SNAPSHOT_COLUMNS
    export_reads = (
        *("user", "entity_type", "entity_key", "deleted", "last_observation_at"),
        *("schema_version", "values"),
    )
    export_referred: ClassVar[dict[str, tuple[str, ...]]] = {
        "user": ("username",),
        "schema_version": ("major", "minor", "patch"),
    }

    def get_urls(self) -> list[URLPattern]:
        """The pages of recomputation and of corrections, before the addresses of the rows."""
        recompute = self.admin_site.admin_view(self.recompute_view)
        correct = self.admin_site.admin_view(self.correct_view)
        return [
            path("recompute/", recompute, name="snapshots_entitysnapshot_recompute"),
            path("<uuid:snapshot_id>/correct/", correct, name="snapshots_entitysnapshot_correct"),
            *super().get_urls(),
        ]

    def correct_view(self, request: HttpRequest, snapshot_id: UUID) -> HttpResponse:
        """A field as it is, and what correcting it does; on POST it is corrected."""
        return correct_page(self, request, snapshot_id)

    def recompute_view(self, request: HttpRequest) -> HttpResponse:
        """What waits, and the form that asks for a job; on POST the job is owed."""
        return recompute_page(self, request)

    def history_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """What each observation of the entity changed, instead of who edited a row that nobody edits."""
        return history_page(self, request, object_id)

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

    def export_lines(self, rows: Any) -> Iterable[JsonObject]:
        return snapshot_lines(rows)

    def page_context(self, request: HttpRequest, snapshot: EntitySnapshot) -> dict[str, Any]:
        as_of, form = as_of_asked(request)
        told = snapshot_explained(snapshot_id=snapshot.pk, as_of=as_of)
        panels = entity_panels(user_id=snapshot.user_id, entity_id=snapshot.pk)
        return {
            "told": told,
            "reasons": reasons_of(told),
            "may_see_values": may_see_values(request),
            "as_of_form": form,
            "as_of_text": as_of_typed(as_of) if as_of else request.GET.get("as_of", ""),
            "zone": timezone.get_current_timezone_name(),
            "panels": [panel for panel in panels if request.user.has_perm(panel.permission)],
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
