"""The editor of schemas: what is typed is kept, refused at its place, and saved; the check says so before."""

from __future__ import annotations

import json
from collections.abc import Callable
from html import unescape
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from registry.models import Schema, SchemaVersion
from schemaevo.kernel.models import AuditEvent
from tests.admin.addresses import list_of, page_of
from tests.admin.editing import ODD_NAMES, as_json, asked, controls, post, scripted, told
from tests.factories import (
    THING,
    make_definition,
    make_maximum,
    make_user,
    make_version,
)
from tests.quotas import fields_named

NEW = "/admin/registry/schema/new/"
CHECK_NEW = f"{NEW}check/"
SIZE = {"name": "size", "type": "number", "min": "0", "max": "1e3", "converter_1": "string_to_number"}
NAME = {"name": "name", "type": "string", "required": True, "description": "what people\r\ncall it"}


def edit_of(version: SchemaVersion) -> str:
    return reverse("admin:registry_schema_edit", args=[version.schema_id])


@pytest.fixture
def client(client_of: Callable[[str], Client]) -> Client:
    return client_of("schema_admin")


# --- saving ---------------------------------------------------------------------------------------------
@pytest.mark.parametrize("way", [controls, scripted])
def test_a_first_version_is_typed_and_registered_as_a_draft(client: Client, way: Callable[..., Any]) -> None:
    answer = post(client, NEW, "save", way(NAME, SIZE), entity_type=THING, note="the first")
    version = SchemaVersion.objects.get()
    assert answer.headers["Location"] == page_of(version)
    assert (version.number, version.user, version.is_active, version.note) == (
        "1.0.0",
        None,
        False,
        "the first",
    )
    assert version.definition == {
        "fields": {
            "name": {"type": "string", "required": True, "description": "what people\ncall it"},
            "size": {
                "type": "number",
                "converters": [{"from": "string", "to": "number", "function": "string_to_number"}],
                "constraints": {"min": 0, "max": 1000},
            },
        },
        "merge_policies": {},
    }
    event = AuditEvent.objects.get(action="schema_version.register")
    assert (event.reason, event.actor_id) == ("the first", int(client.session["_auth_user_id"]))


@pytest.mark.parametrize("way", [controls, scripted])
def test_names_of_every_kind_go_to_the_browser_and_come_back(client: Client, way: Callable[..., Any]) -> None:
    rows = [{"name": name, "type": "string"} for name in ODD_NAMES]
    post(client, NEW, "save", way(*rows), entity_type=THING)
    version = SchemaVersion.objects.get()
    assert set(version.definition["fields"]) == set(ODD_NAMES)
    html = client.get(edit_of(version)).content.decode()
    assert "<script>alert" not in html
    data = json.loads(
        html.partition('<script id="se-rows" type="application/json">')[2].partition("</script>")[0]
    )
    assert {row["name"] for row in data["fields"]} == set(ODD_NAMES)


def test_an_owner_is_named_as_people_call_them(client: Client) -> None:
    owner = make_user(username="ada", email="ada@example.org")
    for place, name in enumerate(("ada", "ADA@example.org", str(owner.pk))):
        post(client, NEW, "save", scripted(NAME), entity_type=f"thing_{place}", owner=name)
    assert set(SchemaVersion.objects.values_list("user", flat=True)) == {owner.pk}
    assert SchemaVersion.objects.count() == 3
    text = told(post(client, NEW, "save", scripted(NAME), entity_type=THING, owner="nobody"))
    assert "There is no user 'nobody'" in text


def test_a_kind_order_is_typed_a_kind_on_a_line(client: Client) -> None:
    post(client, NEW, "save", controls(NAME), entity_type=THING, kinds="own", kind_order="human\r\nprobe\r\n")
    version = SchemaVersion.objects.get()
    assert version.definition["observation_source_priority"] == ["human", "probe"]
    assert "human\nprobe</textarea>" in client.get(edit_of(version)).content.decode()
    text = told(post(client, NEW, "check", controls(NAME), entity_type=THING, kinds="own", kind_order="a\na"))
    assert "this value is already listed" in text


