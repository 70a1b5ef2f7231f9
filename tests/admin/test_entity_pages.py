"""The page of an entity: its values, their reasons, the entity as of a time, its history, what waits for it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from html import unescape

import msgspec
import pytest
from django.db import connection
from django.template.loader import render_to_string
from django.test import Client
from django.test.utils import CaptureQueriesContext

from fragments.models import LifecycleState, RawFragment
from schemaevo.kernel.models import User
from snapshots import selectors_timeline
from snapshots.models import EntitySnapshot, Observation, ObservationOrigin
from snapshots.selectors_explained import Bounds
from snapshots.selectors_timeline import entity_past
from tests.admin.addresses import page_of, verb_of
from tests.admin.conftest import SECRET, Store
from tests.admin.test_pages import text_of
from tests.factories import (
    NOON,
    make_definition,
    make_observation,
    make_recorded,
    make_run,
    make_snapshot,
    make_user,
    make_version,
)
from tests.lifecycle import put

pytestmark = pytest.mark.django_db


def history_of(snapshot: EntitySnapshot) -> str:
    return verb_of(EntitySnapshot, "history", snapshot.pk)


def html_of(client: Client, path: str, **query: str) -> str:
    answer = client.get(path, query or None)
    assert answer.status_code == 200, path
    return answer.content.decode()


def read(client: Client, path: str, **query: str) -> str:
    return text_of(html_of(client, path, **query))


@pytest.fixture
def owner() -> User:
    """Of one entity with a past: a value that is trusted more, a clear, a deletion that is taken back, a promotion."""
    owner = make_user(username="owner-of-it")
    make_version(
        document=make_definition(
            a={"type": "number", "converters": ["string_to_number"]},
            b="string",
            tags="array",
            p="string",
            policies={"a": {"strategy": "highest_priority"}, "tags": {"strategy": "merge_array"}},
        )
    )
    observations = [
        make_observation(user=owner, fields={"a": "12", "b": "one", "tags": ["x"]}, priority=200),
        make_observation(user=owner, fields={"a": 7, "b": "two", "tags": ["y"], "gone": 1}, seconds=1),
        make_observation(user=owner, fields={"_deleted": True}, seconds=2, priority=300, kind="sync"),
        make_observation(user=owner, fields={"b": None}, seconds=3, priority=300, kind="human"),
    ]
    make_recorded(observations=observations)
    promoted = make_observation(user=owner, fields={"p": "was a fragment"}, seconds=1)
    make_recorded(
        observations=[
            msgspec.structs.replace(promoted, ranks_as=observations[1].id, origin=ObservationOrigin.PROMOTION)
        ]
    )
    return owner


# --- why --------------------------------------------------------------------------------------------------
def test_each_field_tells_its_policy_who_won_who_lost_and_the_conversion(
    owner: User, client_of: Callable[[str], Client]
) -> None:
    text = read(client_of("operator"), page_of(make_snapshot(user=owner)))
    assert (
        "a number Correct a 12 chevron_right Why: highest_priority · feed · 2024-05-01 12:00:00 · won over 1 other"
        in text
    )
    assert "shown as 12 by string_to_number" in text
    assert "lost: higher priority: 200 over 100" in text
    assert "By the policy highest_priority: the observation of the highest priority speaks" in text
    assert "b string Correct b cleared" in text
    assert 'tags array Correct tags ["x"]' in text
    assert "joined from 1 observation, 1 more without a part" in text
    assert "promoted from a fragment of it:" in text


def test_what_the_rules_in_force_would_show_stands_beside_what_waits(
    owner: User, client_of: Callable[[str], Client]
) -> None:
    make_version(document=make_definition(a="number", b="string", tags="array", p="string"))
    text = read(client_of("operator"), page_of(make_snapshot(user=owner)))
    assert "These values were chosen by rules that are no longer in force" in text
    assert "a number Correct a 12 once recomputed 7" in text


# --- as of ------------------------------------------------------------------------------------------------
def test_as_of_a_time_the_values_of_then_stand_beside_those_of_now(
    owner: User, client_of: Callable[[str], Client]
) -> None:
    client, page = client_of("operator"), page_of(make_snapshot(user=owner))
    text = read(client, page, as_of="2024-05-01T12:00:01Z")
    assert "This is what the observations up to 2024-05-01 12:00:01 come to" in text
    assert 'b string "two" now no value' in text
    assert "1 field is different now: b" in text
    assert "the past" in text
    assert "2 of 4" in text
    first = read(client, page, as_of="2024-05-01 12:00")
    assert 'b string "one" now no value' in first
    assert "p string not observed by then now" in first
    gone = read(client, page, as_of="2024-05-01 12:00:02")
    assert "The entity is deleted, so no field is shown. This was said at 2024-05-01 12:00:02" in gone
    assert "The entity is not deleted now." in gone
    before = read(client, page, as_of="2024-05-01")
    assert "Nothing had been observed by then." in before
    assert "As of (" in read(client, page)
    assert "the past" not in read(client, page, as_of="")


def test_a_time_is_read_in_the_zone_of_the_login_and_written_as_it_is_read(
    owner: User, client_of: Callable[[str], Client]
) -> None:
    client, page = client_of("operator"), page_of(make_snapshot(user=owner))
    User.objects.filter(is_staff=True).update(time_zone="Asia/Tokyo")
    html = html_of(client, page, as_of="2024-05-01 21:00:01")
    assert "As of (Asia/Tokyo)" in html
    assert 'value="2024-05-01 21:00:01"' in html
    assert "1 field is different now" in text_of(html)
    exact = html_of(client, page, as_of="2024-05-01T12:00:01.000001Z")
    assert 'value="2024-05-01 21:00:01.000001"' in exact
    # The hour that is there twice: a time without its offset could be either.
    User.objects.filter(is_staff=True).update(time_zone="Europe/Vienna")
    twice = html_of(client, page, as_of="2024-10-27T01:30:00Z")
    assert 'value="2024-10-27 02:30:00+01:00"' in twice
    assert "as-of-wrong" not in html_of(client, page, as_of="2024-10-27 02:30:00+01:00")
    assert "as-of-wrong" in html_of(client, page, as_of="2024-10-27 02:30")


@pytest.mark.parametrize(
    "typed",
    [
        "yesterday",
        "2024-13-01",
        "9" * 40,
        "0001-01-01T00:00:00+23:59",
        "9999-12-31T23:59:59-23:59",
        "\0",
        "<b>",
    ],
)
def test_a_time_that_cannot_be_read_says_so_in_the_form_and_the_page_is_of_now(
    owner: User, client_of: Callable[[str], Client], typed: str
) -> None:
    html = html_of(client_of("operator"), page_of(make_snapshot(user=owner)), as_of=typed)
    assert 'aria-invalid="true"' in html
    assert 'id="as-of-wrong"' in html
    assert "<b>" not in html
    assert "the past" not in text_of(html)


def test_a_history_too_long_for_a_page_names_the_command(
    owner: User, client_of: Callable[[str], Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("snapshots.selectors_explained.ON_PAGE", Bounds(explained=1, read=2, listed=20))
    page = page_of(make_snapshot(user=owner))
    text = read(client_of("operator"), page, as_of="2024-05-01 12:00:01")
    assert "show_snapshot thing KEY --user owner-of-it --as-of 2024-05-01T12:00:01+00:00" in text
    assert "who else spoke of it was not read" in read(client_of("operator"), page)


# --- the history ------------------------------------------------------------------------------------------
def test_the_history_tells_what_each_observation_changed(
    owner: User, client_of: Callable[[str], Client]
) -> None:
    snapshot = make_snapshot(user=owner)
    html = html_of(client_of("operator"), history_of(snapshot))
    assert "Observations 4 received, and what was promoted from their fragments" in text_of(html)
    rows = [text_of(row) for row in html.split('<li class="se-moment')[1:]]
    assert len(rows) == 5
    assert "priority 300, human" in rows[0]
    assert "brings it back" in rows[0]
    assert 'b "two" cleared' in rows[0]
    assert "deletes the entity" in rows[1]
    assert "promotion" in rows[2]
    assert "Promoted from a fragment of" in rows[2]
    assert 'p "was a fragment"' in rows[2]
    assert 'b "one" "two"' in rows[3]
    assert "Said without winning: a tags" in rows[3]
    assert "Not declared, so not read: gone" in rows[3]
    assert 'a 12 b "one" tags ["x"]' in rows[4]
    for observation in Observation.objects.all():
        assert page_of(observation) in html


def test_an_observation_that_takes_no_part_says_so(owner: User) -> None:
    past = entity_past(snapshot_id=make_snapshot(user=owner).pk)
    retracted = replace(past.moments[0], is_retracted=True, step=None)
    context = {"one": retracted, "step": None, "past": past, "as_of": "", "may_see_values": True}
    html = render_to_string("admin/snapshots/entitysnapshot/moment.html", context)
    assert "se-moment-retracted" in html
    assert "retracted, takes no part" in html
    assert "Speaks of" in html


def test_each_moment_of_the_history_leads_to_the_entity_as_of_then(
    owner: User, client_of: Callable[[str], Client]
) -> None:
    client, snapshot = client_of("operator"), make_snapshot(user=owner)
    html = html_of(client, history_of(snapshot))
    links = [unescape(link) for link in re.findall(r'href="([^"]*as_of=[^"]*)"', html)]
    assert len(links) == 5
    assert 'b string "two"' in read(client, links[3])
    assert 'b string "one"' in read(client, links[4])


def test_the_history_is_paged_and_costs_the_same_on_every_page(
    client_of: Callable[[str], Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = make_user()
    make_recorded(observations=[make_observation(user=owner, fields={"a": n}, seconds=n) for n in range(7)])
    monkeypatch.setattr(selectors_timeline, "PER_PAGE", 3)
    client, path = client_of("operator"), history_of(make_snapshot(user=owner))
    seen, costs, query = [], set(), ""
    while True:
        client.get(path + query)
        with CaptureQueriesContext(connection) as queries:
            html = client.get(path + query).content.decode()
        if query:
            costs.add(len(queries))
        seen += re.findall(r"<ins><code[^>]*>(\d+)</code></ins>", html)
        older = re.search(r'rel="next" href="([^"]*)"', html)
        if older is None:
            break
        query = unescape(older.group(1))
    assert seen == ["6", "5", "4", "3", "2", "1", "0"]
    assert len(costs) == 1
    newer = re.search(r'rel="prev" href="([^"]*)"', html)
    assert newer is not None
    back = client.get(path + unescape(newer.group(1))).content.decode()
    assert re.findall(r"<ins><code[^>]*>(\d+)</code></ins>", back) == ["3", "2", "1"]


def test_a_past_that_is_too_long_says_that_changes_are_not_told(
    owner: User, client_of: Callable[[str], Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(selectors_timeline, "STEPS_MAX", 4)
    text = read(client_of("operator"), history_of(make_snapshot(user=owner)))
    assert "What each of them changed is not told." in text
    assert "Speaks of a b gone tags" in text


@pytest.mark.parametrize("asked", ["no-id", "00000000-0000-0000-0000-000000000007"])
def test_the_history_of_what_is_not_there_is_not_found(
    owner: User, client_of: Callable[[str], Client], asked: str
) -> None:
    assert client_of("operator").get(verb_of(EntitySnapshot, "history", asked)).status_code == 404


def test_addresses_that_nobody_types_show_the_newest_page(
    owner: User, client_of: Callable[[str], Client]
) -> None:
    client, path = client_of("operator"), history_of(make_snapshot(user=owner))
    newest = read(client, path)
    for query in ({"after": "no"}, {"before": "\0"}, {"after": "00000000-0000-0000-0000-000000000007"}):
        assert read(client, path, **query) == newest


# --- values and what waits --------------------------------------------------------------------------------
def test_who_may_not_see_values_sees_names_and_reasons_and_no_value(
    store: Store, client_of: Callable[[str], Client]
) -> None:
    client, page = client_of("viewer"), page_of(store.snapshot)
    history = history_of(store.snapshot)
    for path in (page, f"{page}?as_of=2024-05-01T11:30Z", history):
        html = html_of(client, path)
        assert SECRET not in html
        assert "colour" in html
        assert SECRET in html_of(client_of("operator"), path)
    assert "lost: newer" in read(client, page)
    assert "has another value" in read(client, history)
    assert "has a value from here on" in read(client, history)


def test_what_waits_for_an_entity_stands_on_its_page(
    store: Store, client_of: Callable[[str], Client]
) -> None:
    page = page_of(store.snapshot)
    text = read(client_of("operator"), page)
    assert re.search(
        r'What waits as a fragment In the list .* smell \{"is":"[^"]*"\} unknown field active 1', text
    )
    # Of another entity nothing is shown.
    other = make_run(records=[{"k": "thing-9", "colour": "blue"}], user=store.owner)
    assert other.observation_count == 1
    assert "Nothing: all that was said" in read(
        client_of("operator"), page_of(make_snapshot(user=store.owner, key="thing-9"))
    )


def test_what_was_promoted_does_not_wait_and_what_is_to_be_deleted_can_be_restored_by_those_who_may(
    store: Store, client_of: Callable[[str], Client]
) -> None:
    page = page_of(store.snapshot)
    put(LifecycleState.PENDING_DELETION)
    assert "Restore…" in read(client_of("operator"), page)
    assert "Restore…" not in read(client_of("viewer"), page)
    RawFragment.objects.update(lifecycle_state=LifecycleState.PROMOTED)
    assert "Nothing: all that was said" in read(client_of("operator"), page)


def test_of_many_fragments_the_first_are_listed(client_of: Callable[[str], Client]) -> None:
    owner = make_user()
    make_version(document=make_definition(k="string"))
    make_run(records=[{"k": "one", **{f"f{n:02}": n for n in range(25)}}], user=owner, observed_at=NOON)
    html = html_of(client_of("operator"), page_of(make_snapshot(user=owner, key="one")))
    listed = re.findall(r'<code class="se-code">(f\d\d)</code>', html)
    assert listed == [f"f{n:02}" for n in range(20)]
    assert "All of them" in html
