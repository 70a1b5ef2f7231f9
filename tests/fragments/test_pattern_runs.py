"""The job and the command that look for patterns: all types, from wherever a run was stopped, and told in a dry run."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from fragments.jobs import ANALYZE
from fragments.selectors_counting import REBUILD
from fragments.services import patterns
from registry.models import Proposal
from registry.services.proposals_found import ANALYSIS
from schemaevo.kernel.actors import Actor
from schemaevo.kernel.jobs import job_request, periodic_kinds, run_job
from schemaevo.kernel.models import AuditEvent, Job, JobState
from schemaevo.kernel.pause import store_pause
from tests.factories import SHELL, THING, make_definition, make_version
from tests.fragments.patterns import users_with_own

pytestmark = pytest.mark.django_db

FIELDS = {"apples": "number", "berries": "string", "cherries": "date"}


@pytest.fixture
def _shared() -> None:
    """Ten users share three fields of each of two types."""
    for entity_type in ("basket", "crate"):
        users_with_own(10, entity_type=entity_type, **FIELDS)


def ran(should_stop: Callable[[], bool] | None = None) -> Job:
    job = job_request(kind=ANALYZE)
    run_job(str(job.pk), should_stop=should_stop)
    job.refresh_from_db()
    return job


def told(*options: str) -> Any:
    out = io.StringIO()
    call_command("analyze_patterns", *options, "--json", stdout=out, stderr=io.StringIO())
    return json.loads(out.getvalue())


def drafts() -> list[tuple[str, str]]:
    return list(Proposal.objects.order_by("pk").values_list("entity_type", "subject"))


ALL = [(entity_type, field) for entity_type in ("basket", "crate") for field in FIELDS]


# --- the job ------------------------------------------------------------------------------------------------------
def test_the_job_is_owed_again_and_again() -> None:
    assert ANALYZE in {kind.name for kind in periodic_kinds()}


@pytest.mark.usefixtures("_shared")
def test_the_job_drafts_what_is_found_in_every_type_and_nothing_twice() -> None:
    job = ran()
    assert (job.state, job.result) == (
        JobState.DONE,
        {"drafted": 6, "types": 2, "conflicts": 0, "conflicts_listed": []},
    )
    assert drafts() == ALL
    events = AuditEvent.objects.filter(action="proposal.draft")
    assert {event.actor_name for event in events} == {Actor.system(ANALYSIS).name}
    assert ran().result == {"unchanged": 6, "types": 2, "conflicts": 0, "conflicts_listed": []}
    assert drafts() == ALL


@pytest.mark.usefixtures("_shared")
@pytest.mark.parametrize("asked", [0, 2, 3, 5, 6, 9])
def test_a_run_that_is_stopped_anywhere_goes_on_from_there(
    monkeypatch: pytest.MonkeyPatch, asked: int
) -> None:
    monkeypatch.setattr(patterns, "CANDIDATES_PER_STEP", 1)
    left = iter(range(asked))
    job = ran(should_stop=lambda: next(left, None) is None)
    assert job.state == JobState.PENDING
    before = drafts()
    assert before == ALL[: len(before)]
    Job.objects.filter(pk=job.pk).update(not_before=job.requested_at)
    run_job(str(job.pk))
    job.refresh_from_db()
    assert (job.state, drafts()) == (JobState.DONE, ALL)
    assert job.result == {"drafted": 6, "types": 2, "conflicts": 0, "conflicts_listed": []}


@pytest.mark.usefixtures("_shared")
def test_the_job_does_nothing_while_fragments_are_being_counted() -> None:
    job_request(kind=REBUILD)
    job = ran()
    assert (job.state, job.result) == (
        JobState.DONE,
        {"skipped": "the fragments are being counted", "conflicts_listed": []},
    )
    assert drafts() == []


def test_conflicts_of_types_are_listed_in_the_result() -> None:
    users_with_own(10, size="string")
    make_version(document=make_definition(size="number"))
    job = ran()
    assert job.result is not None
    assert job.result["conflicts_listed"] == [
        {
            "entity_type": THING,
            "field": "size",
            "declared": "number",
            "type": "string",
            "users": 10,
            "types": {"string": 10},
        }
    ]


# --- the command --------------------------------------------------------------------------------------------------
@pytest.mark.usefixtures("_shared")
def test_the_command_drafts_for_one_type_or_for_all() -> None:
    result = told("--entity-type", "crate")
    assert [one["entity_type"] for one in result["types"]] == ["crate"]
    proposals = result["types"][0]["proposals"]
    assert [(one["field"], one["outcome"], one["users"]) for one in proposals] == [
        (field, "drafted", 10) for field in FIELDS
    ]
    assert drafts() == [("crate", field) for field in FIELDS]
    outcomes = [one["outcome"] for found in told()["types"] for one in found["proposals"]]
    assert outcomes == ["drafted"] * 3 + ["unchanged"] * 3


@pytest.mark.usefixtures("_shared")
def test_a_dry_run_tells_the_same_and_writes_nothing() -> None:
    events = AuditEvent.objects.count()
    dry = told("--dry-run")
    assert (drafts(), AuditEvent.objects.count()) == ([], events)
    real = told()
    without_numbers = [
        {**found, "proposals": [{**one, "proposal": None} for one in found["proposals"]]}
        for found in real["types"]
    ]
    assert dry == {"dry_run": True, "types": without_numbers}


def test_people_read_what_is_proposed_and_why_not(capsys: pytest.CaptureFixture[str]) -> None:
    users_with_own(10, smell="string", size="number")
    users_with_own(10, size="string")
    call_command("analyze_patterns", "--dry-run")
    assert capsys.readouterr().out.splitlines() == [
        "thing: 2 fields that enough users share.",
        "  + smell: 10 users, would be drafted",
        "  - size: 20 users",
        "      50 % of the users have it as number; 80 % are needed [types_differ]",
        "      confidence 67.50 %; 90.00 % is needed [confidence_too_low]",
    ]


def test_while_everything_is_paused_only_a_dry_run_looks() -> None:
    users_with_own(10, smell="string")
    store_pause(actor=SHELL)
    with pytest.raises(CommandError) as refusal:
        told()
    assert refusal.value.returncode == 1
    assert told("--dry-run")["types"][0]["proposals"][0]["outcome"] == "drafted"


def test_a_type_that_can_be_none_is_wrong_usage_and_an_unknown_one_has_nothing() -> None:
    with pytest.raises(CommandError) as refusal:
        told("--entity-type", "No Type")
    assert refusal.value.returncode == 2
    assert told("--entity-type", "nothing")["types"][0]["proposals"] == []
    assert told() == {"dry_run": False, "types": []}
