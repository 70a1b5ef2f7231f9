"""Days are counted once they are over, and then never again: whatever is trimmed, killed, or asked for twice."""

from __future__ import annotations

import random
import uuid
from collections import Counter
from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime, timedelta

import pytest
from django.db import IntegrityError, connection
from django.utils import timezone

from fragments.models import IngestRun, LifecycleState, Promotion, RawFragment
from fragments.selectors_figures import fragments_in
from schemaevo.kernel import figures
from schemaevo.kernel.figure_runs import COUNT_DAYS, figures_keep
from schemaevo.kernel.figures import (
    DAY,
    DAYS_COUNTED,
    Counted,
    FigureKind,
    FigureSource,
    day_began,
    figure_source,
    figures_kept,
    known_since,
    today,
)
from schemaevo.kernel.jobs import job_request, periodic_kinds, run_job
from schemaevo.kernel.models import DailyFigure, Job, JobState
from schemaevo.kernel.pages.estimates import Amount
from schemaevo.kernel.retention import TRIM
from snapshots import selectors_figures
from snapshots.models import Observation
from snapshots.services.observations import RECOMPUTE
from tests.factories import THING, make_definition, make_run, make_user, make_version
from tests.rounds import rounds

pytestmark = pytest.mark.django_db


def counted(*, should_stop: Callable[[], bool] | None = None, kind: str = COUNT_DAYS) -> Job:
    """The periodic job as a worker runs it."""
    job = job_request(kind=kind)
    run_job(str(job.pk), should_stop=should_stop)
    job.refresh_from_db()
    return job


def went_on(job: Job) -> Job:
    """The job that was stopped or failed, after the next worker had it."""
    Job.objects.filter(pk=job.pk).update(not_before=job.requested_at)
    run_job(str(job.pk))
    job.refresh_from_db()
    return job


def of(figure: str) -> dict[date, int]:
    """The figure of each day that was counted."""
    return dict(DailyFigure.objects.filter(figure=figure).values_list("day", "value"))


def kept() -> list[tuple[date, str, int, bool]]:
    return list(
        DailyFigure.objects.order_by("day", "figure").values_list("day", "figure", "value", "is_exact")
    )


def days_ago(count: int) -> date:
    return today() - count * DAY


def receive(times: Iterable[datetime]) -> None:
    """Observations that were received at these times."""
    some = uuid.uuid4()
    Observation.objects.bulk_create(
        Observation(
            id=uuid.uuid4(),
            user_id=1,
            entity_type=THING,
            entity_id=some,
            source_id=some,
            observed_at=at,
            priority=100,
            specificity=1,
            origin="ingest",
            content_id=uuid.uuid4(),
            fields={"k": 1},
            recorded_at=at,
        )
        for at in times
    )


def noon(count: int) -> datetime:
    """Twelve o'clock UTC so many days ago."""
    return day_began(days_ago(count)) + timedelta(hours=12)


def make_finished(*, at: datetime, done: int, kind: str = RECOMPUTE, state: str = JobState.DONE) -> Job:
    return Job.objects.create(
        kind=kind, target=uuid.uuid4().hex, queue="recompute", state=state, done_count=done, finished_at=at
    )


# --- what is counted ------------------------------------------------------------------------------------------------
def test_the_job_is_owed_again_and_again() -> None:
    assert COUNT_DAYS in {kind.name for kind in periodic_kinds()}


def test_a_store_without_anything_has_figures_of_today_alone() -> None:
    assert counted().state == JobState.DONE
    assert {day for day, *_ in kept()} == {today()}
    assert {value for _, figure, value, _ in kept()} == {0}


def test_every_floor_has_its_figures_counted() -> None:
    user = make_user()
    run = make_run(records=[{"k": "a"}, {"k": "b"}, b"{"], user=user)
    IngestRun.objects.filter(pk=run.pk).update(started_at=noon(3), fragment_count=7)
    Promotion.objects.create(
        user=user, entity_type=THING, fragment_key="x", state="undone", requested_at=noon(2)
    )
    make_finished(at=noon(2), done=40)
    make_finished(at=noon(2), done=2, state=JobState.FAILED)
    make_finished(at=noon(2), done=500, kind="share_recomputation")

    counted()

    assert of("records") == {days_ago(3): 3, days_ago(2): 0, days_ago(1): 0, today(): 0}
    assert (of("rejected")[days_ago(3)], of("fragments")[days_ago(3)]) == (1, 7)
    assert of("promotions") == {days_ago(2): 1, days_ago(1): 0, today(): 0}
    assert of("recomputed") == {days_ago(2): 42, days_ago(1): 0, today(): 0}
    assert of("observations") == {today(): 2}


