"""Pages of auto-enhancement: what it did or tried and why, and for whom it does how much."""

from __future__ import annotations

from typing import Any, ClassVar
from urllib.parse import urlencode

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from fragments.admin.enhancement_modes import MODE_TONES, confidence_shown, mode_page, mode_url
from fragments.admin.fragments import FieldFilter
from fragments.models import Enhancement, EnhancementMode, EnhancementSetting, EnhancementState
from fragments.services.enhancement import ATTEMPTS_MAX, MAY_SET
from schemaevo.kernel.pages.display import ago, amount, badge, code, moment, row_link, short
from schemaevo.kernel.pages.filters import ChoiceFilter, EntityTypeFilter, OwnerFilter
from schemaevo.kernel.pages.keyset import Keyset, KeysetAdmin
from schemaevo.kernel.pages.views_bar import ReadyView

ENHANCEMENT_TONES = {
    EnhancementState.PROMOTED: "good",
    EnhancementState.WAITING: "warn",
    EnhancementState.GIVEN_UP: "bad",
}
#: What `error` begins with where the owner's quota was used up (registry.errors.QuotaReached).
QUOTA_ERROR = "quota_exceeded"


class EnhancementStateFilter(ChoiceFilter):
    title = _("state")
    parameter_name = "state"
    column = "state"
    choices_from = EnhancementState


class ModeFilter(ChoiceFilter):
    title = _("mode")
    parameter_name = "mode"
    column = "mode"
    choices_from = EnhancementMode


@admin.register(Enhancement)
class EnhancementAdmin(KeysetAdmin):
    """Every field that auto-enhancement has promoted, or tried to, newest first."""

    keyset = Keyset(("-id",))
    referred: ClassVar[dict[str, tuple[str, ...]]] = {"user": ("username",), "promotion": ("state",)}
    nothing_yet = _(
        "No field was promoted by itself yet. Where an owner's mode is auto, what is eligible is "
        "promoted every hour and told here, with the reasons."
    )
    begins_at = (_("Auto-enhancement"), "admin:fragments_enhancementsetting_changelist")
    list_display = (
        "field",
        "owner",
        "entity_type",
        "shown_state",
        "shown_confidence",
        "seen",
        "outcome",
        "tried",
        "next_try",
    )
    list_filter = (OwnerFilter, EntityTypeFilter, FieldFilter, EnhancementStateFilter)
    ready_views: ClassVar[tuple[ReadyView, ...]] = (ReadyView(_("Given up"), {"state": "given_up"}),)
    search_fields = ("fragment_key",)
    search_help_text = _("Name of a field")
    change_form_outer_before_template = "admin/fragments/enhancement/page.html"

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """None: the template shows everything."""
        return ()

    def get_search_results(self, request: HttpRequest, queryset: Any, search_term: str) -> tuple[Any, bool]:
        term = search_term.strip()
        return (queryset.filter(fragment_key=term) if term else queryset), False

    def page_context(self, request: HttpRequest, row: Enhancement) -> dict[str, Any]:
        owner = _owner_said(row)
        return {
            "row": row,
            "owner": owner,
            "tone": ENHANCEMENT_TONES[EnhancementState(row.state)],
            "confidence": confidence_shown(row.confidence),
            "is_quota": error_code(row) == QUOTA_ERROR,
            "attempts_max": ATTEMPTS_MAX,
            "fragments_url": _list_url("rawfragment", owner, row.entity_type, field=row.fragment_key),
            "field_url": _list_url("rawfragmentaggregate", owner, row.entity_type, field=row.fragment_key),
            "mode_url": mode_url(owner, row.entity_type) if request.user.has_perm(MAY_SET) else "",
        }

    @admin.display(description=_("field"))
    def field(self, row: Enhancement) -> SafeString:
        return code(row.fragment_key)

    @admin.display(description=_("owner"))
    def owner(self, row: Enhancement) -> SafeString:
        return short(row.user.get_username() if row.user else f"#{row.user_id}")

    @admin.display(description=_("state"))
    def shown_state(self, row: Enhancement) -> SafeString:
        state = EnhancementState(row.state)
        return badge(state.label, ENHANCEMENT_TONES[state])

    @admin.display(description=_("confidence"))
    def shown_confidence(self, row: Enhancement) -> SafeString:
        return confidence_shown(row.confidence)

    @admin.display(description=_("seen"))
    def seen(self, row: Enhancement) -> SafeString:
        return amount(row.frequency_total)

    @admin.display(description=_("outcome"))
    def outcome(self, row: Enhancement) -> SafeString:
        """The promotion, or what went wrong, and how often by now."""
        if row.promotion_id is not None:
            return row_link("fragments_promotion", row.promotion_id, f"#{row.promotion_id}")
        times = ngettext("%(n)s failure", "%(n)s failures", row.attempts) % {"n": row.attempts}
        return format_html(
            '<span class="se-bad-text se-nowrap">{}</span><span class="se-type">{}</span>',
            error_code(row).replace("_", " "),
            times if row.attempts else "",
        )

    @admin.display(description=_("last tried"))
    def tried(self, row: Enhancement) -> SafeString:
        return ago(row.tried_at)

    @admin.display(description=_("next"))
    def next_try(self, row: Enhancement) -> SafeString:
        return moment(row.next_at, seconds=False)


