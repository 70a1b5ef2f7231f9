"""`make up` in a fresh clone with an empty home directory: started, used, stopped, killed, started again."""

import http.client
import json
import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass
from http.cookies import SimpleCookie
from pathlib import Path

import psycopg
import pytest

from schemaevo import embedded, supervision
from schemaevo.embedded.processes import residents, wait_until

pytestmark = pytest.mark.long

PROJECT = Path(__file__).resolve().parents[2]
READY = "Ctrl-C stops everything."
# What the person who clones does not have.
OWN_VARIABLES = (
    "DATABASE_URL",
    "REDIS_URL",
    "DJANGO_",
    "SCHEMAEVO_",
    "PYTEST_",
    "VIRTUAL_ENV",
    "PYTHON",
    "MAKE",
    "ARGS",
)
START_TIMEOUT_S = 300
STOP_TIMEOUT_S = 60


@dataclass
class Clone:
    """A copy of the checkout, and the user who works in it."""

    project: Path
    uid: int
    gid: int
    runs: list[subprocess.Popen[bytes]]

    @property
    def home(self) -> Path:
        return self.project / ".schemaevo"

    @property
    def output(self) -> Path:
        return self.project.parent / "output.txt"

    def make(self, *arguments: str) -> subprocess.Popen[bytes]:
        environment = {k: v for k, v in os.environ.items() if not k.startswith(OWN_VARIABLES)}
        environment["HOME"] = str(self.project.parent / "home")
        if self.uid != os.geteuid():
            # Python installations in another user's home cannot be used by this one.
            environment["PATH"] = "/usr/local/bin:/usr/bin:/bin"
        other = self.uid != os.geteuid()
        with self.output.open("wb") as output:
            run = subprocess.Popen(
                ["make", *arguments],
                cwd=self.project,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                user=self.uid if other else None,
                group=self.gid if other else None,
                extra_groups=[] if other else None,
            )
        self.runs.append(run)
        return run

    def up(self, *options: str) -> subprocess.Popen[bytes]:
        """`make up`, until it says that it is ready."""
        began = time.monotonic()
        run = self.make("up", f"ARGS={' '.join(options)}")
        wait_until(lambda: READY in self.said() or run.poll() is not None, START_TIMEOUT_S)
        assert READY in self.said(), self.said()
        print(f"make up: ready after {time.monotonic() - began:.1f} s")
        return run

    def said(self) -> str:
        return self.output.read_text(errors="replace")

    def address(self) -> tuple[str, int]:
        found = re.search(r"http://([\d.]+):(\d+)/", self.said())
        assert found is not None
        return found[1], int(found[2])

    def login(self) -> tuple[str, str]:
        found = re.search(r"login +(\S+) / (\S+)", self.said())
        assert found is not None, self.said()
        return found[1], found[2]

    def processes(self) -> list[int]:
        """All that runs for this clone: children of its supervisor, and both servers."""
        layout = embedded.servers_of(self.home).layout
        assert layout is not None
        return [*supervision.marked(self.home), *residents(layout.postgres), *residents(layout.valkey)]

    def up_process(self) -> int:
        found = re.search(r"process (\d+)", (self.home / "up.lock").read_text())
        assert found is not None
        return int(found[1])

    def database_answers(self) -> bool:
        try:
            psycopg.connect(embedded.servers_of(self.home).database_url).close()
        except psycopg.OperationalError:
            return False
        return True

    def observation_count(self) -> int:
        with psycopg.connect(embedded.servers_of(self.home).database_url) as connection:
            # Of the demo's first records: its steps promote fields, and load some of another type.
            row = connection.execute(
                "SELECT count(*) FROM observations WHERE entity_type = 'package' AND origin = 'ingest'"
            ).fetchone()
            assert row is not None
            return int(row[0])


