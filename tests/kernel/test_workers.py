"""Real workers on real servers: killed, stopped and replaced, without losing or repeating work."""

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import django_rq
import pytest
from django.db import connection

from schemaevo.kernel import jobs
from schemaevo.kernel.models import Job, JobQueue, JobState
from tests.kernel.conftest import Processes
from tests.kernel.workload import kinds
from tests.threads import waiting_for_locks
from tests.waiting import wait_for

pytestmark = pytest.mark.django_db(transaction=True)

STEPS = 5
GATE_AT = 3
SHORT_LEASE = {"SCHEMAEVO_LEASE_S": "1"}


@pytest.fixture
def counting() -> Job:
    """A job that counts to 5 and stops inside the batch of step 3 for as long as the gate is shut."""
    jobs.job_kind(kinds.COUNT, queue=JobQueue.INTERACTIVE, run=kinds.count)
    return jobs.job_request(kind=kinds.COUNT, options={"steps": STEPS, "gate_at": GATE_AT})


@contextmanager
def shut_gate() -> Iterator[None]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(%s)", [kinds.GATE])
        try:
            yield
        finally:
            cursor.execute("SELECT pg_advisory_unlock(%s)", [kinds.GATE])


def wait_for_horse(job: Job) -> int:
    """The process that has stopped at the gate."""
    wait_for(waiting_for_locks, "the horse to come to the gate")
    job.refresh_from_db()
    assert (job.state, job.done_count) == (JobState.RUNNING, GATE_AT - 1)
    return int(job.cursor["pid"])


def stop(process: subprocess.Popen[str], number: signal.Signals) -> None:
    process.send_signal(number)
    process.wait(60)


def is_gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def is_pending_again(job: Job) -> bool:
    job.refresh_from_db()
    return job.state == JobState.PENDING


def sweep_that_finds_a_death() -> jobs.SweepResult | None:
    swept = jobs.sweep()
    return swept if swept.expired else None


def finish_with_another_worker(processes: Processes, job: Job) -> None:
    processes.run("work", "--burst")
    job.refresh_from_db()
    assert (job.state, job.result, job.done_count) == (JobState.DONE, {"steps": STEPS}, STEPS)
    assert kinds.notes(job.pk) == list(range(1, STEPS + 1))


def test_a_worker_does_what_is_rung_for_and_ends_when_all_is_done(processes, counting, bells):
    processes.run("work", "--burst")

    finish_with_another_worker(processes, counting)
    assert bells() == []


def test_a_worker_serves_only_its_queues(processes, counting, bells):
    processes.run("work", "--burst", "--queues", "recompute", "lifecycle")

    assert bells() == [str(counting.pk)]


def test_work_goes_on_after_worker_and_horse_were_killed(processes, counting):
    with shut_gate():
        worker = processes.start("work", **SHORT_LEASE)
        horse = wait_for_horse(counting)
        os.kill(horse, signal.SIGKILL)
        stop(worker, signal.SIGKILL)
    assert kinds.notes(counting.pk) == [1, 2]

    swept = wait_for(sweep_that_finds_a_death, "the lease to run out")
    assert swept == jobs.SweepResult(rung=1, expired=1)
    assert Job.objects.get(pk=counting.pk).attempts == 1
    finish_with_another_worker(processes, counting)


def test_a_horse_whose_worker_was_killed_ends_at_its_next_batch(processes, counting):
    with shut_gate():
        worker = processes.start("work")
        horse = wait_for_horse(counting)
        stop(worker, signal.SIGKILL)
    wait_for(lambda: is_pending_again(counting), "the orphan to give the job back")

    assert (counting.done_count, counting.attempts) == (GATE_AT, 0)
    wait_for(lambda: is_gone(horse), "the orphan to end")
    finish_with_another_worker(processes, counting)


def test_a_worker_asked_to_stop_ends_after_the_batch_it_is_in(processes, counting):
    with shut_gate():
        worker = processes.start("work")
        wait_for_horse(counting)
        worker.send_signal(signal.SIGTERM)
        wait_for(lambda: horse_was_told(counting), "the wish to reach the horse")
    output, _ = worker.communicate(timeout=60)

    assert worker.returncode == 0, output
    counting.refresh_from_db()
    assert (counting.state, counting.done_count, counting.attempts) == (JobState.PENDING, GATE_AT, 0)
    finish_with_another_worker(processes, counting)


def horse_was_told(job: Job) -> bool:
    """Whether SIGTERM is no longer on its way: the worker has been told, and tells the horse before Redis."""
    redis = django_rq.get_connection("interactive")
    return any(
        redis.hget(key, "shutdown_requested_date")
        for key in redis.scan_iter("rq:worker:*")
        if redis.type(key) == b"hash"
    )


def test_a_killed_horse_is_replaced_by_the_same_worker(processes, counting):
    with shut_gate():
        worker = processes.start("work", **SHORT_LEASE)
        os.kill(wait_for_horse(counting), signal.SIGKILL)
    wait_for(sweep_that_finds_a_death, "the lease to run out")

    wait_for(lambda: Job.objects.filter(pk=counting.pk, state=JobState.DONE).exists(), "the job to be done")
    assert kinds.notes(counting.pk) == list(range(1, STEPS + 1))
    stop(worker, signal.SIGTERM)


def test_a_worker_without_redis_says_so(processes, tmp_path):
    worker = processes.start("work", "--burst", REDIS_URL=f"unix://{tmp_path}/nobody-listens.sock")
    output, _ = worker.communicate(timeout=60)

    assert worker.returncode == 1
    assert "Redis cannot be reached" in output
