"""Pages of extensions, compatibility and retired versions, and what the first page says of the schemas."""

from collections.abc import Callable

import pytest
from django.contrib.auth.models import Group
from django.db import connection
from django.db.models import Model
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from registry.cache import cache_figures
from registry.models import ExtensionRevision, RevisionCause, SchemaCompatibility, SchemaVersion
from registry.services.activation import schema_retire
from registry.services.compatibility import compatibility_set
from registry.services.extensions import extension_remove, extension_save
from registry.services.settling import extensions_settle
from schemaevo.kernel.canonical import Json
from schemaevo.kernel.models import User
from tests.admin.addresses import list_of, page_of, verb_of
from tests.admin.confirming import confirm
from tests.admin.conftest import Store
from tests.admin.test_pages import read
from tests.factories import SHELL, THING, make_definition, make_user, make_version


def make_extension(*, user: User, document: Json, entity_type: str = THING) -> ExtensionRevision:
    return extension_save(
        entity_type=entity_type, user_id=user.pk, document=document, actor=SHELL, note="asked for"
    ).revision


# --- extensions -----------------------------------------------------------------------------------------
def test_a_revision_shows_what_it_adds_and_overrides(client_of: Callable[[str], Client], db: None) -> None:
    owner = make_user(username="ada")
    make_version(document=make_definition(a="string", b="number"))
    revision = make_extension(
        user=owner,
        document={
            "base_schema_version": "1.0.0",
            "additional_fields": {
                "extra": {
                    "type": "number",
                    "converters": ["string_to_number"],
                    "merge_policy": {"strategy": "highest_priority"},
                }
            },
            "field_overrides": {"b": {"constraints": {"min": 3}}},
        },
    )
    text = read(client_of("viewer"), page_of(revision))
    assert "extra number – highest_priority string_to_number" in text
    assert 'b constraints {"min":3}' in text
    for said in ("in force", "1.0.0", "asked for", "edited", "The extension as JSON"):
        assert said in text
    assert "does not agree" not in text
    listed = read(client_of("viewer"), list_of(ExtensionRevision))
    assert "thing ada 1 in force extra b edited" in listed


def test_what_the_global_schema_does_not_admit_any_more_is_said(
    client_of: Callable[[str], Client], db: None
) -> None:
    owner = make_user()
    make_version(document=make_definition(a="string"))
    revision = make_extension(
        user=owner, document={"additional_fields": {"b": {"type": "number"}, "c": {"type": "array"}}}
    )
    make_version(document=make_definition(a="string", b="string", c="array"))
    text = read(client_of("viewer"), page_of(revision))
    assert "b the global schema declares it with another type; the user's own stands" in text
    assert 'global "string" , own "number"' in text
    assert "c the global schema declares it as well and counts" in text
    # Of one that is not in force any more nothing is said: it does nothing.
    extension_remove(entity_type=THING, user_id=owner.pk, actor=SHELL)
    assert "does not agree" not in read(client_of("viewer"), page_of(revision))
    assert "taken back" in read(client_of("viewer"), list_of(ExtensionRevision))


def test_an_adoption_shows_where_it_came_from_and_what_was_absorbed(
    client_of: Callable[[str], Client], db: None
) -> None:
    owner = make_user()
    own = make_version(document=make_definition(a="string", mine="number"), user=owner)
    make_version(document=make_definition(a="string"))
    extensions_settle(entity_type=THING, after_user=0, actor=SHELL)
    revision = ExtensionRevision.objects.get()
    assert revision.cause == RevisionCause.ADOPTION
    html = client_of("viewer").get(page_of(revision)).content.decode()
    assert page_of(own) in html
    text = read(client_of("viewer"), page_of(revision))
    assert "adopted from the user's own schema ( 1.0.0 )" in text
    assert "Absorbed by the global schema with this revision 1" in text


def test_an_extension_without_a_global_schema_says_that_it_waits(
    client_of: Callable[[str], Client], store: Store
) -> None:
    schema_retire(entity_type=THING, user_id=None, actor=SHELL, without_review="over")
    assert "there is nothing to extend" in read(client_of("viewer"), page_of(store.extension))


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"type": THING}, 1),
        ({"type": "other"}, 0),
        ({"owner": "owner-of-it"}, 1),
        ({"owner": "nobody"}, 0),
        ({"in_force": "1"}, 1),
        ({"in_force": "0"}, 0),
        ({"in_force": "perhaps"}, 1),
        ({"cause": "edit"}, 1),
        ({"cause": "absorption"}, 0),
        ({"cause": "whim"}, 0),
        ({"q": THING}, 1),
        ({"q": "thin"}, 0),
    ],
)
def test_extensions_are_filtered(
    store: Store, client_of: Callable[[str], Client], query: dict[str, str], found: int
) -> None:
    html = client_of("viewer").get(list_of(ExtensionRevision), query).content.decode()
    assert html.count('class="data-row') == found


