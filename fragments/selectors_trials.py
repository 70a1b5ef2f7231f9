"""What applying a proposal, or undoing it, really did, as far as it is counted: to be held against its trial."""

from __future__ import annotations

from fragments.domain.trial import Applied
from registry.models import Proposal, ProposalAct, ProposalEffect
from schemaevo.kernel.models import LIVE_JOB_STATES, Job
from snapshots.services.observations import RECOMPUTE


def applied_of(*, proposal: Proposal, act: ProposalAct) -> Applied:
    """What was done, as the jobs counted it. While they go on, `is_over` is false and the counts grow. Two queries.

    Snapshots are counted by the jobs that recomputed them; nothing is said of them once one of these is forgotten.
    """
    rows = list(ProposalEffect.objects.filter(proposal=proposal, act=act).order_by("field"))
    fields = {
        row.field: {
            "absorbed": row.absorbed,
            "given_back": row.given_back,
            "promoted": row.promoted,
            "converted": row.converted,
            "taken_back": row.taken_back,
        }
        for row in rows
    }
    asked = proposal.undo_jobs if act is ProposalAct.UNDO else proposal.apply_jobs
    jobs = list(Job.objects.filter(pk__in=asked))
    recomputations = [job for job in jobs if job.kind == RECOMPUTE]
    is_over = all(row.settled_at and row.promoted_at for row in rows) and not any(
        job.state in LIVE_JOB_STATES for job in jobs
    )
    return Applied(
        fields,
        sum(job.done_count for job in recomputations) if recomputations else None,
        is_over=is_over,
    )
