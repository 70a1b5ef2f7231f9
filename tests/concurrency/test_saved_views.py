"""Views that are saved at the same moment: never one too many, and the same one once."""

from __future__ import annotations

from functools import partial

import pytest

from schemaevo.kernel import saved_views
from schemaevo.kernel.actors import Actor
from schemaevo.kernel.errors import DomainError
from schemaevo.kernel.models import SavedView, User
from schemaevo.kernel.saved_queries import Listed
from schemaevo.kernel.saved_views import view_save
from tests.factories import make_login
from tests.threads import side_by_side

pytestmark = pytest.mark.django_db(transaction=True)

LISTED = Listed("kernel_job", "kernel.view_job", frozenset({"state"}))


def save(login_id: int, name: str) -> str:
    """What became of it: nothing, or the code of the refusal."""
    try:
        actor = Actor.login(User.objects.get(pk=login_id))
        view_save(listed=LISTED, name=name, query={"state": "failed"}, actor=actor)
    except DomainError as error:
        return error.code
    return ""


def test_of_many_who_save_at_once_so_many_succeed_as_there_is_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(saved_views, "VIEWS_MAX", 2)
    login = make_login(role="viewer")
    outcomes = side_by_side([partial(save, login.pk, f"view {n}") for n in range(6)])
    assert sorted(outcomes) == ["", "", *["too_many_views"] * 4]
    assert SavedView.objects.count() == 2


def test_one_view_that_is_saved_many_times_at_once_is_one() -> None:
    login = make_login(role="viewer")
    assert set(side_by_side([partial(save, login.pk, "the same")] * 6)) == {""}
    assert SavedView.objects.count() == 1
