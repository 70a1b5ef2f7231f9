"""The page of saved views, and what is done about one; what a list shows of them is in pages/views_bar.py."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Final

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import (
    Http404,
    HttpRequest,
    HttpResponse,
    HttpResponseNotAllowed,
    HttpResponseRedirect,
    QueryDict,
)
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.text import capfirst
from django.utils.translation import gettext as _now

from schemaevo.kernel.actors import Actor
from schemaevo.kernel.models import SavedView, User
from schemaevo.kernel.pages.base import StoreAdmin
from schemaevo.kernel.pages.rights import actor_of
from schemaevo.kernel.pages.verbs import refusals_told
from schemaevo.kernel.pages.views_bar import in_words, list_name, list_url, listed_by, view_url
from schemaevo.kernel.saved_queries import gone, query_of
from schemaevo.kernel.saved_views import (
    MAY_SHARE,
    VIEWS_MAX,
    view_delete,
    view_rename,
    view_save,
    view_share,
    view_unshare,
    views_of_login,
    views_shared_by_others,
)

#: What is done about a view, each by an address that is only posted to.
VERBS: Final = ("rename", "share", "unshare", "delete")
#: So many views that others share stand on the page; the bar of a list has those of that list.
SHARED_SHOWN: Final = 200


@dataclass(frozen=True)
class Shown:
    """A view on the page: where it opens, None where the login may not see the list; what it narrows that to; and which
    of its filters there are no more."""

    view: SavedView
    url: str | None
    narrowed: list[tuple[str, str]]
    gone: list[str]


@dataclass(frozen=True)
class ShownList:
    """The views of one list."""

    name: str
    title: str
    views: list[Shown]


def views_view(request: HttpRequest) -> HttpResponse:
    """What the login saved, and what others share of lists that it may see. Two queries."""
    if request.method not in {"GET", "HEAD"}:
        return HttpResponseNotAllowed(["GET", "HEAD"])
    login = request.user
    if not isinstance(login, User):
        raise PermissionDenied
    own = list(views_of_login(login=login))
    seen = [name for name, one in _lists().items() if one.has_view_permission(request)]
    others = list(views_shared_by_others(login=login).filter(list_name__in=seen)[: SHARED_SHOWN + 1])
    return TemplateResponse(
        request,
        "admin/views.html",
        {
            **admin.site.each_context(request),
            "title": _now("My views"),
            "own": _shown(own, request),
            "own_count": len(own),
            "views_max": VIEWS_MAX,
            "shared": _shown(others[:SHARED_SHOWN], request),
            "shared_shown": SHARED_SHOWN if len(others) > SHARED_SHOWN else None,
            "may_share": login.has_perm(MAY_SHARE),
            "may_take_back": login.is_superuser,
        },
    )


def save_view(request: HttpRequest) -> HttpResponse:
    """The list is saved as it is narrowed, and shown again. POST only."""
    if request.method != "POST":
        return HttpResponseNotAllowed(["POST"])
    name = request.POST.get("list", "")
    model_admin = _lists().get(name)
    if model_admin is None:
        raise Http404
    if not model_admin.has_view_permission(request):
        raise PermissionDenied
    listed, query = listed_by(model_admin, request), _query(request.POST.get("query", ""))
    with refusals_told(request):
        view = view_save(
            listed=listed,
            name=request.POST.get("name", ""),
            query=query,
            is_shared=bool(request.POST.get("is_shared")),
            actor=actor_of(request),
        )
        told = _now("%(name)s is saved, and shared.") if view.is_shared else _now("%(name)s is saved.")
        messages.success(request, told % {"name": view.name})
    return HttpResponseRedirect(list_url(name, query_of(listed, query)))


def verb_view(request: HttpRequest, view_id: int, *, verb: str) -> HttpResponse:
    """It is done, or a message says why not. POST only."""
    if request.method != "POST":
        return HttpResponseNotAllowed(["POST"])
    with refusals_told(request):
        messages.success(request, _act(request, view_id, verb, actor_of(request)))
    return HttpResponseRedirect(reverse("views"))


def _act(request: HttpRequest, view_id: int, verb: str, actor: Actor) -> str:
    """What was done, in words."""
    match verb:
        case "rename":
            named = view_rename(view_id=view_id, name=request.POST.get("name", ""), actor=actor)
            return _now("The view is called %(name)s.") % {"name": named.name}
        case "share":
            shared = view_share(view_id=view_id, actor=actor)
            return _now("Whoever may see the list sees %(name)s now.") % {"name": shared.name}
        case "unshare":
            taken = view_unshare(view_id=view_id, actor=actor)
            return _now("Nobody else sees %(name)s any more.") % {"name": taken.name}
        case _:
            view_delete(view_id=view_id, actor=actor)
            return _now("The view is deleted.")


def _lists() -> dict[str, StoreAdmin]:
    """The lists that can have views, by their stable names."""
    registered: Iterable[Any] = admin.site._registry.values()
    return {list_name(one): one for one in registered if isinstance(one, StoreAdmin) and one.list_filter}


def _query(text: str) -> dict[str, str]:
    """What a form sends back of the address of its list."""
    # As many fields as Django reads of any form; more come from no page of ours.
    return {name: said for name, said in QueryDict(text).items() if isinstance(said, str)}


def _shown(views: Iterable[SavedView], request: HttpRequest) -> list[ShownList]:
    lists = _lists()
    return [
        ShownList(
            name,
            str(capfirst(lists[name].opts.verbose_name_plural)) if name in lists else name,
            [_one(view, lists.get(name), request) for view in together],
        )
        for name, together in groupby(views, key=lambda view: view.list_name)
    ]


def _one(view: SavedView, model_admin: StoreAdmin | None, request: HttpRequest) -> Shown:
    if model_admin is None or not model_admin.has_view_permission(request):
        return Shown(view, None, list(view.query.items()), [])
    listed = listed_by(model_admin, request)
    return Shown(
        view,
        view_url(view, listed),
        list(in_words(model_admin, request, view.query)),
        gone(view.query, listed),
    )
