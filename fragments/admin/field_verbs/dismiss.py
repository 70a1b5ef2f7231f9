"""The page on which a field is dismissed, snoozed until a time, or recalled."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.translation import gettext as _now
from django.utils.translation import gettext_lazy as _
from unfold.widgets import INPUT_CLASSES

from fragments.admin.field_verbs.asked import ReasonField, field_page, to_field
from fragments.models import FieldDismissal, RawFragmentAggregate
from fragments.selectors_enhancement import enhancement_mode
from fragments.selectors_refusals import dismissal_of
from fragments.services.dismissals import field_dismiss, field_recall, field_snooze
from schemaevo.kernel.errors import DomainError
from schemaevo.kernel.pages.base import StoreAdmin
from schemaevo.kernel.pages.rights import actor_of
from schemaevo.kernel.pages.verbs import form_refused

MAY_DISMISS = "fragments.dismiss_field"
DISMISS, SNOOZE, RECALL = "dismiss", "snooze", "recall"


class DismissForm(forms.Form):
    """What is to become of the field, and why. Only what somebody dismissed can be recalled."""

    what = forms.ChoiceField(choices=[(DISMISS, DISMISS), (SNOOZE, SNOOZE), (RECALL, RECALL)])
    until = forms.DateTimeField(
        label=_("Until"),
        required=False,
        widget=forms.DateTimeInput(
            attrs={"type": "datetime-local", "class": " ".join(INPUT_CLASSES)}, format="%Y-%m-%dT%H:%M"
        ),
    )
    reason = ReasonField(help_text=_("Stands beside the field, wherever it would be recommended."))

    def __init__(self, data: Any = None) -> None:
        super().__init__(data)
        self.fields["until"].help_text = _now("In the time zone of your login, %(zone)s.") % {
            "zone": timezone.get_current_timezone_name()
        }
        self.fields["what"].error_messages.update(
            required=_now("Choose what is to be done."), invalid_choice=_now("Choose what is to be done.")
        )

    def clean(self) -> dict[str, Any]:
        """A field is snoozed until some time."""
        said = super().clean() or self.cleaned_data
        if said.get("what") == SNOOZE and not said.get("until") and "until" not in self.errors:
            self.add_error("until", _now("Say until when."))
        return said


def dismiss_page(model_admin: StoreAdmin, request: HttpRequest, row: RawFragmentAggregate) -> HttpResponse:
    """What is said of the field now, and what can be; on POST it is, and the page of the field comes next."""
    form = DismissForm(request.POST if request.method == "POST" else None)
    if form.is_bound and form.is_valid() and _is_done(request, row, form):
        return to_field(row)
    dismissal = dismissal_of(user_id=row.user_id, entity_type=row.entity_type, name=row.fragment_key)
    return field_page(
        model_admin,
        request,
        "dismiss",
        row,
        title=_now("Dismiss or snooze %(field)s") % {"field": row.fragment_key},
        dismissal=dismissal,
        chosen=form["what"].value() or (RECALL if dismissal else DISMISS),
        mode=enhancement_mode(user_id=row.user_id, entity_type=row.entity_type),
        form=form,
    )


def _is_done(request: HttpRequest, row: RawFragmentAggregate, form: DismissForm) -> bool:
    """Whether it is done; else the form says why not."""
    said = form.cleaned_data
    given: dict[str, Any] = {
        "entity_type": row.entity_type,
        "name": row.fragment_key,
        "user_id": row.user_id,
        "actor": actor_of(request),
        "reason": said["reason"],
    }
    try:
        if said["what"] == RECALL:
            _recalled(request, field_recall(**given))
        elif said["what"] == SNOOZE:
            field_snooze(**given, until=said["until"])
            messages.success(request, _now("The field is snoozed: until then it is not recommended."))
        else:
            field_dismiss(**given)
            messages.success(request, _now("The field is dismissed: it is not recommended any more."))
    except DomainError as error:
        form_refused(form, error, until_passed="until", until_too_late="until")
        return False
    return True


def _recalled(request: HttpRequest, dismissal: FieldDismissal | None) -> None:
    if dismissal is None:
        messages.info(request, _now("Nobody had dismissed the field; nothing was done."))
    else:
        messages.success(request, _now("The field is recalled: it may be recommended again."))
