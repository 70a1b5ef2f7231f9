"""Workers and a scheduler on a store, as an installation has them, to be killed, stopped and started again."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

from tests.long.stores import PROJECT, Store

#: How soon who died is started again.
LOOK_EVERY_S = 0.2


class Workers:
    """So many workers and one scheduler, each in a process of its own that writes into a file.

    Whoever dies is started again, as a supervisor does: a worker also ends by itself when Redis is away.
    """

    def __init__(self, store: Store, count: int) -> None:
        self._store = store
        self._log = (store.folder / "workers.log").open("ab")
        self._programs = [("work",)] * count + [("schedule",)]
        self._processes = [self._start(program) for program in self._programs]
        self._stopped: list[int] = []
        self._is_over = threading.Event()
        self._supervisor = threading.Thread(target=self._supervise)
        self._supervisor.start()

    @property
    def log(self) -> Path:
        """What all of them said."""
        return Path(self._log.name)

    def horses(self) -> list[int]:
        """The processes that run jobs now: workers fork one for each."""
        return [
            pid
            for process, program in zip(self._processes, self._programs, strict=True)
            if program == ("work",)
            for pid in _children(process.pid)
        ]

    def kill_horse(self, dice: random.Random) -> bool:
        """One of the processes that run jobs is killed, if there is one."""
        return self._signal(dice, signal.SIGKILL) is not None

    def kill_worker(self, dice: random.Random) -> bool:
        """A worker is killed, and what it runs as well."""
        worker = dice.choice(self._processes[:-1])
        horses = _children(worker.pid)
        worker.kill()
        worker.wait()
        for pid in horses:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return bool(horses)

    def stop_horse(self, dice: random.Random) -> bool:
        """One of the processes that run jobs stands still until `let_go`, if there is one."""
        pid = self._signal(dice, signal.SIGSTOP)
        if pid is not None:
            self._stopped.append(pid)
        return pid is not None

    def let_go(self) -> None:
        """Whatever stands still goes on."""
        for pid in self._stopped:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
        self._stopped.clear()

    def end(self) -> None:
        """None of them is left."""
        self._is_over.set()
        self._supervisor.join()
        self.let_go()
        for pid in self.horses():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for process in self._processes:
            process.kill()
            process.wait()
        self._log.close()

    def _supervise(self) -> None:
        while not self._is_over.wait(LOOK_EVERY_S):
            for place, process in enumerate(self._processes):
                if process.poll() is not None:
                    self._processes[place] = self._start(self._programs[place])

    def _signal(self, dice: random.Random, number: int) -> int | None:
        horses = self.horses()
        if not horses:
            return None
        pid = dice.choice(horses)
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            return None
        return pid

    def _start(self, program: tuple[str, ...]) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "manage.py", *program],
            cwd=PROJECT,
            env=self._store.environment,
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )


def _children(pid: int) -> list[int]:
    found = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True, check=False)
    return [int(line) for line in found.stdout.split()]
