"""Whether the servers that the application needs answer, for pages."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from django.conf import settings
from django.db import connection
from django.utils.translation import gettext as _
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry
from rq import Worker
from rq.cron import CronScheduler

from schemaevo.kernel.models import JobQueue

#: A server that does not answer within this many seconds counts as away.
ANSWER_S = 1.0


@dataclass(frozen=True, slots=True)
class ServerState:
    """One server: what it is, whether it answers, and a word about it."""

    name: str
    is_up: bool
    detail: str


def server_states() -> list[ServerState]:
    """PostgreSQL, Valkey, the scheduler and the workers. Never raises: a page must tell, not fail."""
    return [_postgres(), *_valkey_and_who_is_there()]


def _postgres() -> ServerState:
    major, minor = divmod(connection.pg_version, 10_000)  # type: ignore[attr-defined]
    return ServerState("PostgreSQL", True, f"{major}.{minor}")


def _valkey_and_who_is_there() -> list[ServerState]:
    # A client of its own: django-rq gives no timeouts to a connection that is named by an address, and a page
    # must not hang on a server that accepts and says nothing.
    redis: Redis = Redis.from_url(
        str(settings.RQ_QUEUES[JobQueue.INTERACTIVE.value]["URL"]),
        socket_connect_timeout=ANSWER_S,
        socket_timeout=ANSWER_S,
        retry=Retry(NoBackoff(), 0),
    )
    try:
        info = redis.info("server")
        heard = [scheduler.last_heartbeat for scheduler in CronScheduler.all(redis, cleanup=False)]
        workers = Worker.count(connection=redis)
    except RedisError:
        away = _("does not answer")
        unknown = _("not known")
        return [
            ServerState("Valkey", False, away),
            ServerState(_("Scheduler"), False, unknown),
            ServerState(_("Workers"), False, unknown),
        ]
    finally:
        redis.close()
    version = info.get("valkey_version") or info.get("redis_version") or ""
    name = "Valkey" if "valkey_version" in info else "Redis"
    return [
        ServerState(name, True, str(version)),
        _scheduler([beat for beat in heard if beat is not None]),
        ServerState(_("Workers"), workers > 0, str(workers) if workers else _("none")),
    ]


def _scheduler(heard: list[datetime]) -> ServerState:
    """Alive if one was heard of within a few of its rounds."""
    patience = timedelta(seconds=max(60, settings.SCHEMAEVO_SWEEP_INTERVAL_S * 4))
    alive = [beat for beat in heard if datetime.now(UTC) - beat < patience]
    return ServerState(_("Scheduler"), bool(alive), _("alive") if alive else _("not heard of"))
