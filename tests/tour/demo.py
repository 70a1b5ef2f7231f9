"""The product with its demo, running for a while on servers of its own, and the logins that it told."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from schemaevo import embedded, supervision
from schemaevo.embedded.processes import wait_until

PROJECT = Path(__file__).resolve().parents[2]
READY = "Ctrl-C stops everything."
START_TIMEOUT_S = 300
STOP_TIMEOUT_S = 60
#: What whoever takes the tour does not have.
OWN_VARIABLES = ("DATABASE_URL", "REDIS_URL", "DJANGO_", "SCHEMAEVO_", "PYTEST_")


@dataclass(frozen=True)
class Demo:
    """Where it runs, and the passwords of its logins."""

    base: str
    passwords: Mapping[str, str]


@contextmanager
def running_demo(home: Path) -> Iterator[Demo]:
    """`up` has loaded the demo into this empty home and serves it; at the end nothing of it is left running."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(OWN_VARIABLES)}
    output = home / "up.txt"
    with output.open("wb") as told:
        up = subprocess.Popen(
            [sys.executable, "-u", "manage.py", "up", "--port", str(_free_port())],
            cwd=PROJECT,
            env={**environment, "SCHEMAEVO_HOME": str(home)},
            stdin=subprocess.DEVNULL,
            stdout=told,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        wait_until(lambda: READY in output.read_text() or up.poll() is not None, START_TIMEOUT_S)
        said = output.read_text()
        assert READY in said, said
        address = re.search(r"http://[\d.]+:\d+", said)
        assert address is not None
        yield Demo(address[0], dict(re.findall(r"(?:login|demo) +(\S+) / (\S+)", said)))
    finally:
        up.send_signal(signal.SIGTERM)
        up.wait(STOP_TIMEOUT_S)
        supervision.end_leftovers(home)
        embedded.stop_servers(embedded.servers_of(home))


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
