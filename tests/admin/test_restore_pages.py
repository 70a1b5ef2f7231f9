"""What waits for its deletion is restored by POST, on a page that has told by field how much that is."""

from __future__ import annotations

import re
from collections.abc import Callable
from html import unescape

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from fragments.admin import restore
from fragments.models import LifecycleState, RawFragment
from schemaevo.kernel.models import AuditEvent, User
from tests.admin.addresses import list_of, page_of, verb_of
from tests.factories import THING, make_definition, make_login, make_run, make_user, make_version
from tests.lifecycle import DAY, HOUR, put

PAGE = verb_of(RawFragment, "restore")
NOTE = "note"
OF_ADA = {"owner": "ada", "type": THING, "field": ""}


@pytest.fixture
def ada(db: None) -> User:
    """The owner of four things with the fields a and b, and of one note, which all wait for their deletion; c does
    not."""
    ada = make_user(username="ada")
    for entity_type, count in ((THING, 4), (NOTE, 1)):
        make_version(document=make_definition(k="string"), entity_type=entity_type)
        records = [{"k": f"k{n}", "a": n, "b": n, "c": n} for n in range(count)]
        make_run(user=ada, records=records, entity_type=entity_type)
    make_run(user=make_user(username="bob"), records=[{"k": "k", "a": 1}])
    put(LifecycleState.PENDING_DELETION, since=timezone.now() - HOUR, fragment_key__in=["a", "b"])
    return ada


def text_of(html: str) -> str:
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]+>", " ", html.partition('id="content"')[2])))


def read(client: Client, **query: str) -> str:
    answer = client.get(PAGE, query)
    assert answer.status_code == 200
    return text_of(answer.content.decode())


def states(user: User, entity_type: str = THING) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    rows = RawFragment.objects.filter(user=user, entity_type=entity_type)
    for field, state in rows.values_list("fragment_key", "lifecycle_state"):
        found.setdefault(field, set()).add(state)
    return found


# --- looking --------------------------------------------------------------------------------------------------
def test_the_page_asks_for_an_owner_then_tells_types_then_fields(
    ada: User, client_of: Callable[[str], Client]
) -> None:
    client = client_of("operator")
    assert "Name the owner" in read(client)
    text = read(client, owner="ada")
    assert "What waits of ada" in text
    assert re.search(r"note 2 20[0-9-]{8} .*thing 8 20", text)
    assert "Reason" not in text
    text = read(client, **OF_ADA)
    assert "To be promoted again 8 To be active again 0" in text
    assert re.search(r" a 4 0 20.* b 4 0 20.*Restore all of it", text)
    assert "Restore this field" in read(client, **{**OF_ADA, "field": "b"})


def test_it_is_told_from_when_on_it_may_be_gone(ada: User, client_of: Callable[[str], Client]) -> None:
    soon = timezone.now() + 23 * HOUR
    assert f"{soon:%Y-%m-%d %H:}" in read(client_of("operator"), **OF_ADA)


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ({"owner": "nobody"}, "There is no user 'nobody'"),
        ({"owner": "a\0b"}, "There is no user"),
        ({"owner": "ada", "type": "other"}, "Nothing of the type other of ada waits"),
        ({"owner": "ada", "type": "a\0b"}, "There is no such field or entity type"),
        ({"owner": "ada", "type": THING, "field": "\0"}, "There is no such field or entity type"),
        ({"owner": "ada", "type": THING, "field": "c"}, "Nothing of this field of thing of ada waits"),
    ],
)
def test_what_is_not_there_is_said(
    ada: User, client_of: Callable[[str], Client], query: dict[str, str], said: str
) -> None:
    client = client_of("operator")
    assert said in read(client, **query)
    answer = client.post(PAGE, query, follow=True)
    assert answer.status_code == 200
    assert said in text_of(answer.content.decode())
    assert not AuditEvent.objects.filter(action="fragment.restore").exists()


def test_looking_changes_nothing(ada: User, client_of: Callable[[str], Client]) -> None:
    before = states(ada)
    read(client_of("superuser"), **OF_ADA, reason="none")
    assert states(ada) == before


def test_the_number_of_queries_does_not_depend_on_what_waits(
    ada: User, client_of: Callable[[str], Client]
) -> None:
    client, counts = client_of("operator"), []
    for _round in range(2):
        with CaptureQueriesContext(connection) as queries:
            read(client, **OF_ADA)
        counts.append(len(queries))
        make_run(user=ada, records=[{"k": "k", **{f"more{n}": n for n in range(30)}}])
        put(LifecycleState.PENDING_DELETION, fragment_key__startswith="more")
    assert counts[0] == counts[1]


