"""Background work of this floor."""

from django.conf import settings

from fragments.selectors_bulk import ACT
from fragments.selectors_counting import REBUILD
from fragments.services.aggregates import Part, Scope, aggregates_rebuild, part_after
from fragments.services.backfill_runs import PROMOTE, promote_run
from fragments.services.bulk_runs import act_run
from fragments.services.enhancement import enhancement_turn, settings_auto
from fragments.services.erasure import ERASE
from fragments.services.erasure_runs import erase_run
from fragments.services.field_growth import GROWTH, growth_run
from fragments.services.lifecycle import ARCHIVAL, CLEANUP
from fragments.services.lifecycle_runs import lifecycle_run
from fragments.services.patterns import analysis_run
from fragments.services.retraction_runs import retraction_run
from fragments.services.runs import runs_interrupt_silent
from fragments.services.trial import try_run
from registry.domain.targets import of_target
from registry.selectors_trials import TRY
from schemaevo.kernel.actors import Actor
from schemaevo.kernel.canonical import Json, JsonObject
from schemaevo.kernel.jobs import Lease, job_kind, job_request
from schemaevo.kernel.models import JobQueue
from snapshots.services.retractions import SETTLE_RETRACTION

INTERRUPT = "interrupt_silent_runs"
CLEAN_UP = "cleanup_fragments"
ARCHIVE = "archive_fragments"
ENHANCE = "auto_enhance"
ANALYZE = "analyze_patterns"


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


def enhance_run(lease: Lease) -> JsonObject:
    """Where it is wanted, what is eligible was promoted within the quota; then rarely seen fragments are archived, and
    expired ones cleaned up."""
    after, promoted, failed = _enhanced_so_far(lease.cursor)
    for setting in settings_auto(after=after):
        has_more = True
        while has_more:
            with lease.batch() as batch:
                turn = enhancement_turn(
                    user_id=setting.user_id, entity_type=setting.entity_type, actor=Actor.system(ENHANCE)
                )
                has_more = turn.has_more
                promoted += len(turn.promoted)
                failed += len(turn.failed)
                batch.done(len(turn.promoted))
                # A turn that left something is followed by another; what was put off is not tried in it again.
                after = setting.pk - 1 if has_more else setting.pk
                batch.cursor = [after, promoted, failed]
    for kind in (ARCHIVE, CLEAN_UP):
        job_request(kind=kind)
    return {"promoted": promoted, "failed": failed}


def _enhanced_so_far(cursor: Json) -> tuple[int, int, int]:
    """The setting up to which all is done, and how many fields were promoted and failed."""
    match cursor:
        case [int(after), int(promoted), int(failed)]:
            return after, promoted, failed
        case _:
            return 0, 0, 0


def rebuild_run(lease: Lease) -> JsonObject:
    """Every aggregate of the target was counted anew, user by user and type by type; fragments may arrive meanwhile."""
    scope = Scope(*of_target(lease.target))
    part = Part.from_json(lease.cursor)
    while part := part_after(part, scope):
        with lease.batch() as batch:
            batch.done(aggregates_rebuild(part))
            batch.cursor = part.to_json()
    return {"aggregates": lease.done_count}


def register() -> None:
    """The kinds of this floor are known to the ledger."""
    every_s = settings.SCHEMAEVO_LIFECYCLE_INTERVAL_S
    job_kind(CLEAN_UP, queue=JobQueue.LIFECYCLE, run=clean_up_run, every_s=every_s)
    job_kind(REBUILD, queue=JobQueue.LIFECYCLE, run=rebuild_run)
    job_kind(
        ENHANCE, queue=JobQueue.LIFECYCLE, run=enhance_run, every_s=settings.SCHEMAEVO_ENHANCE_INTERVAL_S
    )
    job_kind(
        ANALYZE, queue=JobQueue.LIFECYCLE, run=analysis_run, every_s=settings.SCHEMAEVO_PATTERN_INTERVAL_S
    )
    job_kind(
        GROWTH, queue=JobQueue.LIFECYCLE, run=growth_run, every_s=settings.SCHEMAEVO_FIELD_GROWTH_INTERVAL_S
    )
    job_kind(TRY, queue=JobQueue.INTERACTIVE, run=try_run)
    job_kind(ACT, queue=JobQueue.INTERACTIVE, run=act_run)
    job_kind(ERASE, queue=JobQueue.INTERACTIVE, run=erase_run)
    job_kind(PROMOTE, queue=JobQueue.RECOMPUTE, run=promote_run)
    job_kind(SETTLE_RETRACTION, queue=JobQueue.RECOMPUTE, run=retraction_run)
    job_kind(ARCHIVE, queue=JobQueue.LIFECYCLE, run=archive_run, every_s=every_s)
    job_kind(
        INTERRUPT, queue=JobQueue.LIFECYCLE, run=interrupt_run, every_s=settings.SCHEMAEVO_INGEST_SILENCE_S
    )
