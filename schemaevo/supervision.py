"""Web, worker and scheduler as one: started together, restarted when they die, stopped together.

supervisord does the restarting. What this module adds is that nothing is ever left over: every process below
one `up` carries a mark in its environment, so that what outlives its supervisor (a worker's child, or
everything after a SIGKILL) is found by that mark, and not by a pid that may mean another process by now.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from schemaevo import programs
from schemaevo.embedded.processes import wait_until

MARK = "SCHEMAEVO_UP_OF"
FIRST_PORT = 8000
PORTS_TRIED = 100
# The worker finishes the batch it is in; a lease frees the job if it does not get that far.
STOP_PATIENCE_S = 20

# No path of the machine stands in it: supervisord expands some values twice, and would trip over a % in one.
# It runs in the state directory, and the children learn the project's place from their environment.
SUPERVISOR = """\
[supervisord]
nodaemon = true
{as_root}
logfile = log/supervisord.log
logfile_maxbytes = 1MB
logfile_backups = 2
loglevel = warn
pidfile = run/supervisord.pid
childlogdir = log

; Members of one group are stopped at the same time, groups one after the other.
[group:schemaevo]
programs = web,worker,scheduler
"""
PROGRAM = """
[program:{name}]
command = sh -c 'cd "$SCHEMAEVO_UP_PROJECT" && exec "$SCHEMAEVO_UP_PYTHON" {arguments}'
autorestart = true
startsecs = 2
; It waits one second longer after each failure, and never gives up: what it needs may come back.
startretries = 1000000
stopsignal = TERM
stopwaitsecs = {patience}
stopasgroup = false
killasgroup = true
redirect_stderr = true
stdout_logfile = log/{name}.log
stdout_logfile_maxbytes = 5MB
stdout_logfile_backups = 3
"""


class PortBusy(Exception):
    """The port that was asked for is in use; the message names it."""


@dataclass(frozen=True)
class Supervised:
    """A running supervisord and the home it works for."""

    home: Path
    process: subprocess.Popen[bytes]


def log_directory(home: Path) -> Path:
    """Where every child's output goes."""
    return home / "log"


class RunsAlready(Exception):
    """Another process has this home; the message is what it says of itself."""


@contextlib.contextmanager
def only_one(home: Path) -> Iterator[TextIO]:
    """This process alone has the home, and can write for others what it is. The lock goes with the process.

    Raises: RunsAlready.
    """
    with (home / "up.lock").open("a+") as note:
        try:
            fcntl.flock(note, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            note.seek(0)
            raise RunsAlready(note.read().strip() or "just starting") from None
        yield note


def say_what_runs(note: TextIO, text: str) -> None:
    """Whoever finds the home taken is told this."""
    note.seek(0)
    note.truncate()
    note.write(text)
    note.flush()


def hold_port(asked: int | None) -> socket.socket:
    """A socket that keeps the port to serve on for us: the one asked for, else the first free one from 8000 on.

    Held until the web server is started: another clone's `up`, begun meanwhile, would choose the same port, and
    then take the first one's pages for its own.

    Raises: PortBusy when the one asked for is in use.
    """
    ports = range(FIRST_PORT, FIRST_PORT + PORTS_TRIED) if asked is None else [asked]
    for port in ports:
        held = _listen(port)
        if held is not None:
            return held
    if asked is not None:
        raise PortBusy(f"port {asked} is in use: stop what listens there, or give another with --port")
    raise PortBusy(
        f"ports {FIRST_PORT} to {FIRST_PORT + PORTS_TRIED - 1} are all in use: give one with --port"
    )


def start(home: Path, project: Path, port: int, environment: Mapping[str, str]) -> Supervised:
    """Start supervisord with the three children. The caller has seen to it that none is left over."""
    logs, run = log_directory(home), home / "run"
    for directory in (logs, run):
        directory.mkdir(exist_ok=True)
        directory.chmod(0o700)
    configuration = run / "supervisord.conf"
    configuration.write_text(_configuration(port))
    process = subprocess.Popen(  # noqa: S603 - a list of ours, no shell
        [sys.executable, "-m", "supervisor.supervisord", "-n", "-c", str(configuration)],
        cwd=home,
        env={
            **environment,
            MARK: str(home),
            "SCHEMAEVO_UP_PROJECT": str(project),
            "SCHEMAEVO_UP_PYTHON": sys.executable,
        },
        stdin=subprocess.DEVNULL,
        # Ctrl-C reaches only `up`, which stops things in their order.
        start_new_session=True,
    )
    return Supervised(home, process)


def stop(supervised: Supervised) -> None:
    """Stop supervisord and its children, and return when none of them is left."""
    if supervised.process.poll() is None:
        supervised.process.terminate()
        try:
            supervised.process.wait(STOP_PATIENCE_S + 10)
        except subprocess.TimeoutExpired:
            supervised.process.kill()
            supervised.process.wait()
    end_leftovers(supervised.home)


def end_leftovers(home: Path) -> list[int]:
    """End what an `up` of this home left running; says which processes that were."""
    found = marked(home)
    for sign, patience_s in ((signal.SIGTERM, STOP_PATIENCE_S), (signal.SIGKILL, 10)):
        left = marked(home)
        for pid in left:
            # Each stops its own children, in its own way; only who does not stop is killed one by one.
            if sign == signal.SIGKILL or _parent(pid) not in left:
                _send(pid, sign)
        if wait_until(lambda: not marked(home), patience_s):
            break
    return found


def marked(home: Path) -> list[int]:
    """List the live processes that run for an `up` of this home."""
    mark = os.fsencode(f"{MARK}={home}")
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            # A zombie has no environment any more, so it does not count.
            if mark in (entry / "environ").read_bytes().split(b"\0"):
                found.append(int(entry.name))
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
    return sorted(found)


def _parent(pid: int) -> int | None:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return next((int(line.split()[1]) for line in status.splitlines() if line.startswith("PPid:")), None)


def _send(pid: int, sign: signal.Signals) -> None:
    try:
        os.kill(pid, sign)
    except ProcessLookupError:
        return


def _listen(port: int) -> socket.socket | None:
    held = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    # As gunicorn does: a port that only waits for its last packets is free.
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        held.bind(("127.0.0.1", port))
        # Only a listening socket keeps others out, who also ask to reuse the address.
        held.listen()
    except OSError:
        held.close()
        return None
    return held


def _configuration(port: int) -> str:
    children = {
        "web": programs.web(f"127.0.0.1:{port}"),
        "worker": programs.worker(),
        "scheduler": programs.scheduler(),
    }
    text = SUPERVISOR.format(as_root="user = root" if os.geteuid() == 0 else "")
    for name, arguments in children.items():
        text += PROGRAM.format(name=name, arguments=" ".join(arguments), patience=STOP_PATIENCE_S)
    return text
