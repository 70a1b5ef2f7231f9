"""What applies to whom and who says so, and what users say that does not agree any more."""

import re
from collections.abc import Callable
from html import unescape
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from registry import selectors_conflicts
from registry.models import ExtensionRevision, SchemaVersion
from registry.services.activation import schema_retire
from schemaevo.kernel.canonical import Json
from schemaevo.kernel.models import User
from tests.admin.addresses import page_of
from tests.admin.conftest import Store
from tests.admin.test_pages import read
from tests.factories import (
    SHELL,
    THING,
    make_compatibility,
    make_definition,
    make_extension,
    make_user,
    make_version,
)

EFFECTIVE = reverse("admin:registry_schema_effective")
CONFLICTS = reverse("admin:registry_extensionrevision_conflicts")


def shared(**fields: Any) -> SchemaVersion:
    return make_version(document=make_definition(**fields))


def conflicting(**fields: str) -> tuple[User, ExtensionRevision]:
    """A user who adds these fields, which the global schema is free to contradict later."""
    owner = make_user()
    added: Json = {name: {"type": field} for name, field in fields.items()}
    return owner, make_extension(user=owner, document={"additional_fields": added})


# --- the effective schema -------------------------------------------------------------------------------
def test_every_field_has_its_origin(client_of: Callable[[str], Client], db: None) -> None:
    owner = make_user(username="ada", email="ada@example.org")
    shared(a="string", b="number")
    make_extension(
        user=owner,
        document={
            "additional_fields": {"mine": {"type": "array", "merge_policy": {"strategy": "merge_array"}}},
            "field_overrides": {"b": {"constraints": {"min": 3}, "required": True}},
        },
    )
    make_compatibility()
    version = shared(a="string", b="number", mine="string", late="date")
    client = client_of("viewer")
    for named in ("ada", "ada@example.org", str(owner.pk)):
        text = read(client, EFFECTIVE, type=THING, owner=named)
        assert "thing of ada 2 global 1 override 1 conflict" in text
        assert "a global 1.1.0 string" in text or f"a global {version.number} string" in text
        assert re.search(
            r"b override revision 1 of global \S+ required no → becomes yes min – → becomes 3 number", text
        )
        assert "mine conflict revision 1 type string → becomes array" in text
        assert "the global schema declares it with another type; the user's own stands" in text
    html = client.get(EFFECTIVE, {"type": THING, "owner": "ada"}).content.decode()
    assert page_of(version) in html
    assert page_of(ExtensionRevision.objects.get()) in html


def test_the_global_schema_stands_alone_without_an_owner(
    client_of: Callable[[str], Client], db: None
) -> None:
    shared(a="string")
    text = read(client_of("viewer"), EFFECTIVE, type=THING)
    assert "thing (global) 1 global" in text
    assert "Extension" not in text.partition("Global schema")[2].partition("Fields that apply")[0]


def test_an_undeclared_type_is_explained(client_of: Callable[[str], Client], db: None) -> None:
    make_user(username="ada")
    text = read(client_of("viewer"), EFFECTIVE, type="nothing", owner="ada")
    assert "Undeclared: no schema applies." in text


def test_an_own_schema_applies_alone_and_later_beside_the_global_one(
    client_of: Callable[[str], Client], db: None
) -> None:
    owner = make_user(username="ada")
    document = make_definition(a="string", kinds=["human", "sensor"])
    own = make_version(document=document, user=owner)
    client = client_of("viewer")
    text = read(client, EFFECTIVE, type=THING, owner="ada")
    assert f"a extension own schema {own.number}" in text
    assert "human › sensor" in text
    shared(b="string", a="string")
    text = read(client, EFFECTIVE, type=THING, owner="ada")
    assert "read as an extension of the global one" in text
    assert "the global schema declares it as well and counts" in text
    assert "sensor › workflow_state" in text


def test_an_extension_without_a_global_schema_waits(client_of: Callable[[str], Client], store: Store) -> None:
    schema_retire(entity_type=THING, user_id=None, actor=SHELL, without_review="over")
    text = read(client_of("viewer"), EFFECTIVE, type=THING, owner="owner-of-it")
    assert "The extension waits" in text
    assert "Undeclared" in text


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ({"type": "Not A Type"}, "There can be no entity type of that name."),
        ({"type": "\0"}, "There can be no entity type of that name."),
        ({"type": THING, "owner": "nobody"}, "No user is called so"),
        ({"type": THING, "owner": "a\0b"}, "No user is called so"),
        ({"type": THING, "owner": "9" * 40}, "No user is called so"),
        ({"owner": "nobody"}, "No user is called so"),
        ({}, "Entity type"),
    ],
)
def test_what_names_nothing_is_told(
    client_of: Callable[[str], Client], db: None, query: dict[str, str], said: str
) -> None:
    text = read(client_of("viewer"), EFFECTIVE, **query)
    assert said in text
    assert "Fields that apply" not in text


def test_other_pages_lead_there(store: Store, client_of: Callable[[str], Client]) -> None:
    client = client_of("viewer")
    asked = f"{EFFECTIVE}?type={THING}&amp;owner={store.owner.pk}"
    for page in (page_of(store.extension), page_of(store.snapshot)):
        assert asked in client.get(page).content.decode()
    for page in (page_of(store.version), page_of(store.version.schema)):
        assert f"{EFFECTIVE}?type={THING}" in client.get(page).content.decode()
    navigation = client.get("/admin/").content.decode()
    assert f'href="{EFFECTIVE}"' in navigation
    assert f'href="{CONFLICTS}"' in navigation