def test_the_next_version_begins_from_the_newest_draft_and_differs_by_what_was_typed(client: Client) -> None:
    make_version(document=make_definition(a="string"))
    draft = make_version(document=make_definition(a="string", b="number"), is_active=False)
    html = client.get(edit_of(draft)).content.decode()
    assert 'name="base" value="1.1.0"' in html
    rows = scripted(
        {"name": "a", "type": "string"}, {"name": "b", "type": "number", "strategy": "most_specific"}
    )
    answer = post(client, edit_of(draft), "save", rows, base="1.1.0")
    version = SchemaVersion.objects.latest("pk")
    assert answer.headers["Location"] == page_of(version)
    assert version.number == "1.2.0"
    assert version.definition["merge_policies"] == {"b": {"strategy": "most_specific"}}


def test_what_says_the_same_is_not_registered_again(client: Client) -> None:
    version = make_version(document=make_definition(a="string"))
    answer = post(client, edit_of(version), "save", scripted({"name": "a", "type": "string"}), base="1.0.0")
    assert answer.headers["Location"] == page_of(version)
    assert "says the same" in told(client.get(page_of(version)))  # type: ignore[arg-type]


def test_a_global_schema_in_use_is_edited_as_a_draft_and_the_page_says_so(client: Client) -> None:
    version = make_version(document=make_definition(a="string"))
    assert "by a reviewed proposal only" in told(client.get(edit_of(version)))  # type: ignore[arg-type]
    rows = scripted({"name": "a", "type": "string"}, {"name": "b", "type": "date"})
    post(client, edit_of(version), "save", rows, base="1.0.0")
    draft = SchemaVersion.objects.get(minor=1)
    version.refresh_from_db()
    assert (version.is_active, draft.is_active) == (True, False)


# --- what is wrong --------------------------------------------------------------------------------------
def test_what_is_wrong_stands_at_its_place_and_nothing_typed_is_lost(client: Client) -> None:
    wrong = {**SIZE, "name": "_size", "min": "ten", "description": "as typed <b>"}
    answer = post(client, NEW, "save", controls(NAME, wrong), entity_type=THING, note="kept")
    text, html = told(answer), answer.content.decode()
    assert "names that start with _ are reserved" in text
    assert "must be a number" in text
    assert "Nothing was saved" in text
    for kept in ('value="_size"', 'value="ten"', "as typed &lt;b&gt;", 'value="kept"', f'value="{THING}"'):
        assert kept in html
    assert not SchemaVersion.objects.exists()


def test_a_name_that_stands_twice_is_refused(client: Client) -> None:
    for way in (controls, scripted):
        rows = way({"name": "a", "type": "string"}, {"name": "a", "type": "number"})
        assert "this name stands above already" in told(post(client, NEW, "save", rows, entity_type=THING))
    assert not SchemaVersion.objects.exists()


