"""Views of lists that people save: for themselves, or for whoever may see the list.

What becomes of a view that others see is in the audit log, by the names of its filters: what was typed into them may be
somebody's name. A private view leaves nothing there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from django.db import transaction
from django.db.models import Q, QuerySet

from schemaevo.kernel.actors import Actor
from schemaevo.kernel.audit import audit_record
from schemaevo.kernel.canonical import JsonObject, is_storable_text
from schemaevo.kernel.errors import Conflict, Denied, Invalid, NotFound
from schemaevo.kernel.locks import LockSpace, hold
from schemaevo.kernel.models import SavedView, User
from schemaevo.kernel.models_views import NAME_MAX
from schemaevo.kernel.saved_queries import Listed, require_query

MAY_SHARE: Final = "kernel.share_view"
#: So many a login may have, over all lists.
VIEWS_MAX: Final = 100


# --- what there is --------------------------------------------------------------------------------------------
def views_of_list(*, login: User, list_name: str) -> QuerySet[SavedView]:
    """The views of the list that the login sees: its own, and those that others share."""
    return _seen_by(login).filter(list_name=list_name)


def views_of_login(*, login: User) -> QuerySet[SavedView]:
    """The login's own views, of all lists."""
    return SavedView.objects.filter(login=login).order_by("list_name", "name")


def views_shared_by_others(*, login: User) -> QuerySet[SavedView]:
    """What others share, of all lists; whoever shows them leaves out lists that the login may not see."""
    shared = SavedView.objects.filter(is_shared=True).exclude(login=login)
    return shared.select_related("login").order_by("list_name", "name", "id")


def _seen_by(login: User) -> QuerySet[SavedView]:
    return SavedView.objects.filter(Q(login=login) | Q(is_shared=True))


# --- what is done ---------------------------------------------------------------------------------------------
@transaction.atomic
def view_save(
    *, listed: Listed, name: str, query: Mapping[str, str], actor: Actor, is_shared: bool = False
) -> SavedView:
    """The login has the list as it is narrowed, under that name. The same once more changes nothing.

    Raises: Denied `permission_denied`, `login_needed`; Invalid `view_name`, and those of `require_query`; Conflict
    `view_name_taken`, `too_many_views`.
    """
    actor.require(listed.permission)
    if is_shared:
        actor.require(MAY_SHARE)
    login = _require_login(actor)
    name, kept = _require_name(name), require_query(listed, query)
    hold(LockSpace.SAVED_VIEWS, [(login.pk,)])
    own = SavedView.objects.filter(login=login)
    known = own.filter(list_name=listed.name, name=name).first()
    if known is not None:
        if (known.query, known.is_shared) == (kept, is_shared):
            return known
        raise _taken(name)
    if own.count() >= VIEWS_MAX:
        raise Conflict(
            "too_many_views",
            f"You have {VIEWS_MAX} saved views, which is the most there can be: delete one first.",
            limit=VIEWS_MAX,
        )
    view = SavedView.objects.create(
        login=login, list_name=listed.name, name=name, query=kept, is_shared=is_shared
    )
    if is_shared:
        _audit("share", view, actor, before=None, after=_state(view))
    return view


@transaction.atomic
def view_rename(*, view_id: int, name: str, actor: Actor) -> SavedView:
    """The login's own view is called that.

    Raises: Denied `permission_denied`, `login_needed`, `not_own_view`; NotFound `view_not_found`; Invalid `view_name`;
    Conflict `view_name_taken`.
    """
    login, name = _require_login(actor), _require_name(name)
    view = _own_for_update(view_id, login)
    if view.name == name:
        return view
    if SavedView.objects.filter(login=login, list_name=view.list_name, name=name).exists():
        raise _taken(name)
    before = _state(view)
    view.name = name
    view.save(update_fields=["name"])
    if view.is_shared:
        _audit("rename", view, actor, before=before, after=_state(view))
    return view


@transaction.atomic
def view_share(*, view_id: int, actor: Actor) -> SavedView:
    """Whoever may see the list sees the login's own view of it.

    Raises: Denied `permission_denied`, `login_needed`, `not_own_view`; NotFound `view_not_found`.
    """
    actor.require(MAY_SHARE)
    view = _own_for_update(view_id, _require_login(actor))
    return _turn(view, actor, is_shared=True)


@transaction.atomic
def view_unshare(*, view_id: int, actor: Actor) -> SavedView:
    """The view is for its own login alone. It is taken back by whose it is, or by a superuser.

    Raises: Denied `permission_denied`, `login_needed`, `not_own_view`; NotFound `view_not_found`.
    """
    login = _require_login(actor)
    return _turn(_own_for_update(view_id, login, or_shared=login.is_superuser), actor, is_shared=False)


@transaction.atomic
def view_delete(*, view_id: int, actor: Actor) -> None:
    """The login's own view is gone.

    Raises: Denied `permission_denied`, `login_needed`, `not_own_view`; NotFound `view_not_found`.
    """
    view = _own_for_update(view_id, _require_login(actor))
    if view.is_shared:
        _audit("delete", view, actor, before=_state(view), after=None)
    SavedView.objects.filter(pk=view.pk).delete()


def _turn(view: SavedView, actor: Actor, *, is_shared: bool) -> SavedView:
    if view.is_shared == is_shared:
        return view
    before = _state(view)
    view.is_shared = is_shared
    view.save(update_fields=["is_shared"])
    _audit("share" if is_shared else "unshare", view, actor, before=before, after=_state(view))
    return view


def _require_login(actor: Actor) -> User:
    """Whose views they are: somebody who can sign in. Raises: Denied."""
    login = actor.require_login()
    if not (login.is_active and login.is_staff):
        raise Denied("permission_denied", f"{actor.name} cannot sign in.")
    return login


def _require_name(name: str) -> str:
    name = " ".join(name.split()) if is_storable_text(name) else ""
    if not 1 <= len(name) <= NAME_MAX or not name.isprintable():
        raise Invalid(
            "view_name", f"The name of a view is one line of 1 to {NAME_MAX} characters.", limit=NAME_MAX
        )
    return name


def _own_for_update(view_id: int, login: User, *, or_shared: bool = False) -> SavedView:
    """The view, once nobody else changes views of its login. Others' private ones are not there, for anybody."""
    seen = _seen_by(login).filter(pk=view_id)
    owner_id = seen.values_list("login_id", flat=True).first()
    if owner_id is None:
        raise _not_found(view_id)
    if owner_id != login.pk and not or_shared:
        raise Denied("not_own_view", "Somebody else shares this view; only they change it.")
    hold(LockSpace.SAVED_VIEWS, [(owner_id,)])
    view = seen.select_for_update().first()
    if view is None:
        raise _not_found(view_id)
    return view


def _not_found(view_id: int) -> NotFound:
    return NotFound("view_not_found", "There is no such view any more.", view=view_id)


def _taken(name: str) -> Conflict:
    return Conflict(
        "view_name_taken",
        f"You have a view of this list that is called {name}: choose another name, or delete that one first.",
    )


def _state(view: SavedView) -> JsonObject:
    """Without what was typed into the filters."""
    return {
        "list": view.list_name,
        "name": view.name,
        "filters": sorted(view.query),
        "is_shared": view.is_shared,
    }


def _audit(
    verb: str, view: SavedView, actor: Actor, *, before: JsonObject | None, after: JsonObject | None
) -> None:
    audit_record(
        actor=actor,
        action=f"saved_view.{verb}",
        target_type="saved_view",
        target_id=view.pk,
        before=before,
        after=after,
    )
