"""Web, worker and scheduler as one: started together, restarted when they die, stopped together.

supervisord does the restarting. What this module adds is that nothing is ever left over: every process below
one `up` carries a mark in its environment, so that what outlives its supervisor (a worker's child, or
everything after a SIGKILL) is found by that mark, and not by a pid that may mean another process by now.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

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


def choose_port(asked: int | None) -> int:
    """Give the port to serve on: the one asked for, else the first free one from 8000 on.

    Raises: PortBusy when the one asked for is in use.
    """
    if asked is not None:
        if not _is_free(asked):
            raise PortBusy(f"port {asked} is in use: stop what listens there, or give another with --port")
        return asked
    for port in range(FIRST_PORT, FIRST_PORT + PORTS_TRIED):
        if _is_free(port):
            return port
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


def _is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As gunicorn does: a port that only waits for its last packets is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _configuration(port: int) -> str:
    # Workers touch a file to show that they live; on a disk that is busy they would seem to hang.
    memory = "--worker-tmp-dir /dev/shm" if os.access("/dev/shm", os.W_OK) else ""  # noqa: S108
    programs = {
        "web": f"-m gunicorn schemaevo.wsgi --bind 127.0.0.1:{port} --no-control-socket --worker-class gthread "
        f"--workers 2 --threads 4 --graceful-timeout 10 {memory} --access-logfile -",
        "worker": "manage.py work",
        "scheduler": "manage.py schedule",
    }
    text = SUPERVISOR.format(as_root="user = root" if os.geteuid() == 0 else "")
    for name, arguments in programs.items():
        text += PROGRAM.format(name=name, arguments=arguments, patience=STOP_PATIENCE_S)
    return text
