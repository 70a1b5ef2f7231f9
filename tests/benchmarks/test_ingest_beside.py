"""How long a batch of ingest takes beside workers that recompute a whole table, against how long it takes alone."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import median, quantiles
from typing import Any

import pytest
from django.conf import settings
from django.db import connection

from fragments.services.ingest import Input, ingest
from fragments.services.records import IngestOptions, Line
from registry.services.activation import schema_activate
from registry.services.schemas import schema_register
from schemaevo.kernel.canonical import JsonObject, canonical_bytes
from schemaevo.kernel.jobs import job_alive, ring
from snapshots.models import EntitySnapshot
from snapshots.services.observations import RECOMPUTE
from tests.benchmarks.commands import PROJECT
from tests.benchmarks.figures import Printer, scaled
from tests.benchmarks.histories import Histories
from tests.benchmarks.records import (
    ACTOR,
    DEFINITION,
    ENTITY_TYPE,
    EPOCH,
    KEY_FIELD,
    USER_FIELD,
    random_fields,
    register,
    schema_of,
)

BATCH = 100
EVERY_S = 0.5
OWNERS = 20
#: Batches without a recomputation, and at least so many beside one.
BATCHES = 240
BATCHES_MIN = 10
#: What is measured of a batch.
TAKEN, LATE = 0, 1


@pytest.mark.parametrize("workers", [1, 2])
def test_ingest_beside_a_recomputation(printer: Printer, workers: int) -> None:
    """Open loop: a batch is due every half second, and late from then on, whoever held it up."""
    register()
    rows = scaled(1_000_000, at_least=5_000)
    for owner in range(OWNERS):
        Histories(f"shop-{owner}").make(rows // OWNERS, 1)
    feed = Feed(rows)
    alone = [feed.next_batch() for _ in range(scaled(BATCHES, at_least=BATCHES_MIN))]
    beside: list[tuple[float, float]] = []
    change_a_policy()
    run = job_alive(RECOMPUTE, ENTITY_TYPE)
    assert run is not None
    feed.begin()
    # What of the rest is the price of reducing anew what it meets and waits, and not of workers.
    waiting = [feed.next_batch() for _ in range(BATCHES_MIN)]
    feed.begin()
    with work_by(workers):
        ring(run.pk)
        while job_alive(RECOMPUTE, ENTITY_TYPE) is not None:
            beside.append(feed.next_batch())
    run.refresh_from_db()
    assert run.state == "done"
    assert not EntitySnapshot.objects.exclude(reduction_hash=feed.reduction_hash()).exists()
    for what, pick in (("from its beginning", TAKEN), ("from when it was due", LATE)):
        measured, floor = p99([one[pick] for one in beside]), p99([one[pick] for one in alone])
        printer.figure(
            f"p99 of a batch of {BATCH} {what}, {workers} worker(s) at {rows:,} rows, floor: alone",
            f"{measured * 1e3:.0f} ms",
            f"{floor * 1e3:.0f} ms",
            measured / floor,
            "<= 2",
        )
    measured, floor = median(one[TAKEN] for one in beside), median(one[TAKEN] for one in alone)
    printer.figure(
        f"the median of the same, {len(beside)} and {len(alone)} batches",
        f"{measured * 1e3:.0f} ms",
        f"{floor * 1e3:.0f} ms",
        measured / floor,
        "none",
    )
    measured = median(one[TAKEN] for one in waiting)
    printer.figure(
        "the median while all that it meets waits, and nobody works, floor: nothing waits",
        f"{measured * 1e3:.0f} ms",
        f"{floor * 1e3:.0f} ms",
        measured / floor,
        "none",
    )


def change_a_policy() -> None:
    """Every snapshot waits."""
    document: JsonObject = {**DEFINITION, "merge_policies": {"status": {"strategy": "last_write"}}}
    version = schema_register(entity_type=ENTITY_TYPE, document=document, actor=ACTOR).version
    schema_activate(version_id=version.pk, actor=ACTOR, without_review="a benchmark wants it")


def p99(times: list[float]) -> float:
    """The time that one of a hundred exceeds."""
    return quantiles(times, n=100, method="inclusive")[-1]


class Feed:
    """Batches of records about entities at random that are there, each half a second after the one before was due."""

    def __init__(self, rows: int) -> None:
        self._dice = random.Random(1)
        self._each = rows // OWNERS
        self._number = 0
        self._clock = threading.Event()
        self.begin()

    def begin(self) -> None:
        """The next batch is due now."""
        self._due = time.perf_counter()

    def next_batch(self) -> tuple[float, float]:
        """How long a batch takes, and how long after it was due it is stored."""
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
        return ended - began, ended - due

    def _record(self) -> JsonObject:
        owner, number = self._dice.randrange(OWNERS), self._dice.randint(1, self._each)
        return {
            KEY_FIELD: f"order-{number}",
            USER_FIELD: f"shop-{owner}",
            **random_fields(self._dice),
        }

    def reduction_hash(self) -> str:
        """Of the rules that are in force."""
        owner = EntitySnapshot.objects.values_list("user_id", flat=True)[0]
        return schema_of(owner).reduction_hash


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
