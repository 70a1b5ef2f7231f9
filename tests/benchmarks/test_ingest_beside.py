"""How long a batch of ingest takes beside workers that recompute a whole table, against how long it takes alone."""

from __future__ import annotations

from statistics import median

import pytest

from registry.services.activation import schema_activate
from registry.services.schemas import schema_register
from schemaevo.kernel.canonical import JsonObject
from schemaevo.kernel.jobs import job_alive, ring
from snapshots.models import EntitySnapshot
from snapshots.services.observations import RECOMPUTE
from tests.benchmarks.feed import OWNERS, Feed, Timed, print_beside, print_times, shop, work_by
from tests.benchmarks.figures import Printer, scaled
from tests.benchmarks.histories import Histories
from tests.benchmarks.records import ACTOR, DEFINITION, ENTITY_TYPE, register, schema_of

#: Batches without a recomputation, and at least so many beside one.
BATCHES = 240
BATCHES_MIN = 10


@pytest.mark.parametrize("workers", [1, 2])
def test_ingest_beside_a_recomputation(printer: Printer, workers: int) -> None:
    """Open loop: a batch is due every half second, and late from then on, whoever held it up."""
    register()
    rows = scaled(1_000_000, at_least=5_000)
    for owner in range(OWNERS):
        Histories(shop(owner)).make(rows // OWNERS, 1)
    feed = Feed(rows)
    alone = [feed.next_batch() for _ in range(scaled(BATCHES, at_least=BATCHES_MIN))]
    beside: list[Timed] = []
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
    assert not EntitySnapshot.objects.exclude(reduction_hash=reduction_hash()).exists()
    print_beside(printer, f"{workers} worker(s) at {rows:,} rows", beside, alone)
    print_times(
        printer,
        "the median while all that it meets waits, and nobody works, floor: nothing waits",
        median(one.taken for one in waiting),
        median(one.taken for one in alone),
    )


def change_a_policy() -> None:
    """Every snapshot waits."""
    document: JsonObject = {**DEFINITION, "merge_policies": {"status": {"strategy": "last_write"}}}
    version = schema_register(entity_type=ENTITY_TYPE, document=document, actor=ACTOR).version
    schema_activate(version_id=version.pk, actor=ACTOR, without_review="a benchmark wants it")


def reduction_hash() -> str:
    """Of the rules that are in force."""
    return schema_of(EntitySnapshot.objects.values_list("user_id", flat=True)[0]).reduction_hash
