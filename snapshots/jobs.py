"""Background work of this floor."""

from django.conf import settings

from registry.domain.targets import of_target
from schemaevo.kernel.canonical import JsonObject
from schemaevo.kernel.jobs import Lease, job_kind
from schemaevo.kernel.models import JobQueue
from schemaevo.kernel.verification import checks_run, outcomes_json
from snapshots.services.observations import RECOMPUTE
from snapshots.services.recompute import snapshots_recompute_waiting
from snapshots.services.verify import Verified, snapshot_ids_sample, snapshots_verify

VERIFY = "verify_snapshots"


def verify_run(lease: Lease) -> JsonObject:
    """A random sample of snapshots is compared with their histories, and what every floor checks; the job keeps the
    outcome.

    Divergence is an error of the job, to be seen and settled by a person.
    """
    verified = Verified()
    sample = list(snapshot_ids_sample(settings.SCHEMAEVO_VERIFY_SAMPLE))
    lease.set_total(sum(len(ids) for ids in sample))
    for ids in sample:
        with lease.batch() as batch:
            verified.add(snapshots_verify(ids))
            batch.done(len(ids))
    with lease.batch():
        outcomes = checks_run()
    if verified.divergent or any(outcome.divergent for outcome in outcomes):
        lease.mark_errors()
    return {**verified.to_json(), "checks": outcomes_json(outcomes)}


def recompute_run(lease: Lease) -> JsonObject:
    """No snapshot of the target, an entity type or one user's part in it, waits any more.

    The cursor is the owner up to whom nothing waits; an activation during the pass asks for another one.
    """
    cursor = lease.cursor
    owner: int | None = cursor if isinstance(cursor, int) and not isinstance(cursor, bool) else 0
    entity_type, only_owner = of_target(lease.target)
    while owner is not None:
        with lease.batch() as batch:
            chunk = snapshots_recompute_waiting(
                entity_type=entity_type, after_owner=owner, only_owner=only_owner
            )
            batch.done(chunk.recomputed)
            owner = chunk.up_to_owner
            batch.cursor = owner
    return {"recomputed": lease.done_count}


def register() -> None:
    """The kinds of this floor are known to the ledger."""
    job_kind(VERIFY, queue=JobQueue.LIFECYCLE, run=verify_run, every_s=settings.SCHEMAEVO_VERIFY_INTERVAL_S)
    job_kind(RECOMPUTE, queue=JobQueue.RECOMPUTE, run=recompute_run)
