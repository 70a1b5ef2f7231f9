"""The bar above a list: the views that come with it, those that people saved, and the way to keep what is set now."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, cast
from urllib.parse import urlencode

from django.contrib.admin.views.main import ORDER_VAR, SEARCH_VAR
from django.db.models import Case, IntegerField, When
from django.http import HttpRequest
from django.urls import reverse
from django.utils.translation import gettext as _now

from schemaevo.kernel.models import SavedView, User
from schemaevo.kernel.narrowing import number_or_none
from schemaevo.kernel.saved_queries import Listed, Query, gone, query_of
from schemaevo.kernel.saved_views import MAY_SHARE, views_of_list

if TYPE_CHECKING:
    from django.utils.functional import _StrPromise

    from schemaevo.kernel.pages.base import StoreAdmin

#: In the address of a list the view that was opened, where that says more than the filters do.
VIEW_VAR: Final = "view"
#: So many saved views stand in the bar of a list; the page of views has all.
SHOWN_MAX: Final = 24


@dataclass(frozen=True)
class ReadyView:
    """A view that comes with a list, for everybody: no row of the table of views."""

    name: str | _StrPromise
    query: Mapping[str, str]


@dataclass(frozen=True)
class Pill:
    """One view in the bar. `by` says who shares it, where somebody else does."""

    name: str | _StrPromise
    url: str
    is_open: bool = False
    by: str = ""
    is_shared: bool = False


@dataclass(frozen=True)
class ViewsBar:
    """What the bar shows. `kept` is the query that could be saved now, None where there is nothing to save; `gone` the
    filters that the view which is open had, and the list has no more."""

    list_name: str
    pills: tuple[Pill, ...]
    has_more: bool
    kept: str | None
    may_share: bool
    gone: tuple[str, ...]

    @property
    def is_shown(self) -> bool:
        """Whether there is anything to show: most lists of a new store have neither views nor filters set."""
        return bool(self.pills or self.kept)


def listed_by(model_admin: StoreAdmin, request: HttpRequest) -> Listed:
    """The list of an admin, as views know it."""
    opts = model_admin.opts
    parameters = {declared.parameter_name for declared in model_admin.list_filter}
    if model_admin.get_search_fields(request):
        parameters.add(SEARCH_VAR)
    if model_admin.get_sortable_by(request):
        parameters.add(ORDER_VAR)
    return Listed(
        list_name(model_admin), f"{opts.app_label}.view_{opts.model_name}", frozenset(map(str, parameters))
    )


def list_name(model_admin: StoreAdmin) -> str:
    """The list's stable name, by which its address goes as well."""
    return f"{model_admin.opts.app_label}_{model_admin.opts.model_name}"


def list_url(name: str, query: Mapping[str, str]) -> str:
    """The address of the list of that name, narrowed."""
    return reverse(f"admin:{name}_changelist") + (f"?{urlencode(query)}" if query else "")


def view_url(view: SavedView, listed: Listed) -> str:
    """Where the view is opened: without the filters that its list has no more, of which the page then tells."""
    kept = query_of(listed, view.query)
    if len(kept) < len(view.query):
        kept[VIEW_VAR] = str(view.pk)
    return list_url(listed.name, kept)


def views_bar(model_admin: StoreAdmin, request: HttpRequest) -> ViewsBar | None:
    """What stands above the list; nothing above one that cannot be narrowed. One query."""
    login = request.user
    if not model_admin.list_filter or not isinstance(login, User):
        return None
    listed = listed_by(model_admin, request)
    current = query_of(listed, request.GET)
    asked = number_or_none(request.GET.get(VIEW_VAR, ""))
    saved = _saved(login, listed, asked)
    named = [view for view in saved if view.pk == asked]
    opened = [view for view in named if query_of(listed, view.query) == current]
    pills = [
        *(_ready(one, listed, current, opened) for one in model_admin.ready_views),
        *(_pill(view, login, listed, current, opened) for view in saved[:SHOWN_MAX]),
    ]
    if pills:
        pills.insert(0, Pill(_now("All"), list_url(listed.name, {}), is_open=not current and not opened))
    is_new = current and not any(pill.is_open for pill in pills)
    return ViewsBar(
        list_name=listed.name,
        pills=tuple(pills),
        has_more=len(saved) > SHOWN_MAX,
        kept=urlencode(current) if is_new else None,
        may_share=login.has_perm(MAY_SHARE),
        gone=tuple(name for view in opened for name in gone(view.query, listed)),
    )


def _saved(login: User, listed: Listed, asked: int | None) -> list[SavedView]:
    """The views of the list, one more than are shown: first that which is asked for, of which there is something to
    tell, then the login's own."""
    first = [] if asked is None else [When(pk=asked, then=-1)]
    place = Case(*first, When(login=login, then=0), default=1, output_field=IntegerField())
    found = views_of_list(login=login, list_name=listed.name)
    return list(
        found.select_related("login")
        .only("login", "name", "query", "is_shared", "list_name", "login__username")
        .order_by(place, "name", "id")[: SHOWN_MAX + 1]
    )


def _ready(one: ReadyView, listed: Listed, current: Query, opened: list[SavedView]) -> Pill:
    is_open = not opened and current == dict(one.query)
    return Pill(one.name, list_url(listed.name, one.query), is_open=is_open)


def _pill(view: SavedView, login: User, listed: Listed, current: Query, opened: list[SavedView]) -> Pill:
    is_own = view.login_id == login.pk
    return Pill(
        view.name,
        view_url(view, listed),
        is_open=view in opened if opened else current == view.query,
        by="" if is_own else view.login.get_username(),
        is_shared=view.is_shared,
    )


def in_words(model_admin: StoreAdmin, request: HttpRequest, query: Query) -> Iterable[tuple[str, str]]:
    """What a query narrows its list to, for people: what a filter is called, and what is chosen or typed."""
    named = {declared.parameter_name: declared for declared in model_admin.list_filter}
    for name, said in sorted(query.items()):
        declared: Any = named.get(name)
        if declared is None:
            yield (_now("Search") if name == SEARCH_VAR else name), said
        else:
            # What can be picked is known without the list; what is typed stands as it is.
            picks = dict(declared.lookups(declared, request, model_admin) or ())
            yield str(declared.title), str(cast(Any, picks).get(said, said))
