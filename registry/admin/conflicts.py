"""What users say that does not agree with the global schema any more, to settle one by one."""

from functools import partial
from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, path
from django.utils.http import urlencode
from django.utils.translation import gettext as _now

from registry.admin.advice import ADVICE
from registry.domain.names import entity_type_problem
from registry.selectors_conflicts import OwnerInConflict, conflicts_page, types_with_own
from schemaevo.kernel.narrowing import number_or_none
from schemaevo.kernel.pages.base import StoreAdmin
from schemaevo.kernel.pages.verbs import verb_page


def conflicts_urls(model_admin: StoreAdmin) -> list[URLPattern]:
    """The page of conflicts, beside those of extensions."""
    view = model_admin.admin_site.admin_view(partial(conflicts_view, model_admin))
    return [path("conflicts/", view, name="registry_extensionrevision_conflicts")]


def conflicts_view(model_admin: StoreAdmin, request: HttpRequest) -> HttpResponse:
    """Users of whom something does not agree with the global schema of `type`, from the user `after` on."""
    if not model_admin.has_view_permission(request):
        raise PermissionDenied
    types = types_with_own()
    asked = request.GET.get("type", "").strip()
    entity_type = asked or (types[0] if types else "")
    after = number_or_none(request.GET.get("after", "")) or 0
    page = None
    if entity_type and not entity_type_problem(entity_type):
        page = conflicts_page(entity_type=entity_type, after_user=after)
    return verb_page(
        model_admin,
        request,
        "admin/registry/extensionrevision/conflicts.html",
        title=_now("Conflicts to settle"),
        types=types,
        entity_type=entity_type,
        after=after,
        page=page,
        owners=[_shown(owner, entity_type) for owner in page.owners] if page else [],
        next_query=_query(type=entity_type, after=page.after_user)
        if page and page.after_user is not None
        else "",
    )


def _shown(owner: OwnerInConflict, entity_type: str) -> dict[str, Any]:
    return {
        "owner": owner,
        "edit_query": _query(type=entity_type, owner=owner.user_id) if owner.is_extension else "",
        "conflicts": [(told, ADVICE[told.conflict.code]) for told in owner.conflicts],
    }


def _query(**said: str | int) -> str:
    return urlencode(said)
