"""The recomputation job: nothing waits afterwards, wherever it was killed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import pytest
from django.db import OperationalError
from pytest_django import Settings

from registry.selectors import effective_schemas
from schemaevo.kernel.jobs import job_request, run_job
from schemaevo.kernel.models import Job, JobState, User
from snapshots.models import EntitySnapshot
from snapshots.services import recompute
from snapshots.services.merging import NewSnapshot, snapshots_write
from snapshots.services.observations import RECOMPUTE
from snapshots.services.recompute import Chunk, place_at_the_beginning, snapshots_recompute_waiting
from snapshots.services.verify import snapshots_verify
from tests.factories import THING, make_definition, make_observation, make_recorded, make_user, make_version

pytestmark = pytest.mark.django_db


@pytest.fixture
def owners() -> list[User]:
    """Five owners with 1, 2, 3, 4, 5 entities of two observations each, and one with another type."""
    owners = [make_user() for _ in range(5)]
    make_recorded(
        observations=[
            make_observation(user=owner, key=f"k{key}", fields={"a": n, "b": "x"}, seconds=n)
            for count, owner in enumerate(owners, start=1)
            for key in range(count)
            for n in range(2)
        ]
    )
    make_recorded(
        observations=[make_observation(user=owners[0], key="k", entity_type="other", fields={"a": 1})]
    )
    return owners


@pytest.fixture
def _small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recompute, "OWNERS_AT_ONCE", 2)
    monkeypatch.setattr(recompute, "CHUNK_ENTITIES", 3)


def one_pass() -> Iterator[Chunk]:
    """The chunks of one pass over all owners."""
    place = place_at_the_beginning(entity_type=THING).again()
    while True:
        chunk = snapshots_recompute_waiting(entity_type=THING, place=place)
        yield chunk
        if chunk.is_over:
            return
        place = chunk.place


def waiting() -> int:
    count = 0
    for row in EntitySnapshot.objects.all():
        schema = effective_schemas(entity_type=row.entity_type, user_ids=[row.user_id])[row.user_id]
        count += row.reduction_hash != schema.reduction_hash
    return count


def assert_all_right() -> None:
    ids = [str(pk) for pk in EntitySnapshot.objects.values_list("pk", flat=True)]
    verified = snapshots_verify(ids)
    assert (verified.checked, verified.waiting, verified.divergent) == (len(ids), 0, [])


@pytest.mark.usefixtures("_small_chunks")
def test_after_the_job_nothing_waits(owners: list[User]) -> None:
    make_version(document=make_definition(a="number"))
    make_version(document=make_definition(b="string"), user=owners[2])
    assert waiting() == 15
    job = Job.objects.get(kind=RECOMPUTE, target=THING)
    run_job(str(job.pk))
    job.refresh_from_db()
    assert (job.state, job.result) == (JobState.DONE, {"recomputed": 15})
    assert_all_right()
    assert EntitySnapshot.objects.filter(entity_type="other", values={"a": 1}).count() == 1
    assert {tuple(row.values) for row in EntitySnapshot.objects.filter(user=owners[2])} == {("a", "b")}


@pytest.mark.usefixtures("_small_chunks")
def test_only_what_waits_is_recomputed(owners: list[User]) -> None:
    make_version(document=make_definition(a="number"), user=owners[3])
    untouched = dict(EntitySnapshot.objects.exclude(user=owners[3]).values_list("pk", "computed_at"))
    run_job(str(Job.objects.get(kind=RECOMPUTE).pk))
    assert Job.objects.get(kind=RECOMPUTE).result == {"recomputed": 4}
    assert untouched == dict(EntitySnapshot.objects.exclude(user=owners[3]).values_list("pk", "computed_at"))
    assert_all_right()


@pytest.mark.usefixtures("_small_chunks")
@pytest.mark.parametrize("killed_at", range(1, 6))
def test_killed_between_two_chunks_it_goes_on_from_there(
    owners: list[User], killed_at: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_version(document=make_definition(a="number"))
    job = Job.objects.get(kind=RECOMPUTE)
    chunks: list[int] = []
    real = snapshots_write

    def dies_once(rows: Iterable[NewSnapshot]) -> None:
        # The real thing, and then the end: what it wrote must be rolled back with its cursor.
        written = list(rows)
        chunks.append(len(written))
        real(written)
        if len(chunks) == killed_at:
            raise OperationalError("the server is gone")

    monkeypatch.setattr(recompute, "snapshots_write", dies_once)
    run_job(str(job.pk))
    job.refresh_from_db()
    assert (job.state, job.attempts) == (JobState.PENDING, 1)
    assert waiting() == 15 - sum(chunks[:-1])
    assert job.done_count == sum(chunks[:-1])
    Job.objects.filter(pk=job.pk).update(not_before="2020-01-01T00:00:00Z")
    run_job(str(job.pk))
    job.refresh_from_db()
    assert (job.state, job.result) == (JobState.DONE, {"recomputed": 15})
    # The chunk that was killed is done again, and nothing else.
    assert sum(chunks) == 15 + chunks[killed_at - 1]
    assert_all_right()


@pytest.mark.usefixtures("_small_chunks")
def test_the_cursor_passes_no_owner_that_still_waits(owners: list[User]) -> None:
    make_version(document=make_definition(a="number"))
    done = 0
    for chunk in one_pass():
        done += chunk.recomputed
        passed = EntitySnapshot.objects.filter(entity_type=THING, user_id__lte=chunk.place.after)
        assert snapshots_verify([str(pk) for pk in passed.values_list("pk", flat=True)]).waiting == 0
    assert done == 15
    assert waiting() == 0


def test_a_chunk_reads_no_more_observations_than_it_may_hold(
    owners: list[User], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recompute, "CHUNK_OBSERVATIONS", 5)
    make_recorded(
        observations=[
            make_observation(user=owners[1], key="k0", fields={"a": n}, seconds=n) for n in range(2, 9)
        ]
    )
    make_version(document=make_definition(a="number"))
    monkeypatch.setattr(recompute, "PART_OBSERVATIONS", 1)
    sizes = [chunk.recomputed for chunk in one_pass()]
    # Three entities of two observations are enough; the one of nine is, alone.
    assert sum(sizes) == 15
    assert max(sizes) == 3
    assert_all_right()


def test_a_schema_that_changes_during_the_pass_is_seen_by_another_pass(
    owners: list[User], monkeypatch: pytest.MonkeyPatch
) -> None:
    make_version(document=make_definition(a="number"))
    job = Job.objects.get(kind=RECOMPUTE)
    real = snapshots_write
    changed: list[bool] = []

    def changes_once(rows: Iterable[NewSnapshot]) -> None:
        real(rows)
        if not changed:
            changed.append(True)
            make_version(document=make_definition(a="number", b="string"))

    monkeypatch.setattr(recompute, "snapshots_write", changes_once)
    run_job(str(job.pk))
    job.refresh_from_db()
    assert job.state == JobState.DONE
    assert job.wanted == job.wanted_seen == 2
    assert_all_right()


def test_an_entity_type_without_entities_is_done_at_once() -> None:
    job = job_request(kind=RECOMPUTE, target="nothing")
    run_job(str(job.pk))
    job.refresh_from_db()
    assert (job.state, job.result) == (JobState.DONE, {"recomputed": 0})


def test_what_an_ingest_left_waiting_is_found(settings: Settings) -> None:
    settings.SCHEMAEVO_INLINE_RECOMPUTE_MAX = 0
    owner = make_user()
    make_recorded(observations=[make_observation(user=owner, fields={"a": 1})])
    make_version(document=make_definition(a="number"))
    make_recorded(observations=[make_observation(user=owner, fields={"a": 2}, seconds=1)])
    assert EntitySnapshot.objects.get().reduction_hash == ""
    run_job(str(Job.objects.get(kind=RECOMPUTE).pk))
    assert_all_right()
    assert EntitySnapshot.objects.get().values == {"a": 2}
