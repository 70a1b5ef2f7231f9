"""Putting in force, taking out and retiring: a page that tells what changes, and a form that does just that."""

from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from registry.models import Schema, SchemaVersion
from registry.services.activation import schema_activate
from registry.services.compatibility import compatibility_set
from schemaevo.kernel.models import AuditEvent, User
from tests.admin.addresses import list_of, page_of, verb_of
from tests.admin.confirming import confirm, shown_at
from tests.admin.conftest import Store
from tests.admin.test_pages import read, text_of
from tests.factories import (
    SHELL,
    THING,
    make_compatibility,
    make_definition,
    make_extension,
    make_maximum,
    make_run,
    make_user,
    make_version,
)


def verb(version: SchemaVersion, name: str) -> str:
    return verb_of(SchemaVersion, name, version.pk)


def is_in_force(version: SchemaVersion) -> bool:
    return SchemaVersion.objects.get(pk=version.pk).is_active


def draft(user: User | None = None, **fields: Any) -> SchemaVersion:
    return make_version(document=make_definition(**fields), user=user, is_active=False)


# --- deciding -------------------------------------------------------------------------------------------
def test_a_first_version_is_put_in_force_after_a_look_at_what_it_changes(
    client_of: Callable[[str], Client], db: None
) -> None:
    version = draft(a="string")
    client = client_of("schema_admin")
    assert "Put in force" in read(client, page_of(version))
    text = read(client, verb(version, "activate"))
    assert "Put thing 1.0.0 in force" in text
    assert "In force now none In force then 1.0.0" in text
    assert "Adds the field 'a', a string." in text
    assert not is_in_force(version), "looking changed something"
    after = confirm(client, verb(version, "activate"))
    assert after.redirect_chain[-1][0] == page_of(version)
    assert "The version is in force." in after.content.decode()
    assert is_in_force(version)
    event = AuditEvent.objects.get(action="schema_version.activate")
    assert event.actor_name.startswith("login-")


def test_an_own_schema_is_taken_out_of_force(client_of: Callable[[str], Client], db: None) -> None:
    version = make_version(document=make_definition(a="string"), user=make_user())
    client = client_of("schema_admin")
    text = read(client, verb(version, "deactivate"))
    assert "undeclared for this owner then" in text
    shown = shown_at(client, verb(version, "deactivate"))
    assert "not in force any more" in confirm(client, verb(version, "deactivate")).content.decode()
    assert not is_in_force(version)
    # Confirmed once more, from a page that is still open, it says that nothing has changed.
    again = client.post(verb(version, "deactivate"), {"shown": shown}, follow=True).content.decode()
    assert "nothing has changed" in again


def test_a_version_is_retired_with_a_note_and_comes_back(
    client_of: Callable[[str], Client], db: None
) -> None:
    owner = make_user()
    version = make_version(document=make_definition(a="string"), user=owner)
    client = client_of("schema_admin")
    after = confirm(client, verb(version, "retire"), note="the feed is gone")
    assert "Retired: 1.0.0." in after.content.decode()
    version.refresh_from_db()
    assert version.retired_at is not None
    assert AuditEvent.objects.get(action="schema_version.retire").reason == "the feed is gone"
    confirm(client, verb(version, "activate"))
    version.refresh_from_db()
    assert version.is_active
    assert version.retired_at is None


def test_a_whole_schema_is_retired(client_of: Callable[[str], Client], db: None) -> None:
    owner = make_user()
    make_compatibility()
    first = make_version(document=make_definition(a="string"), user=owner)
    draft(owner, b="string")
    client = client_of("schema_admin")
    address = verb_of(Schema, "retire", first.schema_id)
    text = read(client, address)
    assert "Retire every version of thing" in text
    assert "Retired 2.0.0, 1.0.0" in text
    after = confirm(client, address, note="over")
    assert after.redirect_chain[-1][0] == page_of(first.schema)
    assert SchemaVersion.objects.filter(retired_at__isnull=True).count() == 0
    # Nothing is left to retire, and the page offers nothing.
    assert "there is nothing to do" in read(client, address)


def test_an_outdated_preview_is_refused_and_shown_anew(client_of: Callable[[str], Client], db: None) -> None:
    owner = make_user()
    make_compatibility()
    make_version(document=make_definition(a="string"), user=owner)
    second, third = draft(owner, b="string"), draft(owner, c="string")
    client = client_of("schema_admin")
    shown = shown_at(client, verb(second, "activate"))
    schema_activate(version_id=third.pk, actor=SHELL)
    after = client.post(verb(second, "activate"), {"shown": shown}, follow=True)
    assert after.redirect_chain[-1][0] == verb(second, "activate")
    assert "has changed since this was shown" in after.content.decode()
    assert not is_in_force(second)
    confirm(client, verb(second, "activate"))
    assert is_in_force(second)


@pytest.mark.parametrize("said", [{}, {"shown": ""}, {"shown": "x" * 301}, {"shown": "a\0b"}])
def test_nothing_is_decided_without_a_preview(
    client_of: Callable[[str], Client], db: None, said: dict[str, str]
) -> None:
    version = draft(a="string")
    after = client_of("schema_admin").post(verb(version, "activate"), said, follow=True)
    assert "Look at what it changes" in after.content.decode()
    assert not is_in_force(version)


