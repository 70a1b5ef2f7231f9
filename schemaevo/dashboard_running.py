"""What goes on now: jobs that have not ended, and ingest runs that store records."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from django.http import HttpRequest
from django.utils import timezone

from fragments.models import IngestRun
from fragments.selectors_runs import runs_at_work
from schemaevo.dashboard_health import Health
from schemaevo.kernel.admin.jobs import JOB_TONES
from schemaevo.kernel.job_figures import jobs_live
from schemaevo.kernel.models import Job, JobState, Pause
from schemaevo.kernel.pages.job_progress import Progress, rate_in_words

JOBS_SHOWN: Final = 8
RUNS_SHOWN: Final = 4


@dataclass(frozen=True, slots=True)
class JobAtWork:
    """A job that has not ended, how far it is, and the colour of its state."""

    job: Job
    tone: str
    progress: Progress


@dataclass(frozen=True, slots=True)
class RunAtWork:
    """An ingest run that stores records, and its rate in words, since it began; empty before its second batch."""

    run: IngestRun
    rate: str


@dataclass(frozen=True, slots=True)
class Running:
    """What goes on now, as far as the login may see it; `more_jobs` are not listed."""

    jobs: list[JobAtWork]
    more_jobs: int
    runs: list[RunAtWork]
    pause: Pause | None

    @property
    def is_busy(self) -> bool:
        """Whether anything is to be watched."""
        return bool(self.jobs or self.runs)


def running_now(request: HttpRequest, health: Health) -> Running | None:
    """See `Running`; None for who may see neither jobs nor runs."""
    sees_jobs = request.user.has_perm("kernel.view_job")
    sees_runs = request.user.has_perm("fragments.view_ingestrun")
    if not sees_jobs and not sees_runs:
        return None
    now = timezone.now()
    jobs = jobs_live(limit=JOBS_SHOWN) if sees_jobs else []
    live = sum(q.figures.pending + q.figures.running + q.figures.paused for q in health.queues)
    return Running(
        jobs=[JobAtWork(job, JOB_TONES[JobState(job.state)], Progress.of(job, now)) for job in jobs],
        more_jobs=max(0, live - len(jobs)),
        runs=[RunAtWork(run, _rate(run)) for run in (runs_at_work(limit=RUNS_SHOWN) if sees_runs else ())],
        pause=health.pause,
    )


def _rate(run: IngestRun) -> str:
    lasted_s = (run.alive_at - run.started_at).total_seconds()
    return rate_in_words(run.record_count / lasted_s) if lasted_s > 0 and run.record_count else ""
