"""The job ledger: background work is asked for, rung for, run, and found again when a worker died.

The row is the truth and the queue a doorbell: RQ carries nothing but the job's id, and losing every bit of
Redis loses no work, because the sweeper rings again for whatever is pending and due. A bell too many does
no harm: whoever comes second finds nothing to claim.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import TypeAlias

import django_rq
from django.conf import settings
from django.db import connection, transaction
from django.db.models import F, Q
from django.db.models.functions import Now
from redis.exceptions import RedisError

from schemaevo.kernel import leases
from schemaevo.kernel.actors import Actor
from schemaevo.kernel.audit import audit_record
from schemaevo.kernel.canonical import JsonObject, canonical_json
from schemaevo.kernel.leases import Batch, GivenUp, Lease, LeaseLost, RunInterrupted, WorkEnded, count_towards
from schemaevo.kernel.models import LIVE_JOB_STATES, Job, JobQueue, JobState, Pause

__all__ = [
    "Batch",
    "GivenUp",
    "JobKind",
    "Lease",
    "LeaseLost",
    "RunInterrupted",
    "SweepResult",
    "WorkEnded",
    "count_towards",
    "job_alive",
    "job_at_work",
    "job_kind",
    "job_request",
    "periodic_kinds",
    "request_periodic",
    "ring",
    "run_job",
    "sweep",
]

logger = logging.getLogger(__name__)

Run: TypeAlias = "Callable[[Lease], JsonObject | None]"

#: A queue this long keeps every worker busy until the next sweep, and bells that nobody answers (no worker
#: runs) must not fill Redis.
QUEUE_LENGTH_MAX = 1000
#: A bell is taken for lost, in a flushed Redis or a killed worker's hands, after this many sweeps.
SWEEPS_PER_BELL = 4
FAILED_BELL_TTL_S = 86_400


@dataclass(frozen=True)
class JobKind:
    """What a job does: its name, its queue, its work, and how often it is owed without being asked for."""

    name: str
    queue: JobQueue
    run: Run
    every_s: int | None = None


@dataclass(frozen=True)
class SweepResult:
    """What a sweep found: jobs it rang for, and jobs whose worker had died."""

    rung: int
    expired: int


_kinds: dict[str, JobKind] = {}


def job_kind(name: str, *, queue: JobQueue, run: Run, every_s: int | None = None) -> None:
    """Jobs of this kind can be asked for and run. Called in AppConfig.ready().

    `run` may be called again after every crash and failure: what it does in batches must be done once, by
    the lease's cursor or by looking for what is still to do. It must not catch LeaseLost or RunInterrupted.
    """
    kind = JobKind(name=name, queue=queue, run=run, every_s=every_s)
    if _kinds.setdefault(name, kind) != kind:
        raise ValueError(f"The job kind {name} is already registered otherwise.")


def periodic_kinds() -> list[JobKind]:
    """The kinds that are owed again and again, by name."""
    return sorted((kind for kind in _kinds.values() if kind.every_s), key=lambda kind: kind.name)


def job_request(
    *,
    kind: str,
    target: str = "",
    options: JsonObject | None = None,
    requested_by: Actor | None = None,
    not_before: datetime | None = None,
) -> Job:
    """The work is owed from the caller's commit on. Asking for what is already owed is one job.

    A job that lives already keeps its options (they belong to kind and target) and, if it is running, runs
    once more; if it has not failed yet, it takes the earlier of both times. A paused one stays paused. What somebody
    asks for, and not the system, is in the audit log.
    """
    queue = _kinds[kind].queue
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute(
                """
                INSERT INTO jobs AS job (id, kind, target, queue, state, options, requested_by_id, not_before,
                                         wanted, wanted_seen, done_count, attempts, error)
                VALUES (%(id)s, %(kind)s, %(target)s, %(queue)s, 'pending', %(options)s::jsonb,
                        %(requested_by)s, coalesce(%(not_before)s, now()), 1, 0, 0, 0, '')
                ON CONFLICT (kind, target) WHERE state IN ('pending', 'running', 'paused')
                DO UPDATE SET
                    wanted = job.wanted + 1,
                    not_before = CASE WHEN job.attempts = 0 AND job.not_before > EXCLUDED.not_before
                                      THEN EXCLUDED.not_before ELSE job.not_before END
                RETURNING id
                """,
                {
                    "id": uuid.uuid4(),
                    "kind": kind,
                    "target": target,
                    "queue": queue.value,
                    "options": canonical_json(options or {}),
                    "requested_by": requested_by.user.pk if requested_by and requested_by.user else None,
                    "not_before": not_before,
                },
            )
            (job_id,) = cursor.fetchone()
        job = Job.objects.get(pk=job_id)
        if requested_by is not None:
            audit_record(
                actor=requested_by,
                action="job.request",
                target_type="job",
                target_id=str(job_id),
                after={"kind": kind, "target": target, "state": job.state, "wanted": job.wanted},
            )
        if job.state == JobState.PENDING:
            ring_after_commit(job_id)
    return job


def job_alive(kind: str, target: str) -> Job | None:
    """The job of that kind and target that has not ended, if there is one."""
    return Job.objects.filter(kind=kind, target=target, state__in=LIVE_JOB_STATES).first()


def job_at_work(kind: str, target: str) -> Job | None:
    """As `job_alive`, but for a paused one."""
    job = job_alive(kind, target)
    return None if job is None or job.state == JobState.PAUSED else job


def request_periodic(kind_name: str) -> Job:
    """The periodic work of this kind is owed, if it was not asked for within its interval anyway.

    Asked often, by any number of schedulers that were started at any time, it makes one job per interval.
    """
    every_s = _kinds[kind_name].every_s
    if every_s is None:
        raise ValueError(f"The job kind {kind_name} is not periodic.")
    fresh = Q(requested_at__gt=Now() - timedelta(seconds=every_s))
    live = Q(state__in=LIVE_JOB_STATES)
    known = Job.objects.filter(fresh | live, kind=kind_name, target="").order_by("-requested_at").first()
    return known or job_request(kind=kind_name)


def ring_after_commit(job_id: uuid.UUID) -> None:
    """The bell rings once the caller's transaction has committed, and never if it is rolled back."""
    transaction.on_commit(partial(ring, job_id), robust=True)


