"""verify: what is stored against what the history says; reported, and repaired only when told to."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Collection
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from registry.services.compatibility import compatibility_set
from schemaevo.kernel.actors import Actor
from schemaevo.kernel.errors import Denied
from schemaevo.kernel.jobs import job_request, run_job
from schemaevo.kernel.models import AuditEvent, Job, JobState, User
from schemaevo.kernel.verification import Repair
from schemaevo.kernel.verification_runs import VERIFY
from snapshots.domain.observed import Observed
from snapshots.models import EntitySnapshot
from snapshots.services import verify as services
from snapshots.services.merging import histories_of
from snapshots.services.verify import (
    Divergence,
    snapshot_ids_all,
    snapshot_ids_sample,
    snapshot_repair,
    snapshots_verify,
)
from tests.content import stored_content
from tests.factories import (
    SHELL,
    THING,
    make_definition,
    make_login,
    make_observation,
    make_recorded,
    make_user,
    make_version,
)

pytestmark = pytest.mark.django_db

RIGHT = {
    "checked": 0,
    "waiting": 0,
    "divergent": 0,
    "repaired": 0,
    "examples": [],
}


@pytest.fixture
def owner() -> User:
    """The owner of three entities with two observations each, under a schema."""
    owner = make_user()
    make_version(document=make_definition(a="number", b="array", policies={"b": {"strategy": "merge_array"}}))
    make_recorded(
        observations=[
            make_observation(user=owner, key=key, fields={"a": n, "b": ["x", n]}, seconds=n)
            for key in ("one", "two", "three")
            for n in range(2)
        ]
    )
    return owner


def tamper(owner: User, key: str, assignment: str, *parameters: Any) -> str:
    """Changes the snapshot behind everybody's back; gives its id."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE entity_snapshots SET {assignment} WHERE user_id = %s AND entity_key = %s RETURNING id::text",
            [*parameters, owner.pk, key],
        )
        (identity,) = cursor.fetchone()
    return str(identity)


def run(*arguments: str) -> tuple[dict[str, Any], int]:
    """What is said of snapshots, and the exit code."""
    out = io.StringIO()
    code = 0
    try:
        call_command("verify", "--json", *arguments, stdout=out, stderr=io.StringIO())
    except SystemExit as end:
        code = int(end.code or 0)
    answer = json.loads(out.getvalue())
    return {name: answer[name] for name in RIGHT}, code


def test_what_ingest_writes_is_right(owner: User) -> None:
    assert run("--all") == ({**RIGHT, "checked": 3}, 0)


@pytest.mark.parametrize(
    ("assignment", "column"),
    [
        ("values = values || '{\"a\": 7}'", "values"),
        ("values = values - 'b'", "values"),
        ("values = jsonb_set(values, '{b}', '[\"x\", 0, 1]')", "values"),
        ("provenance = '{}'", "provenance"),
        ("merge_state = jsonb_set(merge_state, '{fields,a,value}', '5')", "merge_state"),
        ("merge_state = '{}'", "merge_state"),
        ("deleted = true", "deleted"),
        ("observation_count = observation_count + 1", "observation_count"),
        ("last_observation_at = last_observation_at + interval '1 microsecond'", "last_observation_at"),
        ("last_observation_at = NULL", "last_observation_at"),
        ("last_computed_observation_id = gen_random_uuid()", "last_computed_observation_id"),
    ],
)
def test_every_tampered_column_is_found_and_named(owner: User, assignment: str, column: str) -> None:
    identity = tamper(owner, "two", assignment)
    answer, code = run("--all")
    assert code == 1
    assert (answer["checked"], answer["divergent"], answer["repaired"]) == (3, 1, 0)
    [example] = answer["examples"]
    assert example == {
        "entity": identity,
        "entity_type": "thing",
        "user_id": owner.pk,
        "columns": [column],
    }


