"""Ingest beside ingest, and beside recomputation: the content is that of one after the other (I1, I2)."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any

import pytest

from fragments.models import DeadLetter, IngestRun, RawFragment
from registry.services.activation import schema_activate
from schemaevo.kernel.jobs import run_job
from schemaevo.kernel.models import Job, JobState, User
from snapshots.models import EntitySnapshot, Observation
from snapshots.services.observations import RECOMPUTE
from snapshots.services.verify import snapshots_verify
from tests.content import forget_content, stored_content
from tests.factories import (
    NOON,
    SHELL,
    THING,
    make_definition,
    make_observation,
    make_recorded,
    make_run,
    make_user,
    make_version,
)
from tests.rounds import rounds
from tests.threads import side_by_side

pytestmark = pytest.mark.django_db(transaction=True)

WRITERS = 4
DOCUMENT = make_definition(
    a="number",
    b={"type": "number", "converters": ["string_to_number"]},
    tags="array",
    policies={"tags": {"strategy": "merge_array"}, "a": {"strategy": "highest_priority"}},
)


def make_records(*, random: random.Random, owners: int, count: int) -> list[dict[str, Any]]:
    """Records of few entities with few values, so that everything overlaps; times are often equal."""
    return [
        {
            "k": random.randrange(5),
            "owner": f"o{random.randrange(owners)}",
            "at": (NOON + timedelta(seconds=random.randrange(4))).isoformat(),
            "a": random.randrange(3),
            "b": random.choice([1, "2", "x", None]),
            "tags": random.choice([[1], [2, 1], "z", []]),
            "other": random.choice([1, "1", None, [1]]),
            **({"_deleted": True} if random.random() < 0.1 else {}),
        }
        for _ in range(count)
    ]


def run(records: list[dict[str, Any]], **options: Any) -> None:
    make_run(records=records, user_field="owner", observed_at_field="at", **options)


def assert_is_right() -> None:
    ids = [str(pk) for pk in EntitySnapshot.objects.values_list("pk", flat=True)]
    verified = snapshots_verify(ids)
    assert (verified.checked, verified.waiting, verified.divergent) == (len(ids), 0, [])


# Without a schema there are no fragments, and so no lock that would let only one writer in at a time.
@pytest.mark.parametrize("document", [None, DOCUMENT], ids=["undeclared", "declared"])
@pytest.mark.parametrize("batch_size", [4, 1000])
@pytest.mark.parametrize("seed", [1, 2])
def test_side_by_side_is_the_same_as_one_after_the_other(
    seed: int, batch_size: int, document: dict[str, Any] | None
) -> None:
    if document is not None:
        make_version(document=document)
    for number in range(3):
        make_user(username=f"o{number}")
    dice = random.Random(seed)
    records = make_records(random=dice, owners=3, count=60)
    run(records)
    sequential = stored_content()
    counted = sum(RawFragment.objects.values_list("frequency_count", flat=True))
    forget_content()

    def writer(order: list[dict[str, Any]]) -> Callable[[], None]:
        return lambda: run(order, batch_size=batch_size)

    # Everybody has all records, in another order: each is inserted by whoever comes first.
    side_by_side([writer(dice.sample(records, len(records))) for _ in range(WRITERS)])
    assert stored_content() == sequential
    assert sum(RawFragment.objects.values_list("frequency_count", flat=True)) == counted
    assert sum(IngestRun.objects.values_list("observation_count", flat=True)) == Observation.objects.count()
    assert not DeadLetter.objects.exists()
    assert_is_right()


@pytest.mark.rounds
def test_large_batches_of_the_same_observations_never_wait_for_each_other_in_a_circle() -> None:
    """Prepared beforehand, so that the statements themselves meet."""
    owner = make_user()
    # The source is there already: making it would let only one of them in at a time.
    make_recorded(observations=[make_observation(user=owner, fields={})])
    dice = random.Random(5)
    for second in range(1, rounds(4) + 1):
        news = [
            make_observation(user=owner, key=f"k{n}", fields={"a": n}, seconds=second) for n in range(1500)
        ]
        orders = [dice.sample(news, len(news)) for _ in range(WRITERS)]
        recorded = side_by_side([partial(make_recorded, observations=order) for order in orders])
        assert sum(len(one.inserted) for one in recorded) == 1500
        assert not any(one.conflicting for one in recorded)
        assert Observation.objects.count() == 1 + second * 1500
    assert EntitySnapshot.objects.count() == 1501


def test_ingests_that_make_the_same_owners_find_each_others() -> None:
    records = [{"k": 1, "owner": f"new-{n}", "at": NOON.isoformat(), "n": n} for n in range(40)]
    orders = [records, records[::-1], records[20:] + records[:20], records[10:] + records[:10]]
    side_by_side([partial(run, order, create_users=True, batch_size=15) for order in orders])
    assert User.objects.filter(username__startswith="new-").count() == 40
    assert Observation.objects.count() == EntitySnapshot.objects.count() == 40
    assert sum(IngestRun.objects.values_list("duplicate_count", flat=True)) == 120


def test_one_given_id_belongs_to_one_content_whoever_comes_first() -> None:
    owner = make_user()
    at = NOON.isoformat()

    def send(number: int) -> None:
        records = [{"k": n, "id": f"id-{n}", "at": at, "n": number} for n in range(20)]
        make_run(user=owner, records=records, id_field="id", observed_at_field="at", batch_size=7)

    side_by_side([partial(send, number) for number in range(WRITERS)])
    assert Observation.objects.count() == 20
    assert DeadLetter.objects.filter(code="id_conflict").count() == 60
    assert_is_right()


def test_ingest_beside_recomputation_loses_nothing() -> None:
    owners = [make_user(username=f"o{number}") for number in range(3)]
    make_version(document=make_definition(a="number"))
    dice = random.Random(7)
    run(make_records(random=dice, owners=3, count=60), source="before")
    versions = [
        make_version(document=DOCUMENT, is_active=False),
        make_version(document=make_definition(tags="array", b="string"), user=owners[0], is_active=False),
    ]
    schema_activate(version_id=versions[0].pk, actor=SHELL, without_review="a race")
    job = Job.objects.get(kind=RECOMPUTE, target=THING)

    feeds = [make_records(random=dice, owners=3, count=60) for _ in range(2)]

    def change() -> None:
        schema_activate(version_id=versions[1].pk, actor=SHELL)

    work: list[Callable[[], object]] = [
        lambda: run_job(str(job.pk)),
        change,
        *(partial(run, records, batch_size=4, source=f"feed {n}") for n, records in enumerate(feeds)),
    ]
    side_by_side(work)
    # The change may have come after the last look of the job: then it is asked for again.
    for owed in Job.objects.filter(kind=RECOMPUTE, state=JobState.PENDING):
        run_job(str(owed.pk))
    assert Job.objects.filter(kind=RECOMPUTE).exclude(state=JobState.DONE).count() == 0
    assert_is_right()


def test_ingest_that_leaves_long_histories_waiting_beside_their_recomputation(settings: Any) -> None:
    settings.SCHEMAEVO_INLINE_RECOMPUTE_MAX = 3
    make_user(username="o0")
    dice = random.Random(11)
    run(make_records(random=dice, owners=1, count=60), source="before")
    make_version(document=DOCUMENT)
    job = Job.objects.get(kind=RECOMPUTE)
    feeds = [make_records(random=dice, owners=1, count=30) for _ in range(2)]
    work: list[Callable[[], object]] = [
        lambda: run_job(str(job.pk)),
        *(partial(run, records, batch_size=2, source=f"feed {n}") for n, records in enumerate(feeds)),
    ]
    side_by_side(work)
    for owed in Job.objects.filter(kind=RECOMPUTE, state=JobState.PENDING):
        run_job(str(owed.pk))
    assert_is_right()
    assert Observation.objects.count() == sum(
        EntitySnapshot.objects.values_list("observation_count", flat=True)
    )


def test_two_recomputations_side_by_side_are_one() -> None:
    for number in range(3):
        make_user(username=f"o{number}")
    run(make_records(random=random.Random(3), owners=3, count=60))
    make_version(document=DOCUMENT)
    job = Job.objects.get(kind=RECOMPUTE)
    side_by_side([lambda: run_job(str(job.pk))] * 3)
    job.refresh_from_db()
    assert job.state == JobState.DONE
    assert job.result == {"recomputed": EntitySnapshot.objects.count()}
    assert_is_right()
