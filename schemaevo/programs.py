"""The programs of an installation, started alike by `make up` and in a container: web, worker, scheduler.

Without Django and any other package: it is read before there are settings.
"""

import os

#: Requests and batches that are under way when a stop is asked for have this long to end.
GRACE_S = 10


def web(bind: str) -> list[str]:
    """What Python is started with to serve the pages at `bind`, ``host:port``."""
    arguments = ["-m", "gunicorn", "schemaevo.wsgi", "--bind", bind, "--no-control-socket"]
    arguments += ["--worker-class", "gthread", "--workers", "2", "--threads", "4"]
    arguments += ["--graceful-timeout", str(GRACE_S), "--access-logfile", "-"]
    # Workers touch a file to show that they live; on a disk that is busy they would seem to hang.
    if os.access("/dev/shm", os.W_OK):  # noqa: S108
        arguments += ["--worker-tmp-dir", "/dev/shm"]  # noqa: S108
    return arguments


def worker() -> list[str]:
    """What Python is started with to run jobs."""
    return ["manage.py", "work"]


def scheduler() -> list[str]:
    """What Python is started with to be the clock."""
    return ["manage.py", "schedule"]
