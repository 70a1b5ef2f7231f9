"""The pages of verifications: the list, what one of them found with the ways to it, and the panel of the first page."""

import re
from collections.abc import Callable
from html import unescape
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from fragments.services.aggregates_verify import AGGREGATES
from registry.models import UserQuota
from registry.services.verify import QUOTAS
from schemaevo.kernel.jobs import job_request, run_job
from schemaevo.kernel.models import Job, VerifyOutcome
from schemaevo.kernel.references import REFERENCES
from schemaevo.kernel.verification import Extent
from schemaevo.kernel.verification_runs import VERIFY, verification_make
from snapshots.models import EntitySnapshot
from snapshots.services.verify import SNAPSHOTS
from tests.admin.addresses import list_of, page_of, verb_of
from tests.admin.conftest import SECRET, Store
from tests.admin.test_pages import read
from tests.factories import SHELL, make_definition, make_user, make_version
from tests.quotas import tamper


def wrong(store: Store) -> VerifyOutcome:
    """A verification that found the store's snapshot divergent."""
    EntitySnapshot.objects.filter(pk=store.snapshot.pk).update(observation_count=77, deleted=True)
    verification_make(extent=Extent(), actor=SHELL)
    return newest(SNAPSHOTS)


def newest(kind: str) -> VerifyOutcome:
    return VerifyOutcome.objects.filter(kind=kind).latest("id")


def rows(client: Client, **query: str) -> list[str]:
    """The kinds that the list shows, from above."""
    html = client.get(list_of(VerifyOutcome), query).content.decode()
    return re.findall(r"field-kind_shown[^>]*>\s*([a-z]+)\s*<", html)


# --- the list -------------------------------------------------------------------------------------------
def test_an_empty_list_says_where_to_begin(client_of: Callable[[str], Client], settings: Any) -> None:
    settings.SCHEMAEVO_VERIFY_INTERVAL_S = 900
    text = read(client_of("viewer"), list_of(VerifyOutcome))
    assert "Nothing has been verified yet" in text
    assert "every 15 minutes" in text
    assert "manage.py verify --all" in text


def test_the_list_is_narrowed_by_kind_outcome_and_scope(
    store: Store, client_of: Callable[[str], Client]
) -> None:
    VerifyOutcome.objects.all().delete()
    wrong(store)
    verification_make(extent=Extent(5), actor=SHELL, kinds=[SNAPSHOTS], is_repair=True)
    client = client_of("viewer")
    assert rows(client) == [SNAPSHOTS, SNAPSHOTS, REFERENCES, QUOTAS, AGGREGATES]
    assert rows(client, kind=QUOTAS) == [QUOTAS]
    assert rows(client, outcome="divergent") == [SNAPSHOTS, SNAPSHOTS]
    assert rows(client, outcome="left") == [SNAPSHOTS]
    assert rows(client, outcome="right") == [REFERENCES, QUOTAS, AGGREGATES]
    assert rows(client, scope="sample") == [SNAPSHOTS]
    same = rows(client, verification=str(newest(QUOTAS).verification))
    assert same == [SNAPSHOTS, REFERENCES, QUOTAS, AGGREGATES]
    assert rows(client, kind="weather") == rows(client, outcome="weather") == []
    text = read(client, list_of(VerifyOutcome), kind=QUOTAS, outcome="left")
    assert "Nothing like this has been found" in text
    assert "Nothing has been verified yet" not in text


def test_the_list_costs_the_same_number_of_queries_at_any_length(
    store: Store, client_of: Callable[[str], Client]
) -> None:
    client, counts = client_of("viewer"), []
    for _round in range(2):
        with CaptureQueriesContext(connection) as queries:
            client.get(list_of(VerifyOutcome))
        counts.append(len(queries))
        for _more in range(8):
            verification_make(extent=Extent(), actor=SHELL)
    assert counts[0] == counts[1]


# --- one verification -----------------------------------------------------------------------------------
@pytest.mark.parametrize("role", ["viewer", "operator"])
def test_a_divergent_snapshot_is_named_with_the_way_to_it_and_no_value(
    store: Store, client_of: Callable[[str], Client], role: str
) -> None:
    html = client_of(role).get(page_of(wrong(store))).content.decode()
    text = re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]+>", " ", html)))
    assert f'href="{page_of(store.snapshot)}"' in html
    assert "thing-1 thing owner-of-it deleted observation_count" in text
    assert "verify --all --kind snapshots --repair" in text
    assert SECRET not in html


def test_a_wrong_quota_is_named_with_the_way_to_it(store: Store, client_of: Callable[[str], Client]) -> None:
    ada = make_user(username="ada")
    make_version(document=make_definition(a="string"), user=ada)
    tamper(ada, total_fields=7)
    verification_make(extent=Extent(), actor=SHELL)
    html = client_of("viewer").get(page_of(newest(QUOTAS))).content.decode()
    assert f'href="{page_of(UserQuota.objects.get(user=ada))}"' in html
    assert re.search(r"ada.*<td>1</td><td>1</td><td>7</td><td>1</td>", html, flags=re.DOTALL)