def make_clone(directory: Path, user: pwd.struct_passwd) -> Clone:
    project, home = directory / "project", directory / "home"
    home.mkdir(mode=0o700)
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=PROJECT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    for name in filter(None, listed.split("\0")):
        if (PROJECT / name).is_file():
            (project / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(PROJECT / name, project / name)
    if user.pw_uid != os.geteuid():
        for path in [directory, *directory.rglob("*")]:
            os.chown(path, user.pw_uid, user.pw_gid)
    return Clone(project, user.pw_uid, user.pw_gid, [])


def remove(clone: Clone) -> None:
    for run in clone.runs:
        if run.poll() is None:
            os.killpg(run.pid, signal.SIGTERM)
            run.wait(STOP_TIMEOUT_S)
    supervision.end_leftovers(clone.home)
    servers = embedded.servers_of(clone.home)
    embedded.stop_servers(servers)
    if servers.layout is not None:
        shutil.rmtree(servers.layout.sockets)
        if servers.layout.data != clone.home:
            shutil.rmtree(servers.layout.data)
    shutil.rmtree(clone.project.parent)


@pytest.fixture
def directory(monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("DATABASE_URL", "REDIS_URL"):
        monkeypatch.delenv(name, raising=False)
    # Closed to others, as a home directory is: root's servers, who are not root, cannot enter.
    return Path(tempfile.mkdtemp(prefix="schemaevo-clone-"))


@pytest.fixture
def clone(directory: Path) -> Iterator[Clone]:
    made = make_clone(directory, pwd.getpwuid(os.geteuid()))
    yield made
    remove(made)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def sign_in(address: tuple[str, int], login: tuple[str, str]) -> str:
    """Sign in as a browser does; gives the dashboard's HTML."""
    connection = http.client.HTTPConnection(*address, timeout=30)
    cookies: SimpleCookie = SimpleCookie()

    def ask(method: str, path: str, form: dict[str, str] | None = None) -> tuple[int, str]:
        headers = {
            "Cookie": "; ".join(f"{name}={morsel.value}" for name, morsel in cookies.items()),
            "Content-Type": "application/x-www-form-urlencoded",
            "Referer": f"http://{address[0]}:{address[1]}{path}",
        }
        connection.request(method, path, urllib.parse.urlencode(form) if form else None, headers)
        response = connection.getresponse()
        for name, value in response.getheaders():
            if name.lower() == "set-cookie":
                cookies.load(value)
        return response.status, response.read().decode()

    status, _page = ask("GET", "/admin/login/")
    assert status == http.HTTPStatus.OK
    form = {"username": login[0], "password": login[1], "next": "/admin/"}
    status, _page = ask("POST", "/admin/login/", {**form, "csrfmiddlewaretoken": cookies["csrftoken"].value})
    assert status == http.HTTPStatus.FOUND
    status, page = ask("GET", "/admin/")
    assert status == http.HTTPStatus.OK
    connection.close()
    return page


def expected_observations() -> int:
    manifest = json.loads((PROJECT / "tests" / "data" / "debian" / "manifest.json").read_text())
    return sum(source["records"] for source in manifest["sources"])


def test_a_fresh_clone_runs_is_used_stopped_killed_and_started_again(clone: Clone) -> None:
    port = free_port()
    run = clone.up("--port", str(port))
    assert clone.address() == ("127.0.0.1", port)
    login = clone.login()
    assert "package" in sign_in(clone.address(), login)
    assert clone.observation_count() == expected_observations()
    assert "Installing" in clone.said()
    for told in re.findall(r"demo +(\S+) / (\S+)", clone.said()):
        assert "package" in sign_in(clone.address(), told)

    # A second one, while the first runs, says so and changes nothing.
    before = clone.up_process()
    second = clone.make("up")
    assert second.wait(STOP_TIMEOUT_S) != 0
    assert f"runs here already: http://127.0.0.1:{port}/ (process {before})" in clone.said()
    assert clone.up_process() == before

    # A child that dies is replaced, a server that dies too.
    layout = embedded.servers_of(clone.home).layout
    assert layout is not None
    postmaster = int((layout.postgres / "postmaster.pid").read_text().splitlines()[0])
    os.kill(postmaster, signal.SIGKILL)
    assert wait_until(lambda: postmaster not in residents(layout.postgres), STOP_TIMEOUT_S)
    assert wait_until(clone.database_answers, STOP_TIMEOUT_S)
    assert clone.observation_count() == expected_observations()

    # SIGTERM to the process itself: nothing is left, and make says that all went well.
    os.kill(clone.up_process(), signal.SIGTERM)
    assert run.wait(STOP_TIMEOUT_S) == 0
    assert clone.processes() == []

    # Again: no installation, no demo, no new password, the data is there.
    run = clone.up("--port", str(port))
    assert "Installing" not in clone.said()
    assert "demo" not in clone.said()
    assert "package" in sign_in(clone.address(), login)

    # SIGKILL of everything.
    for pid in [run.pid, clone.up_process(), *clone.processes()]:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
    run.wait()
    assert wait_until(lambda: clone.processes() == [], STOP_TIMEOUT_S)
    clone.up("--port", str(port))
    assert clone.observation_count() == expected_observations()
    assert "package" in sign_in(clone.address(), login)

    # SIGKILL of `up` alone: what it leaves is ended by the next one, which joins the servers.
    os.kill(clone.up_process(), signal.SIGKILL)
    left = supervision.marked(clone.home)
    assert left
    run = clone.up("--port", str(port))
    assert f"Ended {len(left)} processes that an earlier run had left." in clone.said()
    assert not set(left) & set(supervision.marked(clone.home))
    assert "package" in sign_in(clone.address(), login)

    # Ctrl-C in a terminal goes to make and to `up` at once.
    os.killpg(run.pid, signal.SIGINT)
    run.wait(STOP_TIMEOUT_S)
    assert wait_until(lambda: clone.processes() == [], STOP_TIMEOUT_S)
    assert "Stopped." in clone.said()

    # A port that is in use is named, and nothing stays behind.
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port))
        taken.listen()
        assert clone.make("up", f"ARGS=--port {port}").wait(STOP_TIMEOUT_S) != 0
    assert f"port {port} is in use" in clone.said()
    assert clone.processes() == []


@pytest.mark.skipif(os.geteuid() != 0, reason="the other tests run as a normal user already")
def test_a_normal_user_can_run_it(directory: Path) -> None:
    user = pwd.getpwnam("nobody")
    found = shutil.which("python3", path="/usr/local/bin:/usr/bin:/bin")
    ask = "import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))"
    if found is None or subprocess.run([found, "-c", ask], check=False).returncode != 0:
        pytest.skip("no Python 3.11 with venv that other users can run")
    clone = make_clone(directory, user)
    try:
        run = clone.up("--port", str(free_port()))
        assert "package" in sign_in(clone.address(), clone.login())
        running = clone.processes()
        assert running
        assert {Path(f"/proc/{pid}").stat().st_uid for pid in running} == {user.pw_uid}
        layout = embedded.servers_of(clone.home).layout
        assert layout is not None
        assert layout.data == clone.home
        os.kill(run.pid, signal.SIGTERM)
        run.wait(STOP_TIMEOUT_S)
        assert wait_until(lambda: clone.processes() == [], STOP_TIMEOUT_S)
    finally:
        remove(clone)
