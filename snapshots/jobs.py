"""Background work of this floor."""

from dataclasses import replace
from uuid import UUID

from django.conf import settings

from registry.domain.targets import of_target
from schemaevo.kernel.canonical import JsonObject
from schemaevo.kernel.jobs import (
    Lease,
    WorkEnded,
    count_towards,
    job_alive,
    job_at_work,
    job_kind,
    job_request,
)
from schemaevo.kernel.models import JobQueue, LogLevel
from snapshots.domain.place import Pass, Place
from snapshots.errors import TooManyFailures
from snapshots.services.failures import failures_count, failures_told
from snapshots.services.observations import RECOMPUTE
from snapshots.services.recomputation import REFRESH
from snapshots.services.recompute import Chunk, place_at_the_beginning, snapshots_recompute_waiting
from snapshots.services.refresh import (
    RefreshPlace,
    refresh_beginning,
    snapshots_refresh,
    snapshots_to_refresh,
)
from snapshots.services.waiting import waiting_counted

#: The job kind that shares the work of a run; its target is the run's, and a number: `invoice/2`.
SHARE = "share_recomputation"
#: Of fewer entities than this another worker would come too late.
ENTITIES_PER_SHARE = 500

#: What the log of a run calls its passes.
_PASSES = {
    Pass.NEWEST: "the newest owners first",
    Pass.ALL: "over all owners",
    Pass.LAST: "over all owners, waiting for other workers",
}


def recompute_run(lease: Lease) -> JsonObject:
    """No snapshot of the target, an entity type or one user's part in it, waits any more, but for those that fail.

    It goes through the owners pass after pass until one finds nothing (snapshots.domain.place). Where there is much to
    do it asks for jobs that share it: they take other entities, and count for it.
    """
    entity_type, only_owner = of_target(lease.target)
    place = Place.from_json(lease.cursor)
    if place is None:
        place = place_at_the_beginning(entity_type=entity_type, only_owner=only_owner)
        _begin_pass(lease, place)
    else:
        _ask_for_shares(lease, lease.left())
    lease.again_from = place.again().to_json()
    here: Place | None = place
    while here is not None:
        with lease.batch() as batch:
            chunk = _chunk(lease.target, here, lease.job_id)
            batch.done(chunk.recomputed)
            batch.cursor = chunk.place.to_json()
        here = chunk.place
        if chunk.failed:
            _stop_if_too_many_failed(lease, place.since)
        if chunk.is_over:
            here = here.next_pass()
            if here is not None:
                _begin_pass(lease, here)
    return _result(lease, place.since)


def share_run(lease: Lease) -> JsonObject:
    """Part of the work of the run that this job shares is done: entities that no other worker has in its hands.

    It lives as long as that run is pending or running, and finds something. Nothing depends on it.
    """
    target = lease.target.rpartition("/")[0]
    here = Place.from_json(lease.cursor)
    try:
        while run := job_at_work(RECOMPUTE, target):
            begun = Place.from_json(run.cursor)
            if begun is None:
                break
            if here is None or here.since != begun.since:
                entity_type, only_owner = of_target(target)
                here = place_at_the_beginning(entity_type=entity_type, only_owner=only_owner)
                here = replace(here, since=begun.since)
                lease.log(f"Shares the work of job {run.pk}.")
            with lease.batch() as batch:
                chunk = _chunk(target, here, run.pk)
                count_towards(run.pk, chunk.recomputed)
                batch.done(chunk.recomputed)
                batch.cursor = chunk.place.to_json()
            here = chunk.place
            if chunk.is_over:
                if here.turn is Pass.ALL and not here.has_found:
                    break
                here = here.again()
    except WorkEnded:
        lease.log("The run whose work it shared was stopped or has ended.")
    return {"recomputed": lease.done_count}


