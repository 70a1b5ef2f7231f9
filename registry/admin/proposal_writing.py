"""The pages on which a proposal is written: drafted by hand, as the reverse of an applied one, or edited."""

from __future__ import annotations

from functools import partial
from typing import Any, Final

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.utils.translation import gettext as _now

from registry.admin.proposal_displays import edits_text, state_badge
from registry.admin.proposal_forms import DraftForm, EditForm
from registry.admin.proposal_verbs import hindrance, standing_or_404
from registry.admin.sides import sides_context
from registry.domain.proposal import Action, State
from registry.models import ProposalOrigin
from registry.selectors_proposal_pages import is_applied, reverse_edits
from registry.services.proposals import PROPOSE, TITLE_MAX, proposal_draft, proposal_edit
from schemaevo.kernel.errors import DomainError, NotFound
from schemaevo.kernel.models import User
from schemaevo.kernel.narrowing import number_or_none
from schemaevo.kernel.pages.base import StoreAdmin
from schemaevo.kernel.pages.rights import actor_of
from schemaevo.kernel.pages.verbs import verb_page

#: How each edit is written, with what it does; shown beside the form.
EXAMPLES: Final = (
    ("add_field", '{"op": "add_field", "field": "size", "declaration": {"type": "number"}}'),
    ("remove_field", '{"op": "remove_field", "field": "size"}'),
    (
        "add_converter",
        '{"op": "add_converter", "field": "size", "converter": "string_to_number"}',
    ),
    ("set_policy", '{"op": "set_policy", "field": "size", "merge_policy": {"strategy": "highest_priority"}}'),
    ("set_description", '{"op": "set_description", "field": "size", "description": "in millimetres"}'),
)
_BEGUN: Final = '[\n  {"op": "add_field", "field": "", "declaration": {"type": "string"}}\n]'


def writing_urls(model_admin: StoreAdmin) -> list[URLPattern]:
    """The addresses, before those of the rows."""
    view = model_admin.admin_site.admin_view
    return [
        path("draft/", view(partial(draft_view, model_admin)), name="registry_proposal_draft"),
        path("<int:proposal_id>/edit/", view(partial(edit_view, model_admin)), name="registry_proposal_edit"),
    ]


def draft_view(model_admin: StoreAdmin, request: HttpRequest) -> HttpResponse:
    """A proposal is written; `?reverse=ID` begins with the edits that take an applied one back."""
    _authorise(request)
    if request.method not in {"GET", "HEAD", "POST"}:
        return HttpResponseNotAllowed(["GET", "HEAD", "POST"])
    form = DraftForm(request.POST) if request.method == "POST" else DraftForm(initial=_begun(request))
    if form.is_bound and form.is_valid():
        said = form.cleaned_data
        is_reverse = is_applied(proposal_id=said["reverse"] or 0, entity_type=said["entity_type"])
        origin = ProposalOrigin.REVERSE if is_reverse else ProposalOrigin.LOGIN
        try:
            proposal = proposal_draft(
                entity_type=said["entity_type"],
                title=said["title"],
                reason=said["reason"],
                edits=said["edits"],
                actor=actor_of(request),
                origin=origin,
            )
        except DomainError as error:
            form.refused(error)
        else:
            messages.success(
                request, _now("It is a draft. Look at what it changes, then submit it for review.")
            )
            return _to_page(proposal.pk)
    return _form_page(model_admin, request, form, title=_now("Draft a proposal"), button=_now("Draft it"))


def edit_view(model_admin: StoreAdmin, request: HttpRequest, proposal_id: int) -> HttpResponse:
    """What a proposal says is edited; what was shown by then is compared with what it says by now."""
    _authorise(request)
    if request.method not in {"GET", "HEAD", "POST"}:
        return HttpResponseNotAllowed(["GET", "HEAD", "POST"])
    form = EditForm(request.POST) if request.method == "POST" else None
    if form is not None and form.is_valid():
        said = form.cleaned_data
        try:
            proposal_edit(
                proposal_id=proposal_id,
                actor=actor_of(request),
                edits=said["edits"],
                title=said["title"],
                reason=said["reason"],
                expected_hash=said["content"],
            )
        except NotFound as error:
            raise Http404 from error
        except DomainError as error:
            form.refused(error)
        else:
            messages.success(request, _now("The proposal says what you typed."))
            return _to_page(proposal_id)
    standing = standing_or_404(proposal_id)
    proposal, login = standing.proposal, request.user
    against = hindrance(standing, Action.EDIT, login) if isinstance(login, User) else None
    if form is None:
        form = EditForm(
            initial={
                "title": proposal.title,
                "reason": proposal.reason,
                "edits": edits_text(proposal.edits),
                "content": proposal.content_hash,
            }
        )
        if against is not None:
            form.code = against.code
    return _form_page(
        model_admin,
        request,
        form,
        title=_now("Edit proposal %(n)s") % {"n": proposal.pk},
        button=_now("Save"),
        row=proposal,
        proposal=proposal,
        standing=standing,
        state=state_badge(proposal),
        against=None if form.is_bound else against,
        is_stale=form.code == "stale_content",
        compared=sides_context(standing.sides),
    )


def _form_page(model_admin: StoreAdmin, request: HttpRequest, form: EditForm, **context: Any) -> HttpResponse:
    page = verb_page(
        model_admin, request, "admin/registry/proposal/form.html", form=form, examples=EXAMPLES, **context
    )
    page.status_code = form.status
    return page


def _begun(request: HttpRequest) -> dict[str, Any]:
    """What a new draft begins with."""
    asked = number_or_none(request.GET.get("reverse", ""))
    if asked is None:
        return {"entity_type": request.GET.get("type", ""), "edits": _BEGUN}
    standing = standing_or_404(asked)
    proposal = standing.proposal
    if standing.state is not State.APPLIED:
        raise Http404
    title = _now("Take back #%(n)s: %(title)s") % {"n": proposal.pk, "title": proposal.title}
    try:
        edits = edits_text(reverse_edits(standing))
    except DomainError as error:
        messages.warning(request, error.message)
        edits = _BEGUN
    return {
        "entity_type": proposal.entity_type,
        "title": title[:TITLE_MAX],
        "edits": edits,
        "reverse": proposal.pk,
    }


def _authorise(request: HttpRequest) -> None:
    """Raises: PermissionDenied."""
    if not request.user.has_perm(PROPOSE):
        raise PermissionDenied


def _to_page(proposal_id: int) -> HttpResponse:
    return HttpResponseRedirect(reverse("admin:registry_proposal_change", args=[proposal_id]))
