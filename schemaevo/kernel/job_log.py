"""The log of each job: few lines that tell a person what became of it, and never a stored value; and what the audit log
says of the ledger's own moves.

Lines are written in the transaction of what they tell, after the job's row is locked, as the lock order wants it; so
what is rolled back was never told.
"""

from __future__ import annotations

import logging
import os
import socket
import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from django.db import connection

from schemaevo.kernel.actors import Actor
from schemaevo.kernel.audit import audit_record
from schemaevo.kernel.canonical import JsonObject
from schemaevo.kernel.faults import storable
from schemaevo.kernel.models import JobLogLine, JobState, LogLevel

logger = logging.getLogger(__name__)

#: A job keeps the newest so many lines of each level, so that starts and rests do not push out what went wrong.
LINES_PER_LEVEL = 100
LINE_MAX = 500

_LEVELS = {
    LogLevel.INFO: logging.INFO,
    LogLevel.WARNING: logging.WARNING,
    LogLevel.ERROR: logging.ERROR,
}


@dataclass(frozen=True, slots=True)
class Line:
    """What happened, in a sentence without values of records."""

    text: str
    level: LogLevel = LogLevel.INFO


def lines_write(job_id: uuid.UUID, lines: Sequence[Line]) -> None:
    """The log of the job goes on with these lines. Runs in the caller's transaction, which holds the job's row."""
    if not lines:
        return
    rows = [JobLogLine(job_id=job_id, level=line.level, text=storable(line.text, LINE_MAX)) for line in lines]
    JobLogLine.objects.bulk_create(rows)
    with connection.cursor() as cursor:
        cursor.execute(
            """
            DELETE FROM job_log_lines WHERE id IN (
                SELECT id FROM (
                    SELECT id, row_number() OVER (PARTITION BY level ORDER BY id DESC) AS place
                      FROM job_log_lines WHERE job_id = %s
                ) AS placed WHERE place > %s
            )
            """,
            [job_id, LINES_PER_LEVEL],
        )
    for line, row in zip(lines, rows, strict=True):
        logger.log(_LEVELS[line.level], "Job %s: %s", job_id, row.text)


def job_lines(*, job_id: uuid.UUID) -> list[JobLogLine]:
    """The log of the job, newest line first."""
    return list(JobLogLine.objects.filter(job=job_id).order_by("-id"))


def record_move(
    job_id: uuid.UUID,
    kind: str,
    target: str,
    verb: str,
    before: JobState,
    after: JobState,
    outcome: JsonObject | None = None,
) -> None:
    """The audit log says that the ledger itself moved the job to another state. Errors, which may quote values,
    are not part of it."""
    audit_record(
        actor=Actor.system("jobs"),
        action=f"job.{verb}",
        target_type="job",
        target_id=str(job_id),
        before={"kind": kind, "target": target, "state": before.value},
        after={"state": after.value, "outcome": outcome} if outcome is not None else {"state": after.value},
    )


def worker_name() -> str:
    """This process, as the log names it."""
    return f"{socket.gethostname()}:{os.getpid()}"