def refresh_run(lease: Lease) -> JsonObject:
    """Every snapshot of the target is reduced anew, whether it waits or not. The cursor is the last that was."""
    entity_type, only_owner = of_target(lease.target)
    here = RefreshPlace.from_json(lease.cursor)
    if here is None:
        here = refresh_beginning()
        count = snapshots_to_refresh(entity_type=entity_type, only_owner=only_owner)
        lease.begin_pass(here.to_json(), left=count)
        lease.log(f"Reduces all {count} snapshots anew.")
    since = here.since
    while here is not None:
        with lease.batch() as batch:
            chunk = snapshots_refresh(
                entity_type=entity_type,
                place=here,
                only_owner=only_owner,
                job_id=lease.job_id,
                entity_max_s=_entity_max_s(),
            )
            batch.done(chunk.recomputed)
            if chunk.place is not None:
                batch.cursor = chunk.place.to_json()
        here = chunk.place
        if chunk.failed:
            _stop_if_too_many_failed(lease, since)
    return _result(lease, since)


def _chunk(target: str, place: Place, job_id: UUID) -> Chunk:
    entity_type, only_owner = of_target(target)
    return snapshots_recompute_waiting(
        entity_type=entity_type,
        place=place,
        only_owner=only_owner,
        job_id=job_id,
        entity_max_s=_entity_max_s(),
    )


def _entity_max_s() -> float:
    """How long one entity may take: past its lease the worker could not write what came of it."""
    return settings.SCHEMAEVO_LEASE_S / 2


def _begin_pass(lease: Lease, place: Place) -> None:
    """The pass begins; pages show progress against what waits now."""
    entity_type, only_owner = of_target(lease.target)
    left = 0
    for count in waiting_counted(entity_type, only_owner):
        left += count
        lease.renew()
    lease.begin_pass(place.to_json(), left=left)
    lease.log(f"A pass begins, {_PASSES[place.turn]}: {left} snapshots wait.")
    _ask_for_shares(lease, left)


def _ask_for_shares(lease: Lease, left: int) -> None:
    """Other jobs share the work, as far as it is worth it; those that live already go on as they are."""
    wanted = min(settings.SCHEMAEVO_RECOMPUTE_WORKERS - 1, left // ENTITIES_PER_SHARE)
    asked = 0
    for number in range(2, wanted + 2):
        target = f"{lease.target}/{number}"
        if job_alive(SHARE, target) is None:
            job_request(kind=SHARE, target=target)
            asked += 1
    if asked:
        lease.log(f"Asked for {asked} more {'job' if asked == 1 else 'jobs'} to share the work.")


def _stop_if_too_many_failed(lease: Lease, since: str) -> None:
    """Raises: TooManyFailures; who retries the run begins anew, and tries all of them again."""
    count = failures_count(job_id=lease.job_id, since=since)
    if count >= settings.SCHEMAEVO_RECOMPUTE_FAILURES_MAX:
        lease.begin_pass(None, left=0)
        lease.log(f"Given up: {count} entities failed, so something else is wrong.", LogLevel.ERROR)
        raise TooManyFailures(count)


def _result(lease: Lease, since: str) -> JsonObject:
    """What the run has achieved, and what it passed over."""
    failed = failures_count(job_id=lease.job_id, since=since)
    result: JsonObject = {"recomputed": lease.counted()}
    if failed:
        lease.mark_errors()
        result["failed"] = failed
        what = "1 entity was" if failed == 1 else f"{failed} entities were"
        lease.log(f"{what} passed over and wait on; the table of this job lists them.", LogLevel.WARNING)
        result["examples"] = [*failures_told(job_id=lease.job_id, since=since)]
    return result


def register() -> None:
    """The kinds of this floor are known to the ledger."""
    job_kind(RECOMPUTE, queue=JobQueue.RECOMPUTE, run=recompute_run)
    job_kind(SHARE, queue=JobQueue.RECOMPUTE, run=share_run)
    job_kind(REFRESH, queue=JobQueue.RECOMPUTE, run=refresh_run)