def test_long_histories_are_compared_a_few_at_a_time(owner: User, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []

    def histories(entity_ids: Collection[str]) -> dict[str, list[Observed]]:
        read.append(len(entity_ids))
        return histories_of(entity_ids)

    monkeypatch.setattr(services, "CHUNK_OBSERVATIONS", 1)
    monkeypatch.setattr(services, "histories_of", histories)
    assert run("--all")[0]["checked"] == 3
    assert read == [1, 1, 1]


def test_divergence_is_never_repaired_silently(owner: User) -> None:
    tamper(owner, "two", "values = '{}', deleted = true")
    before = stored_content()
    assert run("--all")[1] == run("--sample", "10")[1] == 1
    assert stored_content() == before
    assert not AuditEvent.objects.filter(action="snapshot.repair").exists()


def test_repair_makes_it_right_and_the_audit_log_says_so_without_values(owner: User) -> None:
    right = stored_content()
    identity = tamper(owner, "two", 'values = \'{"a": "secret"}\', deleted = true')
    answer, code = run("--all", "--repair")
    assert (answer["divergent"], answer["repaired"], code) == (1, 1, 0)
    assert stored_content() == right
    event = AuditEvent.objects.get(action="snapshot.repair")
    assert (event.target_type, event.target_id) == ("snapshot", identity)
    assert event.before == {"divergent": ["values", "deleted"]}
    assert event.actor_name.startswith("shell:")
    assert run("--all")[1] == 0


def test_a_tampered_merge_state_would_have_poisoned_the_next_merge(owner: User) -> None:
    tamper(owner, "two", "merge_state = jsonb_set(merge_state, '{fields,a,key,0}', '-99999999999999999')")
    make_recorded(observations=[make_observation(user=owner, key="two", fields={"a": 5}, seconds=9)])
    answer, _ = run("--all", "--repair")
    assert set(answer["examples"][0]["columns"]) == {"values", "provenance", "merge_state"}
    assert EntitySnapshot.objects.get(entity_key="two").values == {"a": 5, "b": ["x", 1, 0]}


def test_waiting_is_counted_apart_and_is_no_failure(owner: User) -> None:
    tamper(owner, "one", "values = '{}'")
    tamper(owner, "two", "reduction_hash = ''")
    make_version(document=make_definition(a="number"), user=make_user())
    answer, code = run("--all")
    assert (answer["checked"], answer["waiting"], answer["divergent"], code) == (2, 1, 1, 1)
    compatibility_set(entity_type=THING, mode="NONE", actor=SHELL)
    make_version(document=make_definition(a="string"))
    answer, code = run("--all")
    assert (answer["checked"], answer["waiting"], answer["divergent"], code) == (0, 3, 0, 0)


def test_an_observation_that_no_snapshot_took_in_is_found(owner: User) -> None:
    """As after a bug: the row is there, and the snapshot was not told."""
    new = make_observation(user=owner, key="one", fields={"a": 9}, seconds=9)
    tamper(owner, "one", "observation_count = observation_count")
    before = EntitySnapshot.objects.filter(entity_key="one").values().get()
    make_recorded(observations=[new])
    tamper(
        owner,
        "one",
        "values = %s::jsonb, provenance = %s::jsonb, merge_state = %s::jsonb, observation_count = 2",
        *(json.dumps(before[column]) for column in ("values", "provenance", "merge_state")),
    )
    [divergence] = snapshots_verify([new.entity_id]).divergent
    assert {"values", "provenance", "merge_state", "observation_count"} == set(divergence.columns)


def test_only_who_may_control_jobs_repairs(owner: User) -> None:
    divergence = Divergence(tamper(owner, "one", "values = '{}'"), "thing", owner.pk, ("values",))
    with pytest.raises(Denied):
        snapshot_repair(divergence=divergence, actor=Actor.login(make_login(role="viewer")))
    operator = Actor.login(make_login(role="operator"))
    assert snapshot_repair(divergence=divergence, actor=operator) is Repair.DONE
    assert snapshots_verify([divergence.entity_id]).divergent == []


def test_what_was_repaired_meanwhile_or_waits_is_not_repaired_again(owner: User) -> None:
    divergence = Divergence(tamper(owner, "one", "values = '{}'"), "thing", owner.pk, ("values",))
    assert snapshot_repair(divergence=divergence, actor=SHELL) is Repair.DONE
    assert snapshot_repair(divergence=divergence, actor=SHELL) is Repair.NOT_NEEDED
    tamper(owner, "one", "values = '{}', reduction_hash = ''")
    assert snapshot_repair(divergence=divergence, actor=SHELL) is Repair.NOT_NEEDED
    assert EntitySnapshot.objects.get(entity_key="one").values == {}
    assert AuditEvent.objects.filter(action="snapshot.repair").count() == 1


def test_a_history_that_cannot_be_reduced_is_told_and_costs_no_other_its_verification(
    owner: User, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)
    with connection.cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO observations (id, user_id, entity_type, entity_id, source_id, observed_at, priority,
                                      specificity, origin, content_id, fields)
            SELECT gen_random_uuid(), o.user_id, o.entity_type, o.entity_id, source_id, observed_at, priority,
                   specificity, origin, gen_random_uuid(), to_jsonb('secret'::text)
              FROM observations AS o JOIN entity_snapshots AS s ON s.id = o.entity_id
             WHERE s.entity_key = 'two' LIMIT 1
            """
        )
    identity = tamper(owner, "three", "values = '{}'")
    answer, code = run("--all")
    assert (answer["checked"], answer["divergent"], code) == (3, 2, 1)
    assert {one.get("error", "") for one in answer["examples"]} == {"AssertionError", ""}
    answer, code = run("--all", "--repair")
    assert (answer["divergent"], answer["repaired"], code) == (2, 1, 1)
    [event] = AuditEvent.objects.filter(action="snapshot.repair")
    assert event.target_id == identity


@pytest.mark.parametrize("tampered", [False, True])
def test_a_long_history_is_compared_while_it_is_read(
    owner: User, monkeypatch: pytest.MonkeyPatch, tampered: bool
) -> None:
    monkeypatch.setattr(services, "LONG_HISTORY", 1)
    monkeypatch.setattr(services, "CHUNK_OBSERVATIONS", 1)
    monkeypatch.delattr(services, "reduce")
    if tampered:
        tamper(owner, "two", "values = '{}'")
    answer, code = run("--all")
    assert (answer["checked"], answer["divergent"], code) == (3, int(tampered), int(tampered))


def test_a_history_that_takes_a_sample_too_long_is_not_compared(
    owner: User, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    monkeypatch.setattr(services, "LONG_HISTORY", 1)
    monkeypatch.setattr(services, "CHUNK_OBSERVATIONS", 1)
    settings.SCHEMAEVO_LEASE_S = 0
    assert run("--sample", "9")[0]["checked"] == 0
    assert run("--all")[0]["checked"] == 3


@pytest.mark.parametrize("size", [1, 2, 3, 7, 120])
def test_a_sample_has_no_entity_twice_and_no_more_than_asked_for(owner: User, size: int) -> None:
    chunks = list(snapshot_ids_sample(size))
    ids = [identity for chunk in chunks for identity in chunk]
    assert len(ids) == len(set(ids)) == min(size, 3)
    assert [identity for chunk in snapshot_ids_all() for identity in chunk] == sorted(
        str(pk) for pk in EntitySnapshot.objects.values_list("pk", flat=True)
    )


def test_an_empty_store_is_right() -> None:
    assert run("--all") == run() == (RIGHT, 0)


@pytest.mark.parametrize("size", ["0", "-5", "many"])
def test_a_sample_of_nothing_is_wrong_usage(size: str) -> None:
    with pytest.raises(CommandError, match="--sample"):
        call_command("verify", "--sample", size)


def test_the_periodic_job_keeps_its_finding(owner: User) -> None:
    run_job(str(job_request(kind=VERIFY).pk))
    assert Job.objects.get(kind=VERIFY).state == JobState.DONE
    tamper(owner, "one", "values = '{}'")
    run_job(str(job_request(kind=VERIFY).pk))
    job = Job.objects.filter(kind=VERIFY).latest("requested_at")
    assert job.state == JobState.COMPLETED_WITH_ERRORS
    found = job.result["kinds"]["snapshots"]
    assert (found["divergent"], found["repaired"]) == (1, 0)
