"""The effective schema of any user: what applies, field by field, and who says so."""

from functools import partial
from typing import Any, Final

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, path
from django.utils.translation import gettext as _now
from django.utils.translation import gettext_lazy as _

from registry.admin.sides import parts_shown
from registry.domain.composition import Origin
from registry.domain.names import entity_type_problem
from registry.selectors_effective import EffectiveTold, effective_told, entity_types_suggested
from schemaevo.kernel.models import User
from schemaevo.kernel.pages.base import StoreAdmin
from schemaevo.kernel.pages.display import badge
from schemaevo.kernel.pages.filters import user_named
from schemaevo.kernel.pages.verbs import verb_page

_ORIGINS: Final[dict[Origin, tuple[Any, str]]] = {
    Origin.GLOBAL: (_("global"), "busy"),
    Origin.EXTENSION: (_("extension"), "good"),
    Origin.OVERRIDE: (_("override"), "warn"),
    Origin.CONFLICT: (_("conflict"), "bad"),
}


def effective_urls(model_admin: StoreAdmin) -> list[URLPattern]:
    """The page of effective schemas, beside those of schemas."""
    view = model_admin.admin_site.admin_view(partial(effective_view, model_admin))
    return [path("effective/", view, name="registry_schema_effective")]


def effective_view(model_admin: StoreAdmin, request: HttpRequest) -> HttpResponse:
    """What applies to the user `owner`, or globally, for the entity type `type`."""
    if not model_admin.has_view_permission(request):
        raise PermissionDenied
    entity_type = request.GET.get("type", "").strip()
    named = request.GET.get("owner", "").strip()
    owner = _owner(named)
    problem = ""
    if entity_type and entity_type_problem(entity_type):
        problem = _now("There can be no entity type of that name.")
    elif named and owner is None:
        problem = _now("No user is called so (by username, e-mail or number).")
    told = None
    if entity_type and not problem:
        told = effective_told(entity_type=entity_type, user_id=owner.pk if owner else None)
    return verb_page(
        model_admin,
        request,
        "admin/registry/schema/effective.html",
        title=_now("Effective schema"),
        asked={"type": entity_type, "owner": named},
        types=entity_types_suggested(),
        owner=owner,
        problem=problem,
        told=told,
        **({} if told is None else _shown(told)),
    )


def _owner(named: str) -> User | None:
    if not named or "\0" in named:
        return None
    user_id = user_named(named)
    return None if user_id is None else User.objects.only("username").filter(pk=user_id).first()


def _shown(told: EffectiveTold) -> dict[str, Any]:
    return {
        "fields": [
            (
                one.field,
                one.policy,
                badge(*_ORIGINS[one.origin]),
                one.origin.value,
                parts_shown(one.overridden),
            )
            for one in told.fields
        ],
        "counts": [
            badge(f"{count} {_ORIGINS[origin][0]}", _ORIGINS[origin][1])
            for origin, count in told.counts.items()
            if count
        ],
    }
