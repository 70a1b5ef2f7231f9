"""The pages on which a source is retracted, and on which that is undone, after they have told what it comes to."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.urls import reverse
from django.utils.translation import gettext as _now
from django.utils.translation import gettext_lazy as _
from unfold.widgets import UnfoldAdminTextareaWidget

from schemaevo.kernel.actors import Actor
from schemaevo.kernel.errors import DomainError
from schemaevo.kernel.pages.base import StoreAdmin
from schemaevo.kernel.pages.display import duration
from schemaevo.kernel.pages.rights import actor_of
from schemaevo.kernel.pages.verbs import form_refused, verb_page
from snapshots.models import Source
from snapshots.selectors_retraction_previews import retraction_preview
from snapshots.services.retractions import MAY_RETRACT, REASON_MAX, retraction_undo, source_retract


def _reason(*, required: bool) -> forms.CharField:
    return forms.CharField(
        label=_("Reason"),
        required=required,
        max_length=REASON_MAX,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 2}),
        help_text=_("Stands on the page of the source and in the audit log."),
    )


class RetractForm(forms.Form):
    """Why a source is retracted."""

    reason = _reason(required=True)


class UndoForm(forms.Form):
    """Why that is undone."""

    reason = _reason(required=False)


def retract_page(model_admin: StoreAdmin, request: HttpRequest, source_id: UUID) -> HttpResponse:
    """What retracting comes to as of now; on POST it is retracted, and the page of the source comes next."""

    def act(source: Source, actor: Actor, reason: str) -> None:
        source_retract(source_id=source.pk, reason=reason, actor=actor)
        messages.success(
            request, _now("The source takes no part any more. A job takes back what it brought.")
        )

    return _page(model_admin, request, source_id, is_undo=False, act=act)


def undo_page(model_admin: StoreAdmin, request: HttpRequest, source_id: UUID) -> HttpResponse:
    """What undoing comes to as of now; on POST it is undone, and the page of the source comes next."""

    def act(source: Source, actor: Actor, reason: str) -> None:
        retraction_undo(source_id=source.pk, actor=actor, reason=reason)
        messages.success(request, _now("The source takes part again. A job gives back what was taken."))

    return _page(model_admin, request, source_id, is_undo=True, act=act)


def _page(
    model_admin: StoreAdmin,
    request: HttpRequest,
    source_id: UUID,
    *,
    is_undo: bool,
    act: Callable[[Source, Actor, str], None],
) -> HttpResponse:
    if not request.user.has_perm(MAY_RETRACT):
        raise PermissionDenied
    if request.method not in {"GET", "HEAD", "POST"}:
        return HttpResponseNotAllowed(["GET", "HEAD", "POST"])
    source = model_admin.get_object(request, str(source_id))
    if source is None:
        raise Http404
    given = request.POST if request.method == "POST" else None
    form = UndoForm(given) if is_undo else RetractForm(given)
    if form.is_bound and form.is_valid():
        try:
            act(source, actor_of(request), form.cleaned_data["reason"])
            return HttpResponseRedirect(reverse("admin:snapshots_source_change", args=[source.pk]))
        except DomainError as error:
            form_refused(form, error, invalid_reason="reason")
    preview = retraction_preview(source=source)
    names = {"name": source.name}
    return verb_page(
        model_admin,
        request,
        "admin/snapshots/source/retract.html",
        title=_now("Undo the retraction of %(name)s") % names
        if is_undo
        else _now("Retract %(name)s") % names,
        row=source,
        source=source,
        owner=source.user.get_username() if source.user else f"#{source.user_id}",
        preview=preview,
        is_undo=is_undo,
        # It may have been decided meanwhile; what is unfinished may be asked for again.
        is_possible=preview.is_undo == is_undo,
        takes=duration(preview.seconds),
        form=form,
    )
