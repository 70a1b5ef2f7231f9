"""Putting a version in force, taking it out, retiring it or the whole schema: what changes on GET, one service on POST.

A form carries what was in force when the page was made, and the service refuses to decide by an outdated one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.utils.translation import gettext as _now
from django.utils.translation import gettext_lazy as _
from unfold.widgets import UnfoldAdminTextareaWidget

from registry.admin.sides import sides_context
from registry.models import Schema, SchemaVersion
from registry.quota_displays import quota_warned
from registry.selectors_previews import ChangePreview, activation_preview, withdrawal_preview
from registry.services.activation import schema_activate, schema_deactivate, schema_retire
from schemaevo.kernel.actors import Actor
from schemaevo.kernel.pages.base import StoreAdmin
from schemaevo.kernel.pages.rights import actor_of
from schemaevo.kernel.pages.verbs import REASONS_SHOWN, refusals_told, verb_page

#: Whoever may decide may look at what would come of it.
MAY_DECIDE: Final = "registry.activate_schema"


class DecisionForm(forms.Form):
    """That somebody looked at what changes: `shown` is what was in force then."""

    shown = forms.CharField(max_length=300, widget=forms.HiddenInput)


class RetirementForm(DecisionForm):
    """The same with a note, which the audit log keeps."""

    note = forms.CharField(
        label=_("Note"),
        help_text=_("Why it is retired, for whoever reads the audit log."),
        required=False,
        max_length=2000,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 3}),
    )


@dataclass(frozen=True, slots=True)
class Verb:
    """One decision about a version or a schema: its words, its form, its preview and its service.

    `decide` gives what to tell; it is given the row, the actor and what the form says.
    """

    name: str
    title: Any
    button: Any
    form: type[DecisionForm]
    preview: Callable[[Any], ChangePreview]
    decide: Callable[[HttpRequest, Any, Actor, dict[str, str]], None]


def version_verb_urls(model_admin: StoreAdmin) -> list[URLPattern]:
    """The decisions about one version."""
    return [_url(model_admin, verb, "schemaversion") for verb in (ACTIVATE, DEACTIVATE, RETIRE_VERSION)]


def schema_verb_urls(model_admin: StoreAdmin) -> list[URLPattern]:
    """The decision about a whole schema."""
    return [_url(model_admin, RETIRE_SCHEMA, "schema")]


def _url(model_admin: StoreAdmin, verb: Verb, model: str) -> URLPattern:
    view = model_admin.admin_site.admin_view(partial(decision_view, model_admin, verb=verb))
    return path(f"<int:row_id>/{verb.name}/", view, name=f"registry_{model}_{verb.name}")


def decision_view(model_admin: StoreAdmin, request: HttpRequest, row_id: int, *, verb: Verb) -> HttpResponse:
    """What the decision would change on GET; on POST it is made, or a message says why not."""
    if request.method not in {"GET", "HEAD", "POST"}:
        return HttpResponseNotAllowed(["GET", "HEAD", "POST"])
    if not request.user.has_perm(MAY_DECIDE):
        raise PermissionDenied
    row = model_admin.get_object(request, str(row_id))
    if row is None:
        raise Http404
    if request.method == "POST":
        return _decided(model_admin, request, row, verb)
    preview = verb.preview(row)
    return verb_page(
        model_admin,
        request,
        "admin/registry/preview.html",
        title=verb.title % {"what": row},
        row=row,
        verb=verb,
        preview=preview,
        form=verb.form(initial={"shown": preview.shown}),
        reasons=preview.reasons[:REASONS_SHOWN],
        more_reasons=max(0, len(preview.reasons) - REASONS_SHOWN),
        compared=sides_context(preview.sides),
    )


def _decided(model_admin: StoreAdmin, request: HttpRequest, row: Any, verb: Verb) -> HttpResponse:
    meta = model_admin.opts
    # After a refusal the preview is shown again, as things are now.
    goes_on = request.path
    form = verb.form(request.POST)
    if not form.is_valid():
        messages.error(request, _now("Look at what it changes, and confirm it there."))
        return HttpResponseRedirect(goes_on)
    with refusals_told(request):
        verb.decide(request, row, actor_of(request), form.cleaned_data)
        goes_on = reverse(f"admin:{meta.app_label}_{meta.model_name}_change", args=[row.pk])
    return HttpResponseRedirect(goes_on)


def _activate(request: HttpRequest, row: SchemaVersion, actor: Actor, said: dict[str, str]) -> None:
    version = schema_activate(version_id=row.pk, actor=actor, shown=said["shown"])
    messages.success(request, _now("The version is in force."))
    quota_warned(request, version.quota_warning, user_id=version.user_id)


def _deactivate(request: HttpRequest, row: SchemaVersion, actor: Actor, said: dict[str, str]) -> None:
    gone = None
    if row.is_active:
        gone = schema_deactivate(
            entity_type=row.entity_type, user_id=row.user_id, actor=actor, shown=said["shown"]
        )
    if gone is None:
        messages.info(request, _now("The version was not in force any more; nothing has changed."))
    else:
        messages.success(request, _now("The version is not in force any more."))


def _retire_version(request: HttpRequest, row: SchemaVersion, actor: Actor, said: dict[str, str]) -> None:
    retired = schema_retire(
        entity_type=row.entity_type,
        user_id=row.user_id,
        number=row.number,
        actor=actor,
        note=said["note"],
        shown=said["shown"],
    )
    _tell_retired(request, retired)


def _retire_schema(request: HttpRequest, row: Schema, actor: Actor, said: dict[str, str]) -> None:
    retired = schema_retire(
        entity_type=row.entity_type, user_id=row.user_id, actor=actor, note=said["note"], shown=said["shown"]
    )
    _tell_retired(request, retired)


def _tell_retired(request: HttpRequest, retired: list[SchemaVersion]) -> None:
    numbers = ", ".join(version.number for version in retired)
    if numbers:
        messages.success(
            request,
            _now("Retired: %(numbers)s. Put in force again, a version is back.") % {"numbers": numbers},
        )
    else:
        messages.info(request, _now("It was retired already; nothing has changed."))


def _withdrawn(version: SchemaVersion, *, is_retired: bool) -> ChangePreview:
    return withdrawal_preview(schema=version.schema, version=version, is_retired=is_retired)


ACTIVATE: Final = Verb(
    "activate",
    _("Put %(what)s in force"),
    _("Put in force"),
    DecisionForm,
    lambda version: activation_preview(version=version),
    _activate,
)
DEACTIVATE: Final = Verb(
    "deactivate",
    _("Take %(what)s out of force"),
    _("Take out of force"),
    DecisionForm,
    partial(_withdrawn, is_retired=False),
    _deactivate,
)
RETIRE_VERSION: Final = Verb(
    "retire",
    _("Retire %(what)s"),
    _("Retire this version"),
    RetirementForm,
    partial(_withdrawn, is_retired=True),
    _retire_version,
)
RETIRE_SCHEMA: Final = Verb(
    "retire",
    _("Retire every version of %(what)s"),
    _("Retire the schema"),
    RetirementForm,
    lambda schema: withdrawal_preview(schema=schema, version=None, is_retired=True),
    _retire_schema,
)
