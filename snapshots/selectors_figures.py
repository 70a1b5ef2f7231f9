"""The figures of days that this floor knows: observations received, entities recomputed."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Final
from uuid import UUID

from django.db import connection
from django.db.models import Min, Sum

from schemaevo.kernel.canonical import Json
from schemaevo.kernel.figures import (
    DAY,
    Counted,
    FigureKind,
    FigureSource,
    day_began,
    figure_source,
    known_since,
)
from schemaevo.kernel.models import Job
from schemaevo.kernel.pages.estimates import Amount
from snapshots.models import Observation
from snapshots.services.observations import RECOMPUTE
from snapshots.services.recomputation import REFRESH

OBSERVATIONS: Final = "observations"
RECOMPUTED: Final = "recomputed"
#: What those who shared such a job achieved is counted in it; their own jobs are none of these.
RECOMPUTING: Final = (RECOMPUTE, REFRESH)
#: Observations of one count: some tenths of a second, from an index alone.
OBSERVATIONS_AT_ONCE = 200_000

_LAST_ID: Final = UUID(int=2**128 - 1)


def observations_received(day: date, place: Json) -> Counted:
    """Observations that were received on the day, in parts of at most OBSERVATIONS_AT_ONCE."""
    since, after = _after(day, place)
    until = day_began(day + DAY)
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT recorded_at, id FROM observations
             WHERE (recorded_at, id) > (%s, %s) AND recorded_at < %s
             ORDER BY recorded_at, id OFFSET %s LIMIT 1
            """,
            [since, after, until, OBSERVATIONS_AT_ONCE - 1],
        )
        last = cursor.fetchone()
        if last is not None:
            amount = Amount(OBSERVATIONS_AT_ONCE)
            return Counted({OBSERVATIONS: amount}, [last[0].isoformat(), str(last[1])])
        cursor.execute(
            "SELECT count(*) FROM observations WHERE (recorded_at, id) > (%s, %s) AND recorded_at < %s",
            [since, after, until],
        )
        (count,) = cursor.fetchone()
    return Counted({OBSERVATIONS: Amount(count)})


def _after(day: date, place: Json) -> tuple[datetime, UUID]:
    match place:
        case [str(since), str(last)]:
            return datetime.fromisoformat(since), UUID(last)
        case _:
            # Times are stored to the microsecond: nothing lies between this and the first moment of the day.
            return day_began(day) - timedelta(microseconds=1), _LAST_ID


def _first_observation() -> date | None:
    oldest = Observation.objects.aggregate(oldest=Min("recorded_at"))["oldest"]
    return known_since(oldest)


def entities_recomputed(day: date, place: Json) -> Counted:
    """What the recomputations achieved that ended on the day, however they ended, and whenever they began."""
    ended = Job.objects.filter(
        kind__in=RECOMPUTING, finished_at__gte=day_began(day), finished_at__lt=day_began(day + DAY)
    )
    done = ended.aggregate(done=Sum("done_count"))["done"]
    return Counted({RECOMPUTED: Amount(done or 0)})


def _first_job() -> date | None:
    oldest = Job.objects.aggregate(oldest=Min("finished_at"))["oldest"]
    return known_since(oldest, retention="SCHEMAEVO_RETENTION_DAYS_JOBS")


def register() -> None:
    """The figures of this floor are counted by the periodic job."""
    figure_source(
        FigureSource(
            OBSERVATIONS, FigureKind.FLOW, (OBSERVATIONS,), observations_received, _first_observation
        )
    )
    figure_source(
        FigureSource("recomputations", FigureKind.FLOW, (RECOMPUTED,), entities_recomputed, _first_job)
    )