# --- conflicts ------------------------------------------------------------------------------------------
def test_a_conflict_tells_both_types_since_when_and_what_to_do(
    client_of: Callable[[str], Client], db: None
) -> None:
    shared(a="string")
    owner, revision = conflicting(late="number")
    _agreeing = conflicting(other="string")
    shared(a="string", x="string")
    first = shared(a="string", x="string", late="string")
    shared(a="string", x="string", late="string", y="string")
    client = client_of("viewer")
    text = read(client, CONFLICTS)
    assert f"{owner.username} extension revision 1" in text
    assert re.search(rf'late "number" "string" {re.escape(first.number)} The global schema declares it', text)
    assert "Give the user's field another name" in text
    assert _agreeing[0].username not in text
    html = client.get(CONFLICTS).content.decode()
    assert page_of(revision) in html
    assert f"{EFFECTIVE}?type={THING}&amp;owner={owner.pk}" in html


def test_a_conflict_is_dated_from_the_last_time_that_it_began(
    client_of: Callable[[str], Client], db: None
) -> None:
    make_compatibility()
    shared(a="string")
    conflicting(late="number")
    shared(a="string", late="string")
    shared(a="string", between="string")
    again = shared(a="string", between="string", late="date")
    text = read(client_of("viewer"), CONFLICTS)
    assert f'late "number" "date" {again.number}' in text


def test_an_own_schema_that_is_not_adopted_yet_is_listed(
    client_of: Callable[[str], Client], db: None
) -> None:
    owner = make_user(username="ada")
    own = make_version(document=make_definition(a="number"), user=owner)
    shared(a="string")
    text = read(client_of("viewer"), CONFLICTS)
    assert f"ada own schema {own.number}" in text
    assert "A job makes the own schema an extension" in text


def test_the_types_to_choose_from_are_those_with_something_of_users(
    client_of: Callable[[str], Client], db: None
) -> None:
    shared(a="string")
    conflicting(b="string")
    make_version(document=make_definition(a="string"), entity_type="alone")
    make_version(document=make_definition(a="string"), entity_type="own_only", user=make_user())
    html = client_of("viewer").get(CONFLICTS).content.decode()
    assert re.findall(r"<option[^>]*>([a-z_]+)</option>", html) == [THING]
    text = read(client_of("viewer"), CONFLICTS)
    assert "Nobody's extension or own schema disagrees with thing 1.0.0." in text
    assert "No global schema of own_only" in read(client_of("viewer"), CONFLICTS, type="own_only")


def test_users_are_paged_each_once(
    client_of: Callable[[str], Client], db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(selectors_conflicts, "USERS_SHOWN", 2)
    monkeypatch.setattr(selectors_conflicts, "USERS_AT_ONCE", 4)
    shared(a="string")
    owners = [conflicting(**{"late" if n % 3 else "fine": "number"})[0] for n in range(10)]
    shared(a="string", late="string")
    client, seen, query = client_of("viewer"), [], ""
    for _page in range(8):
        html = client.get(CONFLICTS + query).content.decode()
        seen += re.findall(r'<h2 id="owner-\d+">([^<]+)</h2>', html)
        onward = re.search(r'rel="next" href="(\?[^"]+)"', html)
        if onward is None:
            break
        query = unescape(onward.group(1))
    assert seen == [owner.username for n, owner in enumerate(owners) if n % 3]


def test_a_page_looks_at_so_many_users_and_no_more(
    client_of: Callable[[str], Client], db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(selectors_conflicts, "USERS_LOOKED_AT_MAX", 4)
    monkeypatch.setattr(selectors_conflicts, "USERS_AT_ONCE", 2)
    shared(a="string")
    for _n in range(5):
        conflicting(fine="number")
    text = read(client_of("viewer"), CONFLICTS)
    assert "No conflict among the 4 users looked at." in text
    assert "Next" in text


@pytest.mark.parametrize("query", [{"after": "x"}, {"after": "-1"}, {"after": "9" * 30}, {"type": "\0"}])
def test_an_address_that_makes_no_sense_breaks_nothing(
    client_of: Callable[[str], Client], store: Store, query: dict[str, str]
) -> None:
    assert client_of("viewer").get(CONFLICTS, query).status_code == 200


@pytest.mark.parametrize("address", [EFFECTIVE, CONFLICTS])
def test_they_are_for_those_who_may_view(client_of: Callable[[str], Client], db: None, address: str) -> None:
    assert client_of("none").get(address).status_code == 403
    assert client_of("viewer").get(address).status_code == 200


def test_the_number_of_queries_does_not_grow_with_users(client_of: Callable[[str], Client], db: None) -> None:
    shared(a="string")
    owner, _revision = conflicting(late="number")
    shared(a="string", late="string")
    client = client_of("viewer")
    pages: list[tuple[str, dict[str, str]]] = [
        (CONFLICTS, {}),
        (EFFECTIVE, {"type": THING, "owner": owner.username}),
    ]
    counts: list[list[int]] = []
    for url, query in pages:
        client.get(url, query)
    for _round in range(2):
        counts.append([])
        for url, query in pages:
            with CaptureQueriesContext(connection) as queries:
                client.get(url, query)
            counts[-1].append(len(queries))
        for _n in range(6):
            other = make_user()
            make_extension(user=other, document={"additional_fields": {"own": {"type": "number"}}})
    assert counts[0] == counts[1]
    assert max(counts[0]) <= 16
