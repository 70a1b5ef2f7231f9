"""Whether the servers that the application needs answer, for pages."""

from dataclasses import dataclass

from django.db import connection
from django.utils.translation import gettext as _
from redis import Redis
from redis.exceptions import RedisError

from schemaevo.kernel.models import JobQueue
from schemaevo.kernel.queues import ANSWER_S as ANSWER_S
from schemaevo.kernel.queues import bells_of, schedulers_told, workers_told
from schemaevo.kernel.queues import redis_client as redis_client


@dataclass(frozen=True, slots=True)
class ServerState:
    """One server: what it is, whether it answers, and a word about it."""

    name: str
    is_up: bool
    detail: str


@dataclass(frozen=True, slots=True)
class QueueSeen:
    """One queue as Valkey knows it: how many workers serve it, and how many bells wait to be answered."""

    workers: int
    bells: int


@dataclass(frozen=True, slots=True)
class ServersSeen:
    """All that answers, or does not. `queues` is None where Valkey does not answer, and nothing is known of them."""

    states: list[ServerState]
    is_redis_up: bool
    is_scheduled: bool
    queues: dict[JobQueue, QueueSeen] | None


def servers_seen() -> ServersSeen:
    """PostgreSQL, Valkey, the scheduler and the workers. Never raises: a page must tell, not fail."""
    redis = redis_client()
    try:
        info = redis.info("server")
        is_scheduled = scheduler_is_alive(redis)
        served = queues_of_workers(redis)
        queues = {
            queue: QueueSeen(sum(queue.value in queues for queues in served), bells_of(redis, queue).waiting)
            for queue in JobQueue
        }
    except RedisError:
        away, unknown = _("does not answer"), _("not known")
        states = [
            _postgres(),
            ServerState("Valkey", False, away),
            ServerState(_("Scheduler"), False, unknown),
            ServerState(_("Workers"), False, unknown),
        ]
        return ServersSeen(states, is_redis_up=False, is_scheduled=False, queues=None)
    finally:
        redis.close()
    version = info.get("valkey_version") or info.get("redis_version") or ""
    name = "Valkey" if "valkey_version" in info else "Redis"
    states = [
        _postgres(),
        ServerState(name, True, str(version)),
        ServerState(_("Scheduler"), is_scheduled, _("alive") if is_scheduled else _("not heard of")),
        ServerState(_("Workers"), bool(served), str(len(served)) if served else _("none")),
    ]
    return ServersSeen(states, is_redis_up=True, is_scheduled=is_scheduled, queues=queues)


def scheduler_is_alive(redis: Redis) -> bool:
    """Whether a scheduler was heard of within a few of its rounds. Raises: RedisError."""
    return any(scheduler.is_alive for scheduler in schedulers_told(redis))


def queues_of_workers(redis: Redis) -> list[list[str]]:
    """The queues that each worker serves, for those that are alive. Raises: RedisError."""
    return [list(worker.queues) for worker in workers_told(redis)]


def _postgres() -> ServerState:
    major, minor = divmod(connection.pg_version, 10_000)  # type: ignore[attr-defined]
    return ServerState("PostgreSQL", True, f"{major}.{minor}")
