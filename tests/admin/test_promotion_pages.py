"""Promotions in the browser: what became of them, which jobs are at it, and undoing one with what it comes to."""

from __future__ import annotations

import re
from collections.abc import Callable
from html import unescape

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from fragments.models import FieldDismissal, Promotion, PromotionCause, PromotionState, RawFragment
from fragments.selectors_promotion_jobs import PROMOTE
from fragments.services.promotions import field_promote, promotion_undo
from registry.domain.targets import job_target
from registry.selectors import effective_schema
from registry.selectors_quotas import quota_of
from schemaevo.kernel.canonical import JsonObject
from schemaevo.kernel.job_control import job_cancel
from schemaevo.kernel.jobs import job_alive, run_job
from schemaevo.kernel.models import AuditEvent, Job, User
from snapshots.services.observations import RECOMPUTE
from tests.admin.addresses import list_of, page_of, verb_of
from tests.enhancements import make_given_up
from tests.factories import (
    SHELL,
    THING,
    make_definition,
    make_maximum,
    make_run,
    make_snapshot,
    make_user,
    make_version,
)

pytestmark = pytest.mark.django_db

NUMBER: JsonObject = {
    "type": "number",
    "converters": [{"from": "string", "to": "number", "function": "string_to_number"}],
}


@pytest.fixture
def owner() -> User:
    """An owner to whom a global schema applies; of `size` two are numbers, one is after conversion, one is not."""
    make_version(document=make_definition(k="string"))
    work_of_type()
    owner = make_user(username="ada")
    sizes = [1, 2, "3", "large"]
    make_run(user=owner, records=[{"k": f"k{n}", "size": size} for n, size in enumerate(sizes)])
    return owner


def promote(owner: User, field: str = "size", **more: object) -> Promotion:
    return field_promote(
        user_id=owner.pk,
        entity_type=THING,
        field=field,
        declaration=NUMBER,
        actor=SHELL,
        **more,  # type: ignore[arg-type]
    ).promotion


def work(owner: User) -> None:
    """What is owed for the owner is done, as workers do it."""
    for kind in (PROMOTE, RECOMPUTE):
        job = job_alive(kind, job_target(THING, owner.pk))
        assert job is not None
        run_job(str(job.pk))


def work_of_type() -> None:
    """What is owed for the whole type is done, such as that what the global schema declares leaves the extensions."""
    for job in Job.objects.filter(target=THING, state="pending").order_by("requested_at"):
        run_job(str(job.pk))


def text_of(html: str) -> str:
    """What a reader of a page reads, on one line."""
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]+>", " ", html.partition('id="content"')[2] or html)))


def read(client: Client, url: str, **query: str) -> str:
    answer = client.get(url, query)
    assert answer.status_code == 200
    return text_of(answer.content.decode())


def fact(html: str, name: str) -> str:
    """One of the figures of a page."""
    found = re.search(rf'data-fact="{name}">(.*?)</dd>', html, re.DOTALL)
    assert found is not None, name
    return text_of(found.group(1)).strip()


# --- looking ----------------------------------------------------------------------------------------------
def test_the_list_tells_what_was_declared_and_what_became_of_it(
    owner: User, client_of: Callable[[str], Client]
) -> None:
    promote(owner)
    work(owner)
    text = read(client_of("viewer"), list_of(Promotion))
    assert re.search(r"size ada thing number with a converter done 3 1 the shell", text)


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"owner": "ada"}, 2),
        ({"owner": "nobody"}, 0),
        ({"type": THING}, 2),
        ({"type": "other"}, 0),
        ({"state": "running"}, 2),
        ({"state": "undone"}, 0),
        ({"cause": "enhancement"}, 1),
        ({"cause": "login"}, 1),
        ({"field": "size"}, 1),
        ({"q": "weight"}, 1),
        ({"q": "weigh"}, 0),
        ({"q": "#999999999"}, 0),
    ],
)
def test_promotions_are_filtered(
    owner: User, client_of: Callable[[str], Client], query: dict[str, str], found: int
) -> None:
    make_run(user=owner, records=[{"k": "k0", "weight": 1}])
    promote(owner)
    promote(owner, "weight", cause=PromotionCause.ENHANCEMENT)
    html = client_of("viewer").get(list_of(Promotion), query).content.decode()
    assert html.count('class="data-row') == found


def test_a_promotion_is_found_by_its_number(owner: User, client_of: Callable[[str], Client]) -> None:
    promotion = promote(owner)
    html = client_of("viewer").get(list_of(Promotion), {"q": f"#{promotion.pk}"}).content.decode()
    assert html.count('class="data-row') == 1


