"""What this floor's ledgers let go of: dead letters and ingest runs, when they are old enough."""

from datetime import datetime

from django.db import connection
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.db.models.functions import Coalesce

from fragments.models import DeadLetter, IngestRun
from schemaevo.kernel.retention import Ledger, ledger_register


def _old_letters_count(cutoff: datetime) -> int:
    return DeadLetter.objects.filter(created_at__lt=cutoff).count()


def _old_letters_delete(cutoff: datetime, limit: int) -> int:
    with connection.cursor() as cursor:
        # Numbers are given in the order of time, so the oldest stand first and no index on the time is needed.
        # One that overtook another in a concurrent run keeps it for a day longer.
        cursor.execute(
            """
            DELETE FROM dead_letters WHERE id IN (
                SELECT id FROM (SELECT id, created_at FROM dead_letters ORDER BY id LIMIT %s) AS oldest
                 WHERE created_at < %s
            )
            """,
            [limit, cutoff],
        )
        return int(cursor.rowcount)


def _old_runs(cutoff: datetime) -> QuerySet[IngestRun]:
    """Runs that ended (or died) before the cutoff and that nothing needs any more.

    Observations keep only the number of their run. A run that still has dead letters stays for them. The first
    run of a file stays for ever, since records without a time take theirs from it: without the row the same file
    would be other observations when it comes again.
    """
    same_file = IngestRun.objects.filter(
        content_hash=OuterRef("content_hash"),
        entity_type=OuterRef("entity_type"),
        default_observed_at__isnull=False,
    )
    is_first_of_file = (
        ~Q(content_hash="")
        & Q(default_observed_at__isnull=False)
        & ~Exists(same_file.filter(pk__lt=OuterRef("pk")))
    )
    return (
        IngestRun.objects.annotate(ended_at=Coalesce("finished_at", "started_at"))
        .filter(ended_at__lt=cutoff)
        .exclude(is_first_of_file)
        .exclude(Exists(DeadLetter.objects.filter(run=OuterRef("pk"))))
    )


def _old_runs_count(cutoff: datetime) -> int:
    return _old_runs(cutoff).count()


def _old_runs_delete(cutoff: datetime, limit: int) -> int:
    ids = list(_old_runs(cutoff).order_by("pk").values_list("pk", flat=True)[:limit])
    deleted, _ = IngestRun.objects.filter(pk__in=ids).delete()
    return deleted


def register() -> None:
    """The ledgers of this floor are trimmed by the periodic job."""
    ledger_register(
        Ledger(
            "dead_letters",
            "SCHEMAEVO_RETENTION_DAYS_DEAD_LETTERS",
            _old_letters_count,
            _old_letters_delete,
        )
    )
    ledger_register(
        Ledger("ingest_runs", "SCHEMAEVO_RETENTION_DAYS_INGEST_RUNS", _old_runs_count, _old_runs_delete)
    )
