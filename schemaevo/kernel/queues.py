"""The queues: what the ledger says is owed, what Valkey holds of it, and who is there to do it. Only looks."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from django.conf import settings
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry
from rq import Queue, Worker
from rq.cron import CronScheduler
from rq.executions import WORKER_EXECUTIONS_KEY_TEMPLATE
from rq.registry import FailedJobRegistry
from rq.utils import utcparse

from schemaevo.kernel.job_figures import QueueFigures, queues_figured
from schemaevo.kernel.models import Job, JobQueue

#: A server that does not answer within this many seconds counts as away.
ANSWER_S = 1.0
#: The description that a bell has in Valkey, before the id of its job (schemaevo.kernel.jobs.ring).
_BELL = "job "


@dataclass(frozen=True, slots=True)
class Bells:
    """What Valkey holds of one queue: bells that nobody took yet, and bells whose run broke off."""

    waiting: int
    failed: int


@dataclass(frozen=True, slots=True)
class QueueTold:
    """One queue: what the ledger says of it, what Valkey holds of it, and how many workers serve it. `bells` is None
    where Valkey does not answer."""

    owed: QueueFigures
    bells: Bells | None
    workers: int

    @property
    def queue(self) -> JobQueue:
        """Which it is."""
        return self.owed.queue


@dataclass(frozen=True, slots=True)
class WorkerTold:
    """One worker, as it told of itself last. `job_id` is the row that it works on, or worked on when it told."""

    name: str
    place: str
    queues: tuple[str, ...]
    state: str
    since: datetime | None
    heard_at: datetime | None
    job_id: uuid.UUID | None


@dataclass(frozen=True, slots=True)
class SchedulerTold:
    """One scheduler: when it was heard of, and when it asks for periodic work and sweeps next."""

    place: str
    heard_at: datetime | None
    next_at: datetime | None

    @property
    def is_alive(self) -> bool:
        """Whether it was heard of within a few of its rounds."""
        patience = timedelta(seconds=max(60, settings.SCHEMAEVO_SWEEP_INTERVAL_S * 4))
        return self.heard_at is not None and datetime.now(UTC) - self.heard_at < patience


@dataclass(frozen=True, slots=True)
class QueuesTold:
    """All queues, and who serves them, each worker with the job that it works on. Without Valkey nothing is known of
    workers and schedulers."""

    queues: tuple[QueueTold, ...]
    workers: tuple[tuple[WorkerTold, Job | None], ...]
    schedulers: tuple[SchedulerTold, ...]
    is_reachable: bool


def redis_client() -> Redis:
    """A client that gives up soon, for looking. The caller closes it.

    Not django-rq's: that gives no timeouts to a connection that is named by an address, and nothing that only
    looks may hang on a server that accepts and says nothing.
    """
    return Redis.from_url(
        str(settings.RQ_QUEUES[JobQueue.INTERACTIVE.value]["URL"]),
        socket_connect_timeout=ANSWER_S,
        socket_timeout=ANSWER_S,
        retry=Retry(NoBackoff(), 0),
    )


def queues_told() -> QueuesTold:
    """The queues as they are now. Never raises for Valkey: the ledger is told without it."""
    redis = redis_client()
    bells: dict[JobQueue, Bells] = {}
    workers: tuple[WorkerTold, ...] = ()
    schedulers: tuple[SchedulerTold, ...] = ()
    is_reachable = True
    try:
        bells = {queue: bells_of(redis, queue) for queue in JobQueue}
        workers = tuple(workers_told(redis))
        schedulers = tuple(schedulers_told(redis))
    except RedisError:
        is_reachable = False
    finally:
        redis.close()
    at_work = Job.objects.only("kind", "target").in_bulk([one.job_id for one in workers if one.job_id])
    return QueuesTold(
        queues=tuple(
            QueueTold(
                owed=owed,
                bells=bells.get(owed.queue) if is_reachable else None,
                workers=sum(owed.queue.value in worker.queues for worker in workers),
            )
            for owed in queues_figured()
        ),
        workers=tuple((worker, at_work.get(worker.job_id) if worker.job_id else None) for worker in workers),
        schedulers=schedulers,
        is_reachable=is_reachable,
    )


def schedulers_told(redis: Redis) -> list[SchedulerTold]:
    """The schedulers that Valkey knows of, alive or not. Raises: RedisError."""
    told = []
    for scheduler in CronScheduler.all(redis, cleanup=False):
        rounds = [entry.next_enqueue_time for entry in scheduler.get_jobs() if entry.next_enqueue_time]
        told.append(
            SchedulerTold(
                place=_place(scheduler.hostname, scheduler.pid),
                heard_at=scheduler.last_heartbeat,
                next_at=min(rounds, default=None),
            )
        )
    return told


def workers_told(redis: Redis) -> list[WorkerTold]:
    """The workers that are alive, by their place. Raises: RedisError.

    RQ's own list has the dead ones too, until another worker clears them away; of those nothing is stored.
    """
    keys: Iterable[str] = Worker.all_keys(connection=redis)
    found = [(key, _texts(redis.hgetall(key))) for key in keys]
    alive = [(key, said) for key, said in found if "queues" in said]
    told = [
        WorkerTold(
            name=key.rpartition(":")[2],
            place=_place(said.get("hostname", ""), said.get("pid", "")),
            queues=tuple(said["queues"].split(",")),
            state=said.get("state", "?"),
            since=_moment(said.get("birth")),
            heard_at=_moment(said.get("last_heartbeat")),
            job_id=_job_of(redis, key.rpartition(":")[2]),
        )
        for key, said in alive
    ]
    return sorted(told, key=lambda worker: (worker.place, worker.name))


def bells_of(redis: Redis, queue: JobQueue) -> Bells:
    """What Valkey holds of the queue. Raises: RedisError."""
    return Bells(
        waiting=Queue(queue.value, connection=redis).count,
        # Without a cleanup, which would write.
        failed=int(redis.zcard(FailedJobRegistry(queue.value, connection=redis).key)),
    )


def _job_of(redis: Redis, worker: str) -> uuid.UUID | None:
    """The job whose bell the worker answers just now; None for what nobody here rang."""
    runs: Any = redis.smembers(WORKER_EXECUTIONS_KEY_TEMPLATE.format(worker))
    for run in runs:
        said: Any = redis.hget(f"rq:job:{run.decode().partition(':')[0]}", "description")
        try:
            return uuid.UUID((said or b"").decode().removeprefix(_BELL))
        except ValueError:
            continue
    return None


def _texts(said: object) -> dict[str, str]:
    return {key.decode(): value.decode() for key, value in said.items()} if isinstance(said, dict) else {}


def _moment(text: str | None) -> datetime | None:
    return utcparse(text) if text else None


def _place(host: object, process: object) -> str:
    return f"{host or '?'} #{process or '?'}"