@admin.register(EnhancementSetting)
class EnhancementSettingAdmin(KeysetAdmin):
    """Where schemas grow by themselves, or not even suggestions are made; everywhere else fields are suggested."""

    keyset = Keyset(("-id",))
    many = _("settings")
    referred: ClassVar[dict[str, tuple[str, ...]]] = {"user": ("username",), "set_by": ("username",)}
    nothing_yet = _(
        "For every owner and type the mode is suggest: fields are recommended, and somebody "
        "promotes them. Where another mode is set, it stands here."
    )
    list_display = ("setting", "owner", "shown_mode", "by", "when")
    list_filter = (OwnerFilter, EntityTypeFilter, ModeFilter)
    list_before_template = "admin/fragments/enhancementsetting/before.html"
    change_form_outer_before_template = "admin/fragments/enhancementsetting/page.html"

    def get_urls(self) -> list[URLPattern]:
        """The page that sets it, before the addresses of the rows."""
        view = self.admin_site.admin_view(self.mode_view)
        return [path("set/", view, name="fragments_enhancementsetting_set"), *super().get_urls()]

    def mode_view(self, request: HttpRequest) -> HttpResponse:
        """What is set and what each mode does on GET; on POST it is set."""
        return mode_page(self, request)

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """None: the template shows everything."""
        return ()

    def page_context(self, request: HttpRequest, row: EnhancementSetting) -> dict[str, Any]:
        owner = _owner_said(row)
        mode = EnhancementMode(row.mode)
        return {
            "row": row,
            "owner": owner,
            "mode": mode.value,
            "tone": MODE_TONES[mode],
            "by": set_by(row),
            "done_url": _list_url("enhancement", owner, row.entity_type),
            "mode_url": mode_url(owner, row.entity_type) if request.user.has_perm(MAY_SET) else "",
        }

    @admin.display(description=_("entity type"))
    def setting(self, row: EnhancementSetting) -> str:
        return row.entity_type

    @admin.display(description=_("owner"))
    def owner(self, row: EnhancementSetting) -> SafeString:
        return short(row.user.get_username() if row.user else f"#{row.user_id}")

    @admin.display(description=_("mode"))
    def shown_mode(self, row: EnhancementSetting) -> SafeString:
        mode = EnhancementMode(row.mode)
        return badge(mode.label, MODE_TONES[mode])

    @admin.display(description=_("set by"))
    def by(self, row: EnhancementSetting) -> SafeString:
        return short(set_by(row))

    @admin.display(description=_("set"))
    def when(self, row: EnhancementSetting) -> SafeString:
        return moment(row.set_at)


def set_by(row: EnhancementSetting) -> str:
    """Who set it."""
    return row.set_by.get_username() if row.set_by else str(_("the shell"))


def error_code(row: Enhancement) -> str:
    """What kind of error it was, without its place."""
    return row.error.partition(" ")[0]


def _owner_said(row: Any) -> str:
    """What finds the owner of a row in a list. A username wins over a number, whatever it looks like."""
    return row.user.get_username() if row.user else str(row.user_id)


def _list_url(model: str, owner: str, entity_type: str, **which: str) -> str:
    asked = {"owner": owner, "type": entity_type, **which}
    return f"{reverse(f'admin:fragments_{model}_changelist')}?{urlencode(asked)}"
