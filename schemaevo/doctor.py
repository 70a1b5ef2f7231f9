"""Whether an installation is well: each part looked at on its own, with what is wrong and what to do.

Only looks: it writes nothing, takes no lock and starts nothing.
"""

import platform
import re
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from importlib.metadata import PackageNotFoundError, distributions, version
from pathlib import Path
from typing import Literal

from django.conf import settings
from django.core.checks import run_checks
from django.db import connection
from django.db.models.functions import Now
from django.db.utils import Error
from redis import Redis
from redis.exceptions import RedisError

from schemaevo import bootstrap, embedded
from schemaevo.health import probe_of, unapplied_migrations
from schemaevo.kernel.checks import postgres_is_recent, triggers_are_enabled
from schemaevo.kernel.job_figures import jobs_left_wrong
from schemaevo.kernel.models import Job, JobQueue, JobState
from schemaevo.kernel.pause import pause_now
from schemaevo.servers import queues_of_workers, redis_client, scheduler_is_alive

State = Literal["ok", "note", "wrong", "unknown"]

OLDEST_PYTHON = (3, 11)
OLDEST_REDIS = 7
DATABASE_ANSWER_S = 5.0
#: A pending job was to be begun, and a dead worker's to be taken over, within this many sweeps.
SWEEPS_OF_PATIENCE = 8
DISK_FREE_SHARE = 0.05
DISK_FREE_BYTES = 1 << 30
NAMED = 4


@dataclass(frozen=True, slots=True)
class Finding:
    """One part: `ok`; `note` is worth knowing; `wrong`; `unknown` because of another part that is wrong."""

    part: str
    state: State
    detail: str
    advice: str = ""


def examine() -> list[Finding]:
    """Every part of this installation, in the order in which one would mend them."""
    return [_python(), _packages(), _settings(), *_database(), *_redis(), _disk()]


# --- what was installed ----------------------------------------------------------------------------------
def _python() -> Finding:
    said = platform.python_version()
    if sys.version_info < OLDEST_PYTHON:
        return Finding("python", "wrong", f"{said} is too old", "install Python 3.11 or newer")
    return Finding("python", "ok", said)


def _packages() -> Finding:
    missing = [name for name in map(_name, bootstrap.requirements([])) if _installed(name) is None]
    if missing:
        return Finding("packages", "wrong", f"missing: {_some(missing)}", _install("constraints.txt"))
    found = {path: _differing(path) for path in sorted(settings.BASE_DIR.glob("constraints*.txt"))}
    if not found:
        return Finding("packages", "note", "there is no constraints.txt to compare with")
    # The next stack has a file of its own: what counts is the one that was meant.
    path, differing = min(found.items(), key=lambda item: len(item[1]))
    if differing:
        return Finding("packages", "wrong", f"not as in {path.name}: {_some(differing)}", _install(path.name))
    return Finding("packages", "ok", f"as in {path.name}")


def _install(constraints: str) -> str:
    return f"install the versions that were tested together, those of {constraints}"


def _differing(constraints: Path) -> list[str]:
    wanted = dict(
        line.split("==") for line in constraints.read_text().split() if re.fullmatch(r"[\w.-]+==[\w.]+", line)
    )
    installed = {_plain(d.name): d.version for d in distributions()}
    return [
        f"{name} {installed[_plain(name)]} instead of {pinned}"
        for name, pinned in wanted.items()
        if installed.get(_plain(name), pinned) != pinned
    ]


