"""How quotas look: bars of usage, what is asked for, and the warning after an act that used some up."""

from collections.abc import Sequence

from django.contrib import messages
from django.http import HttpRequest
from django.urls import reverse
from django.utils.formats import number_format
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from registry.models import QuotaLimit, QuotaNotice, QuotaRequest, RequestState
from registry.selectors_quotas import LimitUse
from schemaevo.kernel.canonical import JsonObject
from schemaevo.kernel.models import User
from schemaevo.kernel.pages.display import badge, link, short
from schemaevo.kernel.pages.finding_tables import FindingTable, text_of

REQUEST_TONES = {
    RequestState.PENDING: "busy",
    RequestState.APPROVED: "good",
    RequestState.REJECTED: "bad",
    RequestState.WITHDRAWN: "plain",
}


def usage_bar(use: LimitUse) -> SafeString:
    """How much of a limit is used, with the mark from which on it warns, and the numbers beside it."""
    tone = "warn" if use.is_near else "good"
    if use.usage and use.usage >= use.maximum:
        tone = "bad"
    return format_html(
        '<span class="se-usage se-usage-{tone}" title="{title}"><span class="se-usage-track">'
        '<progress max="100" value="{share}" aria-label="{title}"></progress></span>'
        '<span class="se-usage-number">{usage}&#8239;/&#8239;{maximum}</span></span>',
        tone=tone,
        title=use_in_words(use),
        share=min(use.percent, 100),
        usage=number_format(use.usage, force_grouping=True),
        maximum=number_format(use.maximum, force_grouping=True),
    )


def use_in_words(use: LimitUse) -> str:
    """As in ``schemas: 8 of 10, 80 %``."""
    return _("%(limit)s: %(usage)s of %(maximum)s, %(percent)s %%") % {
        "limit": use.limit.label,
        "usage": number_format(use.usage, force_grouping=True),
        "maximum": number_format(use.maximum, force_grouping=True),
        "percent": number_format(use.percent, force_grouping=True),
    }


def asked_for(now: int, asked: int) -> SafeString:
    """A maximum as it is and as it is asked for."""
    return format_html(
        '<span class="se-asked"><span class="se-muted">{}</span> <span aria-hidden="true">→</span>'
        '<span class="se-sr">{}</span> <strong class="se-number">{}</strong></span>',
        number_format(now, force_grouping=True),
        _("asked for:"),
        number_format(asked, force_grouping=True),
    )


def maxima_in_words(max_schemas: int | None, max_fields: int | None) -> str:
    """As in ``20 schemas and 300 fields``; of what is None nothing is said."""
    said = []
    if max_schemas is not None:
        said.append(
            ngettext("%(n)s schema", "%(n)s schemas", max_schemas)
            % {"n": number_format(max_schemas, force_grouping=True)}
        )
    if max_fields is not None:
        said.append(
            ngettext("%(n)s field", "%(n)s fields", max_fields)
            % {"n": number_format(max_fields, force_grouping=True)}
        )
    return _(" and ").join(said)


def use_and_wish(use: LimitUse, asked: QuotaRequest) -> SafeString:
    """How much of a limit is used now and, while the request waits, what it asks for."""
    wanted = asked.asked_max_schemas if use.limit == QuotaLimit.SCHEMAS else asked.asked_max_fields
    if wanted is None or asked.state != RequestState.PENDING:
        return usage_bar(use)
    return format_html(
        '<span class="se-use-and-wish">{}{}</span>', usage_bar(use), asked_for(use.maximum, wanted)
    )


def request_badge(request: QuotaRequest) -> SafeString:
    """Where an upgrade request stands."""
    return badge(request.get_state_display(), REQUEST_TONES[RequestState(request.state)])


def quota_address(user_id: int) -> str:
    """The address of the page of an owner's quota. There is one for every owner, also of those without a row."""
    return reverse("admin:registry_userquota_change", args=[user_id])


def owner_link(row: QuotaRequest | QuotaNotice) -> SafeString:
    """The owner of a row, and the way to what they may declare. An owner that is gone leaves its number."""
    owner = row._state.fields_cache.get("user")
    return link(quota_address(row.user_id), short(owner or f"#{row.user_id}"))


def quota_warned(request: HttpRequest, warning: str, *, user_id: int | None) -> None:
    """The warning that a service's result carries is told on the next page, with the way to the owner's quota.

    Nothing is told where it is empty: there is room, or what was changed is global and counts against nobody.
    """
    if not warning or user_id is None:
        return
    messages.warning(
        request,
        format_html(
            '{} <a class="se-link" href="{}">{}</a>', warning, quota_address(user_id), _("The owner's quota")
        ),
    )


def quota_divergences_table(found: Sequence[JsonObject]) -> FindingTable:
    """On the page of a verification: each owner with the way to their quota, what it said, and what was counted."""
    ids = {user_id for one in found if isinstance(user_id := one.get("user_id"), int)}
    owners: dict[int, str] = dict(User.objects.filter(pk__in=ids).values_list("pk", "username"))

    def owner(user_id: object) -> SafeString:
        if not isinstance(user_id, int):
            return short("")
        return link(quota_address(user_id), short(owners.get(user_id, f"#{user_id}")))

    return FindingTable(
        (
            gettext_lazy("Owner"),
            gettext_lazy("Schemas"),
            gettext_lazy("counted"),
            gettext_lazy("Fields"),
            gettext_lazy("counted"),
        ),
        [
            (
                owner(one.get("user_id")),
                *(text_of(one, name) for name in ("schemas", "counted_schemas", "fields", "counted_fields")),
            )
            for one in found
        ],
    )
