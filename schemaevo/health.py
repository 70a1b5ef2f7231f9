"""What a probe asks: whether this process lives, and whether it can serve.

Answered by a middleware that stands before all others, not by views: a probe speaks plain HTTP to an address
of its own, and must not be sent to https, refused for its Host header, or given a session. The answers name
parts of the installation and nothing else.
"""

import logging
from collections.abc import Callable
from functools import cache
from typing import Any

from django.db import connection
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder
from django.db.utils import Error
from django.http import HttpRequest, HttpResponseBase, HttpResponseNotAllowed, JsonResponse
from redis.exceptions import RedisError

from schemaevo.servers import ANSWER_S, redis_client

logger = logging.getLogger(__name__)

LIVE = "/health/live"
READY = "/health/ready"
OK, MISSING, UNKNOWN = "ok", "missing", "unknown"


class HealthProbes:
    """Answers the two probes, and hands on everything else."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response
        self._answers = {LIVE: live, READY: ready}

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        answer = self._answers.get(request.path_info)
        if answer is None:
            return self.get_response(request)
        if request.method not in {"GET", "HEAD"}:
            return HttpResponseNotAllowed(["GET", "HEAD"])
        response = answer()
        response["Cache-Control"] = "no-store"
        response["X-Content-Type-Options"] = "nosniff"
        return response


def live() -> JsonResponse:
    """This process answers. Asks nobody: a database that is away is no reason to restart web processes."""
    return JsonResponse({"status": "live"})


def ready() -> JsonResponse:
    """Pages can be served: 200; else 503, and `missing` names the parts that are not there.

    Redis is told of and not asked for: without it pages work, and work that is asked for is done later.
    """
    parts = {**_database(), "redis": _redis()}
    missing = [name for name in ("database", "migrations") if parts[name] == MISSING]
    body = {"status": "not ready" if missing else "ready", "missing": missing, "parts": parts}
    return JsonResponse(body, status=503 if missing else 200)


def unapplied_migrations(database: BaseDatabaseWrapper) -> list[str]:
    """The migrations of this code that the database has not seen, as ``app.name``."""
    applied = MigrationRecorder(database).applied_migrations()
    return sorted(f"{app}.{name}" for app, name in _migrations_of_the_code() - applied.keys())


def probe_of(database: BaseDatabaseWrapper, answer_s: float = ANSWER_S) -> BaseDatabaseWrapper:
    """A connection of its own with the same settings, which gives up soon. The caller closes it."""
    probe = database.copy()
    options: dict[str, Any] = {**probe.settings_dict["OPTIONS"]}
    # libpq takes whole seconds, and one second for two; a server that went away without a word is noticed by
    # the last of these.
    options["connect_timeout"] = max(2, round(answer_s))
    options["options"] = f"{options.get('options', '')} -c statement_timeout={int(answer_s * 1000)}".strip()
    options["tcp_user_timeout"] = int(answer_s * 2000)
    probe.settings_dict = {**probe.settings_dict, "OPTIONS": options}
    return probe


@cache
def _migrations_of_the_code() -> frozenset[tuple[str, str]]:
    return frozenset(MigrationLoader(None).disk_migrations)


def _database() -> dict[str, str]:
    probe = probe_of(connection)
    try:
        waiting = unapplied_migrations(probe)
    except Error as error:
        # The message may name hosts and accounts: it is for the log alone.
        logger.warning("Not ready: the database does not answer (%s).", error)
        return {"database": MISSING, "migrations": UNKNOWN}
    finally:
        probe.close()
    if waiting:
        logger.warning("Not ready: %s migrations are not applied, %s first.", len(waiting), waiting[0])
    return {"database": OK, "migrations": MISSING if waiting else OK}


def _redis() -> str:
    client = redis_client()
    try:
        client.ping()
    except RedisError:
        return MISSING
    finally:
        client.close()
    return OK
