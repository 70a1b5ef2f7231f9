"""The RQ worker of this project: a forking worker that notices the death of others soon and ends politely."""

import logging
import os
import signal
from types import FrameType
from typing import Any

from django.db import connections
from rq import Worker

from schemaevo.kernel import jobs
from schemaevo.kernel.models import JobQueue

#: How often a worker looks after its horse, and tells Redis that both live.
MONITORING_INTERVAL_S = 5
#: How often it looks for what dead workers left in RQ's registries. With RQ's 600 s an abandoned bell was
#: noticed after 809 s, with intervals like these after 74 s. The job itself does not wait even for that: its
#: lease and the sweeper bring it back.
MAINTENANCE_INTERVAL_S = 10
#: For how long Redis believes in a worker that says nothing while it waits for a bell.
WORKER_TTL_S = 60
#: By how much what nobody waits for yields to ingest and to pages where processors are short (nice(2)).
NICENESS = 10


class QuickRecoveryWorker(Worker):  # type: ignore[misc]  # rq is not typed for mypy here
    """Runs jobs in a forked horse each.

    Asked to stop (SIGTERM or SIGINT) while a horse runs, it passes the wish on: the horse ends at its next
    batch and its job is pending again, instead of holding up the stop for as long as a run may take. A horse
    whose worker was killed ends in the same way.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("job_monitoring_interval", MONITORING_INTERVAL_S)
        kwargs.setdefault("maintenance_interval", MAINTENANCE_INTERVAL_S)
        kwargs.setdefault("worker_ttl", WORKER_TTL_S)
        super().__init__(*args, **kwargs)

    def fork_work_horse(self, job: Any, queue: Any) -> None:
        # A connection that two processes write to mixes up their statements.
        connections.close_all()
        super().fork_work_horse(job, queue)

    def main_work_horse(self, job: Any, queue: Any) -> None:
        worker_pid = self.pid

        def should_stop() -> bool:
            # What the worker was told just before or during the fork stands in this copy of it.
            return _stop_asked or bool(self._stop_requested) or os.getppid() != worker_pid

        jobs.process_should_stop = should_stop
        if queue.name != JobQueue.INTERACTIVE.value:
            os.nice(NICENESS)
        super().main_work_horse(job, queue)

    def setup_work_horse_signals(self) -> None:
        """Instead of RQ's, which let SIGTERM kill the horse in the middle of a batch."""
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, _ask_to_stop)

    def perform_job(self, job: Any, queue: Any, execution: Any) -> bool:
        try:
            return bool(super().perform_job(job, queue, execution))
        finally:
            connections.close_all()

    def handle_warm_shutdown_request(self) -> None:
        super().handle_warm_shutdown_request()
        if self.horse_pid:
            self.kill_horse(signal.SIGTERM)


_stop_asked = False


def _ask_to_stop(signal_number: int, frame: FrameType | None) -> None:
    """The horse ends at its next batch."""
    global _stop_asked
    _stop_asked = True
    logging.getLogger(__name__).info("Asked to stop; ending at the next batch.")
