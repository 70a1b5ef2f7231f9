"""What is done about a proposal: what it comes to on GET, one service on POST.

A decision carries the hash of the content that was shown, and the service refuses to decide about another one.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from django.contrib import messages
from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.urls import URLPattern, path, reverse

from registry.admin.proposal_acts import VERBS, Verb
from registry.admin.proposal_charts import trial_chart
from registry.admin.proposal_displays import blocks_in_words, edits_text, state_badge
from registry.admin.proposal_forms import ProposalForm
from registry.admin.proposal_trials import trial_shown
from registry.admin.sides import sides_context
from registry.domain.diff import diff
from registry.domain.proposal import VERDICTS, Action, State
from registry.domain.sides import side_by_side
from registry.errors_proposals import LaterVersion, NotOwnProposal, NotTried, OwnProposal, WrongState
from registry.selectors_proposal_pages import rebase_outlook
from registry.selectors_proposals import ProposalStanding, proposal_standing
from schemaevo.kernel.errors import DomainError, NotFound
from schemaevo.kernel.models import User
from schemaevo.kernel.pages.base import StoreAdmin
from schemaevo.kernel.pages.rights import actor_of, may_see_values
from schemaevo.kernel.pages.verbs import refusal_lines, verb_page


def verb_urls(model_admin: StoreAdmin) -> list[URLPattern]:
    """The addresses of the verbs of one proposal."""
    view = model_admin.admin_site.admin_view
    return [
        path(
            f"<int:proposal_id>/{verb.name.replace('_', '-')}/",
            view(partial(verb_view, model_admin, verb=verb)),
            name=f"registry_proposal_{verb.name}",
        )
        for verb in VERBS
    ]


def verbs_open(standing: ProposalStanding, user: AbstractBaseUser | AnonymousUser) -> list[Verb]:
    """What this login could do about the proposal now."""
    return [
        verb
        for verb in VERBS
        if verb.is_permitted(user)
        and isinstance(user, User)
        and hindrance(standing, verb.action, user) is None
    ]


def hindrance(standing: ProposalStanding, action: Action, login: User) -> DomainError | None:
    """What the login would be refused with as of now, None where it is open; the service says so in the same words."""
    proposal = standing.proposal
    if action is Action.TRY and standing.state is State.APPLIED:
        # Of what is applied, undoing it is tried.
        action = Action.TRY_UNDO
    code = standing.refusal(action, login)
    if code == "own_proposal":
        return OwnProposal(proposal.pk)
    if code == "not_own_proposal":
        return NotOwnProposal(proposal.pk)
    if code == "not_tried":
        return NotTried(proposal.pk)
    if code is not None:
        return WrongState(proposal.pk, standing.state, action, code)
    present = standing.in_force
    if action is Action.UNDO and (present is None or present.pk != proposal.applied_version_id):
        return LaterVersion(proposal.pk, present.number if present else None)
    return None


def verb_view(model_admin: StoreAdmin, request: HttpRequest, proposal_id: int, *, verb: Verb) -> HttpResponse:
    """What the verb comes to on GET; on POST it is done, or the page says why not."""
    if request.method not in {"GET", "HEAD", "POST"}:
        return HttpResponseNotAllowed(["GET", "HEAD", "POST"])
    if not verb.is_permitted(request.user):
        raise PermissionDenied
    form = verb.form(request.POST) if request.method == "POST" else None
    if form is not None and form.is_valid():
        try:
            told = verb.perform(proposal_id, actor_of(request), form.cleaned_data)
        except NotFound as error:
            raise Http404 from error
        except DomainError as error:
            form.refused(error)
        else:
            for level, text in told:
                messages.add_message(request, level, text)
            return HttpResponseRedirect(reverse("admin:registry_proposal_change", args=[proposal_id]))
    return _page(model_admin, request, standing_or_404(proposal_id), verb, form)


def standing_or_404(proposal_id: int) -> ProposalStanding:
    """Where the proposal stands. Raises: Http404."""
    try:
        return proposal_standing(proposal_id=proposal_id)
    except NotFound as error:
        raise Http404 from error


def _page(
    model_admin: StoreAdmin,
    request: HttpRequest,
    standing: ProposalStanding,
    verb: Verb,
    form: ProposalForm | None,
) -> HttpResponse:
    proposal, login = standing.proposal, request.user
    against = hindrance(standing, verb.action, login) if isinstance(login, User) else None
    shown, problem = _shown(standing, verb)
    against = against or problem
    if form is None:
        form = verb.form(initial={"content": proposal.content_hash})
        lines, code = (refusal_lines(against), against.code) if against else ([], "")
    else:
        lines, code = [], form.code
    if code == "stale_content":
        # What it says now stands on this page: once that was looked at, it can be decided.
        lines = [str(line) for line in form.non_field_errors()]
        status, typed = form.status, form.cleaned_data
        form = verb.form(initial={**typed, "content": proposal.content_hash})
        form.status = status
    page = verb_page(
        model_admin,
        request,
        "admin/registry/proposal/verb.html",
        title=verb.title % {"n": proposal.pk},
        row=proposal,
        form=form,
        verb=verb,
        standing=standing,
        proposal=proposal,
        state=state_badge(proposal),
        blocks=blocks_in_words(standing),
        refusal=code,
        refusal_lines=lines,
        is_open=against is None,
        may_see_values=may_see_values(request),
        **shown,
    )
    page.status_code = form.status
    return page


def _shown(standing: ProposalStanding, verb: Verb) -> tuple[dict[str, Any], DomainError | None]:
    """What the page of the verb shows beside its form, and why the verb is not possible, where that is known by it."""
    action = verb.action
    if action is Action.REBASE and standing.state is State.STALE:
        try:
            outlook = rebase_outlook(standing)
        except DomainError as error:
            return {}, error
        return {
            "outlook": outlook,
            "edits_before": edits_text(outlook.before),
            "edits_after": edits_text(outlook.after),
            "meanwhile": [change.in_words for change in outlook.meanwhile],
            "becomes": [change.in_words for change in outlook.difference],
        }, None
    if action is Action.UNDO:
        back = diff(standing.after, standing.before)
        return {
            "compared": sides_context(side_by_side(back, standing.after, standing.before)),
            "trial": trial_shown(standing.undo_trial),
        }, None
    if action in VERDICTS or action in (Action.APPLY, Action.SUBMIT):
        return {
            "compared": sides_context(standing.sides),
            "trial": trial_shown(standing.trial),
            "trial_chart": trial_chart(standing.trial),
        }, None
    return {}, None
