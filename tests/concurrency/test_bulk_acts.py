"""An act in bulk beside ingest, promotion and a second worker: no row is acted on that does not match any more (I9)."""

from __future__ import annotations

import threading
from collections import Counter
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from django.db import connection, transaction

from fragments.models import BulkAct, BulkVerb, LifecycleState, Promotion, RawFragment
from fragments.selectors_bulk import act_job
from fragments.services import bulk_pieces, bulk_runs
from fragments.services.bulk_acts import bulk_act_cancel
from fragments.services.promotions import field_promote
from registry.services.locking import hold_for_writing
from schemaevo.kernel.jobs import run_job
from schemaevo.kernel.models import User
from tests.aggregates import assert_aggregates_are_right
from tests.bulk import declare, make_act, put_field, work
from tests.factories import NOON, SHELL, THING, make_run, make_user
from tests.threads import PATIENCE_S, Aside, side_by_side, waiting_for_locks
from tests.waiting import wait_for

pytestmark = pytest.mark.django_db(transaction=True)

COUNT = 12


@pytest.fixture
def owner() -> User:
    """The owner of fragments of two fields."""
    declare()
    owner = make_user(username="ada")
    make_run(user=owner, records=records(range(COUNT)))
    return owner


def records(numbers: range) -> list[dict[str, Any]]:
    return [{"k": f"k{n}", "a": n, "b": n} for n in numbers]


def states(field: str) -> Counter[str]:
    return Counter(RawFragment.objects.filter(fragment_key=field).values_list("lifecycle_state", flat=True))


def run(act: BulkAct) -> BulkAct:
    job = act_job(act)
    assert job is not None
    run_job(str(job.pk))
    act.refresh_from_db()
    return act


def waits_for_a_row() -> bool:
    """Whether somebody waits for a row that another transaction holds."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database()"
            " AND wait_event IN ('transactionid', 'tuple'))"
        )
        return bool(cursor.fetchone()[0])


class Halfway:
    """The act has looked for its rows, and locked none of them, until it is let go."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.has_looked = threading.Event()
        self.may_go_on = threading.Event()
        self._act_on = bulk_pieces.piece_act
        monkeypatch.setattr(bulk_runs, "piece_act", self._piece_act)

    def _piece_act(self, *given: Any) -> Any:
        if not self.has_looked.is_set():
            self.has_looked.set()
            assert self.may_go_on.wait(PATIENCE_S)
        return self._act_on(*given)


def test_what_is_seen_again_between_look_and_lock_is_not_what_was_meant(
    owner: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_field("a", LifecycleState.ARCHIVED)
    act = make_act(BulkVerb.RESTORE, {"state": "archived"})
    halfway = Halfway(monkeypatch)
    with Aside(partial(run, act)) as done:
        assert halfway.has_looked.wait(PATIENCE_S)
        make_run(user=owner, records=records(range(2)), observed_at=NOON + timedelta(hours=1))
        halfway.may_go_on.set()
        done.result(PATIENCE_S)
    act.refresh_from_db()
    assert act.is_done
    assert act.skipped == {"archived": COUNT - 2, "changed": 2}
    assert_aggregates_are_right()


def test_what_is_promoted_between_look_and_lock_is_not_archived(
    owner: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    act = make_act(BulkVerb.ARCHIVE, {"state": "active"})
    halfway = Halfway(monkeypatch)
    with Aside(partial(run, act)) as done:
        assert halfway.has_looked.wait(PATIENCE_S)
        put_field("a", LifecycleState.PROMOTED)
        halfway.may_go_on.set()
        done.result(PATIENCE_S)
    act.refresh_from_db()
    assert (act.done_count, act.skipped) == (COUNT, {"changed": COUNT})
    assert (states("a"), states("b")) == ({"promoted": COUNT}, {"archived": COUNT})


def test_a_promotion_waits_for_an_ingest_that_has_begun(owner: User, monkeypatch: pytest.MonkeyPatch) -> None:
    act = make_act(BulkVerb.PROMOTE, {"field": "a"})
    with transaction.atomic():
        hold_for_writing(THING, [owner.pk])
        aside = Aside(partial(run, act))
        done = aside.__enter__()
        wait_for(lambda: waiting_for_locks() > 0, "the act to wait for the ingest")
        assert not Promotion.objects.exists()
    done.result(PATIENCE_S)
    aside.__exit__()
    assert Promotion.objects.get().fragment_key == "a"


def test_a_field_that_somebody_else_promotes_meanwhile_is_told(
    owner: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    act = make_act(BulkVerb.PROMOTE, {})
    halfway = Halfway(monkeypatch)
    with Aside(partial(run, act)) as done:
        assert halfway.has_looked.wait(PATIENCE_S)
        field_promote(
            user_id=owner.pk, entity_type=THING, field="a", declaration={"type": "number"}, actor=SHELL
        )
        halfway.may_go_on.set()
        done.result(PATIENCE_S)
    act.refresh_from_db()
    assert (act.done_count, act.skipped) == (1, {"already_declared": 1})
    assert Promotion.objects.count() == 2


def test_rows_come_in_and_are_seen_again_while_they_are_archived(
    owner: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk_pieces, "ROWS_AT_ONCE", dict.fromkeys(BulkVerb, 3))
    bound = RawFragment.objects.order_by("-pk").values_list("pk", flat=True)[0]
    act = make_act(BulkVerb.ARCHIVE, {"field": "a"})

    def ingest() -> None:
        for number in range(6):
            make_run(user=owner, records=records(range(COUNT + number * 3, COUNT + number * 3 + 3)))
            make_run(user=owner, records=records(range(3)), source=f"again-{number}")

    def at_work() -> None:
        run(act)

    side_by_side([ingest, at_work, at_work])
    act = work(act)
    assert (act.matched_count, act.done_count) == (COUNT, COUNT)
    archived = RawFragment.objects.filter(lifecycle_state="archived")
    assert set(archived.values_list("fragment_key", flat=True)) == {"a"}
    assert not archived.filter(pk__gt=bound).exists()
    assert_aggregates_are_right()


def test_cancelling_waits_for_the_piece_that_is_being_done(
    owner: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk_pieces, "ROWS_AT_ONCE", dict.fromkeys(BulkVerb, 5))
    act = make_act(BulkVerb.ARCHIVE, {"field": "a"})
    halfway = Halfway(monkeypatch)
    with Aside(partial(run, act)) as done:
        assert halfway.has_looked.wait(PATIENCE_S)
        with Aside(lambda: bulk_act_cancel(act_id=act.pk, actor=SHELL)) as cancelled:
            wait_for(waits_for_a_row, "the cancellation to wait for the piece")
            halfway.may_go_on.set()
            cancelled.result(PATIENCE_S)
        done.result(PATIENCE_S)
    act.refresh_from_db()
    assert act.state == "cancelled"
    assert act.matched_count == act.done_count == states("a")["archived"]
    assert act.matched_count < COUNT
