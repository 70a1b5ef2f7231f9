"""The embedded PostgreSQL and Valkey: found or started, joined, and stopped.

A fresh machine needs only Python: the server programs come from wheels, or from PATH where a wheel does not
exist. `DATABASE_URL` and `REDIS_URL` replace one or both of them. Both servers listen on unix sockets in a
directory that only the user who started them (and root) can enter, so no port and no password is needed and
no other user of the machine can connect.

Nothing here needs Django, because the settings ask for `urls()` before Django exists.
"""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from schemaevo.embedded import postgres, valkey
from schemaevo.embedded.layout import Layout, layout_of, secret_key, state_home
from schemaevo.embedded.processes import ServersFailed, exclusive, is_locked

__all__ = [
    "Servers",
    "ServersFailed",
    "Urls",
    "are_running",
    "dead_servers",
    "secret_key",
    "servers_of",
    "start_servers",
    "state_home",
    "stop_servers",
    "throwaway_servers",
    "urls",
]


@dataclass(frozen=True)
class Urls:
    """Where the database and Redis are."""

    database_url: str
    redis_url: str


@dataclass(frozen=True)
class Servers:
    """The servers of one home: their addresses, and which of them are embedded ones."""

    home: Path
    layout: Layout | None
    database_url: str
    redis_url: str
    has_postgres: bool
    has_valkey: bool

    @property
    def embedded_names(self) -> list[str]:
        """Which of them are started here, as people call them."""
        return ["PostgreSQL"] * self.has_postgres + ["Valkey"] * self.has_valkey


def urls(home: Path | None = None) -> Urls:
    """Say where both servers are, or will be once they are started: the addresses of a home never change
    while it stays where it is. Touches no file when the environment names both."""
    database_url, redis_url = os.environ.get("DATABASE_URL", ""), os.environ.get("REDIS_URL", "")
    if database_url and redis_url:
        return Urls(database_url, redis_url)
    sockets = layout_of(home or state_home()).sockets
    return Urls(
        database_url or f"postgresql://{postgres.ROLE}@{quote(str(sockets), safe='')}/{postgres.DATABASE}",
        redis_url or f"unix://{quote(str(valkey.socket_path(sockets)))}?db=0",
    )


def servers_of(home: Path | None = None) -> Servers:
    """Describe the servers of this home, whether they run or not."""
    home = (home or state_home()).resolve()
    found = urls(home)
    has_postgres = not os.environ.get("DATABASE_URL")
    has_valkey = not os.environ.get("REDIS_URL")
    layout = layout_of(home) if has_postgres or has_valkey else None
    return Servers(home, layout, found.database_url, found.redis_url, has_postgres, has_valkey)


def start_servers(home: Path | None = None, *, fsync: bool = True) -> Servers:
    """Make both servers of this home run: those that run already are joined, those that died are started
    again on the data they left.

    `fsync=False` is for data that may be lost at a power cut, which only tests have; their role may also
    create databases.

    Raises: ServersFailed, with a message that says what to do.
    """
    servers = servers_of(home)
    if servers.layout is not None:
        with exclusive(servers.home / "servers.lock"):
            if servers.has_postgres:
                postgres.start(servers.layout, fsync=fsync)
            if servers.has_valkey:
                valkey.start(servers.layout)
    return servers


def stop_servers(servers: Servers) -> None:
    """Stop what is embedded of these servers, and return when no process of theirs is left."""
    if servers.layout is None:
        return
    with exclusive(servers.home / "servers.lock"):
        if servers.has_valkey:
            valkey.stop(servers.layout)
        if servers.has_postgres:
            postgres.stop(servers.layout)


def dead_servers(servers: Servers) -> list[str]:
    """Name the embedded ones of these servers that cannot be connected to."""
    if servers.layout is None:
        return []
    is_there = {"PostgreSQL": postgres.is_running, "Valkey": valkey.is_running}
    return [name for name in servers.embedded_names if not is_there[name](servers.layout)]


def are_running(servers: Servers) -> bool:
    """Whether every embedded server of these is there and can be connected to."""
    return not dead_servers(servers)


@contextmanager
def throwaway_servers(parent: Path | None = None) -> Iterator[Servers]:
    """Servers for one test session: fresh, on their own data, gone with it when the session ends.

    Each session has its own directory, so that two sessions of one checkout do not meet; what a killed
    session left behind is stopped and removed by the next one.
    """
    parent = (parent or state_home() / "test").resolve()
    with ExitStack() as held:
        with exclusive(parent / "sweep.lock"):
            for left in sorted(parent.glob("session-*")):
                if not is_locked(left / "session.lock"):
                    _remove(left)
            home = parent / f"session-{secrets.token_hex(4)}"
            layout_of(home)
            # Taken while the sweep lock is held, so that no other session mistakes this one for a dead one.
            held.enter_context(exclusive(home / "session.lock"))
        try:
            yield start_servers(home, fsync=False)
        finally:
            _remove(home)


def _remove(home: Path) -> None:
    """Stop both servers of a throwaway home, whatever the environment says now, and remove all it has."""
    layout = layout_of(home)
    stop_servers(Servers(home, layout, "", "", has_postgres=True, has_valkey=True))
    for directory in {layout.data, layout.sockets, home}:
        shutil.rmtree(directory, ignore_errors=directory != home)
