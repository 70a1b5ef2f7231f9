"""Pages of quotas: who comes up to a limit, what it is used for, and the forms to ask for more or to set maxima."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import F, IntegerField, Q, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _now
from django.utils.translation import gettext_lazy as _

from registry.admin.quota_forms import AskForm, MaximaForm
from registry.models import UserQuota
from registry.providers import fields_without_data
from registry.quota_displays import (
    maxima_in_words,
    quota_address,
    quota_divergences_table,
    quota_warned,
    usage_bar,
)
from registry.selectors_quota_pages import (
    consumers_found,
    has_asked_for,
    maxima_granted,
    notices_of,
    quota_history,
    request_waiting,
)
from registry.selectors_quotas import WARN_FROM_PERCENT, quota_from_row, quotas_with_fullness
from registry.services.quota_requests import quota_request_create
from registry.services.quotas import quota_set_maximum
from registry.services.verify import QUOTAS
from schemaevo.kernel.errors import DomainError
from schemaevo.kernel.models import User
from schemaevo.kernel.narrowing import number_or_none
from schemaevo.kernel.owners import user_by_name
from schemaevo.kernel.pages.display import moment, short
from schemaevo.kernel.pages.filters import OwnerFilter, PickFilter
from schemaevo.kernel.pages.finding_tables import finding_table_provider
from schemaevo.kernel.pages.keyset import Keyset, KeysetAdmin
from schemaevo.kernel.pages.rights import actor_of
from schemaevo.kernel.pages.verbs import refusals_told, verb_page
from schemaevo.kernel.pages.views_bar import ReadyView

MAY_ASK = "registry.request_quota"
MAY_DECIDE = "registry.decide_quota"
#: Entity types, past requests and grants, and notices that the page of an owner lists.
CONSUMERS_SHOWN = 20
PAST_SHOWN = 20
NOTICES_SHOWN = 10

_PASSED = Q(schema_count__gt=F("max_schemas")) | Q(total_fields__gt=F("max_fields"))
_FULLNESS = {
    "near": Q(fullness__gte=WARN_FROM_PERCENT),
    "full": Q(fullness__gte=100),
    "passed": _PASSED,
}


class FullnessFilter(PickFilter):
    title = _("fullness")
    parameter_name = "fullness"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [
            ("near", _("from 80 %")),
            ("full", _("full")),
            ("passed", _("above a maximum")),
        ]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any] | None:
        condition = _FULLNESS.get(self.value() or "")
        return queryset if condition is None else queryset.filter(condition)


@admin.register(UserQuota)
class UserQuotaAdmin(KeysetAdmin):
    """How much every owner has declared, the fullest first; and a page for every owner, whether declared or not."""

    keyset = Keyset(("-fullness", "-user_id"), computed={"fullness": IntegerField()})
    many = _("quotas")
    referred: ClassVar[dict[str, tuple[str, ...]]] = {"user": ("username",)}
    nothing_yet = _(
        "An owner stands here once they have a schema or an extension of their own. Of anybody "
        "else the defaults hold: open their page by name above."
    )
    list_display = ("owner", "schemas", "shown_fields", "changed")
    list_filter = (OwnerFilter, FullnessFilter)
    ready_views: ClassVar[tuple[ReadyView, ...]] = (
        ReadyView(_("From 80 %"), {"fullness": "near"}),
        ReadyView(_("Full"), {"fullness": "full"}),
    )
    list_before_template = "admin/registry/userquota/find.html"
    change_form_outer_before_template = "admin/registry/userquota/page.html"

    def get_queryset(self, request: HttpRequest) -> QuerySet[UserQuota]:
        return quotas_with_fullness().order_by()

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """None: the template shows everything."""
        return ()

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        row = super().get_object(request, object_id, from_field)
        if row is not None:
            return row
        # Who never declared anything has no row, but a quota: the default.
        number = number_or_none(object_id)
        owner = None if number is None else User.objects.filter(pk=number).first()
        return None if owner is None else UserQuota(user=owner)

    def get_urls(self) -> list[URLPattern]:
        """The way to an owner's page by name, and the two verbs, before the addresses of the rows."""
        view = self.admin_site.admin_view
        return [
            path("find/", view(self.find_view), name="registry_userquota_find"),
            path("<int:user_id>/ask/", view(self.ask_view), name="registry_userquota_ask"),
            path("<int:user_id>/maxima/", view(self.maxima_view), name="registry_userquota_maxima"),
            *super().get_urls(),
        ]

    def page_context(self, request: HttpRequest, row: UserQuota) -> dict[str, Any]:
        quota, granted = quota_from_row(row), maxima_granted(user_id=row.user_id)
        return {
            "quota": quota,
            "limits": [(use, granted[use.limit]) for use in (quota.schemas, quota.fields)],
            "waiting": request_waiting(user_id=row.user_id),
            "consumers": consumers_found(user_id=row.user_id, limit=CONSUMERS_SHOWN),
            "unused": fields_without_data(user_id=row.user_id),
            "history": quota_history(user_id=row.user_id, limit=PAST_SHOWN),
            "in_force": {grant.pk for grant in granted.values() if grant is not None},
            "notices": notices_of(user_id=row.user_id, limit=NOTICES_SHOWN),
            "may_ask": request.user.has_perm(MAY_ASK),
            "may_set": request.user.has_perm(MAY_DECIDE),
        }

    def find_view(self, request: HttpRequest) -> HttpResponse:
        """The page of the owner whose name, e-mail or number was typed, or a message that there is none."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        address = reverse("admin:registry_userquota_changelist")
        with refusals_told(request):
            address = quota_address(user_by_name(request.GET.get("owner", "").strip()).pk)
        return HttpResponseRedirect(address)

    def ask_view(self, request: HttpRequest, user_id: int) -> HttpResponse:
        """The form that asks for more, and on POST an upgrade request that waits."""
        row = self._owned(request, user_id, MAY_ASK)
        if row is None:
            return self._no_owner(request, user_id)
        form = AskForm(quota_from_row(row), request.POST or None)
        if request.method == "POST" and form.is_valid():
            try:
                asked = quota_request_create(
                    user_id=user_id,
                    actor=actor_of(request),
                    reason=form.cleaned_data["note"],
                    max_schemas=form.cleaned_data["max_schemas"],
                    max_fields=form.cleaned_data["max_fields"],
                )
            except DomainError as error:
                form.refused(error)
            else:
                messages.success(
                    request, _now("Upgrade request %(n)s waits for a decision.") % {"n": asked.pk}
                )
                return HttpResponseRedirect(reverse("admin:registry_quotarequest_change", args=[asked.pk]))
        return self._verb(request, row, "ask", _now("Ask for more"), form)

    def maxima_view(self, request: HttpRequest, user_id: int) -> HttpResponse:
        """The form that sets maxima, and on POST an owner with these."""
        row = self._owned(request, user_id, MAY_DECIDE)
        if row is None:
            return self._no_owner(request, user_id)
        form = MaximaForm(quota_from_row(row), request.POST or None)
        if request.method == "POST" and form.is_valid():
            try:
                quota = quota_set_maximum(user_id=user_id, actor=actor_of(request), **form.cleaned_data)
            except DomainError as error:
                form.refused(error)
            else:
                said = maxima_in_words(quota.schemas.maximum, quota.fields.maximum)
                messages.success(request, _now("The owner may have %(maxima)s.") % {"maxima": said})
                quota_warned(request, quota.warning, user_id=user_id)
                return HttpResponseRedirect(quota_address(user_id))
        return self._verb(request, row, "maxima", _now("Set maxima"), form)

    def _owned(self, request: HttpRequest, user_id: int, permission: str) -> UserQuota | None:
        if not request.user.has_perm(permission):
            raise PermissionDenied
        row: UserQuota | None = self.get_object(request, str(user_id))
        return row

    def _no_owner(self, request: HttpRequest, user_id: int) -> HttpResponse:
        messages.error(request, _now("There is no user %(n)s.") % {"n": user_id})
        return HttpResponseRedirect(reverse("admin:registry_userquota_changelist"))

    def _verb(
        self, request: HttpRequest, row: UserQuota, verb: str, title: str, form: AskForm | MaximaForm
    ) -> HttpResponse:
        quota = quota_from_row(row)
        page = verb_page(
            self,
            request,
            f"admin/registry/userquota/{verb}.html",
            title=title,
            row=row,
            form=form,
            limits=[(use, None) for use in (quota.schemas, quota.fields)],
            waiting=request_waiting(user_id=row.user_id),
            has_asked=has_asked_for(user_id=row.user_id, login=actor_of(request).user),
        )
        page.status_code = form.status
        return page

    @admin.display(description=_("owner"))
    def owner(self, row: UserQuota) -> SafeString:
        return short(row)

    @admin.display(description=_("schemas"))
    def schemas(self, row: UserQuota) -> SafeString:
        return usage_bar(quota_from_row(row).schemas)

    @admin.display(description=_("fields"))
    def shown_fields(self, row: UserQuota) -> SafeString:
        return usage_bar(quota_from_row(row).fields)

    @admin.display(description=_("changed"))
    def changed(self, row: UserQuota) -> SafeString:
        return moment(row.changed_at)


finding_table_provider(QUOTAS, quota_divergences_table)
