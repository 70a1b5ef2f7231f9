"""The page on which a promotion is undone, after it has told what that comes to."""

from __future__ import annotations

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.urls import reverse
from django.utils.translation import gettext as _now
from django.utils.translation import gettext_lazy as _
from unfold.widgets import UnfoldAdminTextareaWidget

from fragments.models import Promotion
from fragments.selectors_undo import undo_preview
from fragments.services.promotions import MAY_PROMOTE, promotion_undo
from registry.quota_displays import quota_warned
from schemaevo.kernel.errors import DomainError
from schemaevo.kernel.pages.base import StoreAdmin
from schemaevo.kernel.pages.rights import actor_of
from schemaevo.kernel.pages.verbs import form_refused, verb_page

NOTE_MAX = 2_000


class UndoForm(forms.Form):
    """Why a promotion is undone."""

    note = forms.CharField(
        label=_("Reason"),
        required=False,
        max_length=NOTE_MAX,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 2}),
        help_text=_("Stands in the audit log, and with the dismissal of the field."),
    )


def undo_page(model_admin: StoreAdmin, request: HttpRequest, promotion_id: int) -> HttpResponse:
    """What undoing comes to as of now; on POST it is undone, and the page of the promotion comes next."""
    if not request.user.has_perm(MAY_PROMOTE):
        raise PermissionDenied
    if request.method not in {"GET", "HEAD", "POST"}:
        return HttpResponseNotAllowed(["GET", "HEAD", "POST"])
    promotion = model_admin.get_object(request, str(promotion_id))
    if promotion is None:
        raise Http404
    form = UndoForm(request.POST if request.method == "POST" else None)
    if form.is_bound and form.is_valid() and _is_undone(request, promotion, form):
        return HttpResponseRedirect(reverse("admin:fragments_promotion_change", args=[promotion.pk]))
    preview = undo_preview(promotion=promotion)
    return verb_page(
        model_admin,
        request,
        "admin/fragments/promotion/undo.html",
        title=_now("Undo the promotion of %(field)s") % {"field": promotion.fragment_key},
        row=promotion,
        promotion=promotion,
        preview=preview,
        # Why it cannot be done stands in the preview then.
        form=form if preview.refusal is None else UndoForm(),
    )


def _is_undone(request: HttpRequest, promotion: Promotion, form: UndoForm) -> bool:
    """Whether it is undone; else the form says why not."""
    try:
        undone = promotion_undo(
            promotion_id=promotion.pk, actor=actor_of(request), note=form.cleaned_data["note"]
        )
    except DomainError as error:
        form_refused(form, error)
        return False
    messages.success(
        request, _now("The field is not declared any more. A job lets its fragments wait again.")
    )
    quota_warned(request, undone.warning, user_id=promotion.user_id)
    return True
