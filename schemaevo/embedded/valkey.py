"""The embedded Valkey: nothing is kept in it that its loss would lose, so it writes nothing to disk."""

from __future__ import annotations

import os
import socket
from pathlib import Path

from schemaevo.embedded.binaries import valkey_program
from schemaevo.embedded.layout import Layout
from schemaevo.embedded.processes import ServersFailed, end, residents, run_as, server_user, wait_until

START_TIMEOUT_S = 30
ANSWER_TIMEOUT_S = 5


def socket_path(sockets: Path) -> Path:
    """The socket that clients connect to."""
    return sockets / "valkey.sock"


def is_running(layout: Layout) -> bool:
    """Whether a server answers on this home's socket."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(ANSWER_TIMEOUT_S)
            connection.connect(str(socket_path(layout.sockets)))
            connection.sendall(b"PING\r\n")
            return connection.recv(64).startswith(b"+PONG")
    except OSError:
        return False


def start(layout: Layout) -> None:
    """Make the server run. One that runs but cannot be reached is ended first."""
    if is_running(layout):
        return
    user = server_user(layout.postgres)
    layout.valkey.mkdir(exist_ok=True)
    layout.logs.mkdir(exist_ok=True)
    if user.is_other:
        os.chown(layout.valkey, user.uid, user.gid)
        os.chown(layout.logs, user.uid, user.gid)
    layout.valkey.chmod(0o700)
    layout.logs.chmod(0o700)
    stop(layout)
    program = valkey_program(layout.data / "bin", user)
    log = layout.logs / "valkey.log"
    # Short lines and one file a start: it only ever says that it started and stopped.
    log.unlink(missing_ok=True)
    settings = {
        "port": "0",
        "unixsocket": str(socket_path(layout.sockets)),
        "unixsocketperm": "700",
        "dir": str(layout.valkey),
        "logfile": str(log),
        "daemonize": "yes",
        "pidfile": str(layout.valkey / "valkey.pid"),
        "save": "",
        "appendonly": "no",
        # A job queue must not lose entries silently: a full server refuses to write.
        "maxmemory-policy": "noeviction",
    }
    result = run_as(user, [program, *[part for name in settings for part in (f"--{name}", settings[name])]])
    if result.returncode != 0 or not wait_until(lambda: is_running(layout), START_TIMEOUT_S):
        said = log.read_text(errors="replace") if log.exists() else ""
        raise ServersFailed(f"Valkey did not start:\n{result.stdout}{said}")


def stop(layout: Layout) -> None:
    """No Valkey of this home is left."""
    if layout.valkey.is_dir():
        end(residents(layout.valkey), layout.valkey)
    socket_path(layout.sockets).unlink(missing_ok=True)
