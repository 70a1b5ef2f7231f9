"""What a benchmark prints: one line per figure, measured beside its floor."""

from __future__ import annotations

import gc
import os
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest
from _pytest.capture import CaptureManager

#: 1 is the full size; CI runs 0.01, so that the benchmarks do not rot.
SCALE = float(os.environ.get("SCHEMAEVO_BENCH_SCALE", "1"))
ROUNDS = 5 if SCALE >= 0.1 else 1
#: Observations that are recorded one by one.
STEPS = 200
#: Memory hardly varies, and a round takes long.
MEMORY_ROUNDS = 3

_COLUMNS = "{:<66} {:>13} {:>13} {:>7}  {}"


def scaled(size: int, *, at_least: int = 1) -> int:
    """The size that a benchmark of this full size has in this run."""
    return max(at_least, round(size * SCALE))


def seconds(work: Callable[[], object]) -> float:
    """How long one call takes, without the pauses of the garbage that others left."""
    gc.collect()
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


@contextmanager
def set_aside() -> Iterator[None]:
    """What is in memory now, such as the rows of a floor, is not walked through by the garbage collector of what
    is measured."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def alternating(measured: Callable[[], float], floor: Callable[[], float]) -> tuple[float, float]:
    """The medians of both, each run ROUNDS times by turns, so that a busy moment of the machine hits both."""
    with set_aside():
        pairs = [(measured(), floor()) for _ in range(ROUNDS)]
    return statistics.median(m for m, _ in pairs), statistics.median(f for _, f in pairs)


@dataclass(frozen=True, slots=True)
class Printer:
    """Writes the lines of the figures to the terminal, whether the tests' output is captured or not."""

    terminal: pytest.TerminalReporter
    capturing: CaptureManager

    def heading(self, fsync: str) -> None:
        """`fsync` is what the server says of itself: on or off."""
        self._line(
            f"scale {SCALE:g}; fsync {fsync}; medians of {ROUNDS} rounds "
            f"(one more observation: of {STEPS}; memory: of {MEMORY_ROUNDS}, at 100,000 records of 1)"
        )
        self._line(_COLUMNS.format("figure", "measured", "floor", "ratio", "target"))

    def figure(self, name: str, measured: str, floor: str, ratio: float, target: str) -> None:
        """One figure; `ratio` is what the target speaks of."""
        self._line(_COLUMNS.format(name, measured, floor, f"{ratio:.2f}", target))

    def _line(self, text: str) -> None:
        with self.capturing.global_and_fixture_disabled():
            # The name of the running test may stand on the present line.
            self.terminal.ensure_newline()
            self.terminal.write_line(text)
