"""Erasure of saved views: those that name whom is erased go, whosever they are; the others stay."""

from __future__ import annotations

from uuid import UUID

import pytest

from fragments.domain.erasing import Clearing, view_names
from fragments.services.erasure import entity_erase, owner_erase
from fragments.services.erasure_views import views_look
from schemaevo.kernel.actors import Actor
from schemaevo.kernel.models import AuditEvent, Erasure, JobState, SavedView, User
from schemaevo.kernel.saved_queries import Listed
from schemaevo.kernel.saved_views import view_save
from snapshots.domain.identity import entity_id
from tests.erasing import run_erasure
from tests.factories import SHELL, THING, make_login, make_run, make_user

CALLED = Clearing(("wintergarten",), "erased-1")


@pytest.mark.parametrize(
    ("name", "query", "is_about"),
    [
        ("plain", {"owner": "Wintergarten"}, True),
        ("plain", {"type": "of wintergarten, too"}, True),
        ("for Wintergarten", {"state": "failed"}, True),
        ("plain", {"owner": "wintergartens"}, False),
        # Short names and numbers are meant where such a thing is typed, and nowhere else.
        ("plain", {"owner": " BO "}, True),
        ("plain", {"owner": "7"}, True),
        ("bo", {"type": "bo", "run": "7"}, False),
        ("plain", {"entity": "{F47AC10B58CC4372A5670E02B2C3D479}"}, True),
        ("plain", {"source": "f47ac10b-58cc-4372-a567-0e02b2c3d479"}, False),
    ],
)
def test_a_view_is_about_whom_it_names(name: str, query: dict[str, str], is_about: bool) -> None:
    meant = {"owner": {"bo", "7"}, "entity": {"f47ac10b-58cc-4372-a567-0e02b2c3d479"}}
    assert view_names(name, query, CALLED, meant) == is_about


@pytest.fixture
def owner(db: None) -> User:
    """Of a name that is no word to look for in what people wrote, with an entity of a short key and one of a long."""
    owner = make_user(username="bo")
    make_run(user=owner, records=[{"k": "k7", "x": 1}, {"k": "wintergarten", "x": 1}])
    return owner


def made(**queries: dict[str, str]) -> None:
    login = make_login(role="operator")
    for name, query in queries.items():
        SavedView.objects.create(login=login, list_name="snapshots_observation", name=name, query=query)


def left() -> set[str]:
    return set(SavedView.objects.values_list("name", flat=True))


def test_an_owners_views_go_whoever_saved_them(owner: User) -> None:
    made(
        by_name={"owner": "bo"},
        by_number={"owner": str(owner.pk)},
        by_key={"q": "wintergarten"},
        of_others={"owner": "somebody", "run": str(owner.pk)},
        of_a_type={"type": "bo"},
    )
    owner_erase(user_id=owner.pk, reason="asked", actor=SHELL)
    assert run_erasure().state == JobState.DONE
    assert left() == {"of_others", "of_a_type"}
    assert Erasure.objects.get().counts["saved_views"] == 3


def test_an_entitys_views_go_and_its_owners_stay(owner: User) -> None:
    identity = UUID(entity_id(owner.pk, THING, "k7"))
    made(
        by_key={"key": "k7"},
        by_search={"q": "K7"},
        by_id={"entity": identity.hex},
        of_the_owner={"owner": "bo"},
        of_a_type={"type": "k7"},
        of_another={"q": "wintergarten"},
    )
    entity_erase(user_id=owner.pk, entity_type=THING, entity_key="k7", reason="wrong", actor=SHELL)
    assert run_erasure().state == JobState.DONE
    assert left() == {"of_the_owner", "of_a_type", "of_another"}


def test_views_are_gone_through_piece_by_piece(owner: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fragments.services.erasure_views.VIEWS_AT_ONCE", 2)
    made(a={"owner": "bo"}, b={"type": "x"}, c={"owner": "bo"})
    owner_erase(user_id=owner.pk, reason="asked", actor=SHELL)
    erasure = Erasure.objects.get()
    first = views_look(erasure, Clearing((), ""), 0)
    assert (len(first.ids), first.last is None) == (1, False)
    assert len(views_look(erasure, Clearing((), ""), first.last or 0).ids) == 1
    assert run_erasure().state == JobState.DONE
    assert left() == {"b"}


def test_what_an_erased_login_shared_says_no_more_in_the_audit_log(db: None) -> None:
    login = make_login(role="operator")
    listed = Listed("kernel_job", "kernel.view_job", frozenset({"state"}))
    view_save(
        listed=listed, name="the garden", query={"state": "failed"}, is_shared=True, actor=Actor.login(login)
    )
    owner_erase(user_id=login.pk, reason="asked", actor=SHELL)
    assert run_erasure().state == JobState.DONE
    assert left() == set()
    assert AuditEvent.objects.get(action="saved_view.share").after == {"is_shared": True}
