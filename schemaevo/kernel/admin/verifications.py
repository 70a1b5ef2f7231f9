"""Pages of verifications: what was compared, when, how much diverged, and what was repaired."""

from collections.abc import Sequence
from typing import Any, ClassVar

from django.apps import apps
from django.conf import settings
from django.contrib import admin
from django.db.models import F, Model, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _now
from django.utils.translation import gettext_lazy as _

from schemaevo.kernel.canonical import JsonObject
from schemaevo.kernel.models import Job, VerifyOutcome, VerifyScope
from schemaevo.kernel.pages.display import NOTHING, amount, badge, code, link, moment
from schemaevo.kernel.pages.filters import ChoiceFilter, IdFilter, PickFilter
from schemaevo.kernel.pages.finding_tables import (
    FindingTable,
    finding_table,
    finding_table_provider,
    text_of,
)
from schemaevo.kernel.pages.keyset import Keyset, KeysetAdmin
from schemaevo.kernel.pages.views_bar import ReadyView
from schemaevo.kernel.references import REFERENCES
from schemaevo.kernel.verification import verify_checks


def outcome_badge(outcome: VerifyOutcome) -> SafeString:
    """What came of it, in a word."""
    if outcome.left:
        return badge(_now("diverges"), "bad")
    if outcome.divergent:
        return badge(_now("repaired"), "warn")
    if not outcome.checked:
        return badge(_now("nothing compared"))
    return badge(_now("right"), "good")


def kind_label(kind: str) -> str:
    """The kind as people say it; what is not verified any more by its bare name."""
    check = verify_checks().get(kind)
    return kind if check is None else str(check.label)


class VerifiedKindFilter(PickFilter):
    title = _("kind")
    parameter_name = "kind"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [(kind, check.label) for kind, check in verify_checks().items()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any] | None:
        kind = self.value()
        if not kind:
            return queryset
        return queryset.filter(kind=kind) if kind in verify_checks() else queryset.none()


class OutcomeFilter(PickFilter):
    title = _("outcome")
    parameter_name = "outcome"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [
            ("divergent", _("something diverged")),
            ("left", _("something was left as it is")),
            ("right", _("nothing diverged")),
        ]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any] | None:
        match self.value():
            case "divergent":
                return queryset.filter(divergent__gt=0)
            case "left":
                return queryset.filter(divergent__gt=0, repaired__lt=F("divergent"))
            case "right":
                return queryset.filter(divergent=0)
            case None | "":
                return queryset
            case _:
                return queryset.none()


class VerifyScopeFilter(ChoiceFilter):
    title = _("scope")
    parameter_name = "scope"
    column = "scope"
    choices_from = VerifyScope


class VerificationFilter(IdFilter):
    title = _("id of the verification")
    parameter_name = "verification"
    column = "verification"


@admin.register(VerifyOutcome)
class VerifyOutcomeAdmin(KeysetAdmin):
    """What every verification found, kind by kind, newest first."""

    keyset = Keyset(("-id",))
    nothing_yet = _(
        "Nothing was verified yet. A sample is every quarter of an hour while a worker runs; "
        "manage.py verify does so now."
    )
    list_display = (
        "finished",
        "kind_shown",
        "outcome",
        "shown_checked",
        "shown_divergent",
        "shown_repaired",
        "scope_shown",
        "who",
    )
    list_display_links = ("finished",)
    list_filter = (VerifiedKindFilter, OutcomeFilter, VerifyScopeFilter, VerificationFilter)
    ready_views: ClassVar[tuple[ReadyView, ...]] = (
        ReadyView(_("Diverged"), {"outcome": "divergent"}),
        ReadyView(_("Left as it is"), {"outcome": "left"}),
    )
    list_before_template = "admin/kernel/verifyoutcome/before.html"
    change_form_outer_before_template = "admin/kernel/verifyoutcome/page.html"

    def get_fieldsets(self, request: HttpRequest, obj: Model | None = None) -> Any:
        """None: the template shows everything."""
        return ()

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        every_min = max(1, settings.SCHEMAEVO_VERIFY_INTERVAL_S // 60)
        return super().changelist_view(request, {**(extra_context or {}), "every_min": every_min})

    def page_context(self, request: HttpRequest, outcome: VerifyOutcome) -> dict[str, Any]:
        check = verify_checks().get(outcome.kind)
        siblings = VerifyOutcome.objects.filter(verification=outcome.verification).order_by("kind")
        # Jobs go before the history does.
        has_job = outcome.job_id is not None and Job.objects.filter(pk=outcome.job_id).exists()
        return {
            "outcome": outcome,
            "kind_label": kind_label(outcome.kind),
            "state": outcome_badge(outcome),
            "scope": scope_in_words(outcome),
            "table": finding_table(outcome.kind, outcome.examples),
            "unlisted": max(0, outcome.divergent - len(outcome.examples)),
            "can_repair": check is not None and check.repair is not None,
            "others": [
                (row, kind_label(row.kind), outcome_badge(row)) for row in siblings if row.pk != outcome.pk
            ],
            "has_job": has_job,
        }

    @admin.display(description=_("finished"))
    def finished(self, outcome: VerifyOutcome) -> SafeString:
        return moment(outcome.finished_at)

    @admin.display(description=_("kind"))
    def kind_shown(self, outcome: VerifyOutcome) -> str:
        return kind_label(outcome.kind)

    @admin.display(description=_("outcome"))
    def outcome(self, outcome: VerifyOutcome) -> SafeString:
        return outcome_badge(outcome)

    @admin.display(description=_("compared"))
    def shown_checked(self, outcome: VerifyOutcome) -> SafeString:
        return amount(outcome.checked)

    @admin.display(description=_("divergent"))
    def shown_divergent(self, outcome: VerifyOutcome) -> SafeString:
        return amount(outcome.divergent)

    @admin.display(description=_("repaired"))
    def shown_repaired(self, outcome: VerifyOutcome) -> SafeString:
        return amount(outcome.repaired) if outcome.is_repair else NOTHING

    @admin.display(description=_("scope"))
    def scope_shown(self, outcome: VerifyOutcome) -> SafeString:
        return scope_in_words(outcome)

    @admin.display(description=_("who"))
    def who(self, outcome: VerifyOutcome) -> str:
        return outcome.actor_name


def scope_in_words(outcome: VerifyOutcome) -> SafeString:
    """How much was compared: a sample, all, or all of a target."""
    if outcome.target:
        return format_html("{} {}", _("all of"), code(outcome.target))
    return format_html("{}", outcome.get_scope_display())


def references_table(found: Sequence[JsonObject]) -> FindingTable:
    """Rows that refer to what is not there, with the way to their pages where they have any."""
    return FindingTable(
        (_("Table"), _("Row"), _("Refers to what is not there")),
        [(code(text_of(one, "table")), _row_shown(one), _gone_shown(one)) for one in found],
    )


def _row_shown(found: JsonObject) -> SafeString:
    identity = text_of(found, "id")
    for model in apps.get_models():
        if model._meta.db_table == found.get("table") and admin.site.is_registered(model):
            view = f"admin:{model._meta.app_label}_{model._meta.model_name}_change"
            return link(reverse(view, args=[identity]), identity)
    return code(identity)


def _gone_shown(found: JsonObject) -> SafeString:
    gone = found.get("gone")
    pairs = gone.items() if isinstance(gone, dict) else ()
    return format_html_join(
        "", '<div>{} <span class="se-muted">{}</span></div>', ((code(k), v) for k, v in pairs)
    )


finding_table_provider(REFERENCES, references_table)
