"""The past of a schema on its page, and any two versions or revisions side by side."""

import re
from collections.abc import Callable
from html import unescape
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from registry import selectors_timeline
from registry.domain.compatibility import Mode
from registry.models import ExtensionRevision, Schema, SchemaVersion
from registry.services.activation import schema_activate, schema_deactivate, schema_retire
from schemaevo.kernel.actors import Actor
from tests.admin.addresses import page_of, verb_of
from tests.admin.test_pages import read
from tests.factories import (
    SHELL,
    THING,
    make_compatibility,
    make_definition,
    make_extension,
    make_login,
    make_user,
    make_version,
)


def shared(**fields: Any) -> SchemaVersion:
    return make_version(document=make_definition(**fields))


# --- the timeline ---------------------------------------------------------------------------------------
def test_each_version_tells_its_change_and_who_put_it_in_force_instead_of_what(
    client_of: Callable[[str], Client], db: None
) -> None:
    make_compatibility()
    first = shared(a="string", b="string")
    shared(a="number", c="string")
    ann = Actor("ann", None, is_trusted=True)
    schema_activate(version_id=first.pk, actor=ann, without_review="2.0.0 refuses half of the feed")
    text = read(client_of("viewer"), page_of(first.schema))
    assert "2.0.0 was in force major +1 added −1 removed ~1 changed against 1.0.0 2 fields" in text
    assert "put in force instead of 1.0.0 by system:tests" in text
    assert "1.0.0 took its place, by ann" in text
    assert re.search(
        r"put in force instead of 2\.0\.0 by ann, [-\d: ]+ without review 2\.0\.0 refuses half of the feed",
        text,
    )
    assert "1.0.0 in force the first version 2 fields" in text
    # The newest stands first, and what happened last.
    assert text.index("2.0.0 was in force") < text.index("1.0.0 in force")
    assert text.index("instead of 2.0.0 by ann") < text.index("put in force by system:tests")


def test_taking_out_and_retiring_stand_on_the_line(client_of: Callable[[str], Client], db: None) -> None:
    owner = make_user()
    version = make_version(document=make_definition(a="string"), user=owner)
    schema_deactivate(entity_type=THING, user_id=owner.pk, actor=SHELL)
    schema_retire(entity_type=THING, user_id=owner.pk, actor=SHELL, note="the owner is gone")
    text = read(client_of("viewer"), page_of(version.schema))
    assert "taken out of force by system:tests" in text
    assert re.search(r"retired by system:tests, [-\d: ]+ the owner is gone", text)


def test_another_schemas_events_do_not_stand_there(client_of: Callable[[str], Client], db: None) -> None:
    version = shared(a="string")
    other = make_version(document=make_definition(a="string"), user=make_user())
    schema_retire(
        entity_type=THING, user_id=other.user_id, actor=Actor("bob", None, is_trusted=True), note="not yours"
    )
    assert "bob" not in read(client_of("viewer"), page_of(version.schema))


