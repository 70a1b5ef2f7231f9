"""A large list as a file, by the server that serves it: memory is bounded, it is of one instant, and never half."""

from __future__ import annotations

import http.client
import os
import socket
import subprocess
import sys
import urllib.parse
import urllib.request
from collections.abc import Iterator
from http.cookiejar import CookieJar
from pathlib import Path
from typing import Any

import pytest

from schemaevo import programs
from tests.long.stores import PROJECT, Store, open_store
from tests.waiting import PATIENCE_S, wait_for

pytestmark = pytest.mark.long

ROWS = 100_000
FEW = 1_000
LIST = "/admin/snapshots/entitysnapshot/export/"
#: Less than a tenth of what the file has; a process that gathered it, or its rows, would take it many times over.
GROWTH_MAX_KB = 16_000

FILL = """
    INSERT INTO entity_snapshots (id, user_id, entity_type, entity_key, "values", provenance, merge_state,
                                  deleted, observation_count, reduction_hash)
    SELECT gen_random_uuid(), %s, %s, 'key-' || n, jsonb_build_object('n', n, 'text', repeat('x', 1500)),
           '{}', '{}', false, 1, ''
      FROM generate_series(1, %s) AS n
"""


class Web:
    """The server of the pages, with one process, and somebody who has signed in."""

    def __init__(self, store: Store) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        options = ("--workers", "1", "--access-logfile", os.devnull)
        self.log = store.folder / "web.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, *programs.web(f"127.0.0.1:{self.port}"), *options],
                cwd=PROJECT,
                env=store.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self._cookies = CookieJar()
        self._opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(self._cookies))

    def sign_in(self, login: dict[str, Any]) -> None:
        wait_for(self._is_up, "the server to listen")
        self._ask("/admin/login/").close()
        form = {"username": login["username"], "password": login["password"], "next": "/admin/"}
        assert self._ask("/admin/login/", form).url.endswith("/admin/")

    def download(self, **query: str) -> Any:
        """The answer to an export as JSON Lines, of which nothing is read yet."""
        return self._ask(f"{LIST}?{urllib.parse.urlencode(query)}", {"format": "jsonl"})

    def peak_kb(self) -> int:
        """The most memory that the process which serves has ever taken."""
        task = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        (served_by,) = task.read_text().split()
        lines = Path(f"/proc/{served_by}/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))

    def _is_up(self) -> bool:
        assert self.process.poll() is None, self.log.read_text()
        try:
            socket.create_connection(("127.0.0.1", self.port)).close()
        except ConnectionRefusedError:
            return False
        return True

    def _ask(self, path: str, form: dict[str, str] | None = None) -> Any:
        data = None
        if form is not None:
            token = next(cookie.value for cookie in self._cookies if cookie.name == "csrftoken")
            data = urllib.parse.urlencode({**form, "csrfmiddlewaretoken": token}).encode()
        return self._opener.open(f"http://127.0.0.1:{self.port}{path}", data, PATIENCE_S)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    folder = tmp_path_factory.mktemp("store")
    with open_store(folder, fsync=False) as opened:
        opened.environment["SCHEMAEVO_STATIC_ROOT"] = str(folder / "static")
        opened.run("collectstatic", "--no-input", "--verbosity", "0")
        yield opened


@pytest.fixture(scope="module")
def web(store: Store) -> Iterator[Web]:
    """The pages of a store with ROWS entities of one type and FEW of another."""
    login = store.result("reset_admin")
    with store.connect() as connection:
        (owner,) = connection.execute("SELECT id FROM users").fetchall()[0]
        for entity_type, rows in (("thing", ROWS), ("other", FEW)):
            connection.execute(FILL, [owner, entity_type, rows])
    served = Web(store)
    try:
        served.sign_in(login)
        yield served
    finally:
        served.process.terminate()
        served.process.wait(PATIENCE_S)


def events(store: Store) -> list[dict[str, Any]]:
    found = store.rows("SELECT after FROM audit_events WHERE action = 'rows.export' ORDER BY id")
    return [after for (after,) in found]


def newest_after(store: Store, count: int) -> dict[str, Any]:
    """The event that comes after so many."""
    return wait_for(lambda: events(store)[count:], "the export to be audited")[0]


def test_memory_does_not_grow_with_the_rows(store: Store, web: Web) -> None:
    assert len(web.download(type="other").read().splitlines()) == FEW
    before, size, lines = web.peak_kb(), 0, 0
    with web.download(type="thing") as answer:
        while part := answer.read(2**20):
            size += len(part)
            lines += part.count(b"\n")
    assert lines == ROWS
    assert size > 10 * GROWTH_MAX_KB * 1024 * 0.9
    assert web.peak_kb() - before < GROWTH_MAX_KB


def test_what_is_written_during_the_download_is_not_in_it(store: Store, web: Web) -> None:
    with web.download(type="thing") as answer:
        lines = answer.read(2**16).count(b"\n")
        with store.connect() as connection:
            (owner,) = connection.execute("SELECT id FROM users").fetchall()[0]
            connection.execute(FILL, [owner + 1, "thing", 10])
            connection.execute(
                "UPDATE entity_snapshots SET entity_type = 'moved' WHERE entity_type = 'thing'"
            )
        while part := answer.read(2**20):
            lines += part.count(b"\n")
    with store.connect() as connection:
        connection.execute("DELETE FROM entity_snapshots WHERE user_id = %s", [owner + 1])
        connection.execute("UPDATE entity_snapshots SET entity_type = 'thing' WHERE entity_type = 'moved'")
    assert lines == ROWS


def test_a_download_whose_database_goes_away_does_not_look_whole(store: Store, web: Web) -> None:
    seen = len(events(store))
    with web.download(type="thing") as answer:
        answer.read(2**16)
        ended = store.rows(
            "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity"
            " WHERE xact_start IS NOT NULL AND pid <> pg_backend_pid() AND usename = current_user"
        )
        assert ended == [(True,)]
        with pytest.raises((http.client.IncompleteRead, ConnectionError)):
            answer.read()
    event = newest_after(store, seen)
    assert (event["is_whole"], 0 < event["rows"] < ROWS) == (False, True)
    # The server goes on, with another connection.
    assert len(web.download(type="other").read().splitlines()) == FEW


def test_whoever_closes_a_download_leaves_a_trace_of_what_went_out(store: Store, web: Web) -> None:
    seen = len(events(store))
    answer = web.download(type="thing")
    answer.read(2**16)
    answer.close()
    event = newest_after(store, seen)
    assert (event["is_whole"], 0 < event["rows"] < ROWS) == (False, True)
    assert event["filters"] == {"type": "thing"}
