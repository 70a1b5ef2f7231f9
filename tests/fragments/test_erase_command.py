"""erase: what would go is told, and what is said goes."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from schemaevo.kernel.models import Erasure, JobState, User
from schemaevo.kernel.pause import store_pause
from snapshots.models import EntitySnapshot, Observation
from tests.erasing import run_erasure
from tests.factories import SHELL, THING, make_definition, make_run, make_user, make_version

pytestmark = pytest.mark.django_db


@pytest.fixture
def owner() -> User:
    """The owner of two entities, with a fragment each."""
    owner = make_user(username="annabelle")
    make_version(document=make_definition(k="string"))
    make_run(user=owner, records=[{"k": "one", "size": 1}, {"k": "two", "size": 2}])
    return owner


def erase(*arguments: str) -> dict[str, Any]:
    out = io.StringIO()
    call_command("erase", *arguments, "--json", stdout=out, stderr=io.StringIO())
    told = json.loads(out.getvalue().splitlines()[-1])
    assert isinstance(told, dict)
    return told


def refused(*arguments: str) -> int:
    with pytest.raises(CommandError) as error:
        call_command("erase", *arguments, stdout=io.StringIO(), stderr=io.StringIO())
    return error.value.returncode


def test_a_dry_run_tells_exactly_what_goes_and_takes_nothing(owner: User) -> None:
    told = erase("--user", "annabelle", "--dry-run")
    assert told["rows"] == {
        "raw_fragments": 2,
        "observations": 2,
        "entity_snapshots": 2,
        "raw_fragment_aggregate_sources": 1,
        "raw_fragment_aggregates": 1,
        "sources": 1,
    }
    assert Observation.objects.count() == 2
    done = erase("--user", "annabelle", "--reason", "they asked", "--yes", "--inline")
    assert done["done"]
    assert {table: done["rows"][table] for table in told["rows"]} == told["rows"]
    assert not Observation.objects.exists()


def test_an_entity_is_erased_alone(owner: User) -> None:
    assert erase(THING, "one", "--user", "annabelle", "--dry-run")["rows"] == {
        "raw_fragments": 1,
        "observations": 1,
        "entity_snapshots": 1,
    }
    assert erase(THING, "one", "--user", str(owner.pk), "--reason", "wrong", "--yes", "--inline")["done"]
    assert list(EntitySnapshot.objects.values_list("entity_key", flat=True)) == ["two"]


def test_without_being_told_otherwise_a_worker_does_it(owner: User) -> None:
    asked = erase("--user", "annabelle", "--reason", "they asked", "--yes")
    assert not asked["done"]
    assert Observation.objects.count() == 2
    job = run_erasure()
    assert (str(job.pk), job.state) == (asked["job"], JobState.DONE)
    assert not Observation.objects.exists()


def test_what_cannot_be_meant_is_wrong_usage(owner: User) -> None:
    assert refused("--user", "nobody", "--reason", "x", "--yes") == 2
    assert refused(THING, "--user", "annabelle", "--reason", "x", "--yes") == 2
    assert refused(THING, "three", "--user", "annabelle", "--reason", "x", "--yes") == 2
    assert refused("--user", "annabelle", "--yes") == 2
    # Nobody can be asked in a test.
    assert refused("--user", "annabelle", "--reason", "x") == 2
    assert not Erasure.objects.exists()


def test_a_paused_store_erases_nothing(owner: User) -> None:
    store_pause(actor=SHELL, reason="upgrade")
    assert refused("--user", "annabelle", "--reason", "x", "--yes") == 1
    assert not Erasure.objects.exists()
