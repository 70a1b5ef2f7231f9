"""Entities that a recomputation could not do: recorded without values, passed over, and forgotten once one could."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

import psycopg
from django.db import DatabaseError, connection

from schemaevo.kernel.canonical import JsonObject
from schemaevo.kernel.faults import error_kind, error_place
from schemaevo.kernel.retention import Ledger, ledger_register
from snapshots.models import RecomputeFailure

logger = logging.getLogger(__name__)

#: Failures that the result of a run names.
FAILURES_TOLD = 20

#: The class of SQLSTATE for a limit that was exceeded, such as how large a document may be.
_LIMIT_EXCEEDED = "54"


class Failure(NamedTuple):
    """What went wrong with one entity, and the hash of the rules that were tried."""

    entity_id: str
    user_id: int
    reduction_hash: str
    code: str
    place: str


def is_of_an_entity(error: Exception) -> bool:
    """Whether the error can be the fault of the entity at hand, and not of the database as a whole."""
    # A COPY does not pass through Django: its errors come as psycopg raises them.
    cause = error if isinstance(error, psycopg.Error) else error.__cause__
    if isinstance(cause, (psycopg.DataError, psycopg.IntegrityError)):
        return True
    if isinstance(cause, psycopg.Error):
        return (cause.sqlstate or "").startswith(_LIMIT_EXCEEDED)
    return not isinstance(error, DatabaseError)


def failure_of(error: Exception, *, entity_id: str, user_id: int, reduction_hash: str) -> Failure:
    """The failure without anything of the error's message, which may quote values; the log has it all."""
    logger.error("Entity %s could not be recomputed.", entity_id, exc_info=error)
    return Failure(entity_id, user_id, reduction_hash, error_kind(error)[:64], error_place(error)[:200])


def failures_record(failures: Iterable[Failure], *, entity_type: str, job_id: UUID | None) -> None:
    """Each entity's last failure is this one. Runs in the transaction that holds the entities' rows."""
    rows = [
        [f.entity_id, f.user_id, entity_type, f.reduction_hash, job_id, f.code, f.place] for f in failures
    ]
    if not rows:
        return
    with connection.cursor() as cursor:
        cursor.executemany(
            """
            INSERT INTO recompute_failures
                   (entity_id, user_id, entity_type, reduction_hash, job_id, code, place, failed_at)
            VALUES (%s, %s, %s, %s, %s, %s, %s, now())
            ON CONFLICT (entity_id) DO UPDATE SET reduction_hash = EXCLUDED.reduction_hash,
                   job_id = EXCLUDED.job_id, code = EXCLUDED.code, place = EXCLUDED.place,
                   failed_at = EXCLUDED.failed_at
            """,
            rows,
        )


def failures_forget(entity_ids: Collection[str]) -> None:
    """These entities have been recomputed. Runs in the transaction that did it."""
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM recompute_failures WHERE entity_id = ANY(%s::uuid[])", [list(entity_ids)])


def failures_since(
    *, entity_type: str, wanted: Mapping[int, str], since: str | datetime
) -> dict[int, list[str]]:
    """By owner, the entities that failed since then under the rules in force; what failed under others is not meant."""
    found: dict[int, list[str]] = {owner_id: [] for owner_id in wanted}
    rows = RecomputeFailure.objects.filter(
        entity_type=entity_type, user__in=wanted, failed_at__gte=since
    ).values_list("pk", "user_id", "reduction_hash")
    for entity_id, owner_id, reduction_hash in rows:
        if reduction_hash == wanted[owner_id]:
            found[owner_id].append(str(entity_id))
    return found


def failures_count(*, job_id: UUID | None, since: str) -> int:
    """How many entities that run passed over."""
    return RecomputeFailure.objects.filter(job_id=job_id, failed_at__gte=since).count()


def failures_told(*, job_id: UUID | None, since: str) -> list[JsonObject]:
    """The first of them, as the result of a job or a command names them."""
    rows = RecomputeFailure.objects.filter(job_id=job_id, failed_at__gte=since).order_by("failed_at", "pk")
    return [
        {"entity": str(f.pk), "entity_type": f.entity_type, "code": f.code, "where": f.place}
        for f in rows[:FAILURES_TOLD]
    ]


def register() -> None:
    """The ledger of failures is known: those that nobody tried again for long go."""
    ledger_register(Ledger("recompute_failures", "SCHEMAEVO_RETENTION_DAYS_JOBS", _old_count, _old_delete))


def _old_count(cutoff: datetime) -> int:
    return RecomputeFailure.objects.filter(failed_at__lt=cutoff).count()


def _old_delete(cutoff: datetime, limit: int) -> int:
    with connection.cursor() as cursor:
        cursor.execute(
            """
            DELETE FROM recompute_failures WHERE entity_id IN (
                SELECT entity_id FROM recompute_failures WHERE failed_at < %s ORDER BY failed_at LIMIT %s
            )
            """,
            [cutoff, limit],
        )
        return int(cursor.rowcount)