def test_versions_are_paged_and_the_difference_reaches_over_the_page(
    client_of: Callable[[str], Client], db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(selectors_timeline, "VERSIONS_SHOWN", 2)
    for count in range(1, 6):
        version = shared(**{f"f{n}": "string" for n in range(count)})
    client, seen, query = client_of("viewer"), [], ""
    while True:
        html = client.get(page_of(version.schema) + query).content.decode()
        seen += re.findall(r'se-version-number" href="[^"]*">([\d.]+)<', html)
        assert html.count("against") == html.count("se-version-number") - ("the first version" in html)
        older = re.search(r'rel="next" href="(\?below=[\d.]+)#versions"', html)
        if older is None:
            break
        query = unescape(older.group(1))
    assert seen == ["1.4.0", "1.3.0", "1.2.0", "1.1.0", "1.0.0"]


@pytest.mark.parametrize("below", ["", "x", "1.2", "9" * 30 + ".0.0", "\0", "1.0.0"])
def test_a_page_that_makes_no_sense_breaks_nothing(
    client_of: Callable[[str], Client], db: None, below: str
) -> None:
    version = shared(a="string")
    assert client_of("viewer").get(page_of(version.schema), {"below": below}).status_code == 200


def test_the_page_asks_the_database_as_often_for_many_versions(
    client_of: Callable[[str], Client], db: None
) -> None:
    first = shared(a="string")
    client, counts = client_of("viewer"), []
    client.get(page_of(first.schema))
    for round_ in range(2):
        with CaptureQueriesContext(connection) as queries:
            client.get(page_of(first.schema))
        counts.append(len(queries))
        for n in range(5):
            shared(a="string", **{f"f{round_}{m}": "string" for m in range(n + 1)})
    # The first of them was remembered by the process already; of the others the definitions are read at once.
    with CaptureQueriesContext(connection) as queries:
        client.get(page_of(first.schema))
    counts.append(len(queries))
    assert max(counts) - min(counts) <= 1
    assert max(counts) <= 12


# --- side by side ---------------------------------------------------------------------------------------
def compare(version: SchemaVersion) -> str:
    return verb_of(Schema, "compare", version.schema_id)


def test_two_versions_stand_side_by_side_with_what_the_rules_say(
    client_of: Callable[[str], Client], db: None
) -> None:
    make_compatibility()
    first = shared(gone="string", b={"type": "string", "constraints": {"max_length": 9}}, same="array")
    second = shared(
        b={"type": "string", "required": True, "constraints": {"max_length": 5}}, same="array", new="date"
    )
    make_compatibility(mode=Mode.BACKWARD)
    client = client_of("viewer")
    text = read(client, compare(first), **{"from": first.number, "to": second.number})
    assert "What is different major 1 added 1 removed 1 changed" in text
    assert "major Makes 'b' required." in text
    assert "minor Adds the field 'new', a date." in text
    assert "2.0.0 could not follow 1.0.0 (BACKWARD)" in text
    assert text.count("could not be read. became_required") == 1
    assert "constraint_tightened" in text
    assert "Fields that are the same 1" in text
    html = client.get(compare(first), {"from": "1.0.0", "to": "2.0.0"}).content.decode()
    assert "<del><code" in html
    assert "<ins>yes</ins>" in html
    swapped = re.search(r'href="(\?from=2\.0\.0&amp;to=1\.0\.0)"', html)
    assert swapped is not None
    back = read(client, compare(first) + unescape(swapped.group(1)))
    assert "Removes the field 'new', a date." in back
    assert "1.0.0 may follow 2.0.0" in back


def test_equal_sides_say_so(client_of: Callable[[str], Client], db: None) -> None:
    version = shared(a="string")
    text = read(client_of("viewer"), compare(version), **{"from": "1.0.0", "to": "1.0.0"})
    assert "Nothing: both say the same." in text


def test_odd_names_and_hostile_texts_are_shown_as_they_are(
    client_of: Callable[[str], Client], db: None
) -> None:
    make_compatibility()
    name = "<script>alert('x')</script>"
    first = shared(**{name: {"type": "string", "description": "<b>bold</b>"}, "Straße": "string"})
    shared(**{name: {"type": "string", "constraints": {"pattern": "<i>"}}})
    html = client_of("viewer").get(compare(first), {"from": "1.0.0", "to": "2.0.0"}).content.decode()
    assert name not in html
    assert "<b>bold" not in html
    assert "&lt;i&gt;" in html
    assert "Straße" in html


@pytest.mark.parametrize(
    "query",
    [
        {},
        {"from": "1.0.0"},
        {"from": "9.9.9", "to": "1.0.0"},
        {"from": "\0", "to": "<b>"},
        {"from": "1" * 40 + ".0.0", "to": "1.0"},
    ],
)
def test_versions_that_there_are_not_are_told(
    client_of: Callable[[str], Client], db: None, query: dict[str, str]
) -> None:
    version = shared(a="string")
    answer = client_of("viewer").get(compare(version), query)
    assert answer.status_code == 200
    assert "<b>" not in answer.content.decode()
    assert ("There is no" in answer.content.decode()) == any(text != "1.0.0" for text in query.values())


def test_a_version_of_another_schema_is_not_compared(client_of: Callable[[str], Client], db: None) -> None:
    version = shared(a="string")
    make_compatibility(entity_type="other")
    owner = make_user()
    for a_type in ("string", "number"):
        make_version(document=make_definition(secret=a_type), user=owner, entity_type="other")
    text = read(client_of("viewer"), compare(version), **{"from": "1.0.0", "to": "2.0.0"})
    assert "There is no 2.0.0 here." in text
    assert "secret" not in text


def test_two_revisions_of_an_extension_stand_side_by_side(
    client_of: Callable[[str], Client], db: None
) -> None:
    owner = make_user()
    shared(a="string")
    make_extension(user=owner, document={"additional_fields": {"b": {"type": "number"}}})
    revision = make_extension(
        user=owner,
        document={
            "additional_fields": {"c": {"type": "number"}},
            "field_overrides": {"a": {"constraints": {"max_length": 3}}},
        },
    )
    client, address = client_of("viewer"), verb_of(ExtensionRevision, "compare", revision.pk)
    text = read(client, address)
    assert "Adds the field 'c', a number." in text
    assert "Removes the field 'b', a number." in text
    assert "Sets max_length of 'a' to 3 (tightened)." in text
    assert "There is no 7 here." in read(client, address, **{"from": "7", "to": "1"})


@pytest.mark.parametrize("model", [Schema, ExtensionRevision])
def test_comparisons_are_for_those_who_may_view(
    client_of: Callable[[str], Client], db: None, model: type[Schema] | type[ExtensionRevision]
) -> None:
    shared(a="string")
    make_extension(user=make_user(), document={"additional_fields": {"b": {"type": "number"}}})
    row = model._default_manager.get()
    client = Client()
    client.force_login(make_login(), backend="django.contrib.auth.backends.ModelBackend")
    assert client.get(verb_of(model, "compare", row.pk)).status_code == 403
    assert client_of("viewer").get(verb_of(model, "compare", 4711)).status_code == 404