def test_its_page_leads_to_the_fragments_and_to_the_audit_log(
    owner: User, client_of: Callable[[str], Client]
) -> None:
    promotion = promote(owner, note="asked for by the owner")
    work(owner)
    client = client_of("viewer")
    html = client.get(page_of(promotion)).content.decode()
    assert (fact(html, "promoted"), fact(html, "misfit")) == ("3", "1")
    assert "asked for by the owner" in html
    assert "string_to_number" in html
    links = [unescape(href) for href in re.findall(r'href="([^"]+)"', html)]
    rows = [
        client.get(link).content.decode().count('class="data-row')
        for link in links
        if link.startswith((list_of(RawFragment) + "?", list_of(AuditEvent) + "?"))
    ]
    # Three are promoted, one waits; it was begun and done.
    assert rows == [3, 1, 2]


def test_while_jobs_are_at_it_the_page_follows_them(owner: User, client_of: Callable[[str], Client]) -> None:
    client, promotion = client_of("viewer"), promote(owner)
    html = client.get(page_of(promotion)).content.decode()
    jobs = {kind: job_alive(kind, job_target(THING, owner.pk)) for kind in (PROMOTE, RECOMPUTE)}
    for job in jobs.values():
        assert job is not None
        assert page_of(job) in html
    assert "Fragments become observations pending" in text_of(html)
    live = client.get(verb_of(Promotion, "live", promotion.pk)).content.decode()
    assert "data-live-over" not in live
    assert "<html" not in live
    run_job(str(jobs[PROMOTE].pk))  # type: ignore[union-attr]
    live = client.get(verb_of(Promotion, "live", promotion.pk)).content.decode()
    # All fragments are where they belong, and the snapshots are not yet.
    assert "Snapshots are recomputed pending" in text_of(live)
    assert "data-live-over" not in live
    run_job(str(jobs[RECOMPUTE].pk))  # type: ignore[union-attr]
    live = client.get(verb_of(Promotion, "live", promotion.pk)).content.decode()
    assert "data-live-over" in live
    assert fact(live, "promoted") == "3"
    assert "At work" not in live


def test_a_job_that_ended_too_early_is_told(owner: User, client_of: Callable[[str], Client]) -> None:
    promotion = promote(owner)
    job = job_alive(PROMOTE, job_target(THING, owner.pk))
    assert job is not None
    job_cancel(job_id=job.pk, actor=SHELL)
    html = client_of("operator").get(page_of(promotion)).content.decode()
    assert "No job is at it: the last one is cancelled." in text_of(html)
    assert page_of(job) in html


def test_what_auto_enhancement_promoted_leads_to_why(owner: User, client_of: Callable[[str], Client]) -> None:
    promotion = promote(owner, cause=PromotionCause.ENHANCEMENT)
    why = make_given_up(user=owner, field="size", state="promoted", attempts=0, error="", promotion=promotion)
    html = client_of("viewer").get(page_of(promotion)).content.decode()
    assert f'<a class="se-link" href="{page_of(why)}">auto-enhancement</a>' in html


def test_the_number_of_queries_does_not_depend_on_the_rows(
    owner: User, client_of: Callable[[str], Client]
) -> None:
    client, counts = client_of("superuser"), []
    for count in (2, 30):
        make_run(user=owner, records=[{"k": "k0", **{f"f{count}-{n}": n for n in range(count)}}])
        for n in range(count):
            newest = promote(owner, f"f{count}-{n}")
        pages = [list_of(Promotion), page_of(newest), verb_of(Promotion, "undo", newest.pk)]
        counted = []
        for url in pages:
            with CaptureQueriesContext(connection) as queries:
                assert client.get(url).status_code == 200
            counted.append(len(queries))
        counts.append(counted)
    assert counts[0] == counts[1]
    assert all(count <= 25 for count in counts[0]), counts


# --- undoing ----------------------------------------------------------------------------------------------
def test_the_page_of_undoing_tells_what_that_comes_to(
    owner: User, client_of: Callable[[str], Client]
) -> None:
    promotion = promote(owner)
    work(owner)
    # The original of what came converted by then was never promoted, and does not wait.
    make_run(user=owner, records=[{"k": "k0", "size": "7"}])
    html = client_of("schema_admin").get(verb_of(Promotion, "undo", promotion.pk)).content.decode()
    assert {name: fact(html, name) for name in ("waiting-again", "snapshots", "schemas", "fields")} == {
        "waiting-again": "3",
        "snapshots": "4",
        "schemas": "1 → 0 of 10",
        "fields": "1 → 0 of 200",
    }


def test_what_was_told_is_what_happens(owner: User, client_of: Callable[[str], Client]) -> None:
    client, promotion = client_of("schema_admin"), promote(owner)
    work(owner)
    answer = client.post(verb_of(Promotion, "undo", promotion.pk), {"note": "it was a mistake"})
    assert (answer.status_code, answer.headers["Location"]) == (302, page_of(promotion))
    work(owner)
    assert RawFragment.objects.filter(lifecycle_state="active").count() == 4
    assert quota_of(user_id=owner.pk).fields.usage == 0
    definition = effective_schema(entity_type=THING, user_id=owner.pk).definition
    assert definition is not None
    assert "size" not in definition.fields
    assert make_snapshot(user=owner, key="k0").values == {"k": "k0"}
    event = AuditEvent.objects.get(action="promotion.undo")
    assert event.reason == "it was a mistake"
    assert event.actor is not None
    assert FieldDismissal.objects.get().reason == "it was a mistake"
    assert "undone" in read(client, page_of(promotion))


