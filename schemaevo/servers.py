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


def redis_client() -> Redis:
    """A client that gives up soon, for looking. The caller closes it.

    Not django-rq's: that gives no timeouts to a connection that is named by an address, and nothing that only
    looks may hang on a server that accepts and says nothing.
    """
    return Redis.from_url(
        str(settings.RQ_QUEUES[JobQueue.INTERACTIVE.value]["URL"]),
        socket_connect_timeout=ANSWER_S,
        socket_timeout=ANSWER_S,
        retry=Retry(NoBackoff(), 0),
    )


def scheduler_is_alive(redis: Redis) -> bool:
    """Whether a scheduler was heard of within a few of its rounds. Raises: RedisError."""
    patience = timedelta(seconds=max(60, settings.SCHEMAEVO_SWEEP_INTERVAL_S * 4))
    heard = (scheduler.last_heartbeat for scheduler in CronScheduler.all(redis, cleanup=False))
    return any(beat is not None and datetime.now(UTC) - beat < patience for beat in heard)


def queues_of_workers(redis: Redis) -> list[list[str]]:
    """The queues that each worker serves, for those that are alive. Raises: RedisError.

    RQ's own count has the dead ones too, until another worker clears them away.
    """
    told = (redis.hget(key, "queues") for key in Worker.all_keys(connection=redis))
    return [queues.decode().split(",") for queues in told if isinstance(queues, bytes)]


def _postgres() -> ServerState:
    major, minor = divmod(connection.pg_version, 10_000)  # type: ignore[attr-defined]
    return ServerState("PostgreSQL", True, f"{major}.{minor}")


def _valkey_and_who_is_there() -> list[ServerState]:
    redis = redis_client()
    try:
        info = redis.info("server")
        is_scheduled = scheduler_is_alive(redis)
        workers = len(queues_of_workers(redis))
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
        ServerState(_("Scheduler"), is_scheduled, _("alive") if is_scheduled else _("not heard of")),
        ServerState(_("Workers"), workers > 0, str(workers) if workers else _("none")),
    ]
