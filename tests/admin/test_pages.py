"""What the pages say: the first page by role, an entity's values beside their provenance, filters, verbs."""

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from html import unescape
from itertools import cycle, islice
from pathlib import Path

import pytest
from django.conf import settings
from django.contrib import admin
from django.db import connection
from django.test import Client, override_settings
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from fragments.models import IngestRun, IngestState, RawFragment
from fragments.services.runs import runs_interrupt_silent
from registry.services.activation import schema_activate
from schemaevo.kernel.models import Job, JobState, User
from schemaevo.kernel.pages import estimates
from schemaevo.kernel.pages.estimates import rows_by_choice, rows_counted
from snapshots import selectors_explained
from snapshots.models import EntitySnapshot, Observation
from tests.admin.addresses import READ_ONLY, list_of, page_of
from tests.admin.conftest import Store
from tests.factories import (
    SHELL,
    THING,
    make_definition,
    make_observation,
    make_recorded,
    make_run,
    make_snapshot,
    make_user,
    make_version,
)
from tests.rounds import rounds


def text_of(html: str) -> str:
    """What a reader of a page reads, on one line."""
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]+>", " ", html)))


def read(client: Client, url: str, **query: str) -> str:
    answer = client.get(url, query)
    assert answer.status_code == 200
    return text_of(answer.content.decode().partition('id="content"')[2])


# --- the first page -------------------------------------------------------------------------------------
def test_the_first_page_counts_what_there_is(store: Store, client_of: Callable[[str], Client]) -> None:
    text = read(client_of("superuser"), "/admin/")
    for said in ("Entities 1", "Observations 2", "Fragments 1 active 1", "Schemas 1", "Rejected 1"):
        assert said in text
    assert "PostgreSQL" in text
    assert "Valkey" in text


def test_the_first_page_shows_each_role_what_it_may_see(
    store: Store, client_of: Callable[[str], Client]
) -> None:
    assert "Users" in read(client_of("superuser"), "/admin/")
    assert "Users" not in read(client_of("viewer"), "/admin/")
    stranger = read(client_of("none"), "/admin/")
    for hidden in ("Entities", "Observations", "Recent ingest runs", "Audit log", "Jobs"):
        assert hidden not in stranger


def test_the_first_page_shows_live_jobs_and_names_recent_failures(client_of: Callable[[str], Client]) -> None:
    now = timezone.now()
    lease = {"lease_token": "12345678123456781234567812345678", "lease_expires_at": now}
    Job.objects.create(
        kind="runs_now", queue="recompute", state=JobState.RUNNING, done_count=1, total_count=4, **lease
    )
    Job.objects.create(kind="went_wrong", queue="recompute", state=JobState.FAILED)
    Job.objects.create(kind="is_done", queue="recompute", state=JobState.DONE)
    long_ago = Job.objects.create(kind="long_forgotten", queue="recompute", state=JobState.FAILED)
    Job.objects.filter(pk=long_ago.pk).update(requested_at=now - timedelta(days=30))
    text = read(client_of("viewer"), "/admin/")
    assert "running runs_now 25" in text
    assert "Jobs gone wrong, 7 days 1 went_wrong" in text
    # What was done without a hitch needs nobody: the list of jobs has it.
    for left_out in ("long_forgotten", "is_done"):
        assert left_out not in text


def test_the_first_page_names_changes_without_review(
    store: Store, client_of: Callable[[str], Client]
) -> None:
    own = make_version(document=make_definition(k="string"), user=make_user(), is_active=False)
    schema_activate(version_id=own.pk, actor=SHELL, without_review="only mine")
    second = make_version(document=make_definition(k="string"), is_active=False)
    schema_activate(version_id=second.pk, actor=SHELL, without_review="the feed changed overnight")
    text = read(client_of("viewer"), "/admin/")
    assert "the feed changed overnight" in text
    assert "only mine" not in text


