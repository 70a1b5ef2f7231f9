"""Backup and restore around a real `up`: with its servers stopped, and before it migrates."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from schemaevo import embedded
from schemaevo.embedded.processes import residents, wait_until

pytestmark = pytest.mark.long

PROJECT = Path(__file__).resolve().parents[2]
READY = "Ctrl-C stops everything."
START_TIMEOUT_S = 300


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A directory that the servers' user can enter; no server is left in it."""
    monkeypatch.delenv("DATABASE_URL")
    monkeypatch.delenv("REDIS_URL")
    directory = Path(tempfile.mkdtemp(prefix="se-"))
    directory.chmod(0o755)
    yield directory
    for noted in directory.rglob("layout.json"):
        servers = embedded.servers_of(noted.parent)
        embedded.stop_servers(servers)
        if servers.layout is not None:
            shutil.rmtree(servers.layout.sockets)
    shutil.rmtree(directory)


def command(home: Path, *arguments: str) -> "subprocess.Popen[str]":
    unwanted = ("DATABASE_URL", "REDIS_URL", "DJANGO_SETTINGS_MODULE", "SCHEMAEVO_SECRET_KEY")
    environment = {name: value for name, value in os.environ.items() if name not in unwanted}
    return subprocess.Popen(
        [sys.executable, "-u", "manage.py", *arguments],
        cwd=PROJECT,
        env={**environment, "SCHEMAEVO_HOME": str(home), "SCHEMAEVO_STATIC_ROOT": str(home / "static")},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def manage(home: Path, *arguments: str) -> str:
    process = command(home, *arguments)
    said, _ = process.communicate(timeout=START_TIMEOUT_S)
    assert process.returncode == 0, said
    return said


def up_and_down(home: Path) -> str:
    """`up` until it is ready, then stopped; gives what it printed."""
    said = ""
    with command(home, "up", "--no-demo") as process:
        assert process.stdout is not None
        for line in process.stdout:
            said += line
            if READY in line:
                process.send_signal(signal.SIGINT)
    assert process.returncode == 0, said
    assert READY in said, said
    return said


def users(home: Path) -> list[str]:
    servers = embedded.start_servers(home)
    with psycopg.connect(servers.database_url) as connection:
        found = connection.execute("SELECT username FROM users ORDER BY 1").fetchall()
    embedded.stop_servers(servers)
    return [name for (name,) in found]


def is_stopped(home: Path) -> bool:
    layout = embedded.servers_of(home).layout
    assert layout is not None
    return wait_until(lambda: not residents(layout.postgres) and not residents(layout.valkey), 20)


def test_up_makes_a_backup_before_it_migrates_and_only_then(place: Path) -> None:
    home = place / "home"
    said = up_and_down(home)
    assert "Backing up" not in said
    servers = embedded.start_servers(home)
    with psycopg.connect(servers.database_url) as connection:
        _, (before,) = connection.execute(
            "SELECT name FROM django_migrations WHERE app = 'fragments' ORDER BY id DESC LIMIT 2"
        ).fetchall()
    # As if the last migration of the top floor had come with a newer version of the program.
    manage(home, "migrate", "fragments", before)
    embedded.stop_servers(servers)

    assert "Backing up the database before it is migrated" in up_and_down(home)
    assert "Backing up" not in up_and_down(home)

    [kept] = (home / "backups").iterdir()
    assert "Restored" in manage(place / "other", "restore", str(kept))
    assert users(place / "other") == users(home) != []


def test_servers_that_do_not_run_are_started_for_it_and_stopped_again(place: Path) -> None:
    home, path = place / "home", place / "all.dump"
    up_and_down(home)

    assert "users: 1" in manage(home, "backup", str(path))
    assert is_stopped(home)
    assert "Restored" in manage(home, "restore", str(path), "--replace", "--no-input")
    assert is_stopped(home)
    assert "is not empty" in command(home, "restore", str(path)).communicate()[0]
    assert users(home) == ["admin"]
