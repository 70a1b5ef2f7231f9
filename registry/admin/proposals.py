"""Pages of proposals: what is to change in global schemas, who has said what about it, and what came of it."""

from __future__ import annotations

from typing import Any, ClassVar
from urllib.parse import urlencode

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.forms import Script
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from registry.admin.proposal_charts import trial_chart, types_chart
from registry.admin.proposal_desk import DeskFilter, age, desk_context, next_in_words
from registry.admin.proposal_displays import blocks_in_words, decisions_shown, happening, state_badge
from registry.admin.proposal_evidence import evidence_shown
from registry.admin.proposal_forms import CommentForm
from registry.admin.proposal_report import report_urls
from registry.admin.proposal_trials import trial_shown, works_shown
from registry.admin.proposal_verbs import hindrance, standing_or_404, verb_urls, verbs_open
from registry.admin.proposal_writing import writing_urls
from registry.admin.sides import sides_context
from registry.domain.proposal import Action, State
from registry.models import Proposal, ProposalAct, ProposalOrigin, ProposalState, ProposalTrial
from registry.selectors_desk import proposals_seen_by, waits_of
from registry.selectors_proposal_pages import (
    HISTORY_SHOWN,
    proposal_history,
    proposal_work,
)
from registry.selectors_proposals import ProposalStanding
from registry.selectors_trials import trial_job
from registry.services.proposals import PROPOSE
from schemaevo.kernel.models import User
from schemaevo.kernel.pages.display import code, short
from schemaevo.kernel.pages.filters import ChoiceFilter, EntityTypeFilter
from schemaevo.kernel.pages.keyset import Keyset, KeysetAdmin
from schemaevo.kernel.pages.rights import may_see_values
from schemaevo.kernel.pages.verbs import REASONS_SHOWN

MAY_AUDIT = "kernel.view_auditevent"
#: What is done next in each state.
_NEXT = {
    State.DRAFT: Action.SUBMIT,
    State.CHANGES_REQUESTED: Action.SUBMIT,
    State.IN_REVIEW: Action.APPROVE,
    State.APPROVED: Action.APPLY,
    State.FAILED: Action.APPLY,
    State.STALE: Action.REBASE,
}


class ProposalStateFilter(ChoiceFilter):
    title = _("state")
    parameter_name = "state"
    column = "state"
    choices_from = ProposalState


class OriginFilter(ChoiceFilter):
    title = _("origin")
    parameter_name = "origin"
    column = "origin"
    choices_from = ProposalOrigin


