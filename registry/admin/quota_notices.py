"""The list of what filled up: every crossing of 80 and of 100 per cent of a limit. The database writes it."""

from typing import Any, ClassVar

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from registry.admin.filters import YesOrNoFilter
from registry.models import QuotaLimit, QuotaNotice
from registry.quota_displays import owner_link
from schemaevo.kernel.pages.display import amount, badge, moment
from schemaevo.kernel.pages.filters import ChoiceFilter, OwnerFilter, PickFilter
from schemaevo.kernel.pages.keyset import Keyset, KeysetAdmin
from schemaevo.kernel.pages.views_bar import ReadyView


class LimitFilter(ChoiceFilter):
    title = _("limit")
    parameter_name = "limit"
    column = "limit"
    choices_from = QuotaLimit


class ThresholdFilter(PickFilter):
    title = _("per cent")
    parameter_name = "threshold"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("80", "80 %"), ("100", "100 %")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any] | None:
        return queryset.filter(threshold=self.value()) if self.value() in {"80", "100"} else queryset


class HoldsFilter(YesOrNoFilter):
    title = _("holds still")
    parameter_name = "holds"
    condition = Q(cleared_at__isnull=True)


@admin.register(QuotaNotice)
class QuotaNoticeAdmin(KeysetAdmin):
    """Who came up to how much of which limit, when, and whether that still holds."""

    keyset = Keyset(("-id",))
    many = _("notices")
    referred: ClassVar[dict[str, tuple[str, ...]]] = {"user": ("username",)}
    nothing_yet = _("Nobody has come up to 80 % of a maximum. When somebody does, it is noted here once.")
    begins_at = (_("Quotas"), "admin:registry_userquota_changelist")
    list_display = ("crossed", "owner", "what", "shown_threshold", "usage_then", "shown_state", "mailed")
    list_filter = (OwnerFilter, LimitFilter, ThresholdFilter, HoldsFilter)
    ready_views: ClassVar[tuple[ReadyView, ...]] = (ReadyView(_("Holds still"), {"holds": "1"}),)
    fieldsets: ClassVar[Any] = (
        (
            None,
            {
                "fields": (
                    ("owner", "what"),
                    ("shown_threshold", "usage_then"),
                    ("crossed", "shown_state"),
                    ("mailed",),
                )
            },
        ),
    )

    @admin.display(description=_("crossed"))
    def crossed(self, notice: QuotaNotice) -> SafeString:
        return moment(notice.crossed_at)

    @admin.display(description=_("owner"))
    def owner(self, notice: QuotaNotice) -> SafeString:
        return owner_link(notice)

    @admin.display(description=_("limit"))
    def what(self, notice: QuotaNotice) -> str:
        return notice.get_limit_display()

    @admin.display(description=_("per cent"))
    def shown_threshold(self, notice: QuotaNotice) -> SafeString:
        return badge(f"{notice.threshold} %", "bad" if notice.threshold >= 100 else "warn")

    @admin.display(description=_("usage then"))
    def usage_then(self, notice: QuotaNotice) -> SafeString:
        return format_html("{} / {}", amount(notice.usage), amount(notice.maximum))

    @admin.display(description=_("state"))
    def shown_state(self, notice: QuotaNotice) -> SafeString:
        if notice.cleared_at is None:
            return badge(_("holds still"), "busy")
        return format_html("{} {}", badge(_("below again")), moment(notice.cleared_at))

    @admin.display(description=_("mailed"))
    def mailed(self, notice: QuotaNotice) -> SafeString:
        return moment(notice.mailed_at)
