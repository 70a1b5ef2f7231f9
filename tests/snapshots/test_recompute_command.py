"""recompute_snapshots: jobs for one user, one type or everything, or the work done here, and what it says of it."""

from __future__ import annotations

import io
import json
import logging
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from schemaevo.kernel.actors import Actor
from schemaevo.kernel.errors import Denied
from schemaevo.kernel.jobs import job_request, run_job
from schemaevo.kernel.models import AuditEvent, Job, JobState, User
from schemaevo.kernel.pause import store_pause
from snapshots.models import EntitySnapshot
from snapshots.services import recompute, refresh
from snapshots.services.observations import RECOMPUTE
from snapshots.services.recomputation import REFRESH, recomputation_inline, recomputation_request
from snapshots.services.verify import snapshots_verify
from tests.content import stored_content
from tests.factories import (
    SHELL,
    THING,
    make_definition,
    make_login,
    make_observation,
    make_recorded,
    make_snapshot,
    make_user,
    make_version,
)

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def owners(monkeypatch: pytest.MonkeyPatch) -> list[User]:
    """Two owners with three things each, which wait, and one other entity each, which does not."""
    for module in (recompute, refresh):
        monkeypatch.setattr(module, "CHUNK_ENTITIES", 2)
    owners = [make_user(username="ada"), make_user(username="bob")]
    for owner in owners:
        for entity_type, keys in ((THING, 3), ("other", 1)):
            make_recorded(
                observations=[
                    make_observation(
                        user=owner, entity_type=entity_type, key=f"k{key}", fields={"a": n}, seconds=n
                    )
                    for key in range(keys)
                    for n in range(2)
                ]
            )
    make_version(document=make_definition(a="number"))
    Job.objects.all().delete()
    return owners


def command(*arguments: str) -> tuple[dict[str, Any], int]:
    out = io.StringIO()
    try:
        call_command("recompute_snapshots", "--json", *arguments, stdout=out, stderr=io.StringIO())
    except SystemExit as end:
        return json.loads(out.getvalue()), int(end.code or 0)
    return json.loads(out.getvalue()), 0


def said(*arguments: str) -> str:
    out = io.StringIO()
    call_command("recompute_snapshots", *arguments, stdout=out)
    return out.getvalue()


def verified() -> tuple[int, int, int]:
    ids = [str(pk) for pk in EntitySnapshot.objects.values_list("pk", flat=True)]
    found = snapshots_verify(ids)
    return found.checked, found.waiting, len(found.divergent)


def run_all() -> None:
    for job in Job.objects.filter(state=JobState.PENDING):
        run_job(str(job.pk))


def tamper(owner: User, key: str) -> None:
    """As after a mistake in the program, that has been mended: the state is wrong, and nothing waits."""
    EntitySnapshot.objects.filter(user=owner, entity_key=key).update(values={"a": "wrong"})
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE entity_snapshots SET merge_state = jsonb_set(merge_state, '{fields,a,value}', '\"wrong\"')"
            " WHERE user_id = %s AND entity_key = %s",
            [owner.pk, key],
        )


@pytest.mark.usefixtures("owners")
def test_everything_is_a_job_for_each_type() -> None:
    answer, code = command()
    assert code == 0
    assert (answer["snapshots"], answer["refresh"], answer["dry_run"]) == (6, False, False)
    assert [(t["entity_type"], t["user"], t["snapshots"]) for t in answer["targets"]] == [
        ("other", None, 0),
        (THING, None, 6),
    ]
    assert {t["job"] for t in answer["targets"]} == set(map(str, Job.objects.values_list("pk", flat=True)))
    run_all()
    assert verified() == (8, 0, 0)


def test_one_type_of_one_user_is_a_job_of_that_target(owners: list[User]) -> None:
    answer, _ = command("--entity-type", THING, "--user", "bob")
    assert answer["snapshots"] == 3
    job = Job.objects.get()
    assert (job.kind, job.target) == (RECOMPUTE, f"{THING}:{owners[1].pk}")
    run_all()
    job.refresh_from_db()
    assert job.result == {"recomputed": 3}
    assert verified() == (5, 3, 0)


def test_a_user_alone_is_all_types_the_user_has(owners: list[User]) -> None:
    make_recorded(observations=[make_observation(user=owners[0], entity_type="third", fields={"a": 1})])
    command("--user", str(owners[1].pk))
    assert set(Job.objects.values_list("target", flat=True)) == {
        f"{THING}:{owners[1].pk}",
        f"other:{owners[1].pk}",
    }


@pytest.mark.usefixtures("owners")
@pytest.mark.parametrize("options", [(), ("--refresh",), ("--user", "ada")])
def test_a_dry_run_counts_and_changes_nothing(options: tuple[str, ...]) -> None:
    before = stored_content()
    answer, code = command("--dry-run", *options)
    assert (answer["dry_run"], code) == (True, 0)
    assert answer["snapshots"] == {(): 6, ("--refresh",): 8, ("--user", "ada"): 3}[options]
    assert "job" not in answer["targets"][0]
    assert not Job.objects.exists()
    assert stored_content() == before


@pytest.mark.usefixtures("owners")
def test_people_are_told_of_the_jobs_or_of_what_they_would_do() -> None:
    assert said("--dry-run", "--entity-type", THING) == f"{THING}: 6 snapshots would be recomputed.\n"
    text = said("--entity-type", THING, "--user", "ada")
    assert text == f"{THING} of ada: 3 snapshots are recomputed by job {Job.objects.get().pk}.\n"


