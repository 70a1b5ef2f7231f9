"""Retracting sources in tests, and letting all jobs that follow come to their end."""

from __future__ import annotations

from uuid import UUID

from fragments.selectors_promotion_jobs import PROMOTE
from schemaevo.kernel.jobs import run_job
from schemaevo.kernel.models import LIVE_JOB_STATES, Job, User
from snapshots.domain.identity import source_id
from snapshots.models import EntitySnapshot, Retraction
from snapshots.services.observations import RECOMPUTE
from snapshots.services.retractions import SETTLE_RETRACTION, retraction_undo, source_retract
from snapshots.services.verify import snapshots_verify
from tests.aggregates import assert_aggregates_are_right
from tests.factories import SHELL

KINDS = (SETTLE_RETRACTION, RECOMPUTE, PROMOTE)


def source_of(user: User, name: str) -> UUID:
    """The id of the user's source of that name."""
    return UUID(source_id(user.pk, name, ""))


def retract(user: User, name: str) -> Retraction:
    """The source takes no part from now on; its jobs are owed."""
    return source_retract(source_id=source_of(user, name), reason="the wrong file", actor=SHELL)


def give_back(user: User, name: str) -> Retraction:
    """The source takes part again; its jobs are owed."""
    return retraction_undo(source_id=source_of(user, name), actor=SHELL)


def owed() -> list[Job]:
    """The jobs that a retraction, or its undo, and what it asks for still need."""
    return list(Job.objects.filter(kind__in=KINDS, state__in=LIVE_JOB_STATES).order_by("kind", "target"))


def settle() -> None:
    """All of them have come to their end."""
    while jobs := owed():
        for job in jobs:
            run_job(str(job.pk))


def assert_all_right() -> None:
    """Nothing waits, and everything stored is what its observations and fragments come to (I1, I3)."""
    rows = [str(pk) for pk in EntitySnapshot.objects.values_list("pk", flat=True)]
    verified = snapshots_verify(rows)
    assert (verified.checked, verified.waiting, verified.divergent) == (len(rows), 0, [])
    assert_aggregates_are_right()
