"""The memory of an ingest does not grow with its file."""

import os
import subprocess
import sys
from pathlib import Path
from statistics import median

from django.conf import settings
from django.db import connection

from tests.benchmarks import peak_memory
from tests.benchmarks.figures import MEMORY_ROUNDS, Printer, scaled
from tests.benchmarks.records import ENTITY_TYPE, KEY_FIELD, USER_FIELD, register, write_records

PROJECT = Path(__file__).resolve().parents[2]


def test_peak_memory_of_an_ingest(printer: Printer, tmp_path: Path) -> None:
    register()
    sizes = [scaled(10_000, at_least=1_000), scaled(100_000, at_least=10_000)]
    peaks = []
    for size in sizes:
        rounds = MEMORY_ROUNDS if size <= 10_000 else 1
        path = tmp_path / f"{size}.jsonl"
        write_records(path, records=size, entities=size // 2, users=50, undeclared=3)
        peaks.append(median(_peak_of_ingest(path) for _ in range(rounds)))
    small, large = peaks
    printer.figure(
        f"peak memory of an ingest of {sizes[1]:,} records, floor: of {sizes[0]:,}",
        f"{large / 1024:.1f} MiB",
        f"{small / 1024:.1f} MiB",
        large / small,
        "<= 1.1",
    )


def _peak_of_ingest(path: Path) -> int:
    """The peak resident memory, in KiB, of the ingest command in a process of its own."""
    command = [
        *(sys.executable, peak_memory.__file__),
        *(sys.executable, "manage.py", "ingest", str(path), "--entity-type", ENTITY_TYPE),
        *("--user-field", USER_FIELD, "--create-users", "--key-field", KEY_FIELD),
    ]
    server, _, _ = settings.DATABASE_URL.rpartition("/")
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "schemaevo.settings",
        "DATABASE_URL": f"{server}/{connection.settings_dict['NAME']}",
        "REDIS_URL": settings.REDIS_URL,
    }
    done = subprocess.run(command, cwd=PROJECT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return int(done.stdout.splitlines()[-1])
