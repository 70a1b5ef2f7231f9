"""What a recomputation cannot do is recorded without values, passed over, and tried again by the next one."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from uuid import UUID

import pytest
from django.db import connection
from pytest_django import Settings

from schemaevo.kernel.actors import Actor
from schemaevo.kernel.job_control import job_retry
from schemaevo.kernel.jobs import job_request, run_job
from schemaevo.kernel.models import Job, JobState, User
from snapshots.models import EntitySnapshot, RecomputeFailure
from snapshots.services import recompute
from snapshots.services.failures import Failure, failures_record
from snapshots.services.observations import RECOMPUTE
from snapshots.services.verify import snapshots_verify
from tests.factories import (
    THING,
    make_compatibility,
    make_definition,
    make_observation,
    make_recorded,
    make_snapshot,
    make_user,
    make_version,
)

# Transactions of their own: a run is told from the one before by the clock.
pytestmark = pytest.mark.django_db(transaction=True)
KEYS = ("k0", "k1", "k2", "k3", "k4")


@pytest.fixture
def owner(monkeypatch: pytest.MonkeyPatch) -> User:
    """The owner of five entities of two observations each, which wait; three of them make a chunk."""
    monkeypatch.setattr(recompute, "CHUNK_ENTITIES", 3)
    owner = make_user()
    make_recorded(
        observations=[
            make_observation(user=owner, key=key, fields={"a": n, "b": "x"}, seconds=n)
            for key in KEYS
            for n in range(2)
        ]
    )
    make_version(document=make_definition(a="number"))
    return owner


@pytest.fixture(autouse=True)
def _quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)


def poison(owner: User, key: str, *, fields: str = '["a secret"]', observed_at: str = "now") -> str:
    """An observation that no program of ours would write lies in the entity's history; gives the entity's id."""
    entity = make_snapshot(user=owner, key=key)
    with connection.cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO observations (id, user_id, entity_type, entity_id, source_id, observed_at, priority,
                                      specificity, origin, content_id, fields)
            SELECT gen_random_uuid(), user_id, entity_type, entity_id, source_id, %s, priority,
                   specificity, origin, gen_random_uuid(), %s
              FROM observations WHERE entity_id = %s LIMIT 1
            """,
            [observed_at, fields, entity.pk],
        )
    return str(entity.pk)


def heal() -> None:
    """What `poison` wrote is gone, behind the guard's back."""
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE observations DISABLE TRIGGER USER")
        cursor.execute(
            "DELETE FROM observations WHERE jsonb_typeof(fields) = 'array' OR observed_at = 'infinity'"
        )
        cursor.execute("ALTER TABLE observations ENABLE TRIGGER USER")


def run(job: Job | None = None) -> Job:
    job = job or job_request(kind=RECOMPUTE, target=THING)
    run_job(str(job.pk))
    job.refresh_from_db()
    return job


def assert_all_but(*poisoned: str) -> None:
    """Everything is right but these, which wait."""
    ids = [str(pk) for pk in EntitySnapshot.objects.exclude(pk__in=poisoned).values_list("pk", flat=True)]
    verified = snapshots_verify(ids)
    assert (verified.checked, verified.waiting, verified.divergent) == (len(KEYS) - len(poisoned), 0, [])
    assert set(map(str, RecomputeFailure.objects.values_list("pk", flat=True))) == set(poisoned)


def test_a_poisoned_entity_is_told_and_passed_over(owner: User) -> None:
    poisoned = poison(owner, "k2")
    job = run()
    assert job.state == JobState.COMPLETED_WITH_ERRORS
    assert_all_but(poisoned)
    failure = RecomputeFailure.objects.get()
    assert (failure.user_id, failure.entity_type, failure.job_id) == (owner.pk, THING, job.pk)
    assert failure.code == "AssertionError"
    assert failure.place.startswith("snapshots/services/merging.py:")
    assert failure.place.endswith(" in observed")
    assert job.result == {
        "recomputed": 4,
        "failed": 1,
        "examples": [
            {
                "entity": poisoned,
                "entity_type": THING,
                "code": "AssertionError",
                "where": failure.place,
            }
        ],
    }


def test_values_are_in_no_record_of_a_failure(owner: User) -> None:
    poison(owner, "k2")
    job = run()
    failure = RecomputeFailure.objects.values().get()
    assert "secret" not in f"{failure} {job.result} {job.error}"


def test_what_the_driver_cannot_read_is_the_entitys_fault(owner: User) -> None:
    poisoned = poison(owner, "k1", fields="{}", observed_at="infinity")
    assert run().state == JobState.COMPLETED_WITH_ERRORS
    assert_all_but(poisoned)
    assert RecomputeFailure.objects.get().code.startswith("DataError")


@pytest.fixture
def _no_more_k3() -> Iterator[None]:
    """The database refuses every change of that entity."""
    with connection.cursor() as cursor:
        cursor.execute(
            "ALTER TABLE entity_snapshots ADD CONSTRAINT no_more_k3 CHECK (entity_key <> 'k3') NOT VALID"
        )
        yield
        cursor.execute("ALTER TABLE entity_snapshots DROP CONSTRAINT no_more_k3")


