"""The inbox of upgrade requests: what is asked and why, beside what is used; and the forms that decide, POST only."""

from __future__ import annotations

from functools import partial
from typing import Any, ClassVar

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _now
from django.utils.translation import gettext_lazy as _

from registry.admin.quota_bulk import decide_view
from registry.admin.quota_forms import ApproveForm, QuotaForm, RejectForm
from registry.errors import RequestNotFound
from registry.models import QuotaRequest, RequestState
from registry.providers import fields_without_data
from registry.quota_displays import (
    maxima_in_words,
    owner_link,
    quota_warned,
    request_badge,
    use_and_wish,
)
from registry.selectors_quota_pages import (
    COUNTED_WAITING,
    consumers_found,
    maxima_granted,
    quota_history,
    requests_waiting_count,
)
from registry.selectors_quotas import LimitUse, quota_of, quotas_of
from registry.services.quota_requests import (
    quota_request_approve,
    quota_request_reject,
    quota_request_withdraw,
)
from schemaevo.kernel.errors import DomainError
from schemaevo.kernel.pages.display import NOTHING, ago, moment
from schemaevo.kernel.pages.filters import ChoiceFilter, OwnerFilter, PickFilter
from schemaevo.kernel.pages.keyset import Keyset, KeysetAdmin
from schemaevo.kernel.pages.rights import actor_of
from schemaevo.kernel.pages.verbs import refusals_told, verb_page

MAY_ASK = "registry.request_quota"
MAY_DECIDE = "registry.decide_quota"
#: Of a reason the list shows so many characters.
REASON_CUT = 90
#: Entity types, and past requests and grants, that the page of a request lists.
CONSUMERS_SHOWN = 5
PAST_SHOWN = 10


def waiting_badge(request: HttpRequest) -> str:
    """How many requests wait, for the navigation; nothing where none does."""
    count = requests_waiting_count()
    if count > COUNTED_WAITING:
        return f"{COUNTED_WAITING}+"
    return str(count or "")


class RequestStateFilter(ChoiceFilter):
    title = _("state")
    parameter_name = "state"
    column = "state"
    choices_from = RequestState


