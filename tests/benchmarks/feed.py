"""A feed that brings a batch every half second, and the workers that jobs run on beside it."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from statistics import median, quantiles
from typing import Any, NamedTuple

from django.conf import settings
from django.db import connection

from fragments.services.ingest import Input, ingest
from fragments.services.records import IngestOptions, Line
from schemaevo.kernel.canonical import JsonObject, canonical_bytes
from tests.benchmarks.commands import PROJECT
from tests.benchmarks.figures import Printer
from tests.benchmarks.records import ACTOR, ENTITY_TYPE, EPOCH, KEY_FIELD, USER_FIELD, random_fields

BATCH = 100
EVERY_S = 0.5
#: Owners of the entities that a feed is about, by the name that `shop` gives.
OWNERS = 20


def shop(number: int) -> str:
    """The name of an owner."""
    return f"shop-{number}"


class Timed(NamedTuple):
    """Seconds that a batch took, and seconds from when it was due until it was stored."""

    taken: float
    late: float


class Feed:
    """Batches of records about entities at random that are there, each half a second after the one before was due.

    Open loop: a batch that comes late makes the next ones no later due. Each record has so many undeclared fields.
    """

    def __init__(self, entities: int, *, undeclared: int = 0) -> None:
        self._dice = random.Random(1)
        self._each = entities // OWNERS
        self._undeclared = undeclared
        self._number = 0
        self._clock = threading.Event()
        self.begin()

    def begin(self) -> None:
        """The next batch is due now."""
        self._due = time.perf_counter()

    def next_batch(self) -> Timed:
        """A batch is stored as soon as it is due."""
        self._clock.wait(max(0.0, self._due - time.perf_counter()))
        due, self._due = self._due, self._due + EVERY_S
        self._number += 1
        began = time.perf_counter()
        lines = [Line(n, n, canonical_bytes(self._record())) for n in range(1, BATCH + 1)]
        run = ingest(
            source=Input(lines, "stream", source_name=f"feed-{self._number}", default_observed_at=EPOCH),
            options=IngestOptions(entity_type=ENTITY_TYPE, key_field=KEY_FIELD, user_field=USER_FIELD),
            actor=ACTOR,
        )
        assert run.observation_count == BATCH
        ended = time.perf_counter()
        return Timed(ended - began, ended - due)

    def _record(self) -> JsonObject:
        owner, number = self._dice.randrange(OWNERS), self._dice.randint(1, self._each)
        return {
            KEY_FIELD: f"order-{number}",
            USER_FIELD: shop(owner),
            **random_fields(self._dice),
            **{f"extra_{n}": self._dice.randrange(1_000_000) for n in range(self._undeclared)},
        }


@contextmanager
def work_by(workers: int) -> Iterator[None]:
    """So many worker processes, and the scheduler, on the database of the running test."""
    server, _, _ = settings.DATABASE_URL.rpartition("/")
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "schemaevo.settings",
        "DATABASE_URL": f"{server}/{connection.settings_dict['NAME']}",
        "REDIS_URL": settings.REDIS_URL,
        "SCHEMAEVO_SWEEP_INTERVAL_S": "1",
        "SCHEMAEVO_RECOMPUTE_WORKERS": str(workers),
    }
    processes: list[subprocess.Popen[Any]] = [
        subprocess.Popen(
            [sys.executable, "manage.py", program],
            cwd=PROJECT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for program in ["work"] * workers + ["schedule"]
    ]
    try:
        yield
    finally:
        for process in processes:
            process.send_signal(signal.SIGTERM)
        for process in processes:
            process.wait()


def p99(times: list[float]) -> float:
    """The time that one of a hundred exceeds."""
    return quantiles(times, n=100, method="inclusive")[-1]


def print_beside(printer: Printer, what: str, beside: Sequence[Timed], alone: Sequence[Timed]) -> None:
    """The figures of batches beside `what`, against those of batches alone."""
    for since, measured, floor in (
        ("from its beginning", [one.taken for one in beside], [one.taken for one in alone]),
        ("from when it was due", [one.late for one in beside], [one.late for one in alone]),
    ):
        print_times(
            printer,
            f"p99 of a batch of {BATCH} {since}, {what}, floor: alone",
            p99(measured),
            p99(floor),
            "<= 2",
        )
    print_times(
        printer,
        f"the median of the same, {len(beside)} and {len(alone)} batches",
        median(one.taken for one in beside),
        median(one.taken for one in alone),
    )


def print_times(printer: Printer, name: str, measured: float, floor: float, target: str = "none") -> None:
    """A figure of two times, in milliseconds."""
    printer.figure(name, f"{measured * 1e3:.0f} ms", f"{floor * 1e3:.0f} ms", measured / floor, target)
