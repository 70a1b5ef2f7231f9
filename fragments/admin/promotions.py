"""Pages of promotions: which undeclared fields were declared, and what became of what waited of them."""

from __future__ import annotations

from typing import Any, ClassVar
from urllib.parse import urlencode

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.forms import Script
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from fragments.admin.fragments import FieldFilter
from fragments.admin.undo import undo_page
from fragments.models import Enhancement, LifecycleState, Promotion, PromotionCause, PromotionState
from fragments.selectors_promotion_jobs import promotion_jobs
from fragments.selectors_undo import undo_hindrance
from fragments.services.promotions import MAY_PROMOTE
from registry.domain.definition import Declaration
from schemaevo.kernel.narrowing import number_or_none
from schemaevo.kernel.pages.display import amount, badge, code, moment, short
from schemaevo.kernel.pages.filters import ChoiceFilter, EntityTypeFilter, OwnerFilter
from schemaevo.kernel.pages.job_progress import Progress
from schemaevo.kernel.pages.keyset import Keyset, KeysetAdmin
from schemaevo.kernel.pages.views_bar import ReadyView

PROMOTION_TONES = {
    PromotionState.RUNNING: "busy",
    PromotionState.DONE: "good",
    PromotionState.UNDOING: "busy",
    PromotionState.UNDONE: "plain",
}
#: Those whose fragments are not all where they belong yet.
LIVE_STATES = {PromotionState.RUNNING, PromotionState.UNDOING}


class PromotionStateFilter(ChoiceFilter):
    title = _("state")
    parameter_name = "state"
    column = "state"
    choices_from = PromotionState


class CauseFilter(ChoiceFilter):
    title = _("cause")
    parameter_name = "cause"
    column = "cause"
    choices_from = PromotionCause