@pytest.mark.parametrize(
    ("row", "part", "rule"),
    [
        ({"name": "", "description": "x", "type": "string"}, "name", "invalid_name"),
        ({"name": "f"}, "type", "missing_key"),
        ({"name": "f", "type": "text"}, "type", "unknown_type"),
        ({"name": "f", "type": "string", "strategy": "newest"}, "strategy", "unknown_strategy"),
        (
            {"name": "f", "type": "string", "strategy": "most_specific", "tie_breaker": "dice"},
            "tie_breaker",
            "unknown_tie_breaker",
        ),
        ({"name": "f", "type": "string", "converter_2": "string_to_number"}, "converter_2", "wrong_end"),
        ({"name": "f", "type": "string", "converter_3": "magic"}, "converter_3", "unknown_converter"),
        ({"name": "f", "type": "string", "min": "1"}, "min", "unsuited_constraint"),
        ({"name": "f", "type": "number", "max": "Infinity"}, "max", "wrong_type"),
        ({"name": "f", "type": "number", "min": "2", "max": "1"}, "min", "empty_range"),
        ({"name": "f", "type": "string", "min_length": "-1"}, "min_length", "wrong_type"),
        ({"name": "f", "type": "array", "max_length": "many"}, "max_length", "wrong_type"),
        ({"name": "f", "type": "string", "pattern": "(?=x)"}, "pattern", "bad_pattern"),
        ({"name": "f", "type": "number", "enum": "1\nred"}, "enum", "enum_misfit"),
        ({"name": "a/b~c", "type": "number", "enum": "1\n1"}, "enum", "duplicate"),
    ],
)
def test_the_check_names_row_and_part_of_each_problem(
    client: Client, row: dict[str, str], part: str, rule: str
) -> None:
    found = asked(client, CHECK_NEW, scripted(NAME, row), entity_type=THING)
    places = [(p["section"], p["row"], p["field"], p["part"], p["rule"]) for p in found["problems"]]
    assert ("fields", 1, row["name"], part, rule) in places
    assert found["problem_count"] == len(places)
    assert found["compatible"] is False


def test_every_problem_of_the_fields_above_is_told_at_once(client: Client) -> None:
    rows = scripted(*({"name": f"_{n}", "type": "string"} for n in range(40)))
    found = asked(client, CHECK_NEW, rows, entity_type=THING)
    assert (found["problem_count"], len(found["problems"])) == (40, 40)
    assert "and 28 more" in found["html"]


# --- the check ------------------------------------------------------------------------------------------
def test_the_check_tells_the_difference_and_the_number_and_writes_nothing(client: Client) -> None:
    version = make_version(document=make_definition(a="string", b="string"))
    before = SchemaVersion.objects.count(), AuditEvent.objects.count()
    rows = scripted({"name": "a", "type": "string"}, {"name": "c", "type": "date"})
    with CaptureQueriesContext(connection) as queries:
        found = asked(client, f"{edit_of(version)}check/", rows, base="1.0.0")
    assert (found["number"], found["size"], found["compatible"], found["stale"]) == (
        "2.0.0",
        "major",
        True,
        None,
    )
    assert found["difference"] == [
        {"words": "removes the field 'b', a string", "size": "major"},
        {"words": "adds the field 'c', a date", "size": "minor"},
    ]
    assert found["quota"] is None
    assert before == (SchemaVersion.objects.count(), AuditEvent.objects.count())
    # Nobody waits for somebody who types: neither a lock nor a write.
    said = [query["sql"] for query in queries.captured_queries]
    assert not [sql for sql in said if "advisory" in sql or sql.startswith(("INSERT", "UPDATE", "DELETE"))]


def test_the_check_lists_every_reason_of_incompatibility(client: Client) -> None:
    version = make_version(document=make_definition(a="string", b="string"))
    rows = scripted({"name": "a", "type": "array"}, {"name": "b", "type": "string", "required": True})
    found = asked(client, f"{edit_of(version)}check/", rows, base="1.0.0")
    assert found["compatible"] is False
    assert [(reason["rule"], reason["field"]) for reason in found["reasons"]] == [
        ("type_changed", "a"),
        ("became_required", "b"),
    ]
    text = told(post(client, edit_of(version), "save", rows, base="1.0.0"))
    assert "could not be read. [became_required]" in text
    assert SchemaVersion.objects.count() == 1


# --- other ways to show it ------------------------------------------------------------------------------
def test_a_document_is_shown_as_json_and_as_rows_again(client: Client) -> None:
    answer = post(
        client, NEW, "json", controls({**SIZE, "max": "123456789012345678901234567890"}), entity_type=THING
    )
    html = answer.content.decode()
    assert 'name="shown" value="json"' in html
    text = html.partition('data-alone="document">')[2].partition("</textarea>")[0]
    assert "123456789012345678901234567890" in text
    answer = post(client, NEW, "rows", as_json(unescape(text)), entity_type=THING)
    assert 'value="123456789012345678901234567890"' in answer.content.decode()


