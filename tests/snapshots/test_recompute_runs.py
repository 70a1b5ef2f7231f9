"""Runs of recomputation: newest first, and no full reduction too many."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
from django.db import connection
from pytest_django import Settings

from schemaevo.kernel.jobs import run_job
from schemaevo.kernel.models import Job, JobState, User
from snapshots.domain.place import Pass, Place
from snapshots.models import EntitySnapshot
from snapshots.services import recompute
from snapshots.services.merging import NewSnapshot, snapshots_write
from snapshots.services.observations import RECOMPUTE
from snapshots.services.recompute import place_at_the_beginning, snapshots_recompute_waiting
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

pytestmark = pytest.mark.django_db


@pytest.fixture
def owners() -> list[User]:
    """Three owners with four entities of two observations each."""
    owners = [make_user() for _ in range(3)]
    for owner in owners:
        make_recorded(
            observations=[
                make_observation(user=owner, key=f"k{key}", fields={"a": n, "b": "x"}, seconds=n)
                for key in range(4)
                for n in range(2)
            ]
        )
    return owners


@pytest.fixture
def _small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recompute, "OWNERS_AT_ONCE", 2)
    monkeypatch.setattr(recompute, "CHUNK_ENTITIES", 3)


@pytest.fixture
def reduced(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The entities that are written by recomputations from now on, one by one; nothing else is changed."""
    written: list[str] = []

    def write(rows: Iterable[NewSnapshot]) -> None:
        listed = list(rows)
        written.extend(row.entity_id for row in listed)
        snapshots_write(listed)

    monkeypatch.setattr(recompute, "snapshots_write", write)
    return written


def run_owed(target: str = THING) -> Job:
    """The job that is owed for the target is run."""
    job = Job.objects.get(kind=RECOMPUTE, target=target, state=JobState.PENDING)
    run_job(str(job.pk))
    job.refresh_from_db()
    return job


def assert_all_right() -> None:
    ids = [str(pk) for pk in EntitySnapshot.objects.values_list("pk", flat=True)]
    verified = snapshots_verify(ids)
    assert (verified.checked, verified.waiting, verified.divergent) == (len(ids), 0, [])


# --- newest first -----------------------------------------------------------------------------------------
def test_owners_come_in_the_order_of_their_newest_observations(owners: list[User]) -> None:
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE observations DISABLE TRIGGER USER")
        for owner, hours in zip(owners, (2, 3, 1), strict=True):
            cursor.execute(
                "UPDATE observations SET recorded_at = now() - make_interval(hours => %s) WHERE user_id = %s",
                [hours, owner.pk],
            )
        cursor.execute("ALTER TABLE observations ENABLE TRIGGER USER")
    make_version(document=make_definition(a="number"))
    place = place_at_the_beginning(entity_type=THING)
    assert place.turn is Pass.NEWEST
    assert place.newest == (owners[2].pk, owners[0].pk, owners[1].pk)
    assert place_at_the_beginning(entity_type="other").newest == ()


@pytest.mark.usefixtures("_small_chunks")
def test_who_comes_first_is_done_first(owners: list[User], reduced: list[str]) -> None:
    make_version(document=make_definition(a="number"))
    place = Place(place_at_the_beginning(entity_type=THING).since, Pass.NEWEST, (owners[2].pk, owners[0].pk))
    while True:
        chunk = snapshots_recompute_waiting(entity_type=THING, place=place)
        if chunk.is_over:
            break
        place = chunk.place
    of = {str(pk): user for pk, user in EntitySnapshot.objects.values_list("pk", "user_id")}
    assert [of[entity] for entity in reduced] == [owners[2].pk] * 4 + [owners[0].pk] * 4


@pytest.mark.parametrize(
    "place",
    [
        Place("2026-01-01T00:00:00+00:00", Pass.NEWEST, (3, 1, 2)),
        Place("2026-01-01T00:00:00+00:00", Pass.LAST, after=17, has_found=True),
    ],
)
def test_a_place_survives_as_the_cursor_of_a_job(place: Place) -> None:
    assert Place.from_json(place.to_json()) == place


@pytest.mark.parametrize("cursor", [None, 17, {"since": "x"}, ["newest"]])
def test_a_cursor_of_another_release_is_no_place(cursor: Any) -> None:
    assert Place.from_json(cursor) is None


# --- no waste ---------------------------------------------------------------------------------------------
@pytest.mark.usefixtures("_small_chunks")
def test_every_entity_is_reduced_once(owners: list[User], reduced: list[str]) -> None:
    make_version(document=make_definition(a="number"))
    assert run_owed().result == {"recomputed": 12}
    assert len(reduced) == len(set(reduced)) == 12


@pytest.mark.usefixtures("_small_chunks")
def test_what_ingest_did_meanwhile_is_not_done_again(owners: list[User], reduced: list[str]) -> None:
    make_version(document=make_definition(a="number"))
    make_recorded(observations=[make_observation(user=owners[0], key="k0", fields={"a": 7}, seconds=9)])
    assert run_owed().result == {"recomputed": 11}
    assert str(make_snapshot(user=owners[0], key="k0").pk) not in reduced
    assert_all_right()


@pytest.mark.usefixtures("_small_chunks")
def test_a_newer_schema_takes_over_a_run_and_nothing_is_reduced_by_the_older_one_any_more(
    owners: list[User], reduced: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    make_compatibility()
    make_version(document=make_definition(a="number"))
    seen: list[str] = []
    real = recompute.rows_recompute

    def activates_once(*args: Any, **kwargs: Any) -> Any:
        result = real(*args, **kwargs)
        seen.append("chunk")
        if len(seen) == 2:
            make_version(document=make_definition(a="number", b="string"))
        return result

    monkeypatch.setattr(recompute, "rows_recompute", activates_once)
    job = run_owed()
    # Two chunks of three by the older schema, then all twelve by the newer.
    assert len(reduced) == 3 + 3 + 12
    assert job.result == {"recomputed": 18}
    assert job.wanted == job.wanted_seen == 2
    assert_all_right()


@pytest.mark.usefixtures("_small_chunks")
def test_changes_of_text_recompute_nothing(owners: list[User], reduced: list[str]) -> None:
    make_version(document=make_definition(a="number"))
    run_owed()
    reduced.clear()
    make_version(document=make_definition(a={"type": "number", "description": "how much"}))
    assert run_owed().result == {"recomputed": 0}
    assert reduced == []


@pytest.mark.usefixtures("_small_chunks")
def test_progress_never_goes_back_however_often_a_run_begins_again(
    owners: list[User], settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.SCHEMAEVO_RUN_BUDGET_S = 0
    make_compatibility()
    make_version(document=make_definition(a="number"))
    job = Job.objects.get(kind=RECOMPUTE)
    counts = [0]
    for document in (make_definition(a="number", b="string"), make_definition(a="number", c="string")):
        for _ in range(3):
            run_job(str(job.pk))
            job.refresh_from_db()
            counts.append(job.done_count)
        make_version(document=document)
    while job.state != JobState.DONE:
        run_job(str(job.pk))
        job.refresh_from_db()
        counts.append(job.done_count)
        assert job.total_count is not None
        assert job.done_count <= job.total_count or job.state == JobState.PENDING
    assert counts == sorted(counts)
    assert job.result == {"recomputed": counts[-1]}
    assert_all_right()