def test_the_first_page_stands_without_valkey(
    client_of: Callable[[str], Client], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(settings.RQ_QUEUES["interactive"], "URL", f"unix://{tmp_path}/nobody-listens.sock")
    text = read(client_of("superuser"), "/admin/")
    assert "Valkey does not answer" in text
    assert "Scheduler not known" in text
    assert "Entities" in text


def test_the_number_of_queries_of_the_first_page_is_constant(
    store: Store, client_of: Callable[[str], Client]
) -> None:
    client, counts = client_of("superuser"), []
    for _round in range(2):
        with CaptureQueriesContext(connection) as queries:
            client.get("/admin/")
        counts.append(len(queries))
        make_run(records=[{"k": str(n), "smell": n} for n in range(20)], user=make_user())
    assert counts[0] == counts[1]
    # A superuser sees every part, and each part asks once or twice.
    assert counts[0] <= 36


def test_big_tables_are_estimated(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    make_run(records=[{"k": str(n), "smell": n} for n in range(300)], user=store.owner)
    monkeypatch.setattr(estimates, "COUNTED_MAX", 100)
    connection.cursor().execute("ANALYZE raw_fragments")
    with CaptureQueriesContext(connection) as queries:
        total = rows_counted(RawFragment)
        states = rows_by_choice(RawFragment, "lifecycle_state", total)
    assert not total.is_exact
    assert total.value == 301
    assert states["active"].value == 301
    assert not [q["sql"] for q in queries if "COUNT(" in q["sql"] and "LIMIT 101" not in q["sql"]]


# --- an entity ------------------------------------------------------------------------------------------
def test_a_value_stands_beside_where_it_came_from(store: Store, client_of: Callable[[str], Client]) -> None:
    html = client_of("operator").get(page_of(store.snapshot)).content.decode()
    text = text_of(html)
    assert re.search(
        r'colour string Correct colour "new [^"]*" .* last_write · newer · 2024-05-01 12:00:00 · won over 1 other',
        text,
    )
    assert re.search(r'won "new [^"]*" 2024-05-01 12:00:00 newer priority 100 [0-9a-f]{8}', text)
    assert "lost: newer" in text
    assert "size number Correct size never observed" in text
    assert page_of(store.observation) in html
    assert "current" in text


def test_an_entity_that_waits_says_so(store: Store, client_of: Callable[[str], Client]) -> None:
    client = client_of("operator")
    EntitySnapshot.objects.update(reduction_hash="")
    assert "waiting" in read(client, page_of(store.snapshot))
    assert "waiting" in read(client, list_of(EntitySnapshot))


def test_a_deleted_entity_says_who_said_so(client_of: Callable[[str], Client], db: None) -> None:
    owner = make_user()
    make_version(document=make_definition(a="string"))
    make_recorded(
        observations=[
            make_observation(user=owner, fields={"a": "before"}),
            make_observation(user=owner, fields={"_deleted": True}, seconds=5),
        ]
    )
    snapshot = make_snapshot(user=owner)
    html = client_of("operator").get(page_of(snapshot)).content.decode()
    deleting = Observation.objects.get(fields__has_key="_deleted")
    assert "The entity is deleted" in html
    assert page_of(deleting) in html
    assert "Values and where they come from" not in html


def test_a_cleared_and_a_missing_required_field_are_told_apart(
    client_of: Callable[[str], Client], db: None
) -> None:
    owner = make_user()
    make_version(document=make_definition(a="string", b={"type": "string", "required": True}))
    make_recorded(
        observations=[
            make_observation(user=owner, fields={"a": "x"}),
            make_observation(user=owner, fields={"a": None}, seconds=5),
        ]
    )
    text = read(client_of("operator"), page_of(make_snapshot(user=owner)))
    assert "a string Correct a cleared" in text
    assert "incomplete" in text
    assert "Required, but without a value: b" in text


def test_a_long_history_is_not_read(
    client_of: Callable[[str], Client], db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = make_user()
    make_version(document=make_definition(a="string"))
    make_recorded(
        observations=[make_observation(user=owner, fields={"a": str(n)}, seconds=n) for n in range(12)]
    )
    bounds = replace(selectors_explained.ON_PAGE, explained=10)
    monkeypatch.setattr(selectors_explained, "ON_PAGE", bounds)
    text = read(client_of("operator"), page_of(make_snapshot(user=owner)))
    assert '"11"' in text
    assert "runners-up are not listed" in text


def test_an_undeclared_type_shows_all_its_fields(client_of: Callable[[str], Client], db: None) -> None:
    owner = make_user()
    make_recorded(observations=[make_observation(user=owner, fields={"b": 1, "a": [1, 2]})])
    text = read(client_of("operator"), page_of(make_snapshot(user=owner)))
    assert "none: every field is kept as it comes" in text
    assert re.search(r"a \[1,2\] .* last_write .* b 1 .* last_write", text)


# --- filters --------------------------------------------------------------------------------------------
def test_an_owner_is_found_by_number_name_or_mail(client_of: Callable[[str], Client], db: None) -> None:
    ann, bob = make_user(username="ann", email="ann@example.org"), make_user(username="bob")
    make_run(records=[{"k": "of-ann", "x": 1}], user=ann)
    make_run(records=[{"k": "of-bob", "x": 1}], user=bob)
    client = client_of("viewer")
    for said in (str(ann.pk), "ann", "ann@example.org"):
        for model in (EntitySnapshot, Observation):
            text = read(client, list_of(model), owner=said)
            assert "of-ann" in text
            assert "of-bob" not in text
    for nobody in ("nobody", "0", "99999999999999999999", "a\0b"):
        assert "of-ann" not in read(client, list_of(EntitySnapshot), owner=nobody)


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"field": "smell"}, 1),
        ({"field": "smel"}, 0),
        ({"state": "active"}, 1),
        ({"state": "archived"}, 0),
        ({"reason": "unknown_field"}, 1),
        ({"value_type": "object"}, 1),
        ({"type": THING}, 1),
        ({"type": "other"}, 0),
        ({"q": "smell"}, 1),
        ({"entity": "not an id"}, 0),
    ],
)
def test_fragments_are_filtered(
    store: Store, client_of: Callable[[str], Client], query: dict[str, str], found: int
) -> None:
    html = client_of("viewer").get(list_of(RawFragment), query).content.decode()
    assert html.count('class="data-row') == found