def test_json_is_saved_as_it_was_typed_and_refused_where_it_is_none(client: Client) -> None:
    assert "Input data was truncated" in told(post(client, NEW, "save", as_json("{"), entity_type=THING))
    assert "Mend first" in told(post(client, NEW, "rows", as_json('{"fields": 3}'), entity_type=THING))
    post(
        client,
        NEW,
        "save",
        as_json(make_definition(a={"type": "string", "constraints": {"pattern": ""}})),
        entity_type=THING,
    )
    version = SchemaVersion.objects.get()
    # An empty pattern cannot be typed into a row, so that the document stands as JSON from the start.
    assert 'name="shown" value="json"' in client.get(edit_of(version)).content.decode()


def test_rows_are_added_and_taken_out_without_a_script(client: Client) -> None:
    html = post(client, NEW, "add", controls(NAME), entity_type=THING).content.decode()
    assert 'name="field-1-name"' in html
    html = post(client, NEW, "remove:field:0", controls(NAME, SIZE), entity_type=THING).content.decode()
    assert 'name="field-0-name"' in html
    assert 'value="size"' in html
    assert 'value="name"' not in html


# --- a base that moved ----------------------------------------------------------------------------------
@pytest.fixture
def overtaken(db: None) -> SchemaVersion:
    """A schema that somebody began to edit at 1.0.0; by now 1.1.0 is in force."""
    make_version(document=make_definition(a="string", b="string"))
    return make_version(
        document=make_definition(a="string", b={"type": "string", "description": "theirs"}, c="date")
    )


MINE = scripted(
    {"name": "a", "type": "string", "description": "mine"},
    {"name": "b", "type": "string", "description": "mine"},
)


def test_the_second_of_two_editors_sees_what_the_other_did_and_keeps_what_was_typed(
    client: Client, overtaken: SchemaVersion
) -> None:
    answer = post(client, edit_of(overtaken), "save", MINE, base="1.0.0")
    text = told(answer)
    assert "you began from 1.0.0, and by now 1.1.0 is there" in text
    assert "adds the field 'c', a date" in text
    assert '"mine"' in answer.content.decode()
    assert SchemaVersion.objects.count() == 2
    found = asked(client, f"{edit_of(overtaken)}check/", MINE, base="1.0.0")
    assert found["stale"] == "1.1.0"


def test_what_was_typed_is_put_on_top_of_what_is_there(client: Client, overtaken: SchemaVersion) -> None:
    answer = post(client, edit_of(overtaken), "rebase", MINE, base="1.0.0", note="why")
    text, html = told(answer), answer.content.decode()
    assert "/fields/b/description" in text
    assert 'name="base" value="1.1.0"' in html
    assert 'value="c"' in html
    assert 'value="why"' in html
    assert SchemaVersion.objects.count() == 2
    data = json.loads(
        html.partition('<script id="se-rows" type="application/json">')[2].partition("</script>")[0]
    )
    post(client, edit_of(overtaken), "save", scripted(*data["fields"]), base="1.1.0")
    fields = SchemaVersion.objects.latest("pk").definition["fields"]
    assert {name: field.get("description") for name, field in fields.items()} == {
        "a": "mine",
        "b": "mine",
        "c": None,
    }


def test_one_may_go_on_with_what_was_typed_alone(client: Client, overtaken: SchemaVersion) -> None:
    answer = post(client, edit_of(overtaken), "keep", MINE, base="1.0.0")
    assert 'name="base" value="1.1.0"' in answer.content.decode()
    assert "removes the field 'c', a date" in told(answer)