@pytest.mark.usefixtures("owners")
def test_inline_it_is_done_here_without_a_job() -> None:
    answer, code = command("--inline")
    assert (answer["recomputed"], answer["failed"], code) == (6, 0, 0)
    assert not Job.objects.exists()
    assert verified() == (8, 0, 0)
    assert said("--inline", "--entity-type", THING) == f"{THING}: 0 recomputed, 0 could not be.\n"


@pytest.mark.parametrize("how", ["job", "inline"])
def test_refreshing_reduces_anew_what_does_not_wait_even_where_ingest_has_just_merged_into_it(
    owners: list[User], how: str
) -> None:
    command("--inline")
    right = stored_content()
    for key in ("k0", "k2"):
        tamper(owners[1], key)
    before = EntitySnapshot.objects.get(user=owners[0], entity_type=THING, entity_key="k1").computed_at
    assert command("--inline")[0]["recomputed"] == 0
    assert verified()[2] == 3
    if how == "inline":
        assert command("--refresh", "--inline")[0]["recomputed"] == 8
    else:
        command("--refresh")
        run_all()
        assert {job.target: job.result for job in Job.objects.filter(kind=REFRESH)} == {
            THING: {"recomputed": 6},
            "other": {"recomputed": 2},
        }
    assert stored_content() == right
    assert EntitySnapshot.objects.get(user=owners[0], entity_type=THING, entity_key="k1").computed_at > before
    assert verified() == (8, 0, 0)


def test_a_refresh_that_rests_goes_on_from_where_it_was(owners: list[User], settings: Any) -> None:
    settings.SCHEMAEVO_RUN_BUDGET_S = 0
    command("--refresh", "--entity-type", THING)
    job = Job.objects.get()
    counts = []
    while job.state == JobState.PENDING:
        run_job(str(job.pk))
        job.refresh_from_db()
        counts.append(job.done_count)
        assert job.total_count == 6
    assert counts == [2, 3, 5, 6, 6]
    assert job.result == {"recomputed": 6}


def test_a_refresh_of_one_user_leaves_the_others_alone(owners: list[User]) -> None:
    command("--inline")
    before = dict(EntitySnapshot.objects.exclude(user=owners[0]).values_list("pk", "computed_at"))
    command("--refresh", "--user", "ada")
    run_all()
    assert before == dict(EntitySnapshot.objects.exclude(user=owners[0]).values_list("pk", "computed_at"))
    assert EntitySnapshot.objects.filter(user=owners[0], computed_at__lte=max(before.values())).count() == 0


def test_what_fails_is_told_and_the_command_fails(
    owners: list[User], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)
    poisoned = make_snapshot(user=owners[0], key="k1")
    with connection.cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO observations (id, user_id, entity_type, entity_id, source_id, observed_at, priority,
                                      specificity, origin, content_id, fields)
            SELECT gen_random_uuid(), user_id, entity_type, entity_id, source_id, observed_at, priority,
                   specificity, origin, gen_random_uuid(), '[]'
              FROM observations WHERE entity_id = %s LIMIT 1
            """,
            [poisoned.pk],
        )
    answer, code = command("--inline")
    assert (answer["recomputed"], answer["failed"], code) == (5, 1, 1)
    assert [(e["entity"], e["code"]) for e in answer["examples"]] == [(str(poisoned.pk), "AssertionError")]


@pytest.mark.django_db(transaction=False)
def test_whoever_may_not_control_jobs_asks_for_nothing(owners: list[User]) -> None:
    viewer = Actor.login(make_login(role="viewer"))
    with pytest.raises(Denied):
        recomputation_request(entity_type=THING, user_id=None, actor=viewer)
    with pytest.raises(Denied):
        recomputation_inline(entity_type=THING, user_id=owners[0].pk, actor=viewer)
    operator = make_login(role="operator")
    job = recomputation_request(entity_type=THING, user_id=None, actor=Actor.login(operator))
    assert job.requested_by == operator
    assert AuditEvent.objects.get(action="job.request").actor == operator


@pytest.mark.usefixtures("owners")
def test_asking_twice_is_one_job() -> None:
    first = command("--entity-type", THING)[0]["targets"][0]["job"]
    assert command("--entity-type", THING)[0]["targets"][0]["job"] == first
    assert job_request(kind=RECOMPUTE, target=THING).wanted == 3


@pytest.mark.usefixtures("owners")
def test_while_everything_is_paused_nothing_is_done_here() -> None:
    store_pause(actor=SHELL, reason="a test")
    with pytest.raises(CommandError, match="paused"):
        call_command("recompute_snapshots", "--inline")
    assert verified()[1] == 6
    assert not AuditEvent.objects.filter(action="snapshot.recompute").exists()


@pytest.mark.parametrize("options", [("--entity-type", "No Type"), ("--user", "nobody")])
def test_what_cannot_be_meant_is_wrong_usage(options: tuple[str, ...]) -> None:
    with pytest.raises(CommandError) as error:
        call_command("recompute_snapshots", *options)
    assert error.value.returncode == 2


def test_an_empty_store_has_nothing_to_recompute() -> None:
    assert command()[0]["targets"] == []
    assert said() == "Nothing is stored.\n"
