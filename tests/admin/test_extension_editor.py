"""The editor of extensions: own fields and overrides are typed, refused at their place, saved and taken back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

import pytest
from django.test import Client
from django.urls import reverse

from registry.models import ExtensionRevision
from schemaevo.kernel.canonical import Json
from schemaevo.kernel.models import AuditEvent, User
from tests.admin.addresses import list_of, page_of
from tests.admin.editing import ODD_NAMES, as_json, asked, controls, post, scripted, told
from tests.admin.test_editors import HOSTILE
from tests.factories import THING, make_definition, make_extension, make_maximum, make_user, make_version

EDIT = "/admin/registry/extensionrevision/edit/"
SHARED: dict[str, Any] = {
    "name": "string",
    "size": {"type": "number", "constraints": {"max": 100}, "converters": ["string_to_number"]},
    "state": {"type": "string", "constraints": {"enum": ["new", "old", "1"]}},
}
MINE = {"name": "mine", "type": "date"}


@pytest.fixture
def client(client_of: Callable[[str], Client]) -> Client:
    return client_of("schema_admin")


@pytest.fixture
def owner(db: None) -> User:
    make_version(document=make_definition(**SHARED))
    return make_user(username="ada & böse=1")


def url_of(owner: User, verb: str = "", entity_type: str = THING) -> str:
    return f"{EDIT}{verb}?{urlencode({'type': entity_type, 'owner': owner.username})}"


OVERRIDES: tuple[dict[str, Any], ...] = (
    {"name": "size", "max": "50", "own_converters": True, "required": True},
    {"name": "state", "enum": "old\n1", "strategy": "highest_priority"},
    {"name": "name", "own_description": True, "description": ""},
)
SAID: Json = {
    "size": {"converters": [], "constraints": {"max": 50}, "required": True},
    "state": {"merge_policy": {"strategy": "highest_priority"}, "constraints": {"enum": ["old", "1"]}},
    "name": {"description": ""},
}


@pytest.mark.parametrize("is_scripted", [True, False])
def test_fields_and_overrides_are_typed_and_in_force(client: Client, owner: User, is_scripted: bool) -> None:
    if is_scripted:
        sent = scripted(MINE, overrides=OVERRIDES)
    else:
        sent = {**controls(MINE), **controls(*OVERRIDES, section="override")}
    answer = post(client, url_of(owner), "save", sent, base="0", note="asked for")
    revision = ExtensionRevision.objects.get()
    assert answer.headers["Location"] == page_of(revision)
    assert (revision.user, revision.revision, revision.is_active) == (owner, 1, True)
    assert revision.field_overrides == SAID
    assert revision.additional_fields == {"mine": {"type": "date"}}
    assert (revision.base_schema_version, revision.note) == ("1.0.0", "asked for")
    assert AuditEvent.objects.get(action="extension.change").actor_id == int(client.session["_auth_user_id"])


def test_what_was_saved_is_opened_and_saved_again_as_it_was(client: Client, owner: User) -> None:
    make_extension(
        user=owner, document={"additional_fields": {"mine": {"type": "date"}}, "field_overrides": SAID}
    )
    found = asked(client, url_of(owner, "check/"), scripted(MINE, overrides=OVERRIDES), base="1")
    assert (found["same"], found["difference"], found["number"]) == (True, [], "1")
    post(client, url_of(owner), "save", scripted(MINE, overrides=OVERRIDES), base="1")
    assert ExtensionRevision.objects.count() == 1


def test_odd_names_are_added_and_overridden(client: Client, owner: User) -> None:
    odd: dict[str, Any] = {f"g {name}"[:128]: "string" for name in ODD_NAMES}
    make_version(document=make_definition(**SHARED, **odd))
    fields = [{"name": name, "type": "string"} for name in ODD_NAMES]
    over = [{"name": name, "required": True} for name in odd]
    sent = {**controls(*fields), **controls(*over, section="override")}
    post(client, url_of(owner), "save", sent, base="0")
    revision = ExtensionRevision.objects.get()
    assert set(revision.additional_fields) == set(ODD_NAMES)
    assert set(revision.field_overrides) == set(odd)
    html = client.get(url_of(owner)).content.decode()
    assert "<script>alert" not in html
    # Without a script a global field is overridden by the button that has its name.
    html = post(client, url_of(owner), f"override:g {ODD_NAMES[4]}", base="1").content.decode()
    assert 'name="override-0-name"' in html


@pytest.mark.parametrize(
    ("row", "part", "rule"),
    [
        ({"name": "size", "max": "500"}, "max", "override_loosens"),
        ({"name": "size", "pattern": "x"}, "pattern", "override_unsuited"),
        ({"name": "state", "enum": "new\nother"}, "enum", "override_incomparable"),
        ({"name": "gone", "required": True}, "name", "override_of_undeclared"),
        (
            {"name": "name", "own_converters": True, "converter_1": "string_to_number"},
            "converter_1",
            "override_unsuited",
        ),
    ],
)
def test_what_does_not_agree_with_the_global_schema_is_said_at_its_place(
    client: Client, owner: User, row: dict[str, Any], part: str, rule: str
) -> None:
    found = asked(client, url_of(owner, "check/"), scripted(overrides=(row,)), base="0")
    assert [(p["section"], p["row"], p["field"], p["part"], p["rule"]) for p in found["problems"]] == [
        ("overrides", 0, row["name"], part, rule)
    ]
    told(post(client, url_of(owner), "save", scripted(overrides=(row,)), base="0"))
    assert not ExtensionRevision.objects.exists()


def test_a_field_of_the_global_schema_is_not_added_again(client: Client, owner: User) -> None:
    found = asked(client, url_of(owner, "check/"), scripted({"name": "size", "type": "number"}), base="0")
    assert [(p["row"], p["part"], p["rule"]) for p in found["problems"]] == [(0, "name", "already_declared")]


def test_conflicts_that_stand_are_listed_with_what_to_do(client: Client, owner: User) -> None:
    make_extension(user=owner, document={"additional_fields": {"mine": {"type": "date"}}})
    make_version(document=make_definition(**SHARED, mine="array"))
    text = told(client.get(url_of(owner)))  # type: ignore[arg-type]
    assert "the global schema declares it with another type; the user's own stands" in text
    assert "take it out of the extension: then the global one counts" in text
    found = asked(client, url_of(owner, "check/"), scripted(MINE, {"name": "new", "type": "date"}), base="1")
    assert [conflict["code"] for conflict in found["conflicts"]] == ["type_differs"]
    assert found["problems"] == []


def test_the_second_of_two_editors_keeps_what_was_typed_and_goes_on(client: Client, owner: User) -> None:
    make_extension(user=owner, document={"additional_fields": {"a": {"type": "date"}}})
    make_extension(
        user=owner, document={"additional_fields": {"a": {"type": "date"}, "theirs": {"type": "number"}}}
    )
    sent = scripted({"name": "a", "type": "date"}, MINE, overrides=({"name": "size", "max": "5"},))
    text = told(post(client, url_of(owner), "save", sent, base="1"))
    assert "you began from 1, and by now 2 is there" in text
    assert "adds the field 'theirs', a number" in text
    html = post(client, url_of(owner), "rebase", sent, base="1").content.decode()
    assert 'name="base" value="2"' in html
    for kept in ("a", "mine", "theirs", "size"):
        assert f'value="{kept}"' in html
    assert ExtensionRevision.objects.count() == 2
    html = post(client, url_of(owner), "keep", sent, base="1").content.decode()
    assert 'name="base" value="2"' in html
    assert 'value="theirs"' not in html


def test_json_is_typed_and_refused_in_words(client: Client, owner: User) -> None:
    text = told(post(client, url_of(owner), "save", as_json({"additional": {}}), base="0"))
    assert "/additional" in text
    post(client, url_of(owner), "save", as_json({"additional_fields": {"mine": {"type": "date"}}}), base="0")
    assert ExtensionRevision.objects.get().base_schema_version == ""


def test_an_extension_is_taken_back_after_its_effect_was_shown(client: Client, owner: User) -> None:
    make_extension(user=owner, document={"additional_fields": {"mine": {"type": "date"}}})
    page = url_of(owner, "remove/")
    assert page.replace("&", "&amp;") in client.get(url_of(owner)).content.decode()
    assert "removes the field 'mine', a date" in told(client.get(page))  # type: ignore[arg-type]
    assert ExtensionRevision.objects.get().is_active
    assert "by now it is 1" in told(client.post(page, {"base": "7"}))  # type: ignore[arg-type]
    client.post(page, {"base": "1", "note": "enough"})
    revision = ExtensionRevision.objects.get(is_active=True)
    assert (revision.revision, revision.parsed.is_empty, revision.note) == (2, True, "enough")
    assert page.replace("&", "&amp;") not in client.get(url_of(owner)).content.decode()


def test_a_refusal_for_want_of_quota_says_so(client: Client, owner: User) -> None:
    make_maximum(user=owner, max_fields=0)
    found = asked(client, url_of(owner, "check/"), scripted(MINE), base="0")
    assert [limit["passed"] for limit in found["quota"]] == [False, True]
    assert "would have 1 fields; at most 0 are allowed" in told(
        post(client, url_of(owner), "save", scripted(MINE), base="0")
    )
    assert not ExtensionRevision.objects.exists()


def test_an_address_that_names_nothing_asks_or_says_why_not(client: Client, owner: User) -> None:
    assert "Whose extension" in told(client.get(EDIT))  # type: ignore[arg-type]
    assert "There is no user" in told(client.get(EDIT, {"type": THING, "owner": "nobody"}))  # type: ignore[arg-type]
    answer = client.get(url_of(owner, entity_type="other"))
    assert "There is no global schema other to extend" in told(answer)  # type: ignore[arg-type]
    assert "/schema/new/?type=other&amp;owner=ada%20%26%20" in answer.content.decode()
    assert client.get(EDIT, {"type": "a\0", "owner": "b\0"}).status_code == 200
    assert post(client, f"{EDIT}check/", "check").status_code == 404
    assert post(client, url_of(owner, "check/", "other"), "check").status_code == 404
    assert client.get(url_of(owner, "check/")).status_code == 405


@pytest.mark.parametrize("role", ["none", "viewer", "operator"])
def test_who_may_not_extend_neither_sees_nor_reaches_the_editor(
    client_of: Callable[[str], Client], owner: User, role: str
) -> None:
    revision = make_extension(user=owner, document={"additional_fields": {"mine": {"type": "date"}}})
    client = client_of(role)
    for verb in ("", "check/", "remove/"):
        assert client.get(url_of(owner, verb)).status_code == (405 if "check" in verb else 403)
        assert post(client, url_of(owner, verb), "save", scripted(MINE), base="1").status_code == 403
    if role != "none":
        for url in (list_of(ExtensionRevision), page_of(revision)):
            assert reverse("admin:registry_extensionrevision_edit") not in client.get(url).content.decode()
    assert ExtensionRevision.objects.count() == 1


def test_who_may_extend_finds_the_way_in(client: Client, owner: User) -> None:
    revision = make_extension(user=owner, document={"additional_fields": {"mine": {"type": "date"}}})
    assert EDIT in client.get(list_of(ExtensionRevision)).content.decode()
    html = client.get(page_of(revision)).content.decode()
    href = html.partition(f'href="{EDIT}')[2].partition('"')[0].replace("&amp;", "&")
    assert "mine" in told(client.get(EDIT + href))  # type: ignore[arg-type]


@pytest.mark.parametrize("sent", HOSTILE.values(), ids=HOSTILE)
def test_bad_input_is_refused_in_words(client: Client, owner: User, sent: dict[str, str]) -> None:
    for go in ("save", "rebase"):
        assert post(client, url_of(owner), go, {"base": "3", **sent}).status_code in {200, 400}
    assert post(client, url_of(owner, "check/"), "check", sent).status_code in {200, 400}
    assert not ExtensionRevision.objects.exists()