def test_a_first_version_that_somebody_else_made_first_is_not_written_over(
    client: Client, overtaken: SchemaVersion
) -> None:
    answer = post(client, NEW, "save", MINE, entity_type=THING)
    assert f'formaction="{edit_of(overtaken)}"' in answer.content.decode()
    assert "by now 1.1.0 is there" in told(answer)
    answer = post(client, edit_of(overtaken), "rebase", MINE)
    assert 'value="c"' in answer.content.decode()


# --- quotas ---------------------------------------------------------------------------------------------
def test_a_refusal_for_want_of_quota_says_what_is_used_and_by_what(client: Client) -> None:
    owner = make_user(username="ada")
    make_version(document={"fields": fields_named(3)}, entity_type="other", user=owner)
    make_maximum(user=owner, max_fields=4)
    rows = scripted({"name": "a", "type": "string"}, {"name": "b", "type": "string"})
    found = asked(client, CHECK_NEW, rows, entity_type=THING, owner="ada")
    assert found["quota"] == [
        {"limit": "schemas", "usage": 1, "after": 2, "maximum": 10, "passed": False},
        {"limit": "fields", "usage": 3, "after": 5, "maximum": 4, "passed": True},
    ]
    text = told(post(client, NEW, "save", rows, entity_type=THING, owner="ada"))
    assert "would have 5 fields; at most 4 are allowed, and 3 are used, most by other (3 fields)" in text
    assert not SchemaVersion.objects.filter(entity_type=THING).exists()


def test_a_quota_that_is_nearly_used_up_is_told_with_the_result(client: Client) -> None:
    owner = make_user(username="ada")
    make_maximum(user=owner, max_fields=1)
    answer = post(client, NEW, "save", scripted(NAME), entity_type=THING, owner="ada")
    assert "1 of 1 fields (100 %)" in told(client.get(answer.headers["Location"]))  # type: ignore[arg-type]


# --- who, and what no browser sends ---------------------------------------------------------------------
@pytest.mark.parametrize("role", ["none", "viewer", "operator"])
def test_who_may_not_register_neither_sees_nor_reaches_the_editor(
    client_of: Callable[[str], Client], role: str
) -> None:
    version = make_version(document=make_definition(a="string"))
    client = client_of(role)
    for url in (NEW, CHECK_NEW, edit_of(version), f"{edit_of(version)}check/"):
        assert client.get(url).status_code == (405 if "check" in url else 403)
        assert post(client, url, "save", scripted(NAME), entity_type="more", base="1.0.0").status_code == 403
    if role != "none":
        for url in (list_of(Schema), page_of(version.schema)):
            html = client.get(url).content.decode()
            assert NEW not in html
            assert edit_of(version) not in html
    assert SchemaVersion.objects.count() == 1


def test_who_may_register_finds_the_way_in(client: Client) -> None:
    version = make_version(document=make_definition(a="string"))
    assert NEW in client.get(list_of(Schema)).content.decode()
    assert edit_of(version) in client.get(page_of(version.schema)).content.decode()


def test_a_request_without_its_token_is_refused(client: Client) -> None:
    strict = Client(enforce_csrf_checks=True)
    strict.cookies = client.cookies
    assert post(strict, NEW, "save", scripted(NAME), entity_type=THING).status_code == 403
    assert post(strict, CHECK_NEW, "check", scripted(NAME), entity_type=THING).status_code == 403
    assert not SchemaVersion.objects.exists()


def test_looking_changes_nothing_and_a_check_is_asked_by_post(client: Client) -> None:
    version = make_version(document=make_definition(a="string"))
    assert client.get(CHECK_NEW).status_code == 405
    assert client.get(edit_of(version), {"go": "save", "rows": "{}"}).status_code == 200
    assert client.put(edit_of(version)).status_code == 405
    assert client.get(reverse("admin:registry_schema_edit", args=[0])).status_code == 404
    assert SchemaVersion.objects.count() == 1


