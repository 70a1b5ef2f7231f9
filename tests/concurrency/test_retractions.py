"""Ingest of a source while it is retracted, or given back: whoever came first, it ends exact (I1, I3)."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from django.db import transaction

from fragments.services import retraction_runs
from schemaevo.kernel.models import User
from snapshots.models import Observation
from snapshots.services import observations
from snapshots.services.merging import snapshots_present
from tests.aggregates import stored
from tests.factories import THING, make_definition, make_run, make_snapshot, make_user, make_version
from tests.retractions import assert_all_right, give_back, retract, settle
from tests.threads import PATIENCE_S, Aside, side_by_side, waiting_for_locks
from tests.waiting import wait_for

pytestmark = pytest.mark.django_db(transaction=True)

OTHER = "other_things"


@pytest.fixture
def owner() -> User:
    """The owner of three entities that two sources spoke of."""
    owner = make_user()
    make_version(document=make_definition(k="string", a="number"))
    for source in ("right", "wrong"):
        make_run(records=records(source, range(6)), user=owner, source=source)
    return owner


def records(mark: str, numbers: range) -> list[dict[str, Any]]:
    return [{"k": f"k{n % 3}", "a": n, "n": f"{mark}-{n}", "x": f"{mark}-{n}"} for n in numbers]


class Halfway:
    """An ingest that has stored its observations, and neither merged nor committed, until it is let go."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.has_stored = threading.Event()
        self.may_go_on = threading.Event()
        self._local = threading.local()
        monkeypatch.setattr(observations, "snapshots_present", self._present)

    def ingest(self, **given: Any) -> None:
        self._local.stops = True
        make_run(**given)

    def _present(self, entity_ids: Any) -> set[str]:
        if getattr(self._local, "stops", False):
            self._local.stops = False
            self.has_stored.set()
            assert self.may_go_on.wait(PATIENCE_S)
        return snapshots_present(entity_ids)


@pytest.mark.parametrize("entity_type", [THING, OTHER])
@pytest.mark.parametrize("act", [retract, give_back])
def test_an_ingest_that_began_before_is_waited_for(
    owner: User,
    act: Callable[[User, str], object],
    entity_type: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Also one of an entity type of which the owner had nothing."""
    if act is give_back:
        retract(owner, "wrong")
        settle()
    halfway = Halfway(monkeypatch)
    news = records("late", range(6, 12))
    given = {"records": news, "user": owner, "source": "wrong", "entity_type": entity_type}
    with Aside(partial(halfway.ingest, **given)) as ingested:
        assert halfway.has_stored.wait(PATIENCE_S)
        with Aside(partial(act, owner, "wrong")) as acted:
            wait_for(lambda: waiting_for_locks() > 0, "the other to wait for the ingest")
            halfway.may_go_on.set()
            ingested.result(PATIENCE_S)
            acted.result(PATIENCE_S)
    settle()
    assert_all_right()
    counts = {THING: 2, OTHER: 0} if act is retract else {THING: 6, OTHER: 2}
    snapshot = make_snapshot(user=owner, key="k0", entity_type=entity_type)
    assert snapshot.observation_count == counts[entity_type]


def test_an_ingest_that_began_after_waits_and_knows(owner: User) -> None:
    late = Aside(lambda: make_run(records=records("late", range(6, 9)), user=owner, source="wrong"))
    with transaction.atomic():
        retract(owner, "wrong")
        ingested = late.__enter__()
        wait_for(lambda: waiting_for_locks() > 0, "the ingest to wait for the retraction")
        assert not ingested.done()
    ingested.result(PATIENCE_S)
    late.__exit__()
    settle()
    assert Observation.objects.count() == 15
    assert make_snapshot(user=owner, key="k0").observation_count == 2
    assert_all_right()


def test_sources_are_retracted_and_given_back_while_all_of_them_are_ingested(
    owner: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retraction_runs, "CHUNK_OBSERVATIONS", 2)
    count = 8

    def ingest(source: str) -> None:
        for batch in range(count):
            news = records(f"{source}-{batch}", range(3))
            make_run(records=news, user=owner, source=source)

    def turn_round() -> None:
        for _ in range(3):
            retract(owner, "wrong")
            settle()
            give_back(owner, "wrong")
            settle()
        retract(owner, "wrong")

    acts: list[Callable[[], None]] = [partial(ingest, "wrong"), partial(ingest, "right"), turn_round]
    side_by_side(acts)
    settle()
    assert_all_right()
    assert make_snapshot(user=owner, key="k0").observation_count == 2 + count
    sources = {key[2]: counts["sample_count"] for key, counts in stored().items()}
    assert sources == {"n": 6 + 3 * count, "x": 6 + 3 * count}
    give_back(owner, "wrong")
    settle()
    assert_all_right()
    assert make_snapshot(user=owner, key="k0").observation_count == 2 * (2 + count)
