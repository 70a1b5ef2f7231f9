"""Retention: the system's own ledgers do not grow for ever.

Each app names the ledgers it owns in AppConfig.ready(). A periodic job deletes what is older than its setting
allows, in short batches that each write down what they deleted. The audit log is not among them: it is kept.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.db import connection, transaction
from django.utils import timezone

from schemaevo.kernel.actors import Actor
from schemaevo.kernel.audit import audit_record
from schemaevo.kernel.canonical import Json, JsonObject
from schemaevo.kernel.jobs import Lease, job_kind
from schemaevo.kernel.models import JobQueue

TRIM = "trim_ledgers"
#: Rows of one batch. Small enough to be over in well under a second, and to keep nobody waiting.
BATCH_SIZE = 1000


@dataclass(frozen=True)
class Ledger:
    """A table that grows by itself, and how what is too old leaves it.

    `setting` names the setting with its retention in days; 0 keeps everything. `count` tells how many rows are
    older than a time and may go; `delete` takes that time and a number, deletes at most so many of them in the
    caller's transaction, and gives how many those were: 0 only when none is left.
    """

    name: str
    setting: str
    count: Callable[[datetime], int]
    delete: Callable[[datetime, int], int]

    @property
    def cutoff(self) -> datetime | None:
        """What is older than this may go; None where everything is kept."""
        days: int = getattr(settings, self.setting)
        return timezone.now() - timedelta(days=days) if days > 0 else None


_ledgers: dict[str, Ledger] = {}


def ledger_register(ledger: Ledger) -> None:
    """The periodic job trims this ledger too. Called in AppConfig.ready()."""
    if _ledgers.setdefault(ledger.name, ledger) != ledger:
        raise ValueError(f"The ledger {ledger.name} is already registered otherwise.")


def ledgers_registered() -> list[Ledger]:
    """All ledgers, by name."""
    return [_ledgers[name] for name in sorted(_ledgers)]


def ledgers_overdue() -> dict[str, int]:
    """How many rows of each ledger the next trimming would delete. Changes nothing."""
    return {
        ledger.name: 0 if ledger.cutoff is None else ledger.count(ledger.cutoff)
        for ledger in ledgers_registered()
    }


@transaction.atomic
def ledger_trim(*, ledger: Ledger, cutoff: datetime, actor: Actor) -> int:
    """One batch of what is older than `cutoff` is gone, and the audit log says how much; gives the number."""
    actor.require("kernel.control_job")
    deleted = ledger.delete(cutoff, BATCH_SIZE)
    if deleted:
        audit_record(
            actor=actor,
            action="ledger.trim",
            target_type="ledger",
            target_id=ledger.name,
            after={"deleted": deleted, "older_than": cutoff.isoformat()},
        )
    return deleted


def trim_run(lease: Lease) -> JsonObject:
    """Every ledger holds nothing that is older than its retention.

    The cursor keeps what was deleted of each ledger, and the name of the last one that was gone through to its end:
    the next run begins after it.
    """
    finished, deleted = _place(lease.cursor)
    actor = Actor.system(TRIM)
    for ledger in ledgers_registered():
        cutoff = ledger.cutoff
        if cutoff is None or ledger.name <= finished:
            continue
        is_more = True
        while is_more:
            with lease.batch() as batch:
                count = ledger_trim(ledger=ledger, cutoff=cutoff, actor=actor)
                is_more = count > 0
                deleted[ledger.name] = deleted.get(ledger.name, 0) + count
                if not is_more:
                    finished = ledger.name
                batch.done(count)
                batch.cursor = {"finished": finished, "deleted": {**deleted}}
    return {**deleted}


def _place(cursor: Json) -> tuple[str, dict[str, int]]:
    """Where a run begins: the last finished ledger, and what was deleted of each until now."""
    if not isinstance(cursor, dict) or not isinstance(cursor["deleted"], dict):
        return "", {}
    return str(cursor["finished"]), {
        name: count for name, count in cursor["deleted"].items() if isinstance(count, int)
    }


# --- the ledger of this floor: jobs ---------------------------------------------------------------------
# A job that ended, with its log, save the newest of its kind: pages show when work was last done and how it went, and
# the clock asks the newest row whether periodic work is owed.
_OLD_JOBS = """
    SELECT id FROM jobs
      JOIN (SELECT kind, max(requested_at) AS newest FROM jobs GROUP BY kind) AS latest USING (kind)
     WHERE state IN ('done', 'completed_with_errors', 'failed', 'cancelled')
       AND finished_at < %s AND requested_at < newest
"""


def _old_jobs_count(cutoff: datetime) -> int:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT count(*) FROM ({_OLD_JOBS}) AS old", [cutoff])  # noqa: S608
        (count,) = cursor.fetchone()
    return int(count)


def _old_jobs_delete(cutoff: datetime, limit: int) -> int:
    with connection.cursor() as cursor:
        # The states are asked for again: somebody may have retried a failed job meanwhile.
        cursor.execute(
            f"""
            WITH gone AS (
                DELETE FROM jobs WHERE id IN ({_OLD_JOBS} ORDER BY finished_at LIMIT %s)
                   AND state IN ('done', 'completed_with_errors', 'failed', 'cancelled')
                RETURNING id
            ), lines AS (
                DELETE FROM job_log_lines USING gone WHERE job_id = gone.id
            )
            SELECT count(*) FROM gone
            """,  # noqa: S608
            [cutoff, limit],
        )
        (count,) = cursor.fetchone()
        return int(count)


def register() -> None:
    """The job kind and the ledger of this floor are known."""
    job_kind(TRIM, queue=JobQueue.LIFECYCLE, run=trim_run, every_s=settings.SCHEMAEVO_RETENTION_INTERVAL_S)
    ledger_register(Ledger("jobs", "SCHEMAEVO_RETENTION_DAYS_JOBS", _old_jobs_count, _old_jobs_delete))
