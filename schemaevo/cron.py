"""The clock: asks for periodic work and sweeps, every SCHEMAEVO_SWEEP_INTERVAL_S, until it is stopped.

It works in its own process and not through the queue, as `manage.py rqcron` would: a sweep that waits in
Redis for a free worker is of no use when Redis was flushed or the workers died; and RQ's scheduler writes
its bells with pickle, whatever serializer RQ_QUEUES names. What it takes from RQ is the registry of
schedulers, so that pages can tell whether one is alive.

How often periodic work is owed is decided in the database (`jobs.request_periodic`). Any number of these may
run, and be started at any time.
"""

import logging
import os
import select
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import django_rq
from django.conf import settings
from django.db import close_old_connections
from django.utils import timezone
from redis.exceptions import RedisError
from rq.cron import CronScheduler

from schemaevo.kernel import jobs
from schemaevo.kernel.models import JobQueue

logger = logging.getLogger(__name__)


def tick() -> None:
    """All periodic work that is due is asked for, and everything that is owed and lies idle is rung for.

    A part that fails is logged and does not keep the others from their turn; the next tick tries again.
    """
    close_old_connections()
    for kind in jobs.periodic_kinds():
        try:
            jobs.request_periodic(kind.name)
        except Exception:
            logger.exception("Periodic work %s could not be asked for.", kind.name)
            close_old_connections()
    try:
        swept = jobs.sweep()
    except Exception:
        logger.exception("The sweep failed.")
        close_old_connections()
    else:
        if swept.expired:
            logger.warning("Took %s jobs from dead workers.", swept.expired)


class Scheduler(CronScheduler):  # type: ignore[misc]  # rq is not typed for mypy here
    """Ticks until it gets SIGTERM or SIGINT. Redis may be away meanwhile; it is then only invisible."""

    def __init__(self) -> None:
        queue = JobQueue.INTERACTIVE.value
        super().__init__(connection=django_rq.get_connection(queue))
        self._is_stopping = False
        self._wake_reader, self._wake_writer = os.pipe()
        # For the pages: what this scheduler does, and when it did it last.
        self.register(tick, queue, interval=settings.SCHEMAEVO_SWEEP_INTERVAL_S)

    def start(self) -> None:
        self._install_signal_handlers()
        self.register_birth()
        try:
            while not self._is_stopping:
                if self.enqueue_jobs():
                    self.save()
                self.heartbeat()
                select.select([self._wake_reader], [], [], self.calculate_sleep_interval())
        finally:
            self.register_death()

    def enqueue_jobs(self) -> list[Any]:
        """Does what is due, here and now."""
        due = [entry for entry in self.get_jobs() if entry.should_run()]
        for entry in due:
            entry.func()
            entry.set_enqueue_time(timezone.now())
        return due

    def _request_stop(self, signum: int, frame: FrameType | None) -> None:
        # Raising would be caught by whatever part of a tick it interrupts, and locks (an Event's too) may be
        # held by the very code that this interrupts; a byte in a pipe ends the waiting without either.
        self._is_stopping = True
        os.write(self._wake_writer, b"!")

    def register_birth(self) -> None:
        with redis_may_be_away():
            super().register_birth()

    def register_death(self, pipeline: Any = None) -> None:
        with redis_may_be_away():
            super().register_death(pipeline)

    def save(self, pipeline: Any = None) -> None:
        with redis_may_be_away():
            super().save(pipeline)

    def heartbeat(self) -> None:
        with redis_may_be_away():
            super().heartbeat()


@contextmanager
def redis_may_be_away() -> Iterator[None]:
    """Redis not answering is logged and no reason to stop."""
    try:
        yield
    except RedisError as error:
        logger.warning("Redis cannot be reached (%s); pages cannot see this scheduler.", error)