def test_of_an_own_schema_a_field_is_given_back(client_of: Callable[[str], Client]) -> None:
    owner = make_user()
    make_version(document=make_definition(k="string"), user=owner)
    make_run(user=owner, records=[{"k": "a", "size": 1}])
    promotion = promote(owner)
    html = client_of("schema_admin").get(verb_of(Promotion, "undo", promotion.pk)).content.decode()
    assert (fact(html, "schemas"), fact(html, "fields")) == ("1 of 10", "2 → 1 of 200")
    assert "still at work" in html


def test_what_cannot_be_undone_says_so_and_offers_nothing(
    owner: User, client_of: Callable[[str], Client]
) -> None:
    client, first = client_of("schema_admin"), promote(owner)
    promotion_undo(promotion_id=first.pk, actor=SHELL)
    second = promote(owner)
    undo_first, undo_second = (verb_of(Promotion, "undo", row.pk) for row in (first, second))
    assert f"Promotion {first.pk} is undone already." in read(client, undo_first)
    Promotion.objects.filter(pk=first.pk).update(state=PromotionState.DONE)
    assert f"size was promoted anew since; undo promotion {second.pk} instead." in read(client, undo_first)
    assert f"It cannot be undone: size was promoted anew since; undo promotion {second.pk}" in read(
        client, page_of(first)
    )
    assert undo_first not in client.get(page_of(first)).content.decode()
    # The global schema declares it by now.
    make_version(document=make_definition(k="string", size="number"))
    work_of_type()
    html = client.get(undo_second).content.decode()
    assert "size is not in this user's part of the schema any more" in text_of(html)
    assert "csrfmiddlewaretoken" not in html.partition('id="content"')[2]


def test_a_refused_undo_is_told_on_the_page_and_changes_nothing(
    owner: User, client_of: Callable[[str], Client]
) -> None:
    client, promotion = client_of("schema_admin"), promote(owner)
    promotion_undo(promotion_id=promotion.pk, actor=SHELL)
    events = AuditEvent.objects.count()
    answer = client.post(verb_of(Promotion, "undo", promotion.pk), {"note": "again"})
    assert answer.status_code == 200
    assert text_of(answer.content.decode()).count("is undone already") == 1
    too_long = client.post(verb_of(Promotion, "undo", promotion.pk), {"note": "x" * 2001})
    assert too_long.status_code == 200
    assert AuditEvent.objects.count() == events


def test_a_note_that_is_too_long_stays_in_the_form(owner: User, client_of: Callable[[str], Client]) -> None:
    promotion = promote(owner)
    answer = client_of("schema_admin").post(verb_of(Promotion, "undo", promotion.pk), {"note": "x" * 2001})
    assert "at most 2000 characters" in text_of(answer.content.decode())
    assert "x" * 2001 in answer.content.decode()
    promotion.refresh_from_db()
    assert promotion.state == PromotionState.RUNNING


def test_looking_changes_nothing_and_other_methods_are_refused(
    owner: User, client_of: Callable[[str], Client]
) -> None:
    client, promotion = client_of("schema_admin"), promote(owner)
    before = (AuditEvent.objects.count(), Job.objects.count())
    url = verb_of(Promotion, "undo", promotion.pk)
    assert client.get(url).status_code == 200
    assert client.put(url).status_code == 405
    assert client.get(verb_of(Promotion, "undo", 999_999)).status_code == 404
    assert client.get(verb_of(Promotion, "live", 999_999)).status_code == 404
    promotion.refresh_from_db()
    assert promotion.state == PromotionState.RUNNING
    assert (AuditEvent.objects.count(), Job.objects.count()) == before


def test_who_may_not_undo_is_offered_nothing(owner: User, client_of: Callable[[str], Client]) -> None:
    promotion, client = promote(owner), client_of("operator")
    assert "Undo…" not in read(client, page_of(promotion))
    assert "A schema admin can undo it" in read(client, page_of(promotion))


def test_a_warning_of_the_quota_is_told_after_undoing(client_of: Callable[[str], Client]) -> None:
    owner = make_user()
    make_version(document=make_definition(k="string", l="string"), user=owner)
    make_run(user=owner, records=[{"k": "a", "size": 1}])
    promotion = promote(owner)
    make_maximum(user=owner, max_fields=2)
    client = client_of("schema_admin")
    answer = client.post(verb_of(Promotion, "undo", promotion.pk), {"note": ""}, follow=True)
    assert "2 of 2 fields (100 %)" in answer.content.decode()