HOSTILE: dict[str, dict[str, str]] = {
    "nothing": {},
    "rows that are no JSON": {"rows": "{"},
    "rows that are a list": {"rows": "[1, 2]"},
    "rows of wrong things": {"rows": '{"fields": [1, null, {"name": 3, "required": "x"}], "overrides": {}}'},
    "NUL in a name": {"rows": '{"fields": [{"name": "a\\u0000b", "type": "string"}]}'},
    "NUL in a control": {"field-0-name": "a\0b", "field-0-type": "string"},
    "a lone surrogate": {"rows": '{"fields": [{"name": "\\ud800", "type": "string"}]}'},
    "deep nesting": as_json("[" * 100_000),
    "deep enum": scripted({"name": "a", "type": "array", "enum": "[" * 5_000 + "]" * 5_000}),
    "a number without end": scripted({"name": "a", "type": "number", "min": "9" * 20_000}),
    "an exponent without end": scripted({"name": "a", "type": "number", "max": "1e999999999"}),
    "no document": as_json(""),
    "another document": as_json('"text"'),
    "NaN": as_json('{"fields": NaN}'),
    "NUL in the type": {"entity_type": "a\0"},
    "NUL in the owner": {"owner": "a\0"},
    "NUL in the note": {"note": "a\0"},
    "a wild base": {"base": "9" * 400},
    "NUL in the base": {"base": "\0"},
    "a wild row": {"field-99999-name": "a"},
    "a wild view": {"shown": "hologram"},
    "too many fields": scripted(*({"name": f"f{n}", "type": "string"} for n in range(2_001))),
    "too many controls": {f"field-{n}-name": "x" for n in range(1_001)},
    "too much": as_json(" " * 3_000_000),
    "too large": as_json(json.dumps(make_definition(a={"type": "string", "description": "x" * 1_100_000}))),
}


@pytest.mark.parametrize("go", ["save", "json", "rows", "rebase", "remove:field:9"])
@pytest.mark.parametrize("sent", HOSTILE.values(), ids=HOSTILE)
def test_bad_input_is_refused_in_words(client: Client, go: str, sent: dict[str, str]) -> None:
    version = make_version(document=make_definition(a="string"))
    for url in (NEW, edit_of(version)):
        answer = post(client, url, go, {"entity_type": THING, **sent})
        assert answer.status_code in {200, 400}
    if go == "save":
        for url in (CHECK_NEW, f"{edit_of(version)}check/"):
            assert post(client, url, go, {"entity_type": THING, **sent}).status_code in {200, 400}
    assert SchemaVersion.objects.count() == 1


# --- cost -----------------------------------------------------------------------------------------------
def test_the_editor_asks_the_same_number_of_queries_however_much_there_is(client: Client) -> None:
    def queries(url: str, *parts: dict[str, str], **more: str) -> tuple[int, int]:
        with CaptureQueriesContext(connection) as opened:
            assert client.get(url).status_code == 200
        with CaptureQueriesContext(connection) as checked:
            asked(client, f"{url}check/", *parts, **more)
        return len(opened), len(checked)

    small = make_version(document={"fields": fields_named(1)}, entity_type="small")
    for count in (500, 1_000, 2_000):
        large = make_version(document={"fields": fields_named(count)}, entity_type="large")
    rows = [{"name": name, "type": "string"} for name in fields_named(2_000)]
    client.get(edit_of(small))
    assert queries(edit_of(small), scripted(rows[0]), base=small.number) == queries(
        edit_of(large), scripted(*rows), base=large.number
    )


def test_two_thousand_fields_are_opened_and_saved(client: Client) -> None:
    version = make_version(document={"fields": fields_named(2_000)})
    html = client.get(edit_of(version)).content.decode()
    # They come as data, and not as 30,000 controls.
    assert 'name="field-0-name"' not in html
    rows = [{"name": name, "type": "string", "description": "so"} for name in fields_named(2_000)]
    answer = post(client, edit_of(version), "save", scripted(*rows), base=version.number)
    assert answer.status_code == 302
