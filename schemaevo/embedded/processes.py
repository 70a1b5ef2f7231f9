"""Processes, and who they run as: the server's user, a server's own process, one at a time."""

from __future__ import annotations

import fcntl
import os
import pwd
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

POLL_S = 0.05
HAS_PROC = Path("/proc/self").exists()


class ServersFailed(Exception):
    """The servers cannot be had; the message says why and what to do."""


@dataclass(frozen=True)
class ServerUser:
    """Who the servers run as. PostgreSQL refuses to run as root."""

    uid: int
    gid: int

    @property
    def is_other(self) -> bool:
        """Whether that is somebody else than this process."""
        return self.uid != os.geteuid()


def server_user(data: Path | None = None) -> ServerUser:
    """Give the user for the servers: this one; for root the owner of existing data, else nobody."""
    if os.geteuid() != 0:
        return ServerUser(os.geteuid(), os.getegid())
    if data is not None and data.is_dir() and data.stat().st_uid != 0:
        return ServerUser(data.stat().st_uid, data.stat().st_gid)
    try:
        nobody = pwd.getpwnam("nobody")
    except KeyError:
        raise ServersFailed(
            "PostgreSQL does not run as root, and this machine has no user nobody: run as a normal user, "
            "or set DATABASE_URL and REDIS_URL"
        ) from None
    return ServerUser(nobody.pw_uid, nobody.pw_gid)


def run_as(user: ServerUser, command: Sequence[str | Path]) -> subprocess.CompletedProcess[str]:
    """Run a command to its end as the server's user, with its output (both streams as stdout)."""
    argv = [str(part) for part in command]
    # C: messages are looked at by people who search for them; cwd: nobody may not enter the present one.
    environment = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"}
    return subprocess.run(  # noqa: S603 - a list of ours, no shell
        argv,
        check=False,
        text=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        cwd="/",
        env=environment,
        user=user.uid if user.is_other else None,
        group=user.gid if user.is_other else None,
        extra_groups=[] if user.is_other else None,
        # Ctrl-C in a terminal goes to all processes of its session, and must not cut a server's start in two.
        start_new_session=True,
    )


def can_run(user: ServerUser, command: Sequence[str | Path]) -> bool:
    """Whether that user can run this command here at all (found, readable, of this platform, successful)."""
    try:
        return run_as(user, command).returncode == 0
    except OSError:
        return False


def can_enter(user: ServerUser, directory: Path) -> bool:
    """Whether that user can enter this directory."""
    return not user.is_other or can_run(user, ["/bin/sh", "-c", 'cd "$1"', "sh", directory])


def lives_in(pid: int, directory: Path) -> bool:
    """Whether this pid is a live process whose working directory is this one.

    Both servers move into their data directory, so that is what tells ours from a stranger that was given
    the same pid later, from a zombie, and from a server of another copy of the same project. Where the
    machine does not tell (no /proc), a live pid counts as ours.
    """
    if not HAS_PROC:
        try:
            os.kill(pid, 0)
        except (ProcessLookupError, PermissionError):
            return False
        return True
    try:
        return os.path.samestat(os.stat(f"/proc/{pid}/cwd"), os.stat(directory))
    except (FileNotFoundError, ProcessLookupError):
        return False
    except PermissionError:
        # A normal user sees all processes of its own. Root in a container may see only root's, but the
        # server's user sees the server.
        owner = server_user(directory)
        return owner.is_other and can_run(owner, ["/usr/bin/test", f"/proc/{pid}/cwd", "-ef", directory])


def residents(directory: Path) -> list[int]:
    """List the processes that live in a directory: a server, or what it left when it was killed."""
    if not HAS_PROC:
        return []
    owner = server_user(directory)
    pids = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    return [pid for pid in pids if _uid(pid) == owner.uid and lives_in(pid, directory)]


def _uid(pid: int) -> int | None:
    try:
        return os.stat(f"/proc/{pid}").st_uid
    except (FileNotFoundError, ProcessLookupError):
        return None


def wait_until(happened: Callable[[], bool], timeout_s: float) -> bool:
    """Look until it has happened or the time is over; says whether it has."""
    deadline = time.monotonic() + timeout_s
    while not happened():
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_S)
    return True


def end(pids: Sequence[int], directory: Path, *, grace_s: float = 10) -> None:
    """No process of these that lives in this directory is left: asked first, then killed."""
    for sign, patience_s in ((signal.SIGTERM, grace_s), (signal.SIGKILL, 10.0)):
        for pid in [pid for pid in pids if lives_in(pid, directory)]:
            try:
                os.kill(pid, sign)
            except ProcessLookupError:
                continue
        if wait_until(lambda: not any(lives_in(pid, directory) for pid in pids), patience_s):
            return
    raise ServersFailed(f"process {', '.join(map(str, pids))} in {directory} cannot be ended")


@contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """One process at a time holds this file's lock; the system frees it however that process ends."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def is_locked(path: Path) -> bool:
    """Whether a live process holds this file's lock."""
    if not path.exists():
        return False
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False
