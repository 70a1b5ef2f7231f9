"""Background work of this floor."""

from django.conf import settings

from fragments.services.runs import runs_interrupt_silent
from schemaevo.kernel.canonical import JsonObject
from schemaevo.kernel.jobs import Lease, job_kind
from schemaevo.kernel.models import JobQueue

INTERRUPT = "interrupt_silent_runs"


def interrupt_run(lease: Lease) -> JsonObject:
    """No ingest run is shown as running whose process was killed."""
    with lease.batch() as batch:
        count = runs_interrupt_silent()
        batch.done(count)
    return {"interrupted": lease.done_count}


def register() -> None:
    """The kind of this floor is known to the ledger."""
    job_kind(
        INTERRUPT, queue=JobQueue.LIFECYCLE, run=interrupt_run, every_s=settings.SCHEMAEVO_INGEST_SILENCE_S
    )
