"""Whether aggregates can be relied upon."""

from __future__ import annotations

from enum import StrEnum

from schemaevo.kernel.models import LIVE_JOB_STATES, Job, JobState

#: The job kind that counts what was there before aggregates were.
REBUILD = "rebuild_aggregates"


class Counting(StrEnum):
    """How far the fragments are counted that were there before their aggregates."""

    DONE = "done"
    AT_WORK = "at_work"
    #: The job that counts has given up, or was cancelled: what it left out is still not counted.
    FAILED = "failed"


def counting() -> Counting:
    """Whether aggregates are being counted anew, or should be. One query.

    A rebuild of a part that failed is made good by a later one of everything, or of the same part.
    """
    newest = Job.objects.filter(kind=REBUILD).order_by("target", "-requested_at").distinct("target")
    jobs = list(newest.only("target", "state", "requested_at"))
    if any(job.state in LIVE_JOB_STATES for job in jobs):
        return Counting.AT_WORK
    whole = next((job for job in jobs if not job.target), None)
    for job in jobs:
        is_made_good = (
            whole is not None and whole.state == JobState.DONE and whole.requested_at > job.requested_at
        )
        if job.state != JobState.DONE and not is_made_good:
            return Counting.FAILED
    return Counting.DONE