def test_a_dangling_reference_is_named_and_nothing_is_promised(
    store: Store, client_of: Callable[[str], Client]
) -> None:
    gone = uuid4()
    store.fragment.source_id = gone
    store.fragment.save(update_fields=["source_id"])
    verification_make(extent=Extent(), actor=SHELL)
    html = client_of("viewer").get(page_of(newest(REFERENCES))).content.decode()
    assert f'href="{page_of(store.fragment)}"' in html
    assert str(gone) in html
    assert "nothing can repair them" in html
    assert "--repair" not in html


def test_what_was_repaired_is_told_apart(store: Store, client_of: Callable[[str], Client]) -> None:
    wrong(store)
    verification_make(extent=Extent(), actor=SHELL, is_repair=True)
    text = read(client_of("viewer"), page_of(newest(SNAPSHOTS)))
    assert "All of it was repaired" in text
    assert "Repaired 1" in text
    assert "--repair" not in text


def test_the_job_is_linked_as_long_as_there_is_one(store: Store, client_of: Callable[[str], Client]) -> None:
    job = job_request(kind=VERIFY)
    run_job(str(job.pk))
    client, page = client_of("viewer"), page_of(newest(SNAPSHOTS))
    assert f'href="{verb_of(Job, "change", job.pk)}"' in client.get(page).content.decode()
    job.delete()
    assert "is not kept any more" in read(client, page)


def test_what_was_found_long_ago_may_be_gone_and_of_any_shape(
    store: Store, client_of: Callable[[str], Client]
) -> None:
    client = client_of("viewer")
    entity, evil = uuid4(), "<script>alert(1)</script>"
    said: list[Any] = [
        {"entity": str(entity), "entity_type": evil, "user_id": 999_999, "columns": ["values"]}
    ]
    for kind in (SNAPSHOTS, QUOTAS, REFERENCES, "forgotten"):
        shapes = [
            *said,
            {},
            {"entity": 5, "columns": 7, "gone": [], "user_id": "x", "table": evil, "id": None},
        ]
        outcome = VerifyOutcome.objects.create(
            verification=uuid4(),
            kind=kind,
            actor_name="shell",
            scope="all",
            checked=9,
            divergent=9,
            examples=shapes,
            seconds=1,
            began_at=timezone.now(),
        )
        answer = client.get(page_of(outcome))
        assert answer.status_code == 200
        assert evil not in answer.content.decode()
        assert "6 more are not listed" in read(client, page_of(outcome))
    assert str(entity) in read(client, page_of(VerifyOutcome.objects.get(kind="forgotten")))
    assert "forgotten" in read(client, list_of(VerifyOutcome))


def test_many_examples_cost_no_more_queries_than_few(
    store: Store, client_of: Callable[[str], Client]
) -> None:
    outcome = wrong(store)
    client, counts = client_of("viewer"), []
    for factor in (1, 20):
        VerifyOutcome.objects.filter(pk=outcome.pk).update(examples=outcome.examples * factor)
        with CaptureQueriesContext(connection) as queries:
            client.get(page_of(outcome))
        counts.append(len(queries))
    assert counts[0] == counts[1]


# --- the first page -------------------------------------------------------------------------------------
def test_the_first_page_says_that_nothing_was_verified_yet(client_of: Callable[[str], Client]) -> None:
    text = read(client_of("viewer"), "/admin/")
    assert "Verification has not run yet" in text
    assert "Nothing has been verified yet" in text


def test_the_first_page_tells_the_share_that_was_verified_and_the_rate(
    store: Store, client_of: Callable[[str], Client]
) -> None:
    client = client_of("viewer")
    text = read(client, "/admin/")
    assert "Verification nothing diverges" in text
    assert "100 % of the only snapshot compared in the last 7 days" in text
    wrong(store)
    html = client.get("/admin/").content.decode()
    text = read(client, "/admin/")
    assert "Verification snapshots diverge" in text
    assert "snapshots diverges 1 (50 %) 1 (50 %) 2" in text
    assert f"{list_of(VerifyOutcome)}?kind=snapshots&amp;outcome=divergent" in html
    assert "se-verify-bad" in html
    verification_make(extent=Extent(), actor=SHELL, is_repair=True)
    text = read(client, "/admin/")
    assert "Verification nothing diverges" in text
    assert "snapshots 2 (67 %)" in text


def test_the_first_page_shows_verifications_to_those_who_may_see_them(
    store: Store, client_of: Callable[[str], Client]
) -> None:
    assert "Verification" not in read(client_of("none"), "/admin/")


def test_the_first_page_costs_the_same_number_of_queries_after_any_number_of_verifications(
    store: Store, client_of: Callable[[str], Client]
) -> None:
    client, counts = client_of("viewer"), []
    client.get("/admin/")
    for _round in range(2):
        with CaptureQueriesContext(connection) as queries:
            client.get("/admin/")
        counts.append(len(queries))
        for _more in range(5):
            wrong(store)
    assert counts[0] == counts[1]
