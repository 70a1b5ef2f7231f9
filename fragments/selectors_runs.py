"""What ingest runs tell at a glance: how fast records come, how many are rejected, and which runs were left unfinished.

There is no index on the times of runs: their numbers are given in the order in which they begin, so the newest
LOOKED_AT of them are looked at, by their key.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from django.db import connection
from django.db.models import Exists, OuterRef, Q, QuerySet, Subquery, Value
from django.db.models.functions import Coalesce, Now

from fragments.models import IngestRun, IngestState
from schemaevo.kernel.job_figures import COUNTED_MAX, Waiting

LOOKED_AT: Final = 5_000
WEEK_DAYS: Final = 7
LATELY_S: Final = 300
HOUR_S: Final = 3_600


@dataclass(frozen=True, slots=True)
class IngestFigures:
    """Records a second of the last minutes and of the last hour, where each run is taken to have gone evenly; and what
    the runs that began within the week read and rejected. `is_whole` is untrue where more runs began than are looked
    at."""

    running: int
    lately_per_s: float
    hour_per_s: float
    week_records: int
    week_rejected: int
    is_whole: bool

    @property
    def rejected_percent(self) -> float:
        """The share of the week's records that was rejected."""
        return self.week_rejected * 100 / self.week_records if self.week_records else 0.0


def ingest_figures() -> IngestFigures:
    """See `IngestFigures`. One query by the key."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            WITH newest AS (
                SELECT state, record_count, rejected_count, extract(epoch FROM now())::float8 AS now_s,
                       extract(epoch FROM started_at)::float8 AS began_s,
                       extract(epoch FROM coalesce(finished_at, alive_at))::float8 AS until_s
                  FROM ingest_runs ORDER BY id DESC LIMIT %(looked_at)s
            ), windowed AS (
                SELECT state, record_count, rejected_count, w.seconds, began_s >= now_s - w.seconds AS is_begun_in,
                       CASE WHEN until_s <= now_s - w.seconds THEN 0
                            WHEN until_s <= began_s THEN record_count
                            ELSE record_count * (until_s - greatest(began_s, now_s - w.seconds)) / (until_s - began_s)
                        END AS stored
                  FROM newest CROSS JOIN (VALUES (%(lately)s), (%(hour)s), (%(week)s)) AS w (seconds)
            )
            SELECT count(*) FILTER (WHERE seconds = %(hour)s AND state = 'running'),
                   coalesce(sum(stored) FILTER (WHERE seconds = %(lately)s), 0),
                   coalesce(sum(stored) FILTER (WHERE seconds = %(hour)s), 0),
                   coalesce(sum(record_count) FILTER (WHERE seconds = %(week)s AND is_begun_in), 0),
                   coalesce(sum(rejected_count) FILTER (WHERE seconds = %(week)s AND is_begun_in), 0),
                   count(*) FILTER (WHERE seconds = %(week)s AND is_begun_in)
              FROM windowed
            """,
            {"looked_at": LOOKED_AT, "lately": LATELY_S, "hour": HOUR_S, "week": WEEK_DAYS * 86_400},
        )
        running, lately, hour, records, rejected, of_week = cursor.fetchone()
    return IngestFigures(
        running=running,
        lately_per_s=float(lately) / LATELY_S,
        hour_per_s=float(hour) / HOUR_S,
        week_records=int(records),
        week_rejected=int(rejected),
        is_whole=of_week < LOOKED_AT,
    )


def runs_left_open() -> QuerySet[IngestRun]:
    """Runs of the last week that failed or were interrupted, unless a later one got through the same file, or goes at
    it now: what is missing of them was not stored."""
    newest = IngestRun.objects.order_by("-pk").values("pk")[:1]
    same_file = IngestRun.objects.filter(
        entity_type=OuterRef("entity_type"),
        content_hash=OuterRef("content_hash"),
        name=OuterRef("name"),
        pk__gt=OuterRef("pk"),
        state__in=[IngestState.DONE, IngestState.RUNNING],
    )
    return IngestRun.objects.filter(
        ~Exists(same_file),
        Q(state=IngestState.FAILED) | Q(state=IngestState.INTERRUPTED),
        pk__gt=Coalesce(Subquery(newest), Value(0)) - LOOKED_AT,
        started_at__gte=Now() - timedelta(days=WEEK_DAYS),
    )


def runs_waiting() -> Waiting:
    """How many runs were left open. One query."""
    ended = runs_left_open().order_by().values_list(Coalesce("finished_at", "alive_at"), flat=True)
    return Waiting.since(list(ended[: COUNTED_MAX + 1]))


def runs_at_work(*, limit: int) -> list[IngestRun]:
    """Runs that are storing records now, the newest first, of the newest LOOKED_AT. One query."""
    newest = IngestRun.objects.order_by("-pk").values("pk")[:1]
    at_work = IngestRun.objects.filter(
        state=IngestState.RUNNING, pk__gt=Coalesce(Subquery(newest), Value(0)) - LOOKED_AT
    )
    return list(at_work.defer("options", "error").order_by("-pk")[:limit])
