"""Processes that die, or halt, in the middle of their work."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterable

import pytest

from snapshots.services import observations, recompute
from snapshots.services.merging import NewSnapshot, snapshots_present, snapshots_write
from tests.threads import PATIENCE_S, Aside


class Died(BaseException):
    """The process is gone: nothing of it runs any more, and nobody is told."""


class Fate:
    """Says where a recomputation dies: when it has written, or is about to write, the rows of its n-th part.

    And where an ingest halts: it has stored its observations, and neither looked at a snapshot nor committed.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._parts_left: int | None = None
        self._is_before = False
        self._local = threading.local()
        monkeypatch.setattr(recompute, "snapshots_write", self._write)
        monkeypatch.setattr(observations, "snapshots_present", self._present)

    def strike(self, parts: int, *, is_before: bool, work: Callable[[], object]) -> bool:
        """The work is done until its process dies, if it comes so far; says whether it died."""
        self._parts_left, self._is_before = parts, is_before
        try:
            work()
        except Died:
            return True
        finally:
            self._parts_left = None
        return False

    def halts(self, late: Late) -> None:
        """The next ingest of this thread is that one."""
        self._local.late = late

    def _write(self, rows: Iterable[NewSnapshot]) -> None:
        is_here = self._parts_left == 0
        if self._parts_left is not None:
            self._parts_left -= 1
        if is_here and self._is_before:
            raise Died
        snapshots_write(rows)
        if is_here:
            raise Died

    def _present(self, entity_ids: Collection[str]) -> set[str]:
        late: Late | None = getattr(self._local, "late", None)
        if late is not None:
            self._local.late = None
            late.halt()
        return snapshots_present(entity_ids)


class Late:
    """An ingest on another connection, halted between its observations and their snapshots until it is let go."""

    def __init__(self, fate: Fate, ingest: Callable[[], object]) -> None:
        self._has_come = threading.Event()
        self._may_go_on = threading.Event()
        self._dies = False

        def work() -> None:
            fate.halts(self)
            try:
                ingest()
            except Died:
                pass
            finally:
                self._has_come.set()

        self._aside = Aside(work)
        self._future = self._aside.__enter__()
        assert self._has_come.wait(PATIENCE_S)

    @property
    def is_halted(self) -> bool:
        """Whether it has something to commit; without a new observation it has ended."""
        return not self._future.done()

    def halt(self) -> None:
        """Called in its thread."""
        self._has_come.set()
        assert self._may_go_on.wait(PATIENCE_S)
        if self._dies:
            raise Died

    def end(self, *, dies: bool = False) -> None:
        """It goes on and has committed, or dies here and has left nothing."""
        self._dies = dies
        self._may_go_on.set()
        self._aside.__exit__()
        self._future.result(PATIENCE_S)
