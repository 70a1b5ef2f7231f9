"""An ingest that had begun when an erasure was asked for has ended before anything goes, and leaves nothing behind."""

from __future__ import annotations

from functools import partial

import pytest

from fragments.models import RawFragment, RawFragmentAggregate
from fragments.services.erasure import entity_erase, owner_erase
from schemaevo.kernel.jobs import run_job
from schemaevo.kernel.models import Job, JobState, User
from snapshots.models import EntitySnapshot, Observation, Source
from tests.aggregates import assert_aggregates_are_right
from tests.factories import SHELL, THING, make_definition, make_run, make_user, make_version
from tests.snapshots.deaths import Fate, Late
from tests.threads import PATIENCE_S, Aside, waiting_for_locks
from tests.waiting import wait_for

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def owner() -> User:
    """The owner of two entities, with a fragment each."""
    owner = make_user()
    make_version(document=make_definition(k="string"))
    make_run(user=owner, records=[{"k": "one", "size": 1}, {"k": "two", "size": 2}])
    return owner


def erased_while(late: Late, job: Job) -> Job:
    """The job begins while that ingest has stored observations and not committed, and ends after it."""
    with Aside(partial(run_job, str(job.pk))) as erasing:
        wait_for(lambda: waiting_for_locks() > 0, "the erasure to wait for the ingest")
        assert late.is_halted
        late.end()
        erasing.result(PATIENCE_S)
    job.refresh_from_db()
    return job


def test_what_an_ingest_brings_that_had_begun_goes_with_its_owner(
    monkeypatch: pytest.MonkeyPatch, owner: User
) -> None:
    records = [{"k": "one", "size": 3}, {"k": "late", "smell": "sweet"}]
    late = Late(Fate(monkeypatch), partial(make_run, user=owner, records=records, source="late"))
    job = owner_erase(user_id=owner.pk, reason="they asked", actor=SHELL).job
    assert erased_while(late, job).state == JobState.DONE
    for model in (EntitySnapshot, Observation, RawFragment, RawFragmentAggregate, Source):
        assert not model._default_manager.exists(), model


def test_what_an_ingest_brings_that_had_begun_goes_with_its_entity(
    monkeypatch: pytest.MonkeyPatch, owner: User
) -> None:
    records = [{"k": "one", "size": 3}, {"k": "two", "size": 3}]
    late = Late(Fate(monkeypatch), partial(make_run, user=owner, records=records, source="late"))
    job = entity_erase(user_id=owner.pk, entity_type=THING, entity_key="one", reason="wrong", actor=SHELL).job
    assert erased_while(late, job).state == JobState.DONE
    assert list(EntitySnapshot.objects.values_list("entity_key", flat=True)) == ["two"]
    assert Observation.objects.count() == 2
    assert_aggregates_are_right()
