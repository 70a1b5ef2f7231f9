"""Where things are: the state directory of a checkout, the servers' data, and their sockets."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import secrets
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from schemaevo.embedded.processes import ServersFailed, can_enter, exclusive, server_user

PROJECT = Path(__file__).resolve().parents[2]

# Data of servers that may not enter the checkout (root's clone in a home nobody else can enter).
SYSTEM_PLACE = Path("/var/lib/schemaevo")

# A unix socket's path has room for 107 bytes on Linux, 103 on macOS; longest name: `.s.PGSQL.5432.lock`.
SOCKET_DIRECTORY_BYTES = 80
# PostgreSQL splits its socket directories at commas and libpq reads `@` and `%`: plain paths need no quoting.
PLAIN_PATH = re.compile(r"[A-Za-z0-9/._+=-]+")


@dataclass(frozen=True)
class Layout:
    """The directories of one home. `data` is `home` itself unless the servers cannot enter that."""

    home: Path
    data: Path
    sockets: Path

    @property
    def postgres(self) -> Path:
        """The data directory of PostgreSQL."""
        return self.data / "postgres"

    @property
    def valkey(self) -> Path:
        """The working directory of Valkey."""
        return self.data / "valkey"

    @property
    def logs(self) -> Path:
        """Where what the servers say on starting goes."""
        return self.data / "server-log"


def state_home() -> Path:
    """Give the state directory: `.schemaevo` in the project, or what SCHEMAEVO_HOME names."""
    named = os.environ.get("SCHEMAEVO_HOME")
    return Path(named).expanduser().resolve() if named else PROJECT / ".schemaevo"


def secret_key(home: Path | None = None) -> str:
    """Give the key that this installation signs with: made once, readable to its owner only."""
    path = (home or state_home()) / "secret_key"
    if not path.exists():
        _make_home(path.parent)
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=".secret_key-")
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_urlsafe(50))
        # A link fails where the name exists, so of two first starts both use the first one's key.
        with contextlib.suppress(FileExistsError):
            os.link(name, path)
        Path(name).unlink()
    return path.read_text().strip()


def layout_of(home: Path) -> Layout:
    """Say where the servers of this home keep data and sockets; decided once, remembered in `home`."""
    home = home.resolve()
    _make_home(home)
    with exclusive(home / "layout.lock"):
        noted = _read(home / "layout.json")
        data = _data_place(home, noted)
        sockets = _socket_place(home, data, noted)
        layout = Layout(home, data, sockets)
        wanted = {"home": str(home), "data": str(data), "sockets": str(sockets)}
        if wanted != noted:
            draft = home / "layout.json.new"
            draft.write_text(json.dumps(wanted) + "\n")
            draft.replace(home / "layout.json")
    return layout


def _make_home(home: Path) -> None:
    if not home.is_dir():
        home.mkdir(parents=True, exist_ok=True)
        # Root's servers run as another user and pass through; what is secret here has modes of its own.
        home.chmod(0o755 if os.geteuid() == 0 else 0o700)
    if os.geteuid() != 0 and home.stat().st_uid != os.geteuid():
        raise ServersFailed(
            f"{home} belongs to another user: run as that user, or name another place with SCHEMAEVO_HOME"
        )


def _read(path: Path) -> dict[str, Any]:
    try:
        noted = json.loads(path.read_text())
    except FileNotFoundError:
        return {}
    except ValueError:
        raise ServersFailed(
            f"{path} is damaged; it says where the data is, so restore or correct it"
        ) from None
    return noted if isinstance(noted, dict) else {}


def _data_place(home: Path, noted: dict[str, Any]) -> Path:
    known = Path(str(noted["data"])) if "data" in noted else None
    was_home = Path(str(noted["home"])) if "home" in noted else home
    if known is not None and known != was_home and known.is_dir():
        # Data outside follows a checkout that was moved, but not one that was copied.
        owner = _read(was_home / "layout.json")
        if was_home == home or owner.get("data") != str(known):
            return known
    if (home / "postgres").exists() or can_enter(server_user(), home):
        return home
    _make_system_place()
    name = re.sub(r"[^A-Za-z0-9_]+", "-", home.parent.name)[:24].strip("-") or "schemaevo"
    made = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=SYSTEM_PLACE))
    made.chmod(0o755)
    return made


def _make_system_place() -> None:
    SYSTEM_PLACE.mkdir(parents=True, exist_ok=True)
    SYSTEM_PLACE.chmod(0o755)


def _socket_place(home: Path, data: Path, noted: dict[str, Any]) -> Path:
    user = server_user(data / "postgres")
    sockets = data / "sockets"
    if len(os.fsencode(sockets)) > SOCKET_DIRECTORY_BYTES or not PLAIN_PATH.fullmatch(str(sockets)):
        known = Path(str(noted.get("sockets", "")))
        is_own = noted.get("home") == str(home) and known.is_dir() and known.stat().st_uid == user.uid
        if is_own and known != sockets:
            return known
        digest = hashlib.sha256(os.fsencode(home)).hexdigest()[:8]
        sockets = Path(tempfile.mkdtemp(prefix=f"schemaevo-{digest}-", dir=_short_directory()))
    sockets.mkdir(exist_ok=True)
    if sockets.stat().st_uid != user.uid:
        os.chown(sockets, user.uid, user.gid)
    sockets.chmod(0o700)
    return sockets


def _short_directory() -> str:
    usual = tempfile.gettempdir()
    fits = len(os.fsencode(usual)) <= SOCKET_DIRECTORY_BYTES - 30 and PLAIN_PATH.fullmatch(usual)
    return usual if fits else "/tmp"  # noqa: S108 - mkdtemp makes a private directory in it