def _name(requirement: str) -> str:
    return re.split(r"[^\w.-]", requirement, maxsplit=1)[0]


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _installed(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _settings() -> Finding:
    problems = [
        message
        for message in run_checks(include_deployment_checks=not settings.IS_LOCAL)
        if message.is_serious() or (not settings.IS_LOCAL and not message.is_silenced())
    ]
    if problems:
        first = problems[0]
        detail = f"{len(problems)} problems, first {first.id}: {first.msg}".splitlines()[0]
        command = "check" if settings.IS_LOCAL else "check --deploy"
        return Finding("settings", "wrong", detail, f"`manage.py {command}` tells them all")
    return Finding("settings", "ok", settings.SCHEMAEVO_ENV)


# --- the database ----------------------------------------------------------------------------------------
def _database() -> Iterator[Finding]:
    parts = {
        "role": _role,
        "migrations": _migrations,
        "triggers": _triggers,
        "pause": _pause,
        "jobs": _jobs,
    }
    away = _database_is_away()
    if away is not None:
        yield away
        for part in parts:
            yield Finding(part, "unknown", "the database does not answer")
        return
    yield _postgres()
    for part, look in parts.items():
        try:
            yield look()
        except Error as error:
            yield Finding(part, "unknown", _line(error), "put the database in order first")


def _database_is_away() -> Finding | None:
    # A connection that gives up soon, before the usual one, which would wait.
    probe = probe_of(connection, DATABASE_ANSWER_S)
    try:
        probe.ensure_connection()
    except Error as error:
        advice = "start it (`make up` does), or correct DATABASE_URL"
        return Finding("database", "wrong", _line(error), advice)
    finally:
        probe.close()
    return None


def _postgres() -> Finding:
    problems = postgres_is_recent(["default"])
    if problems:
        return Finding("database", "wrong", str(problems[0].msg), str(problems[0].hint))
    major, minor = divmod(connection.pg_version, 10_000)  # type: ignore[attr-defined]
    return Finding("database", "ok", f"PostgreSQL {major}.{minor}")


def _role() -> Finding:
    with connection.cursor() as cursor:
        cursor.execute("SELECT rolname, rolsuper FROM pg_roles WHERE rolname = current_user")
        name, is_superuser = cursor.fetchone()
    if is_superuser:
        advice = "connect as a role that only owns the database: no guard holds against a superuser"
        return Finding("role", "wrong", f"{name} is a superuser", advice)
    return Finding("role", "ok", f"{name}, no superuser")


def _migrations() -> Finding:
    waiting = unapplied_migrations(connection)
    if waiting:
        return Finding("migrations", "wrong", f"not applied: {_some(waiting)}", "`manage.py migrate`")
    return Finding("migrations", "ok", "all applied")


def _triggers() -> Finding:
    problems = triggers_are_enabled(["default"])
    if problems:
        detail = _some([str(problem.msg) for problem in problems])
        return Finding("triggers", "wrong", detail, str(problems[0].hint))
    return Finding("triggers", "ok", "all in place and enabled")


def _pause() -> Finding:
    pause = pause_now()
    if pause is None:
        return Finding("pause", "ok", "nothing is paused")
    because = f": {pause.reason}" if pause.reason else ""
    detail = (
        f"all ingest and all jobs, since {pause.paused_at:%Y-%m-%d %H:%M} UTC by {pause.paused_by}{because}"
    )
    return Finding("pause", "note", detail, "`manage.py resume` ends it")


def _jobs() -> Finding:
    patience = timedelta(seconds=settings.SCHEMAEVO_SWEEP_INTERVAL_S * SWEEPS_OF_PATIENCE)
    pending = Job.objects.filter(state=JobState.PENDING)
    abandoned = Job.objects.filter(state=JobState.RUNNING, lease_expires_at__lt=Now() - patience).count()
    overdue = 0 if pause_now() else pending.filter(not_before__lt=Now() - patience).count()
    failed = list(jobs_left_wrong().order_by().values_list("kind", flat=True))
    detail = f"{pending.count()} pending, {overdue} overdue, {abandoned} abandoned, {len(failed)} failed"
    if overdue or abandoned:
        return Finding("jobs", "wrong", detail, "see that workers and scheduler run")
    if failed:
        advice = "read their errors on the Jobs page, and retry them there"
        return Finding("jobs", "wrong", f"{detail} ({_some(sorted(set(failed)))})", advice)
    return Finding("jobs", "ok", detail)


# --- the doorbell and who listens ------------------------------------------------------------------------
def _redis() -> list[Finding]:
    redis = redis_client()
    try:
        return [_valkey(redis), _page_cache(), _workers(redis), _scheduler(redis)]
    except RedisError as error:
        advice = "start it (`make up` does), or correct REDIS_URL; no work is lost meanwhile"
        return [
            Finding("valkey", "wrong", _line(error), advice),
            *(
                Finding(part, "unknown", "Valkey does not answer")
                for part in ("page-cache", "workers", "scheduler")
            ),
        ]
    finally:
        redis.close()


def _valkey(redis: Redis) -> Finding:
    told = redis.info("default")
    name = "Valkey" if "valkey_version" in told else "Redis"
    said = str(told.get("valkey_version") or told.get("redis_version"))
    if name == "Redis" and int(said.split(".")[0]) < OLDEST_REDIS:
        return Finding(
            "valkey", "wrong", f"Redis {said} is too old", "Redis 7 or Valkey 8 or newer is needed"
        )
    policy = str(told.get("maxmemory_policy"))
    if policy != "noeviction":
        advice = "set maxmemory-policy to noeviction, or bells are lost when its memory is full"
        return Finding("valkey", "wrong", f"{name} {said} may drop what it holds ({policy})", advice)
    return Finding("valkey", "ok", f"{name} {said}")


def _page_cache() -> Finding:
    if settings.SCHEMAEVO_PAGE_CACHE_ENABLED:
        return Finding("page-cache", "ok", f"on, lists are at most {settings.CACHALOT_TIMEOUT} s behind")
    return Finding("page-cache", "ok", "off")


def _workers(redis: Redis) -> Finding:
    served = queues_of_workers(redis)
    idle = sorted(set(JobQueue.values) - {queue for queues in served for queue in queues})
    if idle:
        return Finding("workers", "wrong", f"none for {', '.join(idle)}", "start one: `manage.py work`")
    return Finding("workers", "ok", f"{len(served)} alive")


def _scheduler(redis: Redis) -> Finding:
    if scheduler_is_alive(redis):
        return Finding("scheduler", "ok", "alive")
    return Finding("scheduler", "wrong", "not heard of", "start one: `manage.py schedule`")


# --- the machine -----------------------------------------------------------------------------------------
def _disk() -> Finding:
    home = embedded.state_home()
    if settings.IS_LOCAL:
        layout = embedded.servers_of(home).layout
        home = layout.data if layout is not None else home
    if not home.is_dir():
        return Finding("disk", "ok", "nothing is kept on this machine")
    usage = shutil.disk_usage(home)
    detail = f"{usage.free / (1 << 30):.1f} GiB free of {usage.total / (1 << 30):.1f} at {home}"
    if usage.free < DISK_FREE_BYTES or usage.free < usage.total * DISK_FREE_SHARE:
        return Finding("disk", "wrong", detail, "make room: PostgreSQL stops when the disk is full")
    return Finding("disk", "ok", detail)


def _some(names: list[str]) -> str:
    more = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {more} more" if more > 0 else "")


def _line(error: Exception) -> str:
    """The first line of what an error says; the rest is for developers."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
