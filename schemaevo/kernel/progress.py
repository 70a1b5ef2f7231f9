"""The marks in a job's row, by which pages tell how fast it goes of late.

Two times with what was done at them. Whoever counts moves them in the same statement, so that a job that shares the
work moves those of the job that it counts for. The first mark is what a rate is told from: between one and two
MARK_EVERY_S old while the work goes on, so that an hour ago does not matter, and set anew whenever the job starts, so
that no rest does.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.db.models import BigIntegerField, Case, F, Q, When
from django.db.models.functions import Now

from schemaevo.kernel.models import Job, JobState
from schemaevo.kernel.pace import Mark, Pace, pace

MARK_EVERY_S = 30


def counted(count: int) -> dict[str, object]:
    """The columns of a job of whose work `count` more pieces are done."""
    done = F("done_count") + count
    is_first = Q(last_mark_at__isnull=True)
    is_due = Q(last_mark_at__lte=Now() - timedelta(seconds=MARK_EVERY_S))

    def moved(first: Any, column: str) -> Any:
        return When(is_first, then=first), When(is_due, then=F(column))

    return {
        "done_count": done,
        "first_mark_at": Case(*moved(Now(), "last_mark_at"), default=F("first_mark_at")),
        "first_mark_count": Case(
            *moved(done, "last_mark_count"), default=F("first_mark_count"), output_field=BigIntegerField()
        ),
        "last_mark_at": Case(When(is_first | is_due, then=Now()), default=F("last_mark_at")),
        "last_mark_count": Case(
            When(is_first | is_due, then=done), default=F("last_mark_count"), output_field=BigIntegerField()
        ),
    }


def begun(done: Any) -> dict[str, object]:
    """The columns of a job that starts counting now, from `done` on."""
    return {
        "done_count": done,
        "first_mark_at": Now(),
        "first_mark_count": done,
        "last_mark_at": Now(),
        "last_mark_count": done,
    }


def job_pace(job: Job, now: datetime) -> Pace | None:
    """How fast the job goes of late, if a worker is at it; what rests, or whose worker is gone, goes at no pace."""
    if job.state != JobState.RUNNING or job.lease_expires_at is None or job.lease_expires_at < now:
        return None
    if job.first_mark_at is None or job.first_mark_count is None:
        return None
    since = Mark(job.first_mark_at, job.first_mark_count)
    return pace(since=since, now=now, done=job.done_count, total=job.total_count)
