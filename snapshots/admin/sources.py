"""Pages of sources: what each brought, and whether it takes part."""

from __future__ import annotations

from typing import Any, ClassVar
from urllib.parse import urlencode
from uuid import UUID

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.forms import Script
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from schemaevo.kernel.pages.display import NOTHING, badge, code, moment
from schemaevo.kernel.pages.filters import OwnerFilter, PickFilter, PrefixFilter
from schemaevo.kernel.pages.job_progress import Progress
from schemaevo.kernel.pages.keyset import Keyset, KeysetAdmin
from schemaevo.kernel.pages.views_bar import ReadyView
from snapshots.admin.observations import owner_name, retracted_badge
from snapshots.admin.retractions import retract_page, undo_page
from snapshots.models import Retraction, RetractionState, Source
from snapshots.selectors_retractions import source_told, sources_retracted
from snapshots.services.retractions import MAY_RETRACT

TONES = {
    RetractionState.TAKING_BACK: "busy",
    RetractionState.TAKEN_BACK: "warn",
    RetractionState.GIVING_BACK: "busy",
    RetractionState.GIVEN_BACK: "plain",
}


class SourceNameFilter(PrefixFilter):
    title = _("beginning of the name")
    parameter_name = "name"
    column = "name"


class RetractedFilter(PickFilter):
    title = _("retracted")
    parameter_name = "retracted"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("1", _("Yes"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any] | None:
        if self.value() != "1":
            return queryset
        # From the retractions, of which there are few, and not from the sources.
        return queryset.filter(pk__in=Retraction.objects.filter(undone_at=None).values("source"))


@admin.register(Source)
class SourceAdmin(KeysetAdmin):
    """Where observations came from."""

    keyset = Keyset(("-created_at", "-id"))
    referred: ClassVar[dict[str, tuple[str, ...]]] = {"user": ("username",)}
    nothing_yet = _(
        "A source is a file or a feed that records came from. The first ingest makes the first one."
    )
    begins_at = (_("Ingest runs"), "admin:fragments_ingestrun_changelist")
    list_display = ("name", "owner", "content", "takes_part", "first_seen")
    list_filter = (OwnerFilter, SourceNameFilter, RetractedFilter)
    ready_views: ClassVar[tuple[ReadyView, ...]] = (ReadyView(_("Retracted"), {"retracted": "1"}),)
    search_fields = ("=id",)
    search_help_text = _("Id of a source")
    change_form_outer_before_template = "admin/snapshots/source/page.html"

    class Media:
        js = (Script("schemaevo/live.js", defer=True),)

    def get_urls(self) -> list[URLPattern]:
        """What a page follows, and the pages that retract and undo, before the addresses of the rows."""
        view = self.admin_site.admin_view
        return [
            path("<uuid:source_id>/live/", view(self.live_view), name="snapshots_source_live"),
            path("<uuid:source_id>/retract/", view(self.retract_view), name="snapshots_source_retract"),
            path("<uuid:source_id>/undo/", view(self.undo_view), name="snapshots_source_undo"),
            *super().get_urls(),
        ]

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """None: the template shows everything, and follows it."""
        return ()

    def attach(self, rows: Any) -> None:
        super().attach(rows)
        retracted = sources_retracted({str(row.pk) for row in rows}) if rows else ()
        for row in rows:
            row.is_retracted = str(row.pk) in retracted

    def page_context(self, request: HttpRequest, source: Source) -> dict[str, Any]:
        told = source_told(source=source)
        newest = told.retractions[0] if told.retractions else None
        return {
            "source": source,
            "owner": source.user.get_username() if source.user else f"#{source.user_id}",
            "told": told,
            "states": [(row, TONES[RetractionState(row.state)]) for row in told.retractions],
            "newest": newest,
            "tone": TONES[RetractionState(newest.state)] if newest else "good",
            "at_work": [(job, Progress.of(job, timezone.now())) for job in told.jobs],
            "is_over": not told.jobs,
            "may_retract": request.user.has_perm(MAY_RETRACT),
            "observations_url": f"{reverse('admin:snapshots_observation_changelist')}?"
            + urlencode({"source": source.pk}),
            "audit_url": f"{reverse('admin:kernel_auditevent_changelist')}?"
            + urlencode({"target_type": "source", "target": source.pk}),
        }

    def live_view(self, request: HttpRequest, source_id: UUID) -> HttpResponse:
        """What the page of the source shows now, without the page around it, for a page that follows it."""
        source = self.get_object(request, str(source_id))
        if source is None:
            raise Http404
        if not self.has_view_permission(request, source):
            raise PermissionDenied
        return render(request, "admin/snapshots/source/pieces.html", self.page_context(request, source))

    def retract_view(self, request: HttpRequest, source_id: UUID) -> HttpResponse:
        """What retracting comes to on GET; on POST it is retracted, or the page says why not."""
        return retract_page(self, request, source_id)

    def undo_view(self, request: HttpRequest, source_id: UUID) -> HttpResponse:
        """What the undo comes to on GET; on POST it is undone, or the page says why not."""
        return undo_page(self, request, source_id)

    @admin.display(description=_("owner"))
    def owner(self, source: Source) -> SafeString:
        return owner_name(source)

    @admin.display(description=_("content"))
    def content(self, source: Source) -> SafeString:
        return code(source.content_hash[:12]) if source.content_hash else NOTHING

    @admin.display(description=_("takes part"))
    def takes_part(self, source: Source) -> SafeString:
        return retracted_badge() if getattr(source, "is_retracted", False) else badge(_("yes"), "good")

    @admin.display(description=_("first seen"))
    def first_seen(self, source: Source) -> SafeString:
        return moment(source.created_at)
