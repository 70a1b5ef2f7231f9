"""The page on which one field of an entity is corrected, after it has told what that does."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.urls import reverse
from django.utils.translation import gettext as _now
from django.utils.translation import gettext_lazy as _
from unfold.widgets import UnfoldAdminTextareaWidget

from schemaevo.kernel.canonical import canonical_json, is_storable_text
from schemaevo.kernel.errors import DomainError, Invalid, NotFound
from schemaevo.kernel.pages.base import StoreAdmin
from schemaevo.kernel.pages.rights import actor_of, may_see_values
from schemaevo.kernel.pages.verbs import form_refused, refusal_lines, verb_page
from snapshots.domain.correction import Foreseen
from snapshots.models import EntitySnapshot
from snapshots.selectors_corrections import CorrectableTold, correctable_told, value_read
from snapshots.services.corrections import MAY_CORRECT, REASON_MAX, Wanted, correction_foresee, field_correct

#: What the second of the two buttons sends; the first only looks.
CORRECT = "correct"
#: Where in the form a refusal stands; all others stand above it.
_AT_VALUE = ("unstorable_json", "value_misfit", "repeated_items", "nothing_to_correct")


class CorrectionForm(forms.Form):
    """What a field is to say, and why."""

    value = forms.CharField(
        label=_("Correct value"),
        required=False,
        strip=False,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 2}),
    )
    reason = forms.CharField(
        label=_("Reason"),
        max_length=REASON_MAX,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 2}),
        help_text=_("Kept beside the correction, for whoever asks later why the field says so."),
    )

    def clean_value(self) -> str:
        """Lines as they are everywhere else: a browser ends them with two characters."""
        return str(self.cleaned_data["value"]).replace("\r\n", "\n")


def correct_page(model_admin: StoreAdmin, request: HttpRequest, snapshot_id: UUID) -> HttpResponse:
    """The field as it is, what the correction would do, and the corrections made so far; on POST of the second form it
    is corrected."""
    if not (request.user.has_perm(MAY_CORRECT) and may_see_values(request)):
        raise PermissionDenied
    if request.method not in {"GET", "HEAD", "POST"}:
        return HttpResponseNotAllowed(["GET", "POST"])
    is_post = request.method == "POST"
    name = (request.POST if is_post else request.GET).get("field", "")
    told, problems = _told(snapshot_id, name)
    form = CorrectionForm(
        request.POST if is_post else None, initial={"value": told.field.written if told.field else ""}
    )
    foreseen: Foreseen | None = None
    value = ""
    if is_post and told.field is not None and form.is_valid():
        is_decided = request.POST.get("what") == CORRECT
        try:
            wanted = Wanted(
                name,
                value_read(
                    entity_type=told.snapshot.entity_type,
                    user_id=told.snapshot.user_id,
                    field=name,
                    text=form.cleaned_data["value"],
                ),
                # Whoever only looks sees it now.
                request.POST.get("seen", "") if is_decided else told.field.seen,
            )
            if is_decided:
                return _corrected(request, told.snapshot, wanted, form.cleaned_data["reason"])
            foreseen = correction_foresee(entity_id=str(snapshot_id), wanted=wanted, actor=actor_of(request))
            value = canonical_json(wanted.value)
        except DomainError as error:
            form_refused(form, error, **dict.fromkeys(_AT_VALUE, "value"))
            # It may be another value that is there by now.
            told, problems = _told(snapshot_id, name)
    return verb_page(
        model_admin,
        request,
        "admin/snapshots/entitysnapshot/correct.html",
        title=_now("Correct a field"),
        row=told.snapshot,
        told=told,
        asked=name,
        problems=problems,
        form=form,
        foreseen=foreseen,
        value=value,
        what=CORRECT,
    )


def _told(snapshot_id: UUID, name: str) -> tuple[CorrectableTold, list[str]]:
    """The entity with its field, or without it and why."""
    problems: list[str] = []
    try:
        if is_storable_text(name):
            try:
                return correctable_told(snapshot_id=snapshot_id, field=name), problems
            except Invalid as error:
                problems = refusal_lines(error)
        return correctable_told(snapshot_id=snapshot_id), problems
    except NotFound as error:
        raise Http404 from error


def _corrected(request: HttpRequest, snapshot: EntitySnapshot, wanted: Wanted, reason: str) -> HttpResponse:
    """Raises: DomainError."""
    field_correct(entity_id=str(snapshot.pk), wanted=wanted, reason=reason, actor=actor_of(request))
    said: dict[str, Any] = {"field": wanted.field}
    messages.success(request, _now("Corrected: %(field)s.") % said)
    return HttpResponseRedirect(reverse("admin:snapshots_entitysnapshot_change", args=[snapshot.pk]))