def test_the_number_of_queries_does_not_grow_with_what_is_shown(
    store: Store, client_of: Callable[[str], Client]
) -> None:
    client = client_of("viewer")
    counts: list[list[int]] = []
    pages = [list_of(ExtensionRevision), list_of(SchemaCompatibility), page_of(store.extension)]
    client.get(page_of(store.extension))  # what Django asks once and remembers is no cost of the page
    for _round in range(2):
        counts.append([])
        for url in pages:
            with CaptureQueriesContext(connection) as queries:
                client.get(url)
            counts[-1].append(len(queries))
        for n in range(5):
            make_extension(user=make_user(), document={"additional_fields": {f"n{n}": {"type": "number"}}})
            compatibility_set(entity_type=f"type_{n}", mode="NONE", actor=SHELL)
    assert counts[0] == counts[1]
    assert max(counts[0]) <= 16


@pytest.mark.parametrize("model", [ExtensionRevision, SchemaCompatibility])
def test_pages_are_for_those_who_may_view_them(
    store: Store, client_of: Callable[[str], Client], model: type[Model]
) -> None:
    codename = f"view_{model._meta.model_name}"
    assert codename in Group.objects.get(name="viewer").permissions.values_list("codename", flat=True)
    viewer, stranger = client_of("viewer"), client_of("none")
    address = f'href="{list_of(model)}"'
    assert address in viewer.get(reverse("admin:index")).content.decode()
    assert address not in stranger.get(reverse("admin:index")).content.decode()
    assert stranger.get(page_of(model._default_manager.get())).status_code == 403


# --- compatibility --------------------------------------------------------------------------------------
def test_a_mode_says_what_it_demands(client_of: Callable[[str], Client], db: None) -> None:
    compatibility_set(entity_type="strict", mode="FULL_TRANSITIVE", actor=SHELL)
    compatibility_set(entity_type="free", mode="NONE", actor=SHELL)
    client = client_of("viewer")
    text = read(client, list_of(SchemaCompatibility))
    assert (
        "strict FULL_TRANSITIVE each version reads what the other stores every version that was ever in force"
        in text
    )
    assert "free NONE nothing: every change is taken no other version" in text
    assert "free" not in read(client, list_of(SchemaCompatibility), mode="FULL_TRANSITIVE")


# --- versions -------------------------------------------------------------------------------------------
def test_a_retired_version_says_so_and_can_be_put_in_force_again(
    client_of: Callable[[str], Client], db: None
) -> None:
    owner = make_user()
    version = make_version(document=make_definition(a="string"), user=owner)
    schema_retire(entity_type=THING, user_id=owner.pk, actor=SHELL)
    client = client_of("schema_admin")
    assert "It is retired" in read(client, page_of(version))
    assert "retired" in read(client, page_of(version.schema))
    assert client.get(list_of(SchemaVersion), {"retired": "1"}).content.decode().count('class="data-row') == 1
    assert client.get(list_of(SchemaVersion), {"retired": "0"}).content.decode().count('class="data-row') == 0
    confirm(client, verb_of(SchemaVersion, "activate", version.pk))
    version.refresh_from_db()
    assert version.is_active
    assert version.retired_at is None


# --- the first page -------------------------------------------------------------------------------------
def test_a_retirement_without_review_stands_on_the_first_page_once(
    store: Store, client_of: Callable[[str], Client]
) -> None:
    make_version(document=make_definition(k="string", one="string"), is_active=False)
    make_version(document=make_definition(k="string", two="string"), is_active=False)
    schema_retire(entity_type=THING, user_id=None, actor=SHELL, without_review="the feed is gone")
    text = read(client_of("viewer"), "/admin/")
    assert text.count("the feed is gone") == 1
    assert "schema_version.retire the feed is gone" in text


def test_the_first_page_tells_what_the_schema_cache_did(
    client_of: Callable[[str], Client], db: None, settings: object
) -> None:
    figures = cache_figures()
    said = f"Schema cache {figures.hits:,} hits, {figures.misses:,} misses, {figures.stale:,} stale"
    assert said in read(client_of("viewer"), "/admin/")
    assert "Schema cache" not in read(client_of("none"), "/admin/")
    settings.SCHEMAEVO_SCHEMA_CACHE_ENABLED = False  # type: ignore[attr-defined]
    assert "Schema cache is off" in read(client_of("viewer"), "/admin/")