def test_fragments_are_counted_by_state_as_they_are_now() -> None:
    make_version(document=make_definition(k="string"))
    make_run(records=[{"k": "a", "smell": 1}, {"k": "b", "smell": 2}], user=make_user())
    waiting = RawFragment.objects.count()

    counted()

    assert {state: of(fragments_in(state)) for state in LifecycleState} == {
        LifecycleState.ACTIVE: {today(): waiting},
        LifecycleState.PROMOTED: {today(): 0},
        LifecycleState.ARCHIVED: {today(): 0},
        LifecycleState.PENDING_DELETION: {today(): 0},
    }


def test_what_is_estimated_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("schemaevo.kernel.pages.estimates.COUNTED_MAX", 0)
    make_version(document=make_definition(k="string"))
    make_run(records=[{"k": "a", "smell": 1}], user=make_user())

    counted()

    assert {is_exact for _, figure, _, is_exact in kept() if figure.startswith("fragments_")} == {False}
    assert {is_exact for _, figure, _, is_exact in kept() if figure == "observations"} == {True}


@pytest.mark.parametrize("seed", range(rounds(5)))
def test_the_sum_of_parts_is_what_the_table_has(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Many at once, midnight itself, and the microsecond before it among them."""
    chance = random.Random(seed)
    edges = [day_began(days_ago(n)) - timedelta(microseconds=1) * m for n in range(5) for m in range(2)]
    received = chance.choices([*edges, noon(4), noon(1)], k=60)
    received += [timezone.now() - chance.random() * 6 * DAY for _ in range(40)]
    receive(received)
    monkeypatch.setattr(selectors_figures, "OBSERVATIONS_AT_ONCE", chance.choice([1, 2, 7, 100]))

    counted()

    expected = Counter(at.astimezone(UTC).date() for at in received)
    found = of("observations")
    assert {day: count for day, count in found.items() if count} == expected
    assert min(found) == min(expected)


# --- once and never again -------------------------------------------------------------------------------------------
def test_counting_twice_gives_the_same() -> None:
    receive([noon(9), noon(9), noon(1)])
    counted()
    before = kept()
    counted()
    assert kept() == before


def test_a_day_that_was_counted_when_it_was_over_is_kept_when_its_ledger_is_trimmed() -> None:
    jobs = [make_finished(at=noon(5), done=10), make_finished(at=noon(4), done=20)]
    counted()
    for job in jobs:
        job.delete()
    make_finished(at=noon(3), done=1)
    make_finished(at=noon(4), done=99)

    counted()

    found = of("recomputed")
    assert (found[days_ago(5)], found[days_ago(4)], found[days_ago(3)]) == (10, 20, 0)


def test_a_day_that_was_counted_before_it_was_over_is_counted_again() -> None:
    receive([noon(4), noon(3)])
    figures_keep(day=days_ago(4), amounts={"observations": Amount(0)})
    figures_keep(day=days_ago(3), amounts={"observations": Amount(0)})
    DailyFigure.objects.filter(day=days_ago(3)).update(
        counted_at=day_began(days_ago(2)) - timedelta(seconds=1)
    )

    counted()

    assert (of("observations")[days_ago(4)], of("observations")[days_ago(3)]) == (0, 1)


def test_yesterday_and_today_are_counted_every_time() -> None:
    receive([noon(2), noon(1)])
    counted()
    receive([noon(2), noon(1), timezone.now()])
    counted()
    assert of("observations") == {days_ago(2): 1, days_ago(1): 2, today(): 1}


def test_what_there_is_now_is_never_said_of_another_day() -> None:
    figures_keep(day=days_ago(1), amounts={"fragments_active": Amount(3)})
    counted()
    assert of("fragments_active") == {days_ago(1): 3, today(): 0}


def test_the_first_count_goes_no_further_back_than_people_look() -> None:
    receive([noon(500), noon(DAYS_COUNTED), noon(DAYS_COUNTED - 1)])
    counted()
    assert min(of("observations")) == days_ago(DAYS_COUNTED - 1)
    assert len(of("observations")) == DAYS_COUNTED


def test_days_of_which_a_ledger_has_lost_a_part_are_not_counted(settings: pytest.FixtureRequest) -> None:
    settings.SCHEMAEVO_RETENTION_DAYS_JOBS = 3  # type: ignore[attr-defined]
    make_finished(at=noon(20), done=10)
    counted()
    assert set(of("recomputed")) == {days_ago(2), days_ago(1), today()}


def test_the_days_of_a_ledger_that_keeps_everything_begin_with_its_oldest_row() -> None:
    assert known_since(None) is None
    assert known_since(noon(20)) == days_ago(20)
    assert known_since(noon(20), retention="SCHEMAEVO_RETENTION_DAYS_INGEST_RUNS") == days_ago(20)


# --- stopped, killed, asked for twice -------------------------------------------------------------------------------
@pytest.mark.parametrize("asked", [0, 1, 2, 3, 5, 8])
def test_a_run_that_is_stopped_anywhere_goes_on_from_there(
    monkeypatch: pytest.MonkeyPatch, asked: int
) -> None:
    monkeypatch.setattr(selectors_figures, "OBSERVATIONS_AT_ONCE", 2)
    receive([timezone.now()] * 5 + [noon(1)] * 4 + [noon(2)] * 3)
    left = iter(range(asked))
    job = counted(should_stop=lambda: next(left, None) is None)
    assert job.state == JobState.PENDING

    assert went_on(job).state == JobState.DONE
    assert of("observations") == {today(): 5, days_ago(1): 4, days_ago(2): 3}
    assert len(kept()) == job.done_count


def test_a_count_that_fails_keeps_nothing_of_its_day(monkeypatch: pytest.MonkeyPatch) -> None:
    """The worker dies in the middle of a day, after the first part of it was counted."""
    monkeypatch.setattr(selectors_figures, "OBSERVATIONS_AT_ONCE", 2)
    receive([noon(1)] * 5)
    (source,) = [one for one in figures.figure_sources() if one.name == "observations"]
    calls = iter(range(100))

    def dies(day: date, place: object) -> Counted:
        # Today is one call, the first part of yesterday the second.
        if next(calls) == 2:
            raise RuntimeError("killed")
        return source.count(day, place)  # type: ignore[arg-type]

    broken = FigureSource(source.name, source.kind, source.figures, dies, source.known_from)
    monkeypatch.setitem(figures._sources, source.name, broken)
    job = counted()
    assert job.state == JobState.PENDING
    assert of("observations") == {today(): 0}

    monkeypatch.setitem(figures._sources, source.name, source)
    assert went_on(job).state == JobState.DONE
    assert of("observations") == {today(): 0, days_ago(1): 5}


# --- who may say what -----------------------------------------------------------------------------------------------
def test_a_figure_belongs_to_one_source() -> None:
    def count(day: date, place: object) -> Counted:
        return Counted({})

    for name, names in (("observations", ("new",)), ("new", ("new", "observations"))):
        before = dict(figures._sources)
        with pytest.raises(ValueError, match="already registered otherwise"):
            figure_source(FigureSource(name, FigureKind.FLOW, names, count))
        figures._sources.clear()
        figures._sources.update(before)


def test_figures_are_read_in_one_query_and_days_that_are_missing_stay_missing(
    django_assert_num_queries: Callable[[int], object],
) -> None:
    figures_keep(day=days_ago(3), amounts={"observations": Amount(3), "records": Amount(1)})
    figures_keep(day=days_ago(1), amounts={"observations": Amount(5, is_exact=False)})
    with django_assert_num_queries(1):  # type: ignore[attr-defined]
        found = figures_kept(figures=["observations", "promotions"], first=days_ago(2), last=today())
    assert found.of("observations") == {days_ago(1): Amount(5, is_exact=False)}
    assert found.of("promotions") == {}
    assert found.counted_at is not None


def test_figures_go_after_their_retention(settings: pytest.FixtureRequest) -> None:
    settings.SCHEMAEVO_RETENTION_DAYS_FIGURES = 10  # type: ignore[attr-defined]
    receive([noon(50)])
    for count in (9, 10, 11, 12):
        figures_keep(day=days_ago(count), amounts={"records": Amount(1)})

    assert counted(kind=TRIM).result["daily_figures"] == 2
    assert set(of("records")) == {days_ago(9), days_ago(10)}

    counted()
    assert min(of("observations")) == days_ago(9)
    assert counted(kind=TRIM).result["daily_figures"] == 0


def test_a_negative_figure_is_refused_by_the_database() -> None:
    with pytest.raises(IntegrityError, match="daily_figures_value_ck"), connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO daily_figures (day, figure, value, is_exact) VALUES (now()::date, 'x', -1, true)"
        )
