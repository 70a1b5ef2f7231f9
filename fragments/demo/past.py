"""What the demo did, and when it is to have been: the only place where its ledgers are given another time.

All of the demo happens within a minute, and a history of one minute tells nothing. So the rows that the demo itself
made in the ledgers of jobs and verifications are moved back by some days. Nothing else is: when something
was ingested, observed, decided or audited stays as it was; the page of an ingest run finds its observations by that.
"""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, cast

from django.db import connection, transaction
from django.db.models import F, Model, QuerySet
from django.db.models.functions import Now

from schemaevo.kernel.jobs import run_job
from schemaevo.kernel.models import Job, JobLogLine, JobState, VerifyOutcome

JOB_TIMES: Final = (
    "requested_at",
    "not_before",
    "rung_at",
    "started_at",
    "finished_at",
    "first_mark_at",
    "last_mark_at",
)
VERIFY_TIMES: Final = ("began_at", "finished_at")
#: A worker beside that has one of the jobs is waited for so long.
PATIENCE_S: Final = 120.0
LOOK_AGAIN_S: Final = 0.2


class JobsLeft(Exception):
    """Jobs that the demo asked for did not end in time."""


def _now() -> datetime:
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        (now,) = cursor.fetchone()
    return cast("datetime", now)


@dataclass(slots=True)
class Doings:
    """What a step of the demo added to the ledgers. `began` is the database's time, as `requested_at` is."""

    began: datetime = field(default_factory=_now)
    jobs: set[uuid.UUID] = field(default_factory=set)
    verifications: set[uuid.UUID] = field(default_factory=set)

    def work(self) -> None:
        """Every job that is owed by now has ended, here or with a worker beside. Raises: JobsLeft.

        One that was owed before the step began is worked off as well, and is none of its doings.
        """
        until = time.monotonic() + PATIENCE_S
        while owed := list(_owed().order_by("requested_at", "pk")):
            self.jobs |= {job.pk for job in owed if job.requested_at >= self.began}
            for job in owed:
                run_job(str(job.pk))
            # Whatever is still owed is in the hands of a worker beside, or everything was paused meanwhile.
            left = _owed().filter(pk__in=[job.pk for job in owed])
            if left.exists():
                if time.monotonic() > until:
                    raise JobsLeft(f"jobs do not end: {', '.join(map(str, left))}")
                time.sleep(LOOK_AGAIN_S)

    @transaction.atomic
    def move_back(self, by: timedelta) -> None:
        """They were that much earlier."""
        _shift(Job.objects.filter(pk__in=self.jobs), JOB_TIMES, by)
        _shift(JobLogLine.objects.filter(job__in=self.jobs), ("at",), by)
        _shift(VerifyOutcome.objects.filter(verification__in=self.verifications), VERIFY_TIMES, by)


def _owed() -> QuerySet[Job]:
    return Job.objects.filter(state__in=[JobState.PENDING, JobState.RUNNING], not_before__lte=Now())


def _shift(rows: QuerySet[Model], times: tuple[str, ...], by: timedelta) -> None:
    rows.update(**{name: F(name) - by for name in times})
