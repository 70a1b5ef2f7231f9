"""Views of lists: kept for oneself, shared, renamed, deleted; what of that the audit log has, and what it has not."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import IntegrityError, transaction

from schemaevo.kernel import saved_views
from schemaevo.kernel.actors import Actor
from schemaevo.kernel.errors import Conflict, Denied, DomainError, Invalid, NotFound
from schemaevo.kernel.models import AuditEvent, SavedView, User
from schemaevo.kernel.saved_queries import Listed
from schemaevo.kernel.saved_views import (
    VIEWS_MAX,
    view_delete,
    view_rename,
    view_save,
    view_share,
    view_unshare,
    views_of_list,
    views_shared_by_others,
)
from tests.factories import make_login

pytestmark = pytest.mark.django_db

LISTED = Listed("fragments_rawfragment", "fragments.view_rawfragment", frozenset({"owner", "reason", "q"}))
OTHER = Listed("kernel_job", "kernel.view_job", frozenset({"state"}))
SAID = "somebody@example.org"


@pytest.fixture
def login() -> User:
    return make_login(role="operator")


def save(login: User, name: str = "Theirs", **more: Any) -> SavedView:
    given = {"listed": LISTED, "query": {"owner": SAID}, **more}
    return view_save(name=name, actor=Actor.login(login), **given)


def events() -> list[tuple[str, Any, Any]]:
    told = AuditEvent.objects.filter(target_type="saved_view").order_by("pk")
    return list(told.values_list("action", "before", "after"))


def code_of(refused: type[DomainError], call: Any, **given: Any) -> str:
    with pytest.raises(refused) as refusal:
        call(**given)
    return refusal.value.code


# --- saving ---------------------------------------------------------------------------------------------------
def test_a_view_is_saved_once_however_often_it_is_asked_for(login: User) -> None:
    first = save(login, name="  the   broken ones ")
    assert (first.name, first.query, first.is_shared) == ("the broken ones", {"owner": SAID}, False)
    assert save(login, name="the broken ones") == first
    assert SavedView.objects.count() == 1
    assert events() == []


def test_a_name_is_given_once_per_list_and_login(login: User) -> None:
    save(login)
    assert code_of(Conflict, save, login=login, query={"q": "x"}) == "view_name_taken"
    assert code_of(Conflict, save, login=login, is_shared=True) == "view_name_taken"
    save(login, listed=OTHER, query={"state": "failed"})
    save(make_login(role="viewer"))
    assert SavedView.objects.get(login=login, list_name=LISTED.name).query == {"owner": SAID}


def test_the_database_itself_keeps_names_apart(login: User) -> None:
    save(login)
    with pytest.raises(IntegrityError), transaction.atomic():
        SavedView.objects.create(login=login, list_name=LISTED.name, name="Theirs", query={})
    with pytest.raises(IntegrityError), transaction.atomic():
        SavedView.objects.create(login=login, list_name=LISTED.name, name="", query={})


@pytest.mark.parametrize("name", ["", "   ", "x" * 81, "a\0b", "a\x07b", "\ud800"])
def test_a_name_that_is_none_is_refused(login: User, name: str) -> None:
    assert code_of(Invalid, save, login=login, name=name) == "view_name"
    view = save(login)
    assert code_of(Invalid, view_rename, view_id=view.pk, name=name, actor=Actor.login(login)) == "view_name"


def test_a_login_has_so_many_views_and_no_more(login: User, monkeypatch: pytest.MonkeyPatch) -> None:
    assert VIEWS_MAX == 100
    monkeypatch.setattr(saved_views, "VIEWS_MAX", 2)
    save(login, name="one")
    save(login, name="two", listed=OTHER, query={"state": "failed"})
    assert code_of(Conflict, save, login=login, name="three") == "too_many_views"
    # What is there already is no third one, and others have their own.
    save(login, name="one")
    save(make_login(role="viewer"), name="three")


def test_only_a_list_that_one_may_see_is_saved(login: User) -> None:
    assert code_of(Denied, save, login=make_login()) == "permission_denied"
    save(make_login(role="viewer"))


# --- who sees it ----------------------------------------------------------------------------------------------
def test_others_see_what_is_shared_and_nothing_else(login: User) -> None:
    other = make_login(role="viewer")
    private, shared = save(login, name="private"), save(login, name="shared", is_shared=True)
    assert set(views_of_list(login=login, list_name=LISTED.name)) == {private, shared}
    assert set(views_of_list(login=other, list_name=LISTED.name)) == {shared}
    assert set(views_of_list(login=other, list_name=OTHER.name)) == set()
    assert list(views_shared_by_others(login=other)) == [shared]
    assert list(views_shared_by_others(login=login)) == []


def test_a_viewer_keeps_views_and_shares_none(login: User) -> None:
    viewer = make_login(role="viewer")
    view, actor = save(viewer), Actor.login(viewer)
    assert code_of(Denied, save, login=viewer, name="more", is_shared=True) == "permission_denied"
    assert code_of(Denied, view_share, view_id=view.pk, actor=actor) == "permission_denied"
    assert not SavedView.objects.filter(is_shared=True).exists()


def test_others_change_nothing_and_learn_nothing_of_what_is_private(login: User) -> None:
    other = Actor.login(make_login(role="schema_admin"))
    private, shared = save(login, name="private"), save(login, name="shared", is_shared=True)
    for call, more in (
        (view_delete, {}),
        (view_rename, {"name": "mine"}),
        (view_unshare, {}),
        (view_share, {}),
    ):
        refused = code_of(NotFound, call, view_id=private.pk, actor=other, **more)
        assert refused == "view_not_found" == code_of(NotFound, call, view_id=2**70, actor=other, **more)
        assert code_of(Denied, call, view_id=shared.pk, actor=other, **more) == "not_own_view"
    assert list(SavedView.objects.order_by("pk").values_list("name", "is_shared")) == [
        ("private", False),
        ("shared", True),
    ]


def test_a_superuser_takes_back_what_others_share_and_no_more(login: User) -> None:
    root = Actor.login(make_login(is_superuser=True))
    private, shared = save(login, name="private"), save(login, name="shared", is_shared=True)
    assert code_of(NotFound, view_unshare, view_id=private.pk, actor=root) == "view_not_found"
    assert code_of(Denied, view_delete, view_id=shared.pk, actor=root) == "not_own_view"
    view_unshare(view_id=shared.pk, actor=root)
    shared.refresh_from_db()
    assert (shared.login, shared.is_shared) == (login, False)


def test_what_somebody_shared_can_be_taken_back_without_the_permission_to_share(login: User) -> None:
    view = save(login, is_shared=True)
    login.groups.clear()
    view_unshare(view_id=view.pk, actor=Actor.login(User.objects.get(pk=login.pk)))
    assert not SavedView.objects.get().is_shared


# --- what the audit log has -----------------------------------------------------------------------------------
def test_what_others_see_is_audited_without_what_was_typed(login: User) -> None:
    actor = Actor.login(login)
    view = save(login, is_shared=True)
    view_rename(view_id=view.pk, name="Ours", actor=actor)
    view_unshare(view_id=view.pk, actor=actor)
    view_rename(view_id=view.pk, name="Mine", actor=actor)
    view_share(view_id=view.pk, actor=actor)
    view_share(view_id=view.pk, actor=actor)
    view_delete(view_id=view.pk, actor=actor)

    def state(name: str, *, is_shared: bool = True) -> dict[str, Any]:
        return {"list": LISTED.name, "name": name, "filters": ["owner"], "is_shared": is_shared}

    assert events() == [
        ("saved_view.share", None, state("Theirs")),
        ("saved_view.rename", state("Theirs"), state("Ours")),
        ("saved_view.unshare", state("Ours"), state("Ours", is_shared=False)),
        ("saved_view.share", state("Mine", is_shared=False), state("Mine")),
        ("saved_view.delete", state("Mine"), None),
    ]
    assert not SavedView.objects.exists()
    assert SAID not in str(events())


def test_a_name_that_is_in_use_is_not_given_again(login: User) -> None:
    save(login, name="one")
    two = save(login, name="two")
    assert code_of(Conflict, view_rename, view_id=two.pk, name="one", actor=Actor.login(login)) == (
        "view_name_taken"
    )
    assert view_rename(view_id=two.pk, name="two", actor=Actor.login(login)).name == "two"