@admin.register(Proposal)
class ProposalAdmin(KeysetAdmin):
    """Every change to a global schema that was proposed, the newest first."""

    keyset = Keyset(("-id",))
    many = _("proposals")
    referred: ClassVar[dict[str, tuple[str, ...]]] = {"author": ("username",)}
    list_display = ("named", "shown_type", "shown_state", "next", "shown_author", "waits_since")
    list_filter = (DeskFilter, ProposalStateFilter, EntityTypeFilter, OriginFilter)
    list_before_template = "admin/registry/proposal/views.html"
    change_form_outer_before_template = "admin/registry/proposal/page.html"

    class Media:
        js = (Script("schemaevo/live.js", defer=True),)

    def get_urls(self) -> list[URLPattern]:
        """What is written and done, and what a page follows, before the addresses of the rows."""
        live = self.admin_site.admin_view(self.live_view)
        return [
            *writing_urls(self),
            path("<int:proposal_id>/live/", live, name="registry_proposal_live"),
            *verb_urls(self),
            *report_urls(self),
            *super().get_urls(),
        ]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        # Neither list nor page shows them from this row: the page reads where the proposal stands.
        found = super().get_queryset(request).defer("edits", "evidence")
        return proposals_seen_by(login=request.user, among=found)

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """None: the template shows everything, and follows it."""
        return ()

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """The list, below the desk of whoever looks at it."""
        return super().changelist_view(request, {**desk_context(request), **(extra_context or {})})

    def attach(self, rows: Any) -> None:
        super().attach(rows)
        waits = waits_of(proposal_ids=[row.pk for row in rows])
        for row in rows:
            row.waits = waits[row.pk]

    def page_context(self, request: HttpRequest, row: Proposal) -> dict[str, Any]:
        standing = standing_or_404(row.pk)
        proposal = standing.proposal
        history = proposal_history(proposal_id=proposal.pk) if request.user.has_perm(MAY_AUDIT) else []
        return {
            **self._followed(request, standing),
            "compared": sides_context(standing.sides),
            "reasons": standing.reasons[:REASONS_SHOWN],
            "more_reasons": max(0, len(standing.reasons) - REASONS_SHOWN),
            "evidence": evidence_shown(proposal.evidence),
            "types_chart": types_chart(proposal.evidence),
            "trial_chart": trial_chart(standing.trial),
            "decisions": decisions_shown(standing),
            "history": [(event, *happening(event)) for event in history[:HISTORY_SHOWN]],
            "is_history_cut": len(history) > HISTORY_SHOWN,
            "audit_url": audit_url(proposal),
            "comment_form": CommentForm(),
        }

    def _followed(self, request: HttpRequest, standing: ProposalStanding) -> dict[str, Any]:
        """What changes by itself while somebody looks at the page."""
        proposal, login = standing.proposal, request.user
        offered = {verb.action: verb for verb in verbs_open(standing, login)}
        trials: dict[str, ProposalTrial | None] = {
            ProposalAct.APPLY: standing.trial,
            ProposalAct.UNDO: standing.undo_trial,
        }
        works = works_shown(proposal_work(proposal=proposal), trials)
        coming = standing.next_undo_trial if standing.state is State.APPLIED else standing.next_trial
        # One trial is under way already; comments are written further below.
        elsewhere = {Action.COMMENT, *((Action.TRY,) if coming else ())}
        may_propose = isinstance(login, User) and login.has_perm(PROPOSE)
        is_editable = isinstance(login, User) and hindrance(standing, Action.EDIT, login) is None
        return {
            "standing": standing,
            "proposal": proposal,
            "state": state_badge(proposal),
            "blocks": blocks_in_words(standing),
            "verbs": [verb for action, verb in offered.items() if action not in elsewhere],
            "next": _next(standing),
            "is_own": login.pk in (proposal.author_id, proposal.last_editor_id),
            "may_comment": Action.COMMENT in offered,
            "may_edit": may_propose and is_editable,
            "may_reverse": may_propose and standing.state is State.APPLIED and Action.UNDO not in offered,
            "trials": [
                shown for shown in (trial_shown(standing.undo_trial), trial_shown(standing.trial)) if shown
            ],
            "coming": coming,
            "may_try": Action.TRY in offered,
            "stopped": _stopped(standing, request),
            "works": works,
            "is_over": coming is None and all(work.is_over for work in works),
            "may_see_values": may_see_values(request),
        }

    def live_view(self, request: HttpRequest, proposal_id: int) -> HttpResponse:
        """What the page shows now of what changes by itself, for a page that follows it."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        context = self._followed(request, standing_or_404(proposal_id))
        return render(request, "admin/registry/proposal/live.html", context)

    @admin.display(description=_("proposal"))
    def named(self, proposal: Proposal) -> SafeString:
        return format_html(
            '<span class="se-proposal-name"><span class="se-muted">#{}</span> {}</span>',
            proposal.pk,
            proposal.title,
        )

    @admin.display(description=_("entity type"))
    def shown_type(self, proposal: Proposal) -> SafeString:
        return code(proposal.entity_type)

    @admin.display(description=_("state"))
    def shown_state(self, proposal: Proposal) -> SafeString:
        return state_badge(proposal)

    @admin.display(description=_("what is next"))
    def next(self, proposal: Any) -> SafeString:
        return next_in_words(proposal, proposal.waits, is_own=proposal.is_own, has_mine=proposal.has_mine)

    @admin.display(description=_("author"))
    def shown_author(self, proposal: Proposal) -> SafeString:
        if proposal.author_id is None:
            return format_html('<span class="se-muted">{}</span>', proposal.get_origin_display())
        return short(proposal.author.get_username() if proposal.author else f"#{proposal.author_id}")

    @admin.display(description=_("since"))
    def waits_since(self, proposal: Proposal) -> SafeString:
        return age(proposal)


def _stopped(standing: ProposalStanding, request: HttpRequest) -> dict[str, Any] | None:
    """A trial that nobody is at any more, with its job where that is kept and the login may see it."""
    trial = standing.stopped_trial
    if trial is None:
        return None
    job = trial_job(trial) if request.user.has_perm("kernel.view_job") else None
    return {"trial": trial, "job": job}


def _next(standing: ProposalStanding) -> Action | None:
    """What is done next, by whoever can."""
    if standing.state is State.IN_REVIEW and not standing.is_tried:
        return Action.TRY
    return _NEXT.get(standing.state)


def audit_url(proposal: Proposal) -> str:
    """What the audit log says of the proposal."""
    which = {"target_type": "proposal", "target": proposal.pk}
    return f"{reverse('admin:kernel_auditevent_changelist')}?{urlencode(which)}"
