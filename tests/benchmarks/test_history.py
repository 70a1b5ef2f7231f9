"""One more observation costs the same however long the history is, the snapshot being of one size."""

from __future__ import annotations

import random
import time
from statistics import median

from schemaevo.kernel.canonical import JsonObject
from tests.benchmarks.figures import STEPS, Printer, scaled
from tests.benchmarks.histories import Entity, Histories, MakeFields
from tests.benchmarks.records import DEFINITION, random_fields, register

#: Recorded before those that count: they make the plans and fill the caches.
WARM_UP_STEPS = 40
ALL_STEPS = STEPS + WARM_UP_STEPS


def test_one_more_observation_at_a_growing_history(printer: Printer) -> None:
    register()
    lengths = [10, scaled(1_000, at_least=10), scaled(100_000, at_least=10)]
    histories = Histories("owner")
    # Short histories are many, else the measuring itself would lengthen them; all tables are the same ones.
    groups = [
        (histories, histories.make(max(1, min(ALL_STEPS, lengths[-1] // length)), length))
        for length in lengths
    ]
    times = _times_of_one_more(groups)
    for length, taken, target in zip(lengths, times, ["none", "none", "<= 1.3"], strict=True):
        _print(printer, f"one more observation at history {length:,}", taken, times[0], target)


def test_one_more_observation_at_a_growing_array(printer: Printer) -> None:
    """merge_array keeps its items in the snapshot: the cost is linear in them, not in the history."""
    register({"fields": DEFINITION["fields"], "merge_policies": {"labels": {"strategy": "merge_array"}}})
    kept = [10, scaled(100, at_least=10), scaled(1_000, at_least=10)]
    groups = []
    for place, items in enumerate(kept):
        histories = Histories(f"owner-{place}", _with_labels(items))
        groups.append((histories, histories.make(ALL_STEPS, 1)))
    times = _times_of_one_more(groups)
    for items, taken in zip(kept, times, strict=True):
        _print(printer, f"one more observation at {items:,} joined items", taken, times[0], "none: linear")


def _times_of_one_more(groups: list[tuple[Histories, list[Entity]]]) -> list[float]:
    """The median time of one more observation of an entity of each group; the groups take turns at each step."""
    times: list[list[float]] = [[] for _ in groups]
    for step in range(ALL_STEPS):
        for (histories, entities), taken in zip(groups, times, strict=True):
            began = time.perf_counter()
            histories.record_one_more(entities[step % len(entities)], step)
            taken.append(time.perf_counter() - began)
    return [median(taken[WARM_UP_STEPS:]) for taken in times]


def _with_labels(items: int) -> MakeFields:
    """The first observation brings all the labels, each later one three that are there already."""

    def make(rng: random.Random, number: int) -> JsonObject:
        numbers = range(items) if number == 0 else rng.sample(range(items), 3)
        return {**random_fields(rng), "labels": [f"label-{n:06}" for n in numbers]}

    return make


def _print(printer: Printer, name: str, taken: float, floor: float, target: str) -> None:
    printer.figure(name, f"{taken * 1e3:.2f} ms", f"{floor * 1e3:.2f} ms", taken / floor, target)
