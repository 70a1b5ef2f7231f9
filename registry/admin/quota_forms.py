"""The forms by which more quota is asked for and decided. They only read what was typed; services judge it."""

from __future__ import annotations

from typing import Any

from django import forms
from django.utils import timezone
from django.utils.translation import gettext as _now
from django.utils.translation import gettext_lazy as _
from unfold.widgets import INPUT_CLASSES, UnfoldAdminIntegerFieldWidget, UnfoldAdminTextareaWidget

from registry.errors import OwnRequest
from registry.models import QuotaRequest
from registry.models_quotas import MAXIMUM_MAX
from registry.selectors_quotas import Quota
from schemaevo.kernel.errors import DomainError
from schemaevo.kernel.pages.verbs import form_refused

#: A note is a few sentences.
NOTE_MAX = 2_000
#: The fields at which refusals stand, by their code.
_FIELDS = {
    "note_needed": "note",
    "until_passed": "until",
    "until_too_late": "until",
    "until_of_rejection": "until",
}


class UntilInput(forms.DateTimeInput):
    """A date and time, picked with what the browser has for it."""

    input_type = "datetime-local"

    def __init__(self) -> None:
        super().__init__(attrs={"class": " ".join(INPUT_CLASSES)}, format="%Y-%m-%dT%H:%M")


class NoteField(forms.CharField):
    """Some sentences."""

    def __init__(self, *, label: Any, required: bool = True, help_text: Any = "") -> None:
        super().__init__(
            label=label,
            required=required,
            help_text=help_text,
            max_length=NOTE_MAX,
            widget=UnfoldAdminTextareaWidget(attrs={"rows": 3}),
        )


class MaximumField(forms.IntegerField):
    """A number of schemas or fields."""

    def __init__(self, *, label: Any, lowest: int, highest: int = MAXIMUM_MAX, **options: Any) -> None:
        # Its bounds are hints for the browser: the service says what is wrong with a number.
        widget = UnfoldAdminIntegerFieldWidget(attrs={"min": lowest, "max": highest, "class": "se-maximum"})
        super().__init__(label=label, widget=widget, **options)


class UntilField(forms.DateTimeField):
    """The end of a grant, in the time zone of the login."""

    def __init__(self) -> None:
        super().__init__(label=_("Until"), required=False, widget=UntilInput())


class QuotaForm(forms.Form):
    """What the forms of quotas share. `status` is that of the page that shows a form again."""

    status = 200

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "until" in self.fields:
            self.fields["until"].help_text = _now(
                "Empty: without an end. In the time zone of your login, %(zone)s."
            ) % {"zone": timezone.get_current_timezone_name()}

    def refused(self, error: DomainError, **fields: str) -> None:
        """The refusal of a service stands at the field that it is about, else above all fields.

        Raises: PermissionDenied for what the login may not do at all.
        """
        if isinstance(error, OwnRequest):
            # A login that may decide in general; why not here is what it has to be told.
            self.add_error(None, error.message)
            self.status = 403
            return
        limit = f"max_{error.context.get('limit')}"
        if limit in self.fields and error.code in {"not_more", "more_than_asked"}:
            fields[error.code] = limit
        places = {code: name for code, name in {**_FIELDS, **fields}.items() if name in self.fields}
        form_refused(self, error, **places)


class ApproveForm(QuotaForm):
    """What is granted of what a request asks for."""

    until = UntilField()
    note = NoteField(label=_("Note"), required=False, help_text=_("Whoever asked reads it."))

    def __init__(self, request: QuotaRequest, quota: Quota, data: Any = None) -> None:
        super().__init__(data, auto_id="approve-%s")
        asked = {
            "max_schemas": (request.asked_max_schemas, quota.schemas.maximum, _("Schemas at most")),
            "max_fields": (request.asked_max_fields, quota.fields.maximum, _("Fields at most")),
        }
        named = {name: given for name, given in asked.items() if given[0] is not None}
        for name, (wanted, now, label) in named.items():
            self.fields[name] = MaximumField(
                label=label,
                lowest=now + 1,
                highest=wanted or MAXIMUM_MAX,
                initial=wanted,
                required=len(named) == 1,
                help_text=_now("Asked for: %(asked)s. Now: %(now)s.") % {"asked": wanted, "now": now},
            )
        self.order_fields([*named, "until", "note"])
        self.maxima = [*named]

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        # To the service, no number at all means what was asked for. Here it was there, and somebody took it out.
        if not self.errors and all(cleaned.get(name) is None for name in self.maxima):
            raise forms.ValidationError(_("Say how much is granted, or reject the request."))
        return cleaned


class RejectForm(QuotaForm):
    """Why a request is turned down."""

    note = NoteField(label=_("Why not"), help_text=_("Whoever asked reads it."))

    def __init__(self, data: Any = None) -> None:
        super().__init__(data, auto_id="reject-%s")


class DecideManyForm(QuotaForm):
    """One note, and one end, for several requests."""

    until = UntilField()
    note = NoteField(label=_("Note"), help_text=_("The same for all of them. Whoever asked reads it."))

    def __init__(self, data: Any = None) -> None:
        super().__init__(data)
        self.order_fields(["note", "until"])


class AskForm(QuotaForm):
    """How much more is asked for, and why."""

    note = NoteField(label=_("Why"), help_text=_("Whoever decides reads it."))

    def __init__(self, quota: Quota, data: Any = None) -> None:
        super().__init__(data)
        _add_maxima(self, quota, is_more=True)


class MaximaForm(QuotaForm):
    """What an owner may have from now on."""

    until = UntilField()
    note = NoteField(label=_("Why"))

    def __init__(self, quota: Quota, data: Any = None) -> None:
        super().__init__(data)
        _add_maxima(self, quota, is_more=False)
        self.order_fields(["max_schemas", "max_fields", "until", "note"])


def _add_maxima(form: QuotaForm, quota: Quota, *, is_more: bool) -> None:
    """The form has both maxima, to raise them or to set them to anything."""
    for use, label in ((quota.schemas, _("Schemas at most")), (quota.fields, _("Fields at most"))):
        form.fields[f"max_{use.limit.value}"] = MaximumField(
            label=label,
            lowest=use.maximum + 1 if is_more else 0,
            required=False,
            help_text=_now("Now: %(now)s, of which %(used)s are used. Empty: as it is.")
            % {"now": use.maximum, "used": use.usage},
        )
    form.order_fields(["max_schemas", "max_fields", *form.fields])