def test_observations_are_filtered_by_run_time_and_key(
    store: Store, client_of: Callable[[str], Client]
) -> None:
    client, run = client_of("viewer"), store.run
    listed = client.get(list_of(IngestRun)).content.decode()
    link = unescape(re.findall(rf'href="([^"]*/observation/\?run={run.pk}[^"]*)"', listed)[0])
    assert client.get(link).content.decode().count('class="data-row') == 1
    for query, found in (
        ({"q": "thing-1"}, 2),
        ({"q": "thing-1", "owner": "owner-of-it"}, 2),
        ({"q": "thing-1", "owner": "nobody"}, 0),
        ({"q": str(store.observation.pk)}, 1),
        ({"q": str(store.snapshot.pk)}, 2),
        ({"received_from": "2999-01-01"}, 0),
        ({"received_to": "2999-01-01T00:00"}, 2),
        ({"received_from": "yesterday"}, 0),
        ({"run": "many"}, 0),
    ):
        html = client.get(list_of(Observation), query).content.decode()
        assert html.count('class="data-row') == found, query


def test_keys_are_found_by_their_beginning(store: Store, client_of: Callable[[str], Client]) -> None:
    client = client_of("viewer")
    assert "thing-1" in read(client, list_of(EntitySnapshot), owner="owner-of-it", key="thi")
    assert "thing-1" not in read(client, list_of(EntitySnapshot), owner="owner-of-it", key="%")
    assert "thing-1" in read(client, list_of(EntitySnapshot), q="thing-1")


