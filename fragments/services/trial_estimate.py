"""How long the jobs after an application would take."""

from __future__ import annotations

from typing import Final

from fragments.domain.trial import Estimate, Rate
from fragments.selectors_promotion_jobs import PROMOTE
from schemaevo.kernel.models import Job, JobState
from snapshots.services.observations import RECOMPUTE

#: What one worker does in a second where no job tells, in round numbers. Measured on 2 cores: 2,880 fragments promoted,
#: their snapshots included (tests/benchmarks, test_promotion.py), and 1,900 snapshots of 20 observations each
#: (test_recompute.py).
ASSUMED_PER_SECOND: Final = {PROMOTE: 3_000, RECOMPUTE: 2_000}
#: The last jobs of a kind are asked, and believed where they did so much together: starting takes its time, too.
JOBS_ASKED = 5
DONE_AT_LEAST = 1_000


def estimate_of(*, fragments: int, snapshots: int) -> Estimate:
    """How long so many fragments, and then so many snapshots, would take. Two queries."""
    return Estimate(_rate(PROMOTE, fragments), _rate(RECOMPUTE, snapshots))


def _rate(kind: str, count: int) -> Rate:
    ended = Job.objects.filter(
        kind=kind,
        state__in=[JobState.DONE, JobState.COMPLETED_WITH_ERRORS],
        done_count__gt=0,
        started_at__isnull=False,
    )
    rows = ended.order_by("-requested_at").values_list("done_count", "started_at", "finished_at")[:JOBS_ASKED]
    done, took_s = 0, 0.0
    for done_count, started_at, finished_at in rows:
        if started_at is not None and finished_at is not None:
            done += done_count
            took_s += (finished_at - started_at).total_seconds()
    if done < DONE_AT_LEAST or took_s <= 0:
        return Rate(count, ASSUMED_PER_SECOND[kind], is_measured=False)
    return Rate(count, max(1, round(done / took_s)), is_measured=True)
