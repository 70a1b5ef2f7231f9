"""What `manage.py up` does besides starting things: ports, its mark on children, signals, one at a time."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from schemaevo import supervision
from schemaevo.embedded.processes import wait_until


@pytest.fixture
def listener() -> socket.socket:
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listening.bind(("127.0.0.1", 0))
    listening.listen()
    return listening


def test_a_busy_port_that_was_asked_for_is_named(listener: socket.socket) -> None:
    port = listener.getsockname()[1]
    with listener, pytest.raises(supervision.PortBusy, match=f"port {port} is in use"):
        supervision.hold_port(port)
    with supervision.hold_port(port) as held:
        assert held.getsockname()[1] == port


def test_a_busy_usual_port_is_avoided(listener: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    port = listener.getsockname()[1]
    monkeypatch.setattr(supervision, "FIRST_PORT", port)
    with listener, supervision.hold_port(None) as held:
        assert port < held.getsockname()[1] < port + supervision.PORTS_TRIED


def test_two_clones_that_start_at_the_same_time_never_choose_one_port() -> None:
    with supervision.hold_port(None) as first, supervision.hold_port(None) as second:
        assert first.getsockname() != second.getsockname()
        port = first.getsockname()[1]
        with pytest.raises(supervision.PortBusy, match=f"port {port} is in use"):
            supervision.hold_port(port)
    # Given back, it is free for the web server at once.
    supervision.hold_port(port).close()


def test_what_an_earlier_run_left_is_found_by_its_mark_and_ended(tmp_path: Path) -> None:
    stubborn = "import signal, sys; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
    parent = "import subprocess, sys; child = subprocess.Popen([sys.executable, '-c', sys.argv[1]]); "
    parent += "print(child.pid, flush=True); child.wait()"
    left = subprocess.Popen(
        [sys.executable, "-c", parent, "import sys; sys.stdin.read()"],
        env={**os.environ, supervision.MARK: str(tmp_path)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    other = subprocess.Popen(
        [sys.executable, "-c", stubborn + "sys.stdin.read()"],
        env={**os.environ, supervision.MARK: f"{tmp_path}-other"},
        stdin=subprocess.PIPE,
    )
    assert left.stdout is not None
    child = int(left.stdout.readline())
    # A process that was started a moment ago may not have its environment yet.
    assert wait_until(lambda: supervision.marked(tmp_path) == sorted([left.pid, child]), timeout_s=30)
    # Its parent dies first: an orphan has no supervisor that would stop it.
    left.kill()
    left.wait()
    assert supervision.marked(tmp_path) == [child]

    assert supervision.end_leftovers(tmp_path) == [child]
    assert supervision.marked(tmp_path) == []
    assert other.poll() is None
    other.kill()
    for process in (left, other):
        process.communicate()


def test_a_leftover_that_ignores_sigterm_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervision, "STOP_PATIENCE_S", 0)
    deaf = "import signal, sys; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); "
    process = subprocess.Popen(
        [sys.executable, "-c", deaf + "sys.stdin.read()"],
        env={**os.environ, supervision.MARK: str(tmp_path)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"deaf\n"
    assert supervision.end_leftovers(tmp_path) == [process.pid]
    process.communicate()
    assert process.returncode == -signal.SIGKILL


def test_supervisord_restarts_a_killed_child_and_stops_them_all(tmp_path: Path) -> None:
    project = tmp_path / "100% 'söhne' ; # project"
    project.mkdir()
    # Stands where manage.py stands: the children only have to live and to say who they are.
    (project / "manage.py").write_text("import sys, time\nprint(sys.argv[1], flush=True)\ntime.sleep(600)\n")
    (project / "schemaevo").mkdir()
    (project / "schemaevo" / "__init__.py").touch()
    (project / "schemaevo" / "wsgi.py").write_text("def application(environ, start_response): ...\n")
    home = project / ".schemaevo"
    home.mkdir()

    def running(command: str) -> list[int]:
        return [
            pid
            for pid in supervision.marked(home)
            if f"manage.py\0{command}" in Path(f"/proc/{pid}/cmdline").read_text()
        ]

    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    with supervision.hold_port(None) as held:
        port = held.getsockname()[1]
    # A state directory of its own, with a name that supervisord's configuration could not hold.
    supervised = supervision.start(home, project, port, environment)
    try:
        log = supervision.log_directory(home) / "worker.log"
        assert wait_until(lambda: log.exists() and log.read_text() == "work\n", 30)
        assert wait_until(lambda: bool(running("schedule")), 30)
        first = running("work")
        os.kill(first[0], signal.SIGKILL)
        assert wait_until(lambda: log.read_text() == "work\nwork\n", 30)
        assert running("work") not in ([], first)
    finally:
        supervision.stop(supervised)
    assert supervision.marked(home) == []
