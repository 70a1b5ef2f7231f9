"""A field is corrected by POST, on a page that has told what it says now, what it would say, and what beats that."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from html import unescape
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import pytest
from django.contrib.auth.models import Permission
from django.db import connection
from django.template.loader import render_to_string
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from pytest_django import Settings

from schemaevo.kernel.models import User
from snapshots.domain.correction import value_seen
from snapshots.models import Correction, EntitySnapshot
from snapshots.services.corrections import Wanted, field_correct
from tests.admin.addresses import page_of, verb_of
from tests.content import stored_content
from tests.factories import (
    NOON,
    SHELL,
    make_definition,
    make_login,
    make_run,
    make_snapshot,
    make_user,
    make_version,
)

TRUSTED = {"trust": {"strategy": "highest_priority"}, "tags": {"strategy": "merge_array"}}
SECRET = "sesame-7f3a"


@pytest.fixture
def ada(db: None) -> User:
    """The owner of a thing with a colour, a size, trust and tags."""
    fields: dict[str, Any] = {
        "colour": "string",
        "size": {"type": "number", "required": True},
        "trust": "number",
    }
    make_version(document=make_definition(policies=TRUSTED, k="string", tags="array", **fields))
    ada = make_user(username="ada")
    make_run(records=[{"k": "k", "colour": SECRET, "size": 5, "trust": 1, "tags": ["a"]}], user=ada)
    return ada


@pytest.fixture
def operator(client_of: Callable[[str], Client]) -> Client:
    return client_of("operator")


def page(ada: User) -> str:
    return verb_of(EntitySnapshot, "correct", make_snapshot(user=ada).pk)


def text_of(html: str) -> str:
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]+>", " ", html.partition('id="content"')[2])))


def read(client: Client, ada: User, field: str = "") -> str:
    answer = client.get(page(ada), {"field": field})
    assert answer.status_code == 200
    return text_of(answer.content.decode())


def post(client: Client, ada: User, **given: str) -> Any:
    return client.post(page(ada), {"field": "colour", "value": "blue", "reason": "so", **given})


def fact(html: str, name: str) -> str:
    found = re.search(rf'data-fact="{name}">(.*?)</(?:dd|li)>', html, flags=re.DOTALL)
    assert found is not None, name
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]+>", " ", found[1]))).strip()


# --- looking --------------------------------------------------------------------------------------------------
def test_the_page_asks_for_a_field_and_tells_what_it_says_and_takes(operator: Client, ada: User) -> None:
    assert "choose one" in read(operator, ada)
    answer = operator.get(page(ada), {"field": "size"}).content.decode()
    assert fact(answer, "now") == "5"
    said = text_of(answer)
    assert "number, required" in said
    assert "a number such as 12.5" in said
    assert "Nothing of this entity was corrected yet." in said


@pytest.mark.parametrize(
    ("field", "value", "before", "after", "beaten_by"),
    [
        ("colour", "blue", f'"{SECRET}"', '"blue"', "observed later than"),
        ("colour", "null", f'"{SECRET}"', "nothing", "observed later than"),
        ("trust", "7.50", "1", "7.5", "priority of 1000 or more"),
        ("tags", '["b", "c"]', '["a"]', '["b","c"]', "one of 1000 adds its items"),
    ],
)
def test_a_preview_tells_before_and_after_and_what_beats_it_and_writes_nothing(
    operator: Client, ada: User, field: str, value: str, before: str, after: str, beaten_by: str
) -> None:
    stored = stored_content()
    answer = post(operator, ada, field=field, value=value, what="preview")
    html = answer.content.decode()
    assert (answer.status_code, fact(html, "before"), fact(html, "after")) == (200, before, after)
    assert beaten_by in fact(html, "beaten-by")
    assert "only records with a priority of 1000 or more delete it" in text_of(html)
    assert (stored_content(), Correction.objects.count()) == (stored, 0)


def test_clearing_what_is_required_is_told(operator: Client, ada: User) -> None:
    html = post(operator, ada, field="size", value="null", what="preview").content.decode()
    assert "The field is required: without it the snapshot is incomplete." in text_of(html)


def test_a_page_costs_the_same_number_of_queries_whatever_was_corrected(operator: Client, ada: User) -> None:
    counts = set()
    for number in range(3):
        for colour in range(number * 3):
            wanted = Wanted("colour", f"{number}{colour}")
            entity = str(make_snapshot(user=ada).pk)
            field_correct(entity_id=entity, wanted=wanted, reason="so", actor=SHELL)
        if number:
            read(operator, ada, "colour")
            with CaptureQueriesContext(connection) as captured:
                read(operator, ada, "colour")
            counts.add(len(captured))
    assert len(counts) == 1


def test_the_way_there_is_shown_to_who_may_go_it(ada: User) -> None:
    entity = make_snapshot(user=ada).pk
    for role, may_see, is_shown in (
        ("operator", True, True),
        ("viewer", True, False),
        ("operator", False, False),
    ):
        html = render_to_string(
            "admin/snapshots/entitysnapshot/correct_link.html",
            {
                "snapshot_id": entity,
                "name": "a b&c",
                "may_see_values": may_see,
                "perms": _Perms(make_login(role=role)),
            },
        )
        assert (f"{page(ada)}?field={quote('a b&c')}" in html) == is_shown


class _Perms:
    """What templates call `perms`, of one login."""

    def __init__(self, login: User) -> None:
        self._login = login

    def __getitem__(self, app: str) -> dict[str, bool]:
        held = self._login.get_all_permissions()
        return {name.partition(".")[2]: True for name in held if name.startswith(f"{app}.")}


# --- correcting -----------------------------------------------------------------------------------------------
def test_what_was_previewed_is_done_and_stands_in_the_list_with_who_and_why(
    operator: Client, ada: User
) -> None:
    html = post(operator, ada, value="null and void", reason="it says\nso", what="preview").content.decode()
    form = dict(re.findall(r'name="(\w+)" value="([^"]*)"', html.partition('id="preview"')[2]))
    given = {name: unescape(value) for name, value in form.items() if name != "csrfmiddlewaretoken"}
    assert given["value"] == '"null and void"'
    answer = operator.post(page(ada), given)
    assert (answer.status_code, answer["Location"]) == (302, page_of(make_snapshot(user=ada)))
    assert make_snapshot(user=ada).values["colour"] == "null and void"
    said = read(operator, ada, "colour")
    made = Correction.objects.get()
    assert (made.reason, made.made_by is not None) == ("it says\nso", True)
    assert f'colour "null and void" it says so {made.made_by_name}' in said
    assert "holds" in said

    later = timezone.now() + timedelta(seconds=1)
    make_run(records=[{"k": "k", "colour": "red"}], user=ada, source="later", observed_at=later)
    assert "overtaken" in read(operator, ada, "colour")


def test_who_decided_on_what_is_there_no_more_is_shown_what_is(operator: Client, ada: User) -> None:
    seen = value_seen(SECRET)
    make_run(
        records=[{"k": "k", "colour": "green"}],
        user=ada,
        source="later",
        observed_at=NOON + timedelta(hours=1),
    )
    for given in ({"seen": seen}, {}):
        answer = post(operator, ada, what="correct", **given)
        html = answer.content.decode()
        assert (answer.status_code, fact(html, "now")) == (200, '"green"')
        assert "colour has another value by now. Look at it once more." in text_of(html)
        assert 'value="so"' not in html
        assert ">blue</textarea>" in html
    assert make_snapshot(user=ada).values["colour"] == "green"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (
            {"value": "12"},
            "colour takes a text; this is of the type number. A text that reads as JSON stands in quotes.",
        ),
        ({"field": "size", "value": "red"}, "This is not JSON"),
        ({"value": SECRET}, "This is what colour says already."),
        ({"reason": ""}, "This field is required."),
        ({"field": "tags", "value": "[1, 1]"}, "of equal items keeps one"),
        ({"field": "smell"}, "'smell' is not declared"),
        ({"field": "a\0"}, "choose one"),
    ],
)
@pytest.mark.parametrize("what", ["preview", "correct"])
def test_a_refusal_is_told_on_the_page_and_nothing_is_written(
    operator: Client, ada: User, given: dict[str, str], said: str, what: str
) -> None:
    stored = stored_content()
    seen = value_seen(make_snapshot(user=ada).values.get(given.get("field", "colour")))
    answer = post(operator, ada, what=what, seen=seen, **given)
    assert answer.status_code == 200
    assert said in text_of(answer.content.decode())
    assert stored_content() == stored


def test_a_deleted_entity_has_no_form_and_says_what_to_do(operator: Client, ada: User) -> None:
    make_run(
        records=[{"k": "k", "_deleted": True}],
        user=ada,
        source="later",
        observed_at=NOON + timedelta(hours=1),
    )
    html = operator.get(page(ada), {"field": "colour"}).content.decode()
    assert "Ingest a living record of it first" in text_of(html)
    assert "<textarea" not in html
    assert post(operator, ada, what="correct", seen=value_seen(None)).status_code == 200
    assert not Correction.objects.exists()


def test_a_snapshot_that_waits_is_read_by_the_rules_in_force_or_has_to_be_recomputed(
    operator: Client, ada: User, settings: Settings
) -> None:
    EntitySnapshot.objects.update(reduction_hash="", values={"colour": "stale"}, merge_state={})
    html = operator.get(page(ada), {"field": "colour"}).content.decode()
    assert fact(html, "now") == f'"{SECRET}"'
    assert "correcting recomputes it" in text_of(html)
    settings.SCHEMAEVO_INLINE_RECOMPUTE_MAX = 0
    html = operator.get(page(ada), {"field": "colour"}).content.decode()
    assert "Recompute it first." in text_of(html)
    assert "<textarea" not in html


def test_where_nothing_is_declared_any_field_can_be_named(operator: Client, db: None) -> None:
    owner = make_user()
    make_run(records=[{"k": "k", "a": 1}], user=owner)
    assert 'value="a"' in operator.get(page(owner)).content.decode()
    html = operator.get(page(owner), {"field": "new one"}).content.decode()
    assert fact(html, "now") == "nothing"
    answer = post(operator, owner, field="new one", value="[true]", what="correct", seen=value_seen(None))
    assert answer.status_code == 302
    assert make_snapshot(user=owner).values == {"k": "k", "a": 1, "new one": [True]}


# --- who may --------------------------------------------------------------------------------------------------
def test_nobody_sees_a_value_there_who_may_not(client_of: Callable[[str], Client], ada: User) -> None:
    assert client_of("viewer").get(page(ada), {"field": "colour"}).status_code == 403
    blind = make_login(role="viewer")
    blind.user_permissions.add(Permission.objects.get(codename="correct_value"))
    client = Client()
    client.force_login(blind)
    assert client.get(page(ada), {"field": "colour"}).status_code == 403
    assert client.post(page(ada), {"field": "colour", "value": "x", "reason": "so"}).status_code == 403


def test_an_entity_that_is_not_there_has_no_page_and_other_methods_no_answer(
    operator: Client, ada: User
) -> None:
    assert operator.get(verb_of(EntitySnapshot, "correct", uuid4())).status_code == 404
    assert operator.put(page(ada)).status_code == 405


def test_values_and_reasons_are_escaped(operator: Client, ada: User) -> None:
    evil = "<script>alert(1)</script>"
    answer = post(operator, ada, value=evil, reason=evil, what="correct", seen=value_seen(SECRET))
    assert answer.status_code == 302
    html = operator.get(page(ada), {"field": "colour"}).content.decode()
    assert evil not in html
    assert html.count("&lt;script&gt;alert(1)") >= 3