class MineFilter(PickFilter):
    title = _("asked by me")
    parameter_name = "mine"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("1", _("Yes")), ("0", _("No"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any] | None:
        if self.value() == "1":
            return queryset.filter(asked_by=request.user.pk)
        return queryset.exclude(asked_by=request.user.pk) if self.value() == "0" else queryset


@admin.register(QuotaRequest)
class QuotaRequestAdmin(KeysetAdmin):
    """Who asks for more for whom, and what became of it. Whoever asked never decides."""

    keyset = Keyset(("-id",))
    many = _("upgrade requests")
    referred: ClassVar[dict[str, tuple[str, ...]]] = {"user": ("username",), "asked_by": ("username",)}
    referred_on_page: ClassVar[dict[str, tuple[str, ...]]] = {"decided_by": ("username",)}
    nothing_yet = _(
        "Nobody has asked for more than the defaults. An operator asks for an owner on the page "
        "of the owner's quota."
    )
    begins_at = (_("Quotas"), "admin:registry_userquota_changelist")
    list_display = ("number", "owner", "schemas", "shown_fields", "why", "asker", "shown_state")
    list_display_links = ("number",)
    list_filter = (RequestStateFilter, OwnerFilter, MineFilter)
    list_before_template = "admin/registry/quotarequest/inbox.html"
    change_form_outer_before_template = "admin/registry/quotarequest/page.html"

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """None: the template shows everything."""
        return ()

    def get_list_display(self, request: HttpRequest) -> Any:
        """With something to choose by, for those who may decide."""
        return ("chosen", *self.list_display) if request.user.has_perm(MAY_DECIDE) else self.list_display

    def attach(self, rows: Any) -> None:
        super().attach(rows)
        quotas = quotas_of(user_ids={row.user_id for row in rows})
        for row in rows:
            row.quota = quotas[row.user_id]

    def get_urls(self) -> list[URLPattern]:
        """The verbs, before the addresses of the rows."""
        view = self.admin_site.admin_view
        return [
            path("decide/", view(partial(decide_view, self)), name="registry_quotarequest_decide"),
            path("<int:request_id>/approve/", view(self.approve_view), name="registry_quotarequest_approve"),
            path("<int:request_id>/reject/", view(self.reject_view), name="registry_quotarequest_reject"),
            path(
                "<int:request_id>/withdraw/", view(self.withdraw_view), name="registry_quotarequest_withdraw"
            ),
            *super().get_urls(),
        ]

    def page_context(self, request: HttpRequest, asked: QuotaRequest) -> dict[str, Any]:
        return self._page(request, asked)

    def _page(self, request: HttpRequest, asked: Any, **forms: QuotaForm) -> dict[str, Any]:
        """What the page shows; `approve` and `reject` are forms that were refused, with what was typed."""
        is_pending = asked.state == RequestState.PENDING
        is_own = asked.asked_by_id == request.user.pk
        may_decide = request.user.has_perm(MAY_DECIDE)
        limits = [
            (asked.quota.schemas, asked.asked_max_schemas, asked.granted_max_schemas),
            (asked.quota.fields, asked.asked_max_fields, asked.granted_max_fields),
        ]
        return {
            "asked": asked,
            "limits": [
                (use, LimitUse(use.limit, use.usage, wanted) if wanted is not None else None, granted)
                for use, wanted, granted in limits
            ],
            "is_pending": is_pending,
            "is_own": is_own,
            "may_decide": may_decide,
            "may_withdraw": is_pending and is_own and request.user.has_perm(MAY_ASK),
            "consumers": consumers_found(user_id=asked.user_id, limit=CONSUMERS_SHOWN),
            # Costs most of the page, and is of use only to whoever decides.
            "unused": fields_without_data(user_id=asked.user_id) if is_pending else [],
            "in_force": {grant.pk for grant in maxima_granted(user_id=asked.user_id).values() if grant},
            "history": quota_history(user_id=asked.user_id, without_request=asked.pk, limit=PAST_SHOWN),
            "approve": ApproveForm(asked, asked.quota),
            "reject": RejectForm(),
            **forms,
        }

    def approve_view(self, request: HttpRequest, request_id: int) -> HttpResponse:
        """The owner has what was granted, or the form says why not. POST only."""
        asked = self._asked(request, request_id)
        if not isinstance(asked, QuotaRequest):
            return asked
        form = ApproveForm(asked, quota_of(user_id=asked.user_id), request.POST)
        if form.is_valid():
            try:
                decided = quota_request_approve(
                    request_id=request_id, actor=actor_of(request), **form.cleaned_data
                )
            except DomainError as error:
                form.refused(error)
            else:
                said = maxima_in_words(decided.granted_max_schemas, decided.granted_max_fields)
                messages.success(request, _now("Approved: the owner may have %(maxima)s.") % {"maxima": said})
                quota_warned(request, quota_of(user_id=decided.user_id).warning, user_id=decided.user_id)
                return self._to_page(request_id)
        return self._refused(request, request_id, form, approve=form)

    def reject_view(self, request: HttpRequest, request_id: int) -> HttpResponse:
        """The request is turned down, or the form says why not. POST only."""
        asked = self._asked(request, request_id)
        if not isinstance(asked, QuotaRequest):
            return asked
        form = RejectForm(request.POST)
        if form.is_valid():
            try:
                quota_request_reject(request_id=request_id, actor=actor_of(request), **form.cleaned_data)
            except DomainError as error:
                form.refused(error)
            else:
                messages.success(request, _now("Rejected. The owner's maxima are as they were."))
                return self._to_page(request_id)
        return self._refused(request, request_id, form, reject=form)

    def withdraw_view(self, request: HttpRequest, request_id: int) -> HttpResponse:
        """Nobody needs to decide any more, or a message says why not. POST only."""
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        with refusals_told(request):
            quota_request_withdraw(
                request_id=request_id, actor=actor_of(request), note=request.POST.get("note", "")
            )
            messages.success(request, _now("Withdrawn. Nobody needs to decide any more."))
        return self._to_page(request_id)

    def _asked(self, request: HttpRequest, request_id: int) -> QuotaRequest | HttpResponse:
        """The request that is to be decided, or what to answer instead."""
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        if not request.user.has_perm(MAY_DECIDE):
            raise PermissionDenied
        asked: QuotaRequest | None = self.get_object(request, str(request_id))
        if asked is not None:
            return asked
        messages.error(request, RequestNotFound(request_id).message)
        return HttpResponseRedirect(reverse("admin:registry_quotarequest_changelist"))

    def _refused(
        self, request: HttpRequest, request_id: int, form: QuotaForm, **forms: QuotaForm
    ) -> HttpResponse:
        """The page of the request as it is by now, with what is wrong."""
        asked = self.get_object(request, str(request_id))
        page = verb_page(
            self,
            request,
            "admin/registry/quotarequest/refused.html",
            title=str(asked),
            row=asked,
            form=form,
            **self._page(request, asked, **forms),
        )
        page.status_code = form.status
        return page

    def _to_page(self, request_id: int) -> HttpResponse:
        return HttpResponseRedirect(reverse("admin:registry_quotarequest_change", args=[request_id]))

    @admin.display(description=_("choose"))
    def chosen(self, asked: QuotaRequest) -> SafeString:
        if asked.state != RequestState.PENDING:
            return NOTHING
        return format_html(
            '<input type="checkbox" class="se-choose" name="ids" value="{}" form="decide-chosen" aria-label="{}">',
            asked.pk,
            _now("Choose request %(n)s") % {"n": asked.pk},
        )

    @admin.display(description=_("request"))
    def number(self, asked: QuotaRequest) -> str:
        return f"#{asked.pk}"

    @admin.display(description=_("owner"))
    def owner(self, asked: QuotaRequest) -> SafeString:
        return owner_link(asked)

    @admin.display(description=_("schemas"))
    def schemas(self, asked: Any) -> SafeString:
        return use_and_wish(asked.quota.schemas, asked)

    @admin.display(description=_("fields"))
    def shown_fields(self, asked: Any) -> SafeString:
        return use_and_wish(asked.quota.fields, asked)

    @admin.display(description=_("why"))
    def why(self, asked: QuotaRequest) -> SafeString:
        cut = asked.reason if len(asked.reason) <= REASON_CUT else asked.reason[: REASON_CUT - 1] + "…"
        return format_html('<span class="se-why">{}</span>', cut)

    @admin.display(description=_("asked by"))
    def asker(self, asked: QuotaRequest) -> SafeString:
        return format_html(
            '<span class="se-asker">{}<span class="se-muted">{}</span></span>',
            asked.asked_by or f"#{asked.asked_by_id}",
            ago(asked.asked_at),
        )

    @admin.display(description=_("state"))
    def shown_state(self, asked: QuotaRequest) -> SafeString:
        if asked.state == RequestState.PENDING:
            return request_badge(asked)
        return format_html(
            '<span class="se-asker">{}{}</span>',
            request_badge(asked),
            moment(asked.decided_at, seconds=False),
        )
