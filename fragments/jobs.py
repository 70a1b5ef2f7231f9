"""Background work of this floor."""

from django.conf import settings

from fragments.selectors_counting import REBUILD
from fragments.services.aggregates import Part, aggregates_rebuild, part_after
from fragments.services.backfill_runs import PROMOTE, promote_run
from fragments.services.lifecycle import ARCHIVAL, CLEANUP
from fragments.services.lifecycle_runs import lifecycle_run
from fragments.services.runs import runs_interrupt_silent
from schemaevo.kernel.canonical import JsonObject
from schemaevo.kernel.jobs import Lease, job_kind
from schemaevo.kernel.models import JobQueue

INTERRUPT = "interrupt_silent_runs"
CLEAN_UP = "cleanup_fragments"
ARCHIVE = "archive_fragments"


def interrupt_run(lease: Lease) -> JsonObject:
    """No ingest run is shown as running whose process was killed."""
    with lease.batch() as batch:
        count = runs_interrupt_silent()
        batch.done(count)
    return {"interrupted": lease.done_count}


def clean_up_run(lease: Lease) -> JsonObject:
    """Promoted fragments that expired wait for their deletion, and those that waited long enough are gone."""
    if not settings.SCHEMAEVO_CLEANUP_ENABLED:
        return {"skipped": "SCHEMAEVO_CLEANUP_ENABLED is off"}
    return lifecycle_run(lease, CLEANUP)


def archive_run(lease: Lease) -> JsonObject:
    """Fragments that were seen rarely and not for long are archived."""
    if not settings.SCHEMAEVO_ARCHIVE_ENABLED:
        return {"skipped": "SCHEMAEVO_ARCHIVE_ENABLED is off"}
    return lifecycle_run(lease, ARCHIVAL)


def rebuild_run(lease: Lease) -> JsonObject:
    """Every aggregate was counted anew, user by user and type by type; fragments may arrive meanwhile."""
    part = Part.from_json(lease.cursor)
    while part := part_after(part):
        with lease.batch() as batch:
            batch.done(aggregates_rebuild(part))
            batch.cursor = part.to_json()
    return {"aggregates": lease.done_count}


def register() -> None:
    """The kinds of this floor are known to the ledger."""
    every_s = settings.SCHEMAEVO_LIFECYCLE_INTERVAL_S
    job_kind(CLEAN_UP, queue=JobQueue.LIFECYCLE, run=clean_up_run, every_s=every_s)
    job_kind(REBUILD, queue=JobQueue.LIFECYCLE, run=rebuild_run)
    job_kind(PROMOTE, queue=JobQueue.RECOMPUTE, run=promote_run)
    job_kind(ARCHIVE, queue=JobQueue.LIFECYCLE, run=archive_run, every_s=every_s)
    job_kind(
        INTERRUPT, queue=JobQueue.LIFECYCLE, run=interrupt_run, every_s=settings.SCHEMAEVO_INGEST_SILENCE_S
    )
