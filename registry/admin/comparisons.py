"""Any two versions of a schema side by side, and any two revisions of an extension."""

from collections.abc import Sequence
from functools import partial
from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import URLPattern, path
from django.utils.http import urlencode
from django.utils.translation import gettext as _

from registry.admin.sides import sides_context
from registry.domain.compatibility import Predecessor, incompatibilities
from registry.domain.diff import diff
from registry.domain.sides import side_by_side
from registry.models import ExtensionRevision, Schema, SchemaVersion
from registry.selectors import compatibility_mode, version_number
from registry.selectors_extensions import revisions_applied, revisions_to_choose
from registry.selectors_timeline import versions_to_choose
from schemaevo.kernel.pages.base import StoreAdmin
from schemaevo.kernel.pages.verbs import verb_page


def version_comparison_urls(model_admin: StoreAdmin) -> list[URLPattern]:
    """The comparison of two versions, beside the pages of schemas."""
    view = model_admin.admin_site.admin_view(partial(versions_view, model_admin))
    return [path("<int:schema_id>/compare/", view, name="registry_schema_compare")]


def revision_comparison_urls(model_admin: StoreAdmin) -> list[URLPattern]:
    """The comparison of two revisions, beside the pages of extensions."""
    view = model_admin.admin_site.admin_view(partial(revisions_view, model_admin))
    return [path("<int:revision_id>/compare/", view, name="registry_extensionrevision_compare")]


def versions_view(model_admin: StoreAdmin, request: HttpRequest, schema_id: int) -> HttpResponse:
    """How the version `to` differs from the version `from`."""
    schema: Schema = _row(model_admin, request, schema_id)
    choices = [version.number for version in versions_to_choose(schema=schema)]
    asked = {side: request.GET.get(side, "") for side in ("from", "to")}
    found = {side: _version(schema, text) for side, text in asked.items()}
    old, new = found["from"], found["to"]
    context: dict[str, Any] = {}
    if old is not None and new is not None:
        before, after = old.parsed, new.parsed
        mode = compatibility_mode(entity_type=schema.entity_type)
        context = {
            "compared": sides_context(side_by_side(diff(before, after), before, after)),
            "mode": mode,
            "reasons": incompatibilities(mode, after, Predecessor(old.number, before)),
        }
    return verb_page(
        model_admin,
        request,
        "admin/registry/schema/compare.html",
        title=_("Compare versions of %(schema)s") % {"schema": schema},
        row=schema,
        old=old,
        new=new,
        **_choosing(choices, asked, found),
        **context,
    )


def revisions_view(model_admin: StoreAdmin, request: HttpRequest, revision_id: int) -> HttpResponse:
    """How what the revision `to` makes of the global schema in force differs from what `from` makes of it."""
    revision: ExtensionRevision = _row(model_admin, request, revision_id)
    siblings = revisions_to_choose(revision=revision)
    asked = {side: request.GET.get(side, "") for side in ("from", "to")}
    if not any(asked.values()):
        asked = {"from": str(max(1, revision.revision - 1)), "to": str(revision.revision)}
    found = {side: next((r for r in siblings if str(r) == text), None) for side, text in asked.items()}
    context: dict[str, Any] = {}
    if found["from"] is not None and found["to"] is not None:
        before, after = revisions_applied(revision=revision, numbers=(found["from"], found["to"]))
        context = {"compared": sides_context(side_by_side(diff(before, after), before, after))}
    return verb_page(
        model_admin,
        request,
        "admin/registry/extensionrevision/compare.html",
        title=_("Compare revisions of %(extension)s")
        % {"extension": f"{revision.entity_type} ({revision.user or f'#{revision.user_id}'})"},
        row=revision,
        old=found["from"],
        new=found["to"],
        **_choosing([str(number) for number in siblings], asked, found),
        **context,
    )


def _choosing(choices: Sequence[str], asked: dict[str, str], found: dict[str, Any]) -> dict[str, Any]:
    """What the form shows: every choice, and what was asked for though it is too old to be among them."""
    known = {asked[side] for side in asked if found[side] is not None}
    return {
        "choices": [*choices, *sorted(known - set(choices))],
        "asked": asked,
        "missing": [text for side, text in asked.items() if text and found[side] is None],
        "swapped": urlencode({"from": asked["to"], "to": asked["from"]}),
    }


def _row(model_admin: StoreAdmin, request: HttpRequest, pk: int) -> Any:
    if not model_admin.has_view_permission(request):
        raise PermissionDenied
    row = model_admin.get_object(request, str(pk))
    if row is None:
        raise Http404
    return row


def _version(schema: Schema, text: str) -> SchemaVersion | None:
    number = version_number(text)
    if number is None:
        return None
    major, minor, patch = number
    return SchemaVersion.objects.filter(schema=schema.pk, major=major, minor=minor, patch=patch).first()
