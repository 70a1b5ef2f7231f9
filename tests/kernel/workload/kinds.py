"""Job kinds whose results can be counted, and which stop where a test wants them."""

import os

from django.db import connection

from schemaevo.kernel import jobs
from schemaevo.kernel.actors import Actor
from schemaevo.kernel.audit import audit_record
from schemaevo.kernel.canonical import JsonObject
from schemaevo.kernel.jobs import Lease
from schemaevo.kernel.models import AuditEvent, JobQueue

COUNT = "workload.count"
PERIODIC = "workload.periodic"
PERIOD_S = 60
#: A test that holds this advisory lock makes `count` stop inside the batch of the step it names.
GATE = 4_711


def register() -> None:
    jobs.job_kind(COUNT, queue=JobQueue.INTERACTIVE, run=count)
    jobs.job_kind(PERIODIC, queue=JobQueue.LIFECYCLE, run=lambda lease: None, every_s=PERIOD_S)


def count(lease: Lease) -> JsonObject:
    """One audit event per step, from the cursor to `options["steps"]`; each step is a batch of its own."""
    steps, gate_at = int(str(lease.options["steps"])), lease.options.get("gate_at")
    lease.set_total(steps)
    reached = int(str(lease.cursor["reached"])) if isinstance(lease.cursor, dict) else 0
    for step in range(reached + 1, steps + 1):
        with lease.batch() as batch:
            note(str(lease.job_id), step)
            if step == gate_at:
                pass_gate()
            batch.cursor = {"reached": step, "pid": os.getpid()}
            batch.done(1)
    return {"steps": steps}


def note(job_id: str, step: int) -> None:
    audit_record(actor=Actor.system("workload"), action="workload.step", target_type=job_id, target_id=step)


def notes(job_id: object) -> list[int]:
    """The steps that were committed, in the order of their commits."""
    events = AuditEvent.objects.filter(action="workload.step", target_type=str(job_id)).order_by("id")
    return [int(step) for step in events.values_list("target_id", flat=True)]


def pass_gate() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock_shared(%s)", [GATE])