def test_logins_and_owners_are_told_apart(store: Store, client_of: Callable[[str], Client]) -> None:
    client = client_of("superuser")
    assert "owner-of-it" in read(client, list_of(User), what="owner")
    assert "owner-of-it" not in read(client, list_of(User), what="login")


# --- ingest runs ----------------------------------------------------------------------------------------
def test_a_run_that_was_interrupted_says_so_to_everybody(
    store: Store, client_of: Callable[[str], Client]
) -> None:
    long_ago = timezone.now() - timedelta(days=1)
    IngestRun.objects.filter(pk=store.run.pk).update(state=IngestState.RUNNING, alive_at=long_ago)
    assert runs_interrupt_silent() == 1
    client = client_of("viewer")
    assert f"#{store.run.pk} " not in read(client, list_of(IngestRun), state="failed")
    assert f"#{store.run.pk} stream thing interrupted" in read(
        client, list_of(IngestRun), state="interrupted"
    )
    page = read(client, page_of(store.run))
    assert "its process was killed, or waits for its input" in page
    assert "last heard of" in page.lower()
    assert "interrupted" in read(client, "/admin/")


# --- signing in, times ----------------------------------------------------------------------------------
def test_too_many_wrong_passwords_lock_the_name(db: None) -> None:
    login = make_user(username="ann", is_staff=True, is_superuser=True)
    login.set_password("right-one")
    login.save()
    client, url = Client(), reverse("admin:login")
    with override_settings(AXES_FAILURE_LIMIT=3):
        for _try in range(3):
            answer = client.post(url, {"username": "ann", "password": "wrong"})
        assert answer.status_code == 429
        html = answer.content.decode()
        assert "locked for a while" in html
        assert "schemaevo/admin.css" in html
        locked = client.post(url, {"username": "ann", "password": "right-one"})
        assert locked.status_code == 429


def test_signing_in_leads_to_the_first_page(db: None) -> None:
    login = make_user(username="ann", is_staff=True)
    login.set_password("right-one")
    login.save()
    client, url = Client(), reverse("admin:login")
    hidden = re.search(r'name="next" value="([^"]*)"', client.get(url).content.decode())
    assert hidden is not None
    given = {"username": "ann", "password": "right-one", "next": hidden.group(1)}
    assert client.post(url, given)["Location"] == "/admin/"


def test_times_are_in_the_zone_of_the_login_with_utc_beside(
    store: Store, client_of: Callable[[str], Client]
) -> None:
    client = client_of("operator")
    User.objects.filter(is_staff=True).update(time_zone="Asia/Tokyo")
    html = client.get(page_of(store.observation)).content.decode()
    assert 'title="2024-05-01 12:00:00.' in html
    assert ">2024-05-01 21:00:00</time>" in html


# --- addresses that nobody types ------------------------------------------------------------------------
BAD_TEXTS = ["\0", "no such", "9" * 40, "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", "<b>"]


@pytest.mark.rounds
def test_a_filter_that_makes_no_sense_finds_nothing_and_breaks_nothing(
    store: Store, client_of: Callable[[str], Client]
) -> None:
    client = client_of("viewer")
    # In make test each filter is asked for some of them, and the next filter for the next ones.
    texts, asked = cycle(BAD_TEXTS), min(rounds(len(BAD_TEXTS)), len(BAD_TEXTS))
    for model in READ_ONLY:
        for declared in admin.site._registry[model].list_filter:
            for text in islice(texts, asked):
                answer = client.get(list_of(model), {declared.parameter_name: text})  # type: ignore[union-attr]
                assert answer.status_code in {200, 302}, (model, declared, text)


def test_the_page_of_an_entity_draws_no_empty_box(store: Store, client_of: Callable[[str], Client]) -> None:
    assert "form-rows" not in client_of("operator").get(page_of(store.snapshot)).content.decode()
