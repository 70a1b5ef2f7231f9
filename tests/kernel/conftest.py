"""What the tests of the kernel share: clean queues, job kinds of the moment, and processes of their own."""

from __future__ import annotations

import os
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import django_rq
import pytest
from django.conf import settings
from django.db import connection

from schemaevo.kernel import jobs
from schemaevo.kernel.canonical import JsonObject
from schemaevo.kernel.jobs import Lease
from schemaevo.kernel.models import JobQueue

PROJECT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def _clean_queues() -> Iterator[None]:
    """Every test begins and ends with an empty Redis of its own."""
    redis = django_rq.get_connection(JobQueue.INTERACTIVE.value)
    redis.flushdb()
    yield
    redis.flushdb()


@pytest.fixture
def new_kind() -> Iterator[Callable[..., str]]:
    """Registers a job kind under a name of its own, for this test, and gives the name."""
    made: list[str] = []

    def make(
        run: Callable[[Lease], JsonObject | None] = lambda lease: None, *, name: str = "test", **options: Any
    ) -> str:
        made.append(f"{name}.{uuid.uuid4().hex}")
        jobs.job_kind(made[-1], run=run, **{"queue": JobQueue.INTERACTIVE, **options})
        return made[-1]

    yield make
    for name in made:
        del jobs._kinds[name]


@pytest.fixture
def bells() -> Callable[[], list[str]]:
    """The ids of the jobs that are being rung for, oldest bell first."""

    def look() -> list[str]:
        return [bell.args[0] for queue in JobQueue for bell in django_rq.get_queue(queue.value).get_jobs()]

    return look


@pytest.fixture
def no_redis(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The settings name a Redis that does not run."""
    for queue in settings.RQ_QUEUES.values():
        monkeypatch.setitem(queue, "URL", f"unix://{tmp_path}/nobody-listens.sock")


class Processes:
    """Starts management commands on the test's own servers; ends what still runs when the test ends."""

    def __init__(self) -> None:
        self.started: list[subprocess.Popen[str]] = []

    def start(self, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        server, _, _ = os.environ["DATABASE_URL"].rpartition("/")
        process = subprocess.Popen(
            [sys.executable, "manage.py", *arguments],
            cwd=PROJECT,
            env={
                **os.environ,
                "DJANGO_SETTINGS_MODULE": "tests.kernel.worker_settings",
                "DATABASE_URL": f"{server}/{connection.settings_dict['NAME']}",
                "REDIS_URL": settings.REDIS_URL,
                **environment,
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.started.append(process)
        return process

    def run(self, *arguments: str, **environment: str) -> str:
        """Runs a command to its end, which must be a good one; gives what it printed."""
        process = self.start(*arguments, **environment)
        output, _ = process.communicate(timeout=60)
        assert process.returncode == 0, output
        return output

    def end(self) -> None:
        for process in self.started:
            if process.poll() is None:
                process.kill()
            process.communicate()


@pytest.fixture
def processes() -> Iterator[Processes]:
    started = Processes()
    yield started
    started.end()
