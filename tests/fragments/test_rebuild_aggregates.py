"""rebuild_aggregates: undeclared fields counted anew, of whom it is asked for and nobody else, by a job or here."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from fragments.models import RawFragmentAggregate
from fragments.selectors_counting import REBUILD
from schemaevo.kernel.jobs import run_job
from schemaevo.kernel.models import AuditEvent, Job, JobState, User
from schemaevo.kernel.pause import store_pause
from tests.aggregates import assert_aggregates_are_right
from tests.factories import SHELL, THING, make_definition, make_run, make_user, make_version

pytestmark = pytest.mark.django_db
NOTE = "note"


@pytest.fixture
def owners() -> list[User]:
    """Ada, Bob and Cid with two undeclared fields of each of two types; all their aggregates are wrong."""
    for entity_type in (THING, NOTE):
        make_version(document=make_definition(k="string"), entity_type=entity_type)
    owners = [make_user(username=name) for name in ("ada", "bob", "cid")]
    for owner in owners:
        for entity_type in (THING, NOTE):
            make_run(user=owner, records=[{"k": "k", "a": 1, "b": 2}], entity_type=entity_type)
    RawFragmentAggregate.objects.update(sample_count=77)
    return owners


def told(*options: str) -> dict[str, Any]:
    out = io.StringIO()
    call_command("rebuild_aggregates", *options, "--json", stdout=out, stderr=io.StringIO())
    result: dict[str, Any] = json.loads(out.getvalue())
    return result


def rebuilt() -> set[tuple[str, str]]:
    """The owners and types whose aggregates are right again."""
    right = RawFragmentAggregate.objects.filter(sample_count=1)
    return set(right.values_list("user__username", "entity_type"))


OF_WHOM: list[tuple[tuple[str, ...], str, set[tuple[str, str]]]] = [
    ((), "", {(name, kind) for name in ("ada", "bob", "cid") for kind in (THING, NOTE)}),
    (("--user", "bob"), ":{bob}", {("bob", THING), ("bob", NOTE)}),
    (("--entity-type", NOTE), NOTE, {("ada", NOTE), ("bob", NOTE), ("cid", NOTE)}),
    (("--entity-type", THING, "--user", "bob"), "thing:{bob}", {("bob", THING)}),
    (("--entity-type", "unheard_of"), "unheard_of", set()),
]


@pytest.mark.parametrize(("options", "target", "right"), OF_WHOM)
def test_a_job_counts_what_it_is_asked_for_and_nothing_else(
    owners: list[User], options: tuple[str, ...], target: str, right: set[tuple[str, str]]
) -> None:
    foreseen = {"parts": len(right), "aggregates": 2 * len(right)}
    assert told(*options, "--dry-run") == {"dry_run": True, **foreseen}
    assert not Job.objects.filter(kind=REBUILD).exists()

    result = told(*options)
    job = Job.objects.get(kind=REBUILD)
    assert result == {"dry_run": False, "job": str(job.pk)}
    assert job.target == target.format(bob=owners[1].pk)
    assert rebuilt() == set()
    run_job(str(job.pk))
    job.refresh_from_db()
    assert (job.state, job.result) == (JobState.DONE, {"aggregates": 2 * len(right)})
    assert rebuilt() == right


@pytest.mark.parametrize(("options", "target", "right"), OF_WHOM)
def test_inline_it_is_done_at_once_and_audited(
    owners: list[User], options: tuple[str, ...], target: str, right: set[tuple[str, str]]
) -> None:
    done = {"parts": len(right), "aggregates": 2 * len(right)}
    assert told(*options, "--inline") == {"dry_run": False, **done}
    assert rebuilt() == right
    assert not Job.objects.filter(kind=REBUILD).exists()
    events = AuditEvent.objects.filter(action="aggregate.rebuild")
    assert [(event.target_id, event.after) for event in events] == (
        [(target.format(bob=owners[1].pk) or "all", done)] if right else []
    )


def test_a_rebuild_makes_everything_right(owners: list[User]) -> None:
    RawFragmentAggregate.objects.filter(user=owners[0]).delete()
    told("--inline")
    assert_aggregates_are_right()


def test_asking_twice_is_one_job(owners: list[User]) -> None:
    assert told()["job"] == told()["job"]
    assert told("--user", "ada")["job"] != told()["job"]


def test_a_paused_store_is_left_alone(owners: list[User]) -> None:
    store_pause(actor=SHELL)
    with pytest.raises(CommandError, match="paused"):
        told("--inline")
    assert rebuilt() == set()


@pytest.mark.parametrize("options", [("--entity-type", "Not One"), ("--user", "nobody")])
def test_what_makes_no_sense_is_wrong_usage(owners: list[User], options: tuple[str, ...]) -> None:
    for how in ((), ("--inline",), ("--dry-run",)):
        with pytest.raises(CommandError) as refusal:
            told(*options, *how)
        assert refusal.value.returncode == 2
