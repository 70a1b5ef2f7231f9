"""What the pages of these verbs have in common: whose field it is, and who may."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

from django import forms
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.urls import reverse
from django.utils.translation import gettext_lazy as _
from unfold.widgets import UnfoldAdminTextareaWidget

from fragments.models import RawFragmentAggregate
from schemaevo.kernel.pages.base import StoreAdmin
from schemaevo.kernel.pages.verbs import verb_page

NOTE_MAX = 2_000
#: The page of a verb, once it is clear about which field it is.
Verb = Callable[[StoreAdmin, HttpRequest, RawFragmentAggregate], HttpResponse]


class ReasonField(forms.CharField):
    """Why something is done."""

    def __init__(self, *, help_text: Any = "") -> None:
        super().__init__(
            label=_("Reason"),
            required=False,
            max_length=NOTE_MAX,
            widget=UnfoldAdminTextareaWidget(attrs={"rows": 2}),
            help_text=help_text or _("Stands in the audit log."),
        )


class ReasonForm(forms.Form):
    """Nothing but why."""

    reason = ReasonField()


def asked_verb(
    model_admin: StoreAdmin, verb: Verb, permission: str
) -> Callable[[HttpRequest, int], HttpResponse]:
    """The view of a verb: for those who may, about a field that there is."""

    def view(request: HttpRequest, aggregate_id: int) -> HttpResponse:
        if not request.user.has_perm(permission):
            raise PermissionDenied
        if request.method not in {"GET", "HEAD", "POST"}:
            return HttpResponseNotAllowed(["GET", "HEAD", "POST"])
        row = model_admin.get_object(request, str(aggregate_id))
        if not isinstance(row, RawFragmentAggregate):
            raise Http404
        return verb(model_admin, request, row)

    return view


def field_page(
    model_admin: StoreAdmin,
    request: HttpRequest,
    template: str,
    row: RawFragmentAggregate,
    *,
    title: str,
    **context: Any,
) -> HttpResponse:
    """The page of a verb about this field."""
    return verb_page(
        model_admin,
        request,
        f"admin/fragments/rawfragmentaggregate/{template}.html",
        title=title,
        row=row,
        aggregate=row,
        owner=owner_said(row),
        back_url=page_url(row),
        **context,
    )


def to_field(row: RawFragmentAggregate) -> HttpResponse:
    """To the page of the field."""
    return HttpResponseRedirect(page_url(row))


def page_url(row: RawFragmentAggregate) -> str:
    """The page of the field."""
    return reverse("admin:fragments_rawfragmentaggregate_change", args=[row.pk])


def owner_said(row: RawFragmentAggregate) -> str:
    """What finds the owner in a list. A username wins over a number, whatever it looks like."""
    return row.user.get_username() if row.user else str(row.user_id)


def field_query(row: RawFragmentAggregate) -> str:
    """The part of an address that names owner, type and field."""
    return urlencode({"owner": owner_said(row), "type": row.entity_type, "field": row.fragment_key})