@pytest.mark.usefixtures("owner", "_no_more_k3")
def test_what_the_database_refuses_of_one_entity_costs_no_other(owner: User) -> None:
    refused = str(make_snapshot(user=owner, key="k3").pk)
    assert run().state == JobState.COMPLETED_WITH_ERRORS
    assert_all_but(refused)
    assert RecomputeFailure.objects.get().code == "CheckViolation 23514"


def test_a_later_run_tries_again_and_success_clears_it(owner: User) -> None:
    poisoned = poison(owner, "k2")
    first = run()
    second = run()
    assert second.pk != first.pk
    assert isinstance(second.result, dict)
    assert (second.result["recomputed"], second.result["failed"]) == (0, 1)
    assert RecomputeFailure.objects.get().job_id == second.pk
    assert_all_but(poisoned)
    heal()
    third = run()
    assert (third.state, third.result) == (JobState.DONE, {"recomputed": 1})
    assert_all_but()


def test_a_run_that_goes_on_remembers_what_it_passed_over(owner: User, settings: Settings) -> None:
    settings.SCHEMAEVO_RUN_BUDGET_S = 0
    poisoned = [poison(owner, key) for key in ("k0", "k2", "k4")]
    job = Job.objects.get(kind=RECOMPUTE)
    runs = 0
    while job.state in (JobState.PENDING, JobState.RUNNING):
        run(job)
        runs += 1
    assert runs > 2
    assert job.state == JobState.COMPLETED_WITH_ERRORS
    assert isinstance(job.result, dict)
    assert (job.result["recomputed"], job.result["failed"]) == (2, 3)
    assert_all_but(*poisoned)


def test_other_rules_are_another_chance_within_the_same_run(
    owner: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    poison(owner, "k2")
    make_compatibility()
    changed: list[bool] = []

    def heals_and_changes(failures: list[Failure], *, entity_type: str, job_id: UUID | None) -> None:
        failures_record(failures, entity_type=entity_type, job_id=job_id)
        if failures and not changed:
            changed.append(True)
            heal()
            make_version(document=make_definition(a="number", b="string"))

    monkeypatch.setattr(recompute, "failures_record", heals_and_changes)
    assert run().state == JobState.DONE
    assert changed
    assert_all_but()


def test_so_many_failures_that_something_else_is_wrong_fail_the_run(owner: User, settings: Settings) -> None:
    settings.SCHEMAEVO_RECOMPUTE_FAILURES_MAX = 3
    for key in KEYS[:4]:
        poison(owner, key)
    job = run()
    assert job.state == JobState.FAILED
    assert "too_many_failures" in job.error
    heal()
    job_retry(job_id=job.pk, actor=Actor.shell())
    run(job)
    assert job.state == JobState.DONE
    assert_all_but()


def test_a_long_history_is_merged_while_it_is_read_and_gives_the_same(
    owner: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recompute, "LONG_HISTORY", 5)
    monkeypatch.setattr(recompute, "ROWS_AT_ONCE", 4)
    monkeypatch.setattr(recompute, "PART_OBSERVATIONS", 4)
    make_recorded(
        observations=[
            make_observation(user=owner, key="k1", fields={"a": n % 7, "b": n}, seconds=n * 7 % 30)
            for n in range(40)
        ]
    )
    make_compatibility()
    make_version(
        document=make_definition(a={"type": "number"}, b="array", policies={"b": {"strategy": "merge_array"}})
    )
    job = run()
    assert job.state == JobState.DONE
    assert make_snapshot(user=owner, key="k1").observation_count == 42
    assert_all_but()


def test_a_history_that_would_outlast_the_lease_is_passed_over(
    owner: User, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recompute, "LONG_HISTORY", 5)
    monkeypatch.setattr(recompute, "ROWS_AT_ONCE", 2)
    monkeypatch.setattr(recompute, "PART_OBSERVATIONS", 4)
    make_recorded(
        observations=[
            make_observation(user=owner, key="k1", fields={"a": n}, seconds=n) for n in range(5, 12)
        ]
    )
    make_compatibility()
    make_version(document=make_definition(a="string"))
    settings.SCHEMAEVO_LEASE_S = 0
    job = run()
    assert job.state == JobState.COMPLETED_WITH_ERRORS
    assert RecomputeFailure.objects.get().code == "history_too_long"
    assert_all_but(str(make_snapshot(user=owner, key="k1").pk))


def test_what_comes_in_for_a_poisoned_entity_asks_for_no_run_that_would_fail_again(
    owner: User, settings: Settings
) -> None:
    settings.SCHEMAEVO_INLINE_RECOMPUTE_MAX = 0
    poisoned = poison(owner, "k2")
    first = run()
    for second in (5, 6):
        make_recorded(
            observations=[make_observation(user=owner, key="k2", fields={"a": second}, seconds=second)]
        )
    # Once, when it began to wait in so many words.
    second_run = Job.objects.get(kind=RECOMPUTE, state=JobState.PENDING)
    assert (second_run.pk != first.pk, second_run.wanted) == (True, 1)
    run(second_run)
    make_recorded(observations=[make_observation(user=owner, key="k2", fields={"a": 7}, seconds=7)])
    assert not Job.objects.filter(kind=RECOMPUTE, state=JobState.PENDING).exists()
    assert_all_but(poisoned)
    heal()
    assert run().state == JobState.DONE
    assert make_snapshot(user=owner, key="k2").values == {"a": 7}
    assert_all_but()