# --- what stands in the way -----------------------------------------------------------------------------
def test_a_global_schema_in_use_offers_no_button(store: Store, client_of: Callable[[str], Client]) -> None:
    second = make_version(document=make_definition(k="string"), is_active=False)
    client = client_of("superuser")
    assert "reviewed proposal" in read(client, page_of(second))
    for address in (
        verb(second, "activate"),
        verb(store.version, "deactivate"),
        verb(store.version, "retire"),
        verb_of(Schema, "retire", store.version.schema_id),
    ):
        html = client.get(address).content.decode()
        assert "reviewed proposal" in html
        assert 'name="shown"' not in html
    for address in (verb(second, "activate"), verb(store.version, "deactivate")):
        shown = f"global {store.version.number}"
        after = client.post(address, {"shown": shown}, follow=True).content.decode()
        assert "needs a review" in after
    assert is_in_force(store.version)


def test_a_preview_tells_every_reason_against_it(client_of: Callable[[str], Client], db: None) -> None:
    owner = make_user()
    required = {"type": "string", "required": True}
    incompatible = make_version(document=make_definition(b=required, c=required), user=owner, is_active=False)
    compatibility_set(entity_type=THING, mode="NONE", actor=SHELL)
    make_version(document=make_definition(a="string"), user=owner)
    compatibility_set(entity_type=THING, mode="BACKWARD", actor=SHELL)
    client = client_of("schema_admin")
    html = client.get(verb(incompatible, "activate")).content.decode()
    assert html.count("required_field_added") == 2
    assert 'name="shown"' not in html
    # Whoever posts nevertheless is told the same by the service.
    after = client.post(verb(incompatible, "activate"), {"shown": "own 2.0.0"}, follow=True)
    assert after.content.decode().count("[required_field_added]") == 2
    assert not is_in_force(incompatible)


def test_the_quota_stands_before_and_after_and_is_warned_of(
    client_of: Callable[[str], Client], db: None
) -> None:
    owner = make_user(username="ada")
    make_version(document=make_definition(a="string"), user=owner)
    wider = draft(owner, a="string", b="string", c="string", d="string")
    make_maximum(user=owner, max_fields=3)
    client = client_of("schema_admin")
    text = read(client, verb(wider, "activate"))
    assert "Quota: fields 1 → 4 of 3" in text
    assert "quota does not allow it" in text
    asking = reverse("admin:registry_userquota_ask", args=[owner.pk])
    assert asking in client.get(verb(wider, "activate")).content.decode()
    make_maximum(user=owner, max_fields=5)
    after = text_of(confirm(client, verb(wider, "activate")).content.decode())
    assert "4 of 5 fields (80 %)" in after


def test_users_with_something_of_their_own_are_counted(client_of: Callable[[str], Client], db: None) -> None:
    make_version(document=make_definition(a="string"), user=make_user())
    make_run(records=[{"k": str(n)} for n in range(3)], user=make_user())
    text = read(client_of("schema_admin"), verb(draft(a="number"), "activate"))
    assert "Own schemas that become extensions 1" in text
    assert "New conflicts to settle 1 of 1 user" in text
    assert "Snapshots to recompute up to 3 of 1 user" in text


def test_an_extended_schema_sends_people_to_the_extension(
    client_of: Callable[[str], Client], db: None
) -> None:
    owner = make_user()
    make_version(document=make_definition(a="string"))
    make_extension(user=owner, document={"additional_fields": {"e": {"type": "string"}}})
    text = read(client_of("schema_admin"), verb(draft(owner, z="string"), "activate"))
    assert "change the extension instead" in text


# --- who may, and how often the database is asked -------------------------------------------------------
@pytest.mark.parametrize("role", ["none", "viewer", "operator"])
@pytest.mark.parametrize("name", ["activate", "deactivate", "retire"])
def test_who_may_not_decide_neither_looks_nor_decides(
    client_of: Callable[[str], Client], db: None, role: str, name: str
) -> None:
    version = make_version(document=make_definition(a="string"), user=make_user())
    client = client_of(role)
    if role != "none":
        text = read(client, page_of(version))
        assert "Take out of force" not in text
        assert "Retire…" not in text
        assert "Retire" not in read(client, page_of(version.schema))
    addresses = [verb(version, name), verb_of(Schema, "retire", version.schema_id)]
    for address in addresses:
        assert client.get(address).status_code == 403
        assert client.post(address, {"shown": "own 1.0.0"}).status_code == 403
    assert is_in_force(version)


def test_what_does_not_exist_is_not_found(client_of: Callable[[str], Client], db: None) -> None:
    client = client_of("schema_admin")
    for address in (
        verb_of(SchemaVersion, "activate", 4711),
        verb_of(SchemaVersion, "retire", 4711),
        verb_of(Schema, "retire", 4711),
        verb_of(SchemaVersion, "activate", 2**70),
    ):
        assert client.get(address).status_code in {302, 404}
    assert client.put(verb(draft(a="string"), "activate")).status_code == 405
    assert client.get(list_of(Schema)).status_code == 200


def test_a_preview_asks_the_database_as_often_whatever_there_is(
    client_of: Callable[[str], Client], db: None
) -> None:
    client, version = client_of("schema_admin"), draft(a="string")
    make_version(document=make_definition(a="number"), user=make_user())
    counts = []
    client.get(verb(version, "activate"))
    for _round in range(2):
        with CaptureQueriesContext(connection) as queries:
            client.get(verb(version, "activate"))
        counts.append(len(queries))
        for n in range(6):
            owner = make_user()
            own: dict[str, Any] = {"a": "number", f"n{n}": "string"}
            make_version(document=make_definition(**own), user=owner)
            make_run(records=[{"k": str(n)}], user=owner)
    assert counts[0] == counts[1]
    assert counts[0] <= 25
