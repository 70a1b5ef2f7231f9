"""Erasure: an owner, or one entity, goes from every column of every table, and nobody else loses anything."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.contrib.sessions.models import Session
from django.test import Client

from fragments.models import BulkAct, BulkState, BulkVerb, LifecycleState
from fragments.services.erasure import entity_erase, owner_erase
from schemaevo.kernel.models import AuditEvent, Erasure, JobState, User
from schemaevo.kernel.verification import Extent
from schemaevo.kernel.verification_runs import verification_make
from tests.admin.addresses import list_of, page_of
from tests.aggregates import assert_aggregates_are_right
from tests.bulk import declare, make_act, stock, work
from tests.erasing import MARK, NAME, ONE, content_of, make_marked, places_of, run_erasure
from tests.factories import SHELL, THING, make_login, make_user
from tests.lifecycle import put

pytestmark = pytest.mark.django_db


def test_an_erased_owner_stands_in_no_column_of_any_table() -> None:
    marked = make_marked()
    planted = {place.partition(" ")[0] for place in places_of(*marked.names)}
    assert len(planted) > 30, planted
    before = content_of(marked.other)
    owner_erase(user_id=marked.owner.pk, reason=f"{NAME} asked for it", actor=SHELL)
    job = run_erasure()
    assert job.state == JobState.DONE
    assert places_of(*marked.names) == []
    assert_untouched(marked.other, before)
    assert_aggregates_are_right()
    shell = User.objects.get(pk=marked.owner.pk)
    assert shell.username == f"erased-{shell.pk}"
    assert (shell.email, shell.is_active, shell.is_staff, shell.has_usable_password()) == (
        "",
        False,
        False,
        False,
    )
    assert not Session.objects.exists()


def assert_untouched(other: User, before: dict[str, Any]) -> None:
    """Nothing of the other owner has changed, but for the name that stood in a note."""
    after = content_of(other)
    notes = [json.loads(row)["note"] for row in after.pop("quota_grants")]
    assert all("erased-" in note for note in notes)
    assert after == {table: rows for table, rows in before.items() if table != "quota_grants"}


def test_an_erased_entity_stands_in_no_column_of_any_table() -> None:
    marked = make_marked()
    assert len({place.partition(" ")[0] for place in places_of(ONE)}) > 12
    before = content_of(marked.other)
    kept = {place.partition(" ")[0] for place in places_of(MARK)}
    entity_erase(
        user_id=marked.owner.pk,
        entity_type=THING,
        entity_key=f"{ONE}-key",
        reason=f"{ONE}-key was wrong",
        actor=SHELL,
    )
    assert run_erasure().state == JobState.DONE
    assert places_of(ONE) == []
    assert_untouched(marked.other, before)
    assert {place.partition(" ")[0] for place in places_of(MARK)} == kept - {"jobs.error"}
    assert_aggregates_are_right()


def test_the_audit_log_keeps_that_it_was_done_and_counts_alone() -> None:
    marked = make_marked()
    asked = owner_erase(user_id=marked.owner.pk, reason="they asked", actor=SHELL)
    run_erasure()
    begun, done = AuditEvent.objects.filter(action__startswith="erasure.").order_by("pk")
    assert begun.after == {"owner": marked.owner.pk, "entity_type": None, "entity": None}
    assert (begun.reason, done.reason) == ("", "")
    assert isinstance(done.after, dict)
    assert done.after["owner"] == marked.owner.pk
    assert done.after["rows"]["entity_snapshots"] == 5
    erasure = Erasure.objects.get(pk=asked.erasure.pk)
    assert (erasure.reason, erasure.names, erasure.targets) == ("they asked", [], {})
    assert erasure.counts == done.after["rows"]


def test_what_is_left_verifies() -> None:
    marked = make_marked()
    owner_erase(user_id=marked.owner.pk, reason="they asked", actor=SHELL)
    run_erasure()
    verification = verification_make(extent=Extent(), actor=SHELL)
    assert {(tally.divergent, tally.waiting) for _, tally in verification.done} == {(0, 0)}


@pytest.mark.parametrize("name", ["field", "owner", "state", "reason", "active"])
def test_whoever_is_called_as_filters_are_leaves_others_acts_in_bulk_as_they_were(
    name: str, client: Client
) -> None:
    declare()
    other, erased = make_user(username="ada"), make_user(username=name)
    for user in (other, erased):
        stock(user=user, a=..., b="x")
    put(LifecycleState.ARCHIVED, fragment_key="b")
    act = work(make_act(BulkVerb.ARCHIVE, {"owner": "ada", "reason": "unknown_field"}))
    stock(user=other, entities=1, c=5)
    waiting = make_act(BulkVerb.ARCHIVE, {"owner": "ada", "state": "active", "type": THING})
    before = act.filter, act.refusals, waiting.filter
    assert act.refusals
    owner_erase(user_id=erased.pk, reason="they asked", actor=SHELL)
    assert run_erasure().state == JobState.DONE
    act.refresh_from_db()
    waiting.refresh_from_db()
    assert (act.filter, act.refusals, waiting.filter) == before
    client.force_login(make_login(role="viewer"), backend="django.contrib.auth.backends.ModelBackend")
    for url in (list_of(BulkAct), page_of(act), page_of(waiting)):
        assert client.get(url).status_code == 200
    assert work(waiting).state == BulkState.DONE


def test_what_somebody_typed_into_the_filter_of_an_act_in_bulk_names_nobody_erased() -> None:
    declare()
    erased = make_user(username="wintergarten")
    stock(user=make_user(username="ada"), wintergarten=1)
    act = make_act(BulkVerb.ARCHIVE, {"owner": "ada", "field": "wintergarten", "q": "wintergarten"})
    owner_erase(user_id=erased.pk, reason="they asked", actor=SHELL)
    run_erasure()
    act.refresh_from_db()
    assert act.filter["field"] == act.filter["q"] == f"erased-{erased.pk}"
