"""Management commands in processes of their own, on the database of the running test."""

import os
import subprocess
import sys
from pathlib import Path

from django.conf import settings
from django.db import connection

from tests.benchmarks import peak_memory

PROJECT = Path(__file__).resolve().parents[2]


def peak_memory_of(*command: str) -> int:
    """The peak resident memory, in KiB, of a command that succeeds."""
    server, _, _ = settings.DATABASE_URL.rpartition("/")
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "schemaevo.settings",
        "DATABASE_URL": f"{server}/{connection.settings_dict['NAME']}",
        "REDIS_URL": settings.REDIS_URL,
    }
    done = subprocess.run(
        [sys.executable, peak_memory.__file__, sys.executable, "manage.py", *command],
        cwd=PROJECT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return int(done.stdout.splitlines()[-1])
