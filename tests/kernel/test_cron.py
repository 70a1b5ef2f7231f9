"""The clock asks for periodic work and sweeps, whatever is broken, until it is told to stop."""

import logging
import signal

import django_rq
import pytest
from rq.cron import CronScheduler

from schemaevo import cron
from schemaevo.kernel import jobs
from schemaevo.kernel.models import Job, JobState
from tests.kernel.workload import kinds
from tests.threads import side_by_side
from tests.waiting import wait_for

pytestmark = pytest.mark.django_db(transaction=True)


def schedulers() -> list[CronScheduler]:
    return list(CronScheduler.all(django_rq.get_connection("interactive")))


def test_a_tick_asks_for_periodic_work_and_rings_for_what_lies_idle(new_kind, bells):
    idle = jobs.job_request(kind=new_kind())
    Job.objects.update(rung_at=None)
    kind = new_kind(every_s=60)

    cron.tick()
    cron.tick()

    owed = Job.objects.get(kind=kind)
    assert bells().count(str(owed.pk)) == 1
    assert bells().count(str(idle.pk)) == 2


def test_ticks_of_two_schedulers_at_once_make_one_job(new_kind):
    kind = new_kind(every_s=60)

    side_by_side([cron.tick] * 3)

    assert Job.objects.filter(kind=kind).count() == 1


def test_one_kind_that_cannot_be_asked_for_does_not_stop_the_others(new_kind, caplog):
    broken = new_kind(every_s=60, name="a.name.that.is.too.long.for.the.ledgers.column")
    kinds_after = [new_kind(every_s=60) for _ in range(2)]

    with caplog.at_level(logging.ERROR):
        cron.tick()

    assert Job.objects.filter(kind__in=kinds_after).count() == 2
    assert broken in caplog.text


def test_a_tick_without_redis_still_asks(new_kind, no_redis):
    kind = new_kind(every_s=60)

    cron.tick()

    assert Job.objects.get(kind=kind).state == JobState.PENDING


def test_two_schedulers_side_by_side_are_seen_make_one_job_and_stop_when_told(processes):
    clocks = [processes.start("schedule") for _ in range(2)]
    wait_for(lambda: len(schedulers()) == 2, "both schedulers to be seen")
    wait_for(lambda: Job.objects.filter(kind=kinds.PERIODIC).exists(), "the periodic work to be asked for")

    for clock in clocks:
        clock.send_signal(signal.SIGTERM)
    for clock in clocks:
        output, _ = clock.communicate(timeout=60)
        assert clock.returncode == 0, output

    assert schedulers() == []
    assert Job.objects.filter(kind=kinds.PERIODIC).count() == 1


def test_a_scheduler_without_redis_goes_on(processes, tmp_path):
    clock = processes.start("schedule", REDIS_URL=f"unix://{tmp_path}/nobody-listens.sock")
    wait_for(lambda: Job.objects.filter(kind=kinds.PERIODIC).exists(), "the periodic work to be asked for")

    assert clock.poll() is None
    clock.send_signal(signal.SIGTERM)
    output, _ = clock.communicate(timeout=60)
    assert clock.returncode == 0, output
    assert "Redis cannot be reached" in output
