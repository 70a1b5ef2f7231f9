"""Which jobs bring a promotion, or its undo, to its end."""

from __future__ import annotations

from dataclasses import dataclass

from fragments.models import Promotion, PromotionState
from registry.domain.targets import job_target
from schemaevo.kernel.models import LIVE_JOB_STATES, Job, JobState
from snapshots.services.observations import RECOMPUTE

#: The job kind that brings fragments into line with what is declared; its target is the entity type, or one user's
#: part in it.
PROMOTE = "promote_fragments"


@dataclass(frozen=True, slots=True)
class PromotionJobs:
    """The jobs that live: those that move fragments, and those that recompute snapshots after it.

    `stopped` is the one that moved fragments and ended before all was done, where none is at it any more.
    """

    moving: tuple[Job, ...]
    recomputing: tuple[Job, ...]
    stopped: Job | None = None

    @property
    def live(self) -> tuple[Job, ...]:
        """All that go on, or will."""
        return (*self.moving, *self.recomputing)


def promotion_jobs(*, promotion: Promotion) -> PromotionJobs:
    """Those of the promotion's owner and type, and those of the whole type, which include it. Two queries at most."""
    targets = _targets(promotion.entity_type, promotion.user_id)
    live = Job.objects.filter(kind__in=[PROMOTE, RECOMPUTE], target__in=targets, state__in=LIVE_JOB_STATES)
    jobs = list(live.order_by("-requested_at"))
    moving = tuple(job for job in jobs if job.kind == PROMOTE)
    recomputing = tuple(job for job in jobs if job.kind == RECOMPUTE)
    if moving or promotion.state not in (PromotionState.RUNNING, PromotionState.UNDOING):
        return PromotionJobs(moving, recomputing)
    ended = Job.objects.filter(
        kind=PROMOTE, target__in=targets, state__in=[JobState.FAILED, JobState.CANCELLED]
    )
    return PromotionJobs((), recomputing, ended.order_by("-requested_at").first())


def jobs_moving(*, entity_type: str, user_id: int) -> list[Job]:
    """The live jobs that look again at what waits of the owner and type, or of the whole type."""
    live = Job.objects.filter(
        kind=PROMOTE, target__in=_targets(entity_type, user_id), state__in=LIVE_JOB_STATES
    )
    return list(live.order_by("-requested_at"))


def _targets(entity_type: str, user_id: int) -> list[str]:
    return [job_target(entity_type, whose) for whose in (user_id, None)]
