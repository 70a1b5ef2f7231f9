"""The form that asks for an entity as of a time."""

from __future__ import annotations

from datetime import UTC, datetime
from urllib.parse import urlencode

from django import forms
from django.core.exceptions import ValidationError
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext_lazy as _


class AsOfForm(forms.Form):
    """A time, typed in the zone of the login or with an offset of its own; empty for now."""

    as_of = forms.DateTimeField(
        label=_("As of"),
        required=False,
        error_messages={
            "invalid": _("This is no time. Write it like 2026-01-05 10:00, or 2026-01-05T10:00Z for UTC.")
        },
    )

    def clean_as_of(self) -> datetime | None:
        typed: datetime | None = self.cleaned_data["as_of"]
        if typed is None:
            return None
        try:
            moment = typed.astimezone(UTC)
            # Whether it can be shown, too.
            timezone.localtime(moment)
        except OverflowError:
            raise ValidationError(_("This time is too far away.")) from None
        return moment


def as_of_asked(request: HttpRequest) -> tuple[datetime | None, AsOfForm]:
    """The time that a page is asked for, if it can be read, and the form; which says what is wrong with it."""
    form = AsOfForm(request.GET if request.GET.get("as_of") else None)
    return (form.cleaned_data["as_of"] if form.is_valid() else None), form


def as_of_query(moment: datetime) -> str:
    """The query of an address that asks for that very time."""
    return urlencode({"as_of": moment.astimezone(UTC).isoformat().replace("+00:00", "Z")})


def as_of_typed(moment: datetime) -> str:
    """The time as the login would type it; with its offset in the hour that a clock shows twice."""
    local = timezone.localtime(moment)
    first, second = local.replace(fold=0), local.replace(fold=1)
    is_clear = first.utcoffset() == second.utcoffset()
    return (local.replace(tzinfo=None) if is_clear else local).isoformat(sep=" ")