def test_only_so_many_fields_are_listed(
    ada: User, client_of: Callable[[str], Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(restore, "LISTED", 1)
    text = read(client_of("operator"), **OF_ADA)
    assert "And 1 more field, which is restored as well." in text
    assert "To be promoted again 8" in text


# --- restoring ------------------------------------------------------------------------------------------------
def test_all_of_an_owner_and_type_is_restored_and_nothing_else(
    ada: User, client_of: Callable[[str], Client]
) -> None:
    answer = client_of("operator").post(PAGE, {**OF_ADA, "reason": "by mistake"}, follow=True)
    text = text_of(answer.content.decode())
    assert "Restored: 8 promoted again, 0 active again." in unescape(answer.content.decode())
    assert "Nothing of the type thing of ada waits for its deletion." in text
    assert states(ada) == {"a": {"promoted"}, "b": {"promoted"}, "c": {"active"}}
    assert states(ada, NOTE)["a"] == {"pending_deletion"}
    assert states(User.objects.get(username="bob"))["a"] == {"pending_deletion"}
    event = AuditEvent.objects.get(action="fragment.restore")
    assert (event.reason, event.after) == ("by mistake", {"promoted": 8, "active": 0, "field": None})
    assert event.actor is not None
    new_expiry = RawFragment.objects.filter(user=ada, entity_type=THING, fragment_key="a")[0].expires_at
    assert new_expiry is not None
    assert new_expiry > timezone.now() + 29 * DAY


def test_one_field_is_restored(ada: User, client_of: Callable[[str], Client]) -> None:
    client_of("operator").post(PAGE, {**OF_ADA, "field": "b"})
    assert states(ada)["b"] == {"promoted"}
    assert states(ada)["a"] == {"pending_deletion"}


def test_of_very_many_the_page_restores_the_first_and_tells_what_is_left(
    ada: User, client_of: Callable[[str], Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(restore, "RESTORED_AT_ONCE", 5)
    client = client_of("operator")
    assert "Restore the first 5" in read(client, **OF_ADA)
    text = text_of(client.post(PAGE, OF_ADA, follow=True).content.decode())
    assert "To be promoted again 3" in text
    assert "Restore all of it" in text


def test_a_reason_that_is_too_long_restores_nothing(ada: User, client_of: Callable[[str], Client]) -> None:
    answer = client_of("operator").post(PAGE, {**OF_ADA, "reason": "x" * 3000})
    assert answer.status_code == 200
    assert "at most 2000 characters" in text_of(answer.content.decode())
    assert states(ada)["a"] == {"pending_deletion"}


def test_who_may_not_restore_sees_no_way_there_and_is_refused(
    ada: User, client_of: Callable[[str], Client]
) -> None:
    viewer, fragment = client_of("viewer"), RawFragment.objects.filter(fragment_key="a")[0]
    for url in (list_of(RawFragment), page_of(fragment)):
        assert PAGE not in viewer.get(url).content.decode()
    assert "waits for its deletion" in text_of(viewer.get(page_of(fragment)).content.decode())
    assert viewer.get(PAGE, OF_ADA).status_code == 403
    assert viewer.post(PAGE, OF_ADA).status_code == 403
    assert states(ada)["a"] == {"pending_deletion"}


def test_the_form_wants_its_token(ada: User) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(make_login(is_superuser=True), backend="django.contrib.auth.backends.ModelBackend")
    assert client.post(PAGE, OF_ADA).status_code == 403
    assert states(ada)["a"] == {"pending_deletion"}


def test_the_list_and_a_fragment_that_waits_lead_there(ada: User, client_of: Callable[[str], Client]) -> None:
    client = client_of("operator")
    narrowed = client.get(list_of(RawFragment), {"owner": "ada", "type": THING}).content.decode()
    assert f'href="{PAGE}?owner=ada&amp;type={THING}&amp;field="' in narrowed
    waiting = RawFragment.objects.filter(user=ada, entity_type=THING, fragment_key="a")[0]
    assert (
        f'href="{PAGE}?owner=ada&amp;type={THING}&amp;field=a"'
        in client.get(page_of(waiting)).content.decode()
    )
    active = RawFragment.objects.filter(fragment_key="c")[0]
    html = client.get(page_of(active)).content.decode()
    assert PAGE not in html
    assert "waits for its deletion" not in text_of(html)
