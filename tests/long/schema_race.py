"""Who takes part in a race for schemas, each in a process of its own: two web servers, a command, and ingests."""

from __future__ import annotations

import html
import http.client
import itertools
import json
import os
import re
import secrets
import socket
import subprocess
import sys
import threading
import urllib.parse
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from http.cookies import SimpleCookie
from pathlib import Path
from typing import IO, Any

from schemaevo import programs
from tests.factories import NOON
from tests.long.stores import PROJECT, Store
from tests.waiting import PATIENCE_S, wait_for

LOGIN = "schema-admin"
#: So small that many batches are committed between two changes.
BATCH_SIZE = 8
ENTITIES = 20
#: What was in force when a page was made, as its form carries it.
SHOWN = re.compile(r'<input type="hidden" name="shown" value="([^"]*)"')


class Part:
    """A process of the race, and what it says to people."""

    def __init__(self, store: Store, name: str, command: Sequence[str]) -> None:
        self.name = name
        self._said = store.folder / f"{name}.txt"
        with self._said.open("w") as said:
            self.process = subprocess.Popen(
                [sys.executable, *command],
                cwd=PROJECT,
                env=store.environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=said,
                text=True,
            )

    @property
    def input(self) -> IO[str]:
        assert self.process.stdin is not None
        return self.process.stdin

    @property
    def output(self) -> IO[str]:
        assert self.process.stdout is not None
        return self.process.stdout

    def answer(self) -> Any:
        """The next line of the output, which is JSON."""
        line = self.output.readline()
        assert line, f"{self.name} has ended: {self._said.read_text()}"
        return json.loads(line)

    def end_of_input(self) -> Any:
        """The last line that the process says once it has nothing more to read; it has ended well."""
        self.input.close()
        last = self.output.read().splitlines()
        self.output.close()
        assert self.process.wait(PATIENCE_S) == 0, self._said.read_text()
        return json.loads(last[-1])

    def kill(self) -> None:
        """The process is gone, however far it was."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None and not pipe.closed:
                try:
                    pipe.close()
                except BrokenPipeError:
                    continue


class CommandLine(Part):
    """Activates by command; `watched` is a type that no other process changes."""

    def __init__(self, store: Store, watched: str, owners: Sequence[int]) -> None:
        super().__init__(store, "command", ["-m", "tests.long.command_loop", watched, *map(str, owners)])

    def ask(self, entity_type: str, number: str, owner: int | None) -> None:
        """The activation begins; `answer` gives what the process holds to be in force after it."""
        self.input.write(json.dumps([entity_type, number, owner]) + "\n")
        self.input.flush()


class Feed(Part):
    """An ingest of a stream that does not end by itself; every record has the fields `a` and `x`, and another `x`."""

    def __init__(self, store: Store, entity_type: str, name: str, owners: Sequence[str]) -> None:
        fields = ("--user-field", "o", "--key-field", "k", "--observed-at-field", "at")
        options = ("--source", name, "--batch-size", str(BATCH_SIZE), "--json")
        super().__init__(
            store, name, ["manage.py", "ingest", "-", "--entity-type", entity_type, *fields, *options]
        )
        self.sent = 0
        self._owners = owners
        self._ended = threading.Event()
        self._writer = threading.Thread(target=self._write, daemon=True)
        self._writer.start()

    def end_of_input(self) -> Any:
        self._ended.set()
        self._writer.join(PATIENCE_S)
        assert not self._writer.is_alive(), f"{self.name} does not read"
        return super().end_of_input()

    def kill(self) -> None:
        # Who reads no more ends the writer, too.
        self._ended.set()
        self.process.kill()
        self._writer.join(PATIENCE_S)
        super().kill()

    def _write(self) -> None:
        for number in itertools.count():
            if self._ended.is_set():
                return
            record = {
                "k": number % ENTITIES,
                "o": self._owners[number % len(self._owners)],
                "at": (NOON + timedelta(seconds=number)).isoformat(),
                "a": number,
                "x": f"{self.name}-{number}",
                "y": number,
            }
            try:
                self.input.write(json.dumps(record) + "\n")
            except BrokenPipeError:
                return  # the process has ended; whoever ends the feed is told why
            self.sent += 1


class Web(Part):
    """A web server with one worker process, used by somebody who is a schema admin."""

    def __init__(self, store: Store, name: str) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        # Nobody reads its access log here; a pipe that is full would stop it after some hundred requests.
        options = ("--workers", "1", "--access-logfile", os.devnull)
        super().__init__(store, name, [*programs.web(f"127.0.0.1:{self.port}"), *options])
        self._cookies: SimpleCookie = SimpleCookie()
        self._page = ""

    def sign_in(self, password: str) -> None:
        """Whoever uses it may activate from now on."""
        wait_for(self._is_up, f"{self.name} to listen")
        assert self._ask("GET", "/admin/login/") == http.HTTPStatus.OK
        form = {"username": LOGIN, "password": password, "next": "/admin/"}
        assert self._ask("POST", "/admin/login/", form) == http.HTTPStatus.FOUND
        assert "sessionid" in self._cookies

    def activate(self, version_id: int) -> None:
        """The page that tells what it changes was looked at, its button pressed, and the answer is there."""
        address = f"/admin/registry/schemaversion/{version_id}/activate/"
        assert self._ask("GET", address) == http.HTTPStatus.OK
        shown = SHOWN.search(self._page)
        assert shown, f"{address} has no form to confirm"
        assert self._ask("POST", address, {"shown": html.unescape(shown[1])}) == http.HTTPStatus.FOUND

    def _is_up(self) -> bool:
        assert self.process.poll() is None, self._said.read_text()
        try:
            socket.create_connection(("127.0.0.1", self.port)).close()
        except ConnectionRefusedError:
            return False
        return True

    def _ask(self, method: str, path: str, form: dict[str, str] | None = None) -> int:
        headers = {"Cookie": "; ".join(f"{name}={morsel.value}" for name, morsel in self._cookies.items())}
        body = None
        if form is not None:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
            body = urllib.parse.urlencode({**form, "csrfmiddlewaretoken": self._cookies["csrftoken"].value})
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)
        try:
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            self._page = response.read().decode()
            for name, value in response.getheaders():
                if name.lower() == "set-cookie":
                    self._cookies.load(value)
            return response.status
        finally:
            connection.close()


@contextmanager
def running(*parts: Part) -> Iterator[None]:
    """No process of the race outlives it."""
    try:
        yield
    finally:
        for part in parts:
            part.kill()


def make_people(store: Store, owners: Sequence[str]) -> tuple[str, dict[str, int]]:
    """A login with the role of a schema admin, whose password this gives, and owners with their ids."""
    password = secrets.token_urlsafe()
    store.run(
        "shell",
        "-c",
        "from django.contrib.auth.models import Group\n"
        "from schemaevo.kernel.models import User\n"
        "from schemaevo.kernel.owners import owners_create\n"
        f"login = User.objects.create_user({LOGIN!r}, password={password!r}, is_staff=True)\n"
        "login.groups.add(Group.objects.get(name='schema_admin'))\n"
        f"owners_create({list(owners)!r})\n",
    )
    return password, dict(store.rows("SELECT username, id FROM users WHERE username = ANY(%s)", list(owners)))


def register(store: Store, entity_type: str, document: dict[str, Any], *options: str) -> int:
    """A version is registered, and its id known."""
    file = Path(store.folder) / f"{entity_type}-{secrets.token_hex(4)}.json"
    file.write_text(json.dumps(document))
    number = store.result("register_schema", str(file), "--entity-type", entity_type, *options)["version"]
    [(version_id,)] = store.rows(
        "SELECT max(id) FROM schema_registry WHERE entity_type = %s"
        " AND concat_ws('.', major, minor, patch) = %s",
        entity_type,
        number,
    )
    return int(version_id)