def ring(job_id: uuid.UUID) -> bool:
    """A worker of the job's queue will look at the job. The only place that puts anything into Redis.

    Call it outside a transaction, or through `ring_after_commit`: a worker that comes before the commit finds
    nothing. Without Redis it gives False, and nothing is lost: the sweeper rings later.
    """
    job = Job.objects.filter(pk=job_id).values("queue", "not_before", "state").first()
    if job is None:
        return False
    try:
        django_rq.get_queue(job["queue"]).enqueue(
            run_job, str(job_id), result_ttl=0, failure_ttl=FAILED_BELL_TTL_S, description=f"job {job_id}"
        )
    except RedisError as error:
        logger.warning("Job %s could not be rung for (%s); the sweeper will try again.", job_id, error)
        return False
    Job.objects.filter(pk=job_id).update(rung_at=Now())
    return True


def run_job(job_id: str, *, should_stop: Callable[[], bool] | None = None) -> None:
    """The job is done, or pending again with what it achieved, or failed. RQ calls this with the id alone.

    Nothing happens if it is not there to be claimed: another worker has it, it is not due, it has ended, or
    everything is paused.
    """
    key = uuid.UUID(job_id)
    leases.expire(key)
    lease = leases.claim(key, should_stop=should_stop or process_should_stop)
    if lease is None:
        return
    try:
        _run_to_the_end(lease)
    except LeaseLost:
        logger.info("Job %s %s was taken from this worker; its last batch was rolled back.", lease.kind, key)


def _run_to_the_end(lease: Lease) -> None:
    try:
        run = _kinds[lease.kind].run
        while not lease.finish(run(lease)):
            lease.begin_again()
            lease.stop_if_due()
    except RunInterrupted as reason:
        lease.give_back(reason)
        ring(lease.job_id)
    except LeaseLost:
        raise
    except Exception as error:
        logger.exception("Job %s %s failed.", lease.kind, lease.job_id)
        # The failure may be that of the connection itself; the next statement then opens another.
        if not connection.in_atomic_block:
            connection.close_if_unusable_or_obsolete()
        lease.fail(error)


#: Whether this process has to end soon. A worker's horse sets it; everywhere else nobody asks.
process_should_stop: Callable[[], bool] = leases.nobody_asks_to_stop


def sweep() -> SweepResult:
    """Every job that is pending and due, but was not rung for lately, is rung for; dead workers' jobs first.

    Any number of sweepers may run at once. While everything is paused it rings for nothing.
    """
    expired = leases.expire()
    if Pause.objects.exists():
        return SweepResult(rung=0, expired=len(expired))
    bell_lost = Now() - timedelta(seconds=settings.SCHEMAEVO_SWEEP_INTERVAL_S * SWEEPS_PER_BELL)
    waiting = (
        Job.objects.filter(state=JobState.PENDING, not_before__lte=Now())
        .filter(Q(rung_at=None) | Q(rung_at__lt=F("not_before")) | Q(rung_at__lt=bell_lost))
        .order_by("not_before", "pk")
    )
    rung = 0
    for queue in JobQueue:
        try:
            room = QUEUE_LENGTH_MAX - django_rq.get_queue(queue.value).count
        except RedisError as error:
            logger.warning("Redis cannot be reached (%s); the next sweep will ring.", error)
            break
        for job_id in waiting.filter(queue=queue).values_list("pk", flat=True)[: max(room, 0)]:
            if not ring(job_id):
                break
            rung += 1
    return SweepResult(rung=rung, expired=len(expired))
