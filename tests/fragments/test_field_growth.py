"""Fields gain owners: counted in one pass, told against the days before, from wherever the job was stopped."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from datetime import date, timedelta

import pytest
from django.db.models import Count

from fragments.domain import growth
from fragments.models import FieldGrowth, RawFragmentAggregate
from fragments.selectors_counting import REBUILD
from fragments.services import field_growth
from fragments.services.field_growth import GROWTH
from schemaevo.kernel.figures import today
from schemaevo.kernel.jobs import job_request, periodic_kinds, run_job
from schemaevo.kernel.models import Job, JobState
from tests.factories import THING, make_definition, make_run, make_user, make_version
from tests.rounds import rounds

pytestmark = pytest.mark.django_db


@pytest.fixture
def on(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[int], None]]:
    """It is so many days after today."""
    began = today()

    def go(days: int) -> None:
        monkeypatch.setattr(field_growth, "today", lambda: began + timedelta(days=days))

    return go  # type: ignore[return-value]


def counted(*, should_stop: Callable[[], bool] | None = None) -> Job:
    job = job_request(kind=GROWTH)
    run_job(str(job.pk), should_stop=should_stop)
    job.refresh_from_db()
    return job


def have(count: int, *fields: str, entity_type: str = THING) -> None:
    """So many new users have these fields, undeclared ones."""
    for _ in range(count):
        RawFragmentAggregate.objects.bulk_create(
            RawFragmentAggregate(user=make_user(), entity_type=entity_type, fragment_key=name, sample_count=1)
            for name in fields
        )


def owners() -> dict[tuple[str, str], int]:
    rows = FieldGrowth.objects.values_list("entity_type", "fragment_key", "owner_count")
    return {(entity_type, name): count for entity_type, name, count in rows}


def grown(name: str) -> FieldGrowth:
    return FieldGrowth.objects.get(fragment_key=name)


def test_the_job_is_owed_again_and_again() -> None:
    assert GROWTH in {kind.name for kind in periodic_kinds()}


def test_owners_are_counted_whose_values_wait() -> None:
    make_version(document=make_definition(k="string"))
    users = [make_user() for _ in range(3)]
    for user in users:
        make_run(records=[{"k": "a", "smell": 1}, {"k": "b", "smell": 2}], user=user)
    make_run(records=[{"k": "a", "noise": True}], user=users[0])
    RawFragmentAggregate.objects.create(user=make_user(), entity_type=THING, fragment_key="promoted")

    assert counted().result == {"fields": 2}
    assert owners() == {(THING, "smell"): 3, (THING, "noise"): 1}


@pytest.mark.parametrize("seed", range(rounds(5)))
def test_the_owners_are_those_of_the_table_however_the_pass_is_cut(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    chance = random.Random(seed)
    users = [make_user() for _ in range(6)]
    RawFragmentAggregate.objects.bulk_create(
        RawFragmentAggregate(
            user=user, entity_type=entity_type, fragment_key=name, sample_count=chance.choice([0, 1, 5])
        )
        for entity_type in ("a", "a_b", "b")
        for name in ("x", "x y", "Ä", "z")
        for user in users
        if chance.random() < 0.7
    )
    monkeypatch.setattr(field_growth, "AGGREGATES_PER_BATCH", chance.choice([1, 2, 5, 100]))

    counted()

    table = RawFragmentAggregate.objects.filter(sample_count__gt=0).values_list("entity_type", "fragment_key")
    assert owners() == {(t, name): count for t, name, count in table.annotate(Count("user", distinct=True))}


@pytest.mark.parametrize("asked", [0, 1, 2, 3, 4])
def test_a_run_that_is_stopped_anywhere_goes_on_from_there(
    monkeypatch: pytest.MonkeyPatch, asked: int
) -> None:
    monkeypatch.setattr(field_growth, "AGGREGATES_PER_BATCH", 2)
    have(3, "smell", "noise")
    have(2, "smell", entity_type="box")
    left = iter(range(asked))
    job = counted(should_stop=lambda: next(left, None) is None)
    assert job.state == JobState.PENDING

    Job.objects.filter(pk=job.pk).update(not_before=job.requested_at)
    run_job(str(job.pk))
    job.refresh_from_db()

    assert (job.state, job.result) == (JobState.DONE, {"fields": 3})
    assert owners() == {(THING, "smell"): 3, (THING, "noise"): 3, ("box", "smell"): 2}


def test_only_the_fields_of_most_owners_of_a_type_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(growth.fields_of_most, "__kwdefaults__", {"limit": 2})
    monkeypatch.setattr(field_growth, "AGGREGATES_PER_BATCH", 3)
    have(1, "a", "b", "c", "d")
    have(2, "b", "d")
    have(1, "d")
    counted()
    assert owners() == {(THING, "d"): 4, (THING, "b"): 3}


def test_a_field_is_new_on_the_first_day_and_gains_from_the_next_on(on: Callable[[int], None]) -> None:
    have(3, "smell")
    counted()
    assert (grown("smell").gained_30, grown("smell").owners_by_day) == (None, {today().isoformat(): 3})

    on(1)
    have(2, "smell")
    have(4, "noise")
    counted()

    assert (grown("smell").gained_7, grown("smell").gained_30, grown("smell").gained_90) == (2, 2, 2)
    # All fields of the type were counted the day before, and this was none of them.
    assert grown("noise").gained_30 == 4

    on(10)
    have(1, "smell")
    counted()
    assert (grown("smell").gained_7, grown("smell").gained_30) == (1, 3)


def test_a_field_that_comes_into_a_full_list_is_new(
    on: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(field_growth, "FIELDS_KEPT", 1)
    have(3, "smell")
    counted()
    on(1)
    have(4, "noise")
    counted()
    assert grown("noise").gained_30 is None


def test_counting_twice_on_a_day_gives_the_same(on: Callable[[int], None]) -> None:
    have(3, "smell", "noise")
    counted()
    on(1)
    have(1, "smell")
    counted()
    columns = ("fragment_key", "owner_count", "owners_by_day", "gained_7", "gained_30", "gained_90")
    before = list(FieldGrowth.objects.order_by("pk").values_list(*columns))
    counted()
    assert list(FieldGrowth.objects.order_by("pk").values_list(*columns)) == before


def test_what_nobody_has_any_more_is_forgotten() -> None:
    for entity_type in ("a", "b", "c"):
        have(1, "smell", "noise", entity_type=entity_type)
    counted()
    RawFragmentAggregate.objects.exclude(entity_type="b", fragment_key="noise").update(sample_count=0)
    RawFragmentAggregate.objects.exclude(entity_type="b").delete()
    counted()
    assert owners() == {("b", "noise"): 1}


def test_nothing_is_counted_while_the_fragments_are_being_counted() -> None:
    have(1, "smell")
    job_request(kind=REBUILD)
    assert counted().result == {"skipped": "the fragments are being counted"}
    assert owners() == {}


def test_the_days_are_those_of_utc() -> None:
    have(1, "smell")
    counted()
    (day,) = grown("smell").owners_by_day
    assert date.fromisoformat(day) == today()
