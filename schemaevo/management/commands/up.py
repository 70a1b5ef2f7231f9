"""Runs everything: servers, migrations, demo data, web, worker and scheduler, until it is told to stop."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import io
import json
import os
import signal
import socket
import subprocess
import time
from argparse import ArgumentParser
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import distributions
from pathlib import Path
from types import FrameType
from typing import Any, TextIO

import psycopg
import redis
from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.staticfiles.finders import get_finders
from django.core.management import CommandError, call_command
from django.core.management.base import BaseCommand
from django.db import OperationalError, connection, connections, transaction
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.recorder import MigrationRecorder

from schemaevo import backups, embedded, supervision
from schemaevo.embedded.processes import wait_until
from schemaevo.kernel.actors import Actor
from schemaevo.kernel.demo_logins import demo_passwords_reset
from schemaevo.kernel.errors import DomainError
from schemaevo.kernel.locks import LockSpace, hold
from schemaevo.kernel.logins import FreshLogin
from schemaevo.kernel.pause import pause_now

LOOK_AFTER_SERVERS_S = 2
RESET_ADMIN = ".venv/bin/python manage.py reset_admin"
WEB_TIMEOUT_S = 60
MIGRATION_LOCK_TIMEOUT_S = 600
# A supervisor that ends sooner than this cannot work here at all, and is not started again.
SHORTEST_LIFE_S = 10


class StopSignals:
    """Turns Ctrl-C, SIGTERM and SIGHUP into one KeyboardInterrupt, never two, and never while held off."""

    def __init__(self) -> None:
        self.is_asked = False
        self._is_held_off = False
        for sign in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(sign, self._received)

    def _received(self, number: int, frame: FrameType | None) -> None:
        if self.is_asked:
            return
        self.is_asked = True
        if not self._is_held_off:
            raise KeyboardInterrupt

    @contextlib.contextmanager
    def held_off(self) -> Iterator[None]:
        """What is done inside is done whole; a signal that came meanwhile takes effect at its end."""
        self._is_held_off = True
        try:
            yield
        finally:
            self._is_held_off = False
        if self.is_asked:
            raise KeyboardInterrupt

    def ignore(self) -> None:
        """From here on no signal interrupts: things are being stopped already."""
        self.is_asked = True


class Command(BaseCommand):
    """`manage.py up`; exits 0 when it was told to stop, 1 when it could not run."""

    help = "Starts the servers, migrates, and runs web, worker and scheduler until Ctrl-C."
    # The checks of the database need the servers that this command starts.
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--port", type=int, help="where the web pages are served (else 8000 or the next)")
        parser.add_argument("--no-demo", action="store_true", help="load no demo data on the first start")
        parser.add_argument(
            "--no-backup", action="store_true", help="make no backup before the database is migrated"
        )
        parser.add_argument(
            "--since", type=float, default=None, help="when the start began, in seconds since 1970"
        )

    def handle(
        self,
        *args: Any,
        port: int | None,
        no_demo: bool,
        no_backup: bool,
        since: float | None,
        **options: Any,
    ) -> None:
        began = time.time() if since is None else since
        home = embedded.state_home()
        # Makes the state directory too, with its modes.
        embedded.secret_key(home)
        try:
            with supervision.only_one(home) as note:
                signals = StopSignals()
                try:
                    asked = port if port is not None else settings.SCHEMAEVO_PORT or None
                    self._run(home, signals, note, asked, no_demo=no_demo, no_backup=no_backup, began=began)
                except supervision.PortBusy as error:
                    raise CommandError(str(error)) from error
                except (embedded.ServersFailed, DomainError) as error:
                    raise CommandError(str(error)) from error
                except (OperationalError, psycopg.OperationalError) as error:
                    raise CommandError(f"the database: {error}") from error
                except redis.ConnectionError as error:
                    raise CommandError(f"Redis: {error}") from error
                except KeyboardInterrupt:
                    self._say("Stopped.")
        except supervision.RunsAlready as error:
            raise CommandError(f"schemaevo runs here already: {error}") from None

    def _run(
        self,
        home: Path,
        signals: StopSignals,
        note: TextIO,
        asked_port: int | None,
        *,
        no_demo: bool,
        no_backup: bool,
        began: float,
    ) -> None:
        servers = embedded.servers_of(home)
        supervised: supervision.Supervised | None = None
        held: socket.socket | None = None
        supervision.say_what_runs(note, f"process {os.getpid()}, still starting")
        try:
            with signals.held_off():
                left = supervision.end_leftovers(home)
                if left:
                    self._say(f"Ended {len(left)} processes that an earlier run had left.")
                held = supervision.hold_port(asked_port)
                port = held.getsockname()[1]
                if asked_port is None and port != supervision.FIRST_PORT:
                    self._say(f"Port {supervision.FIRST_PORT} is in use; taking {port}.")
                if servers.embedded_names:
                    self._say(f"Starting {' and '.join(servers.embedded_names)} ...")
                embedded.start_servers(home)
            address = f"http://127.0.0.1:{port}/"
            supervision.say_what_runs(note, f"{address} (process {os.getpid()})")
            self._prepare(home, no_demo=no_demo, no_backup=no_backup)
            login = self._first_login()
            demo = self._demo_logins()
            connections.close_all()
            with signals.held_off():
                held.close()  # as late as can be: gunicorn binds it next
                supervised = supervision.start(home, settings.BASE_DIR, port, self._environment(servers))
            self._wait_for_web(home, supervised, port)
            self._say_ready(servers, address, login, demo, began)
            supervised = self._look_after(servers, supervised, signals, port)
        finally:
            signals.ignore()
            if held is not None:
                held.close()
            # The terminal may be gone; that must not keep anything from being stopped.
            connections.close_all()
            self._say("Stopping ...")
            if supervised is not None:
                supervision.stop(supervised)
            # Also where only one of them could be started.
            embedded.stop_servers(servers)

    def _prepare(self, home: Path, *, no_demo: bool, no_backup: bool) -> None:
        """The database is migrated, static files are collected and, on the first start, the demo is loaded.

        What a first start has still to do is noted in the home before it begins, so that one that was killed
        is finished by the next. The note is for one database: another one is another first start.
        """
        digest = hashlib.sha256(settings.DATABASE_URL.encode()).hexdigest()[:8]
        pending = home / f"first-start-{digest}"
        redis.from_url(settings.REDIS_URL).ping()
        # Two that migrate the same database at once would both find the same migrations missing.
        with transaction.atomic():
            hold(LockSpace.MIGRATION, [("migrate",)], timeout_s=MIGRATION_LOCK_TIMEOUT_S)
            if not MigrationRecorder(connection).applied_migrations():
                pending.touch()
            executor = MigrationExecutor(connection)
            if executor.migration_plan(executor.loader.graph.leaf_nodes()):
                if not no_backup and backups.database_holds_data():
                    self._say("Backing up the database before it is migrated ...")
                    self._say(f"  {backups.backup_before_migration(home).path}")
                self._say("Preparing the database ...")
                # In a thread, because the lock lives in this connection's transaction.
                with ThreadPoolExecutor(1) as pool:
                    pool.submit(_migrate).result()
        self._collect_static(home)
        if pending.exists():
            if not no_demo and pause_now() is not None:
                self._say("Everything is paused: the demo data waits for a start after `resume`.")
                return
            if not no_demo:
                self._say("Loading the demo data (only this once) ...")
                call_command("load_demo", stdout=self.stdout, stderr=self.stderr)
            pending.unlink()

    def _collect_static(self, home: Path) -> None:
        state = _static_fingerprint()
        stamp = home / "static.stamp"
        if stamp.exists() and stamp.read_text() == state and settings.STATIC_ROOT.is_dir():
            return
        self._say("Collecting static files ...")
        call_command("collectstatic", interactive=False, verbosity=0, clear=True)
        stamp.write_text(state)

    def _first_login(self) -> str | None:
        """Where nobody can sign in as superuser, one who can is made; says the login and password."""
        if get_user_model()._default_manager.filter(is_superuser=True, is_active=True).exists():
            return None
        said = io.StringIO()
        call_command("reset_admin", json=True, stdout=said, stderr=io.StringIO())
        made = json.loads(said.getvalue().splitlines()[-1])
        return f"{made['username']} / {made['password']}"

    def _demo_logins(self) -> list[FreshLogin]:
        """The demo's logins that nobody could sign in as have passwords now. There are none in production."""
        if not settings.IS_LOCAL:
            return []
        return demo_passwords_reset(actor=Actor.shell(), is_first=True)

    def _environment(self, servers: embedded.Servers) -> dict[str, str]:
        return {**os.environ, "DATABASE_URL": servers.database_url, "REDIS_URL": servers.redis_url}

    def _wait_for_web(self, home: Path, supervised: supervision.Supervised, port: int) -> None:
        def is_over() -> bool:
            return supervised.process.poll() is not None or _answers(port)

        if not wait_until(is_over, WEB_TIMEOUT_S) or supervised.process.poll() is not None:
            log = supervision.log_directory(home) / "web.log"
            lines = log.read_text(errors="replace").splitlines()[-15:] if log.exists() else []
            raise CommandError("\n".join(["the web pages do not answer:", *lines, f"({log})"]))

    def _say_ready(
        self,
        servers: embedded.Servers,
        address: str,
        login: str | None,
        demo: list[FreshLogin],
        began: float,
    ) -> None:
        data = servers.layout.data if servers.layout is not None else None
        self._say("")
        self._say(f"  schemaevo  {address}   (ready after {time.time() - began:.0f} s)")
        if login is not None:
            self._say(f"  login      {login}")
            self._say(f"             shown only this once; another: `{RESET_ADMIN}`")
        else:
            self._say(f"  login      as before; forgotten: `{RESET_ADMIN}`")
        for fresh in demo:
            self._say(f"  demo       {fresh.username} / {fresh.password}")
        if demo:
            self._say(f"             shown only this once; others: `{RESET_ADMIN} --demo`")
        if data is not None:
            self._say(f"  data       {data}")
        self._say(f"  logs       {supervision.log_directory(servers.home)}")
        self._say("  Ctrl-C stops everything.")

    def _look_after(
        self,
        servers: embedded.Servers,
        supervised: supervision.Supervised,
        signals: StopSignals,
        port: int,
    ) -> supervision.Supervised:
        """Runs until a signal comes; a server or a supervisor that died is started again."""
        since = time.monotonic()
        while True:
            try:
                supervised.process.wait(LOOK_AFTER_SERVERS_S)
            except subprocess.TimeoutExpired:
                dead = embedded.dead_servers(servers)
                if dead:
                    self._say(f"{' and '.join(dead)} died; starting again on the data left.")
                    with signals.held_off():
                        embedded.start_servers(servers.home)
                continue
            if time.monotonic() - since < SHORTEST_LIFE_S:
                raise CommandError(f"the supervisor ended: see {supervision.log_directory(servers.home)}")
            self._say("The supervisor died; starting it again.")
            with signals.held_off():
                supervision.end_leftovers(servers.home)
                supervised = supervision.start(
                    servers.home, settings.BASE_DIR, port, self._environment(servers)
                )
            since = time.monotonic()

    def _say(self, text: str) -> None:
        # Whoever reads may be gone (a closed terminal, a closed pipe); the work goes on without.
        with contextlib.suppress(OSError):
            self.stdout.write(text)
            self.stdout.flush()


def _migrate() -> None:
    try:
        call_command("migrate", interactive=False, verbosity=0)
    finally:
        connections.close_all()


def _answers(port: int) -> bool:
    connection_ = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection_.request("GET", "/admin/login/")
        return connection_.getresponse().status < http.HTTPStatus.INTERNAL_SERVER_ERROR
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection_.close()


def _static_fingerprint() -> str:
    """A text that changes whenever collecting would give something else."""
    files = []
    for finder in get_finders():
        for path, storage in finder.list([]):
            found = os.stat(storage.path(path))
            files.append((path, found.st_size, found.st_mtime_ns))
    versions = sorted(f"{d.name} {d.version}" for d in distributions())
    return hashlib.sha256(json.dumps([sorted(files), versions]).encode()).hexdigest()