@admin.register(Promotion)
class PromotionAdmin(KeysetAdmin):
    """Every field that was declared for what waited in fragments, newest first."""

    keyset = Keyset(("-id",))
    referred: ClassVar[dict[str, tuple[str, ...]]] = {"user": ("username",), "requested_by": ("username",)}
    nothing_yet = _(
        "No field was promoted yet. The page of an undeclared field declares it, after it has told "
        "what that comes to; auto-enhancement does it by itself."
    )
    begins_at = (_("Undeclared fields"), "admin:fragments_rawfragmentaggregate_changelist")
    list_display = (
        "field",
        "owner",
        "entity_type",
        "declared_as",
        "shown_state",
        "promoted",
        "misfit",
        "asked_by",
        "asked",
    )
    list_filter = (OwnerFilter, EntityTypeFilter, FieldFilter, PromotionStateFilter, CauseFilter)
    ready_views: ClassVar[tuple[ReadyView, ...]] = (
        ReadyView(_("Running"), {"state": "running"}),
        ReadyView(_("Undone"), {"state": "undone"}),
    )
    search_fields = ("fragment_key",)
    search_help_text = _("Name of a field, or the number of a promotion")
    change_form_outer_before_template = "admin/fragments/promotion/page.html"

    class Media:
        js = (Script("schemaevo/live.js", defer=True),)

    def get_urls(self) -> list[URLPattern]:
        """What a page follows, and the page of undoing, before the addresses of the rows."""
        view = self.admin_site.admin_view
        return [
            path("<int:promotion_id>/live/", view(self.live_view), name="fragments_promotion_live"),
            path("<int:promotion_id>/undo/", view(self.undo_view), name="fragments_promotion_undo"),
            *super().get_urls(),
        ]

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """None: the template shows everything, and follows it."""
        return ()

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        term = search_term.strip()
        if not term:
            return queryset, False
        number = number_or_none(term.removeprefix("#"))
        return queryset.filter(fragment_key=term) if number is None else queryset.filter(pk=number), False

    def page_context(self, request: HttpRequest, promotion: Promotion) -> dict[str, Any]:
        jobs = promotion_jobs(promotion=promotion)
        is_live = promotion.state in LIVE_STATES
        are_promoted = promotion.state in (PromotionState.RUNNING, PromotionState.DONE)
        may_undo = are_promoted and request.user.has_perm(MAY_PROMOTE)
        declaration = Declaration.from_json(promotion.fragment_key, promotion.declaration)
        return {
            "promotion": promotion,
            "owner": owner_said(promotion),
            "tone": PROMOTION_TONES[PromotionState(promotion.state)],
            "asked_by": asked_by(promotion),
            "are_promoted": are_promoted,
            "is_over": not is_live and not jobs.live,
            "jobs": jobs,
            "at_work": [(job, Progress.of(job, timezone.now())) for job in jobs.live],
            "declared": declaration.field,
            "policy": declaration.policy,
            "promoted_url": fragments_url(promotion, state=LifecycleState.PROMOTED),
            "waiting_url": fragments_url(promotion, state=LifecycleState.ACTIVE),
            "audit_url": audit_url(promotion),
            "enhancement": Enhancement.objects.filter(promotion=promotion.pk).only("pk").first(),
            "may_undo": may_undo,
            "hindrance": undo_hindrance(promotion=promotion) if may_undo else None,
        }

    def live_view(self, request: HttpRequest, promotion_id: int) -> HttpResponse:
        """What the page of the promotion shows now, without the page around it, for a page that follows it."""
        promotion = self.get_object(request, str(promotion_id))
        if promotion is None:
            raise Http404
        if not self.has_view_permission(request, promotion):
            raise PermissionDenied
        return render(request, "admin/fragments/promotion/pieces.html", self.page_context(request, promotion))

    def undo_view(self, request: HttpRequest, promotion_id: int) -> HttpResponse:
        """What undoing comes to on GET; on POST it is undone, or the page says why not."""
        return undo_page(self, request, promotion_id)

    @admin.display(description=_("field"))
    def field(self, promotion: Promotion) -> SafeString:
        return code(promotion.fragment_key)

    @admin.display(description=_("owner"))
    def owner(self, promotion: Promotion) -> SafeString:
        return short(promotion.user.get_username() if promotion.user else f"#{promotion.user_id}")

    @admin.display(description=_("declared as"))
    def declared_as(self, promotion: Promotion) -> SafeString:
        declared = Declaration.from_json(promotion.fragment_key, promotion.declaration).field
        converters = ", ".join(converter.function for converter in declared.converters)
        if not converters:
            return format_html("{}", declared.type.value)
        return format_html(
            '<span>{}<span class="se-type" title="{}">{}</span></span>',
            declared.type.value,
            converters,
            _("with a converter") if len(declared.converters) == 1 else _("with converters"),
        )

    @admin.display(description=_("state"))
    def shown_state(self, promotion: Promotion) -> SafeString:
        state = PromotionState(promotion.state)
        return badge(state.label, PROMOTION_TONES[state])

    @admin.display(description=_("promoted"))
    def promoted(self, promotion: Promotion) -> SafeString:
        return amount(promotion.promoted_count)

    @admin.display(description=_("did not fit"))
    def misfit(self, promotion: Promotion) -> SafeString:
        return amount(promotion.misfit_count)

    @admin.display(description=_("asked for by"))
    def asked_by(self, promotion: Promotion) -> SafeString:
        return short(asked_by(promotion))

    @admin.display(description=_("asked for"))
    def asked(self, promotion: Promotion) -> SafeString:
        return moment(promotion.requested_at, seconds=False)


def asked_by(promotion: Promotion) -> str:
    """Who asked for it: a login, auto-enhancement, or somebody on the server."""
    if promotion.requested_by is not None:
        return promotion.requested_by.get_username()
    if promotion.cause == PromotionCause.ENHANCEMENT:
        return str(PromotionCause.ENHANCEMENT.label)
    return str(_("the shell"))


def owner_said(row: Any) -> str:
    """What finds the owner of a row in a list. A username wins over a number, whatever it looks like."""
    return row.user.get_username() if row.user else str(row.user_id)


def fragments_url(promotion: Promotion, *, state: LifecycleState) -> str:
    """The fragments of the promotion's field in that state."""
    which = {
        "owner": owner_said(promotion),
        "type": promotion.entity_type,
        "field": promotion.fragment_key,
        "state": state.value,
    }
    return f"{reverse('admin:fragments_rawfragment_changelist')}?{urlencode(which)}"


def audit_url(promotion: Promotion) -> str:
    """What the audit log says of the promotion."""
    which = {"target_type": "promotion", "target": promotion.pk}
    return f"{reverse('admin:kernel_auditevent_changelist')}?{urlencode(which)}"
