"""A Valkey of a test's own, which may be stopped, frozen and started again."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

from redis import Redis
from redis.exceptions import RedisError

from schemaevo.embedded.binaries import valkey_program
from schemaevo.embedded.processes import server_user
from tests.waiting import wait_for


class OwnValkey:
    """One server on a socket of its own."""

    def __init__(self, folder: Path) -> None:
        self._socket = folder / "valkey.sock"
        self._program = valkey_program(folder / "bin", server_user(folder))
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"unix://{self._socket}"

    def start(self) -> None:
        """It answers, and holds nothing."""
        self._process = subprocess.Popen(
            [self._program, "--port", "0", "--unixsocket", self._socket, "--save", ""],
            cwd=self._socket.parent,
            stdout=subprocess.DEVNULL,
        )
        wait_for(self._answers, "a Valkey that answers")

    def stop(self) -> None:
        if self._process is not None:
            self.thaw()
            self._process.terminate()
            self._process.wait()
            self._process = None

    def freeze(self) -> None:
        """It takes connections and says nothing."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def _answers(self) -> bool:
        with Redis.from_url(self.url, socket_timeout=1) as client:
            try:
                return bool(client.ping())
            except RedisError:
                return False
