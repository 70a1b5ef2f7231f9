"""Whether aggregates can be relied upon, and which jobs say so."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from registry.domain.targets import of_target
from schemaevo.kernel.models import LIVE_JOB_STATES, Job, JobState
from schemaevo.kernel.owners import owners_by_id

#: The job kind that counts what was there before aggregates were.
REBUILD = "rebuild_aggregates"


class Counting(StrEnum):
    """How far the fragments are counted that were there before their aggregates."""

    DONE = "done"
    AT_WORK = "at_work"
    #: The job that counts has given up, or was cancelled: what it left out is still not counted.
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class RebuildTold:
    """A rebuild that is at it, or ended without being done; of one entity type, of one owner, of both, or of neither,
    which is all."""

    job: Job
    entity_type: str
    owner: str


@dataclass(frozen=True, slots=True)
class Rebuilds:
    """Why figures of undeclared fields may be wrong now: rebuilds that live, and those that failed or were cancelled
    and were not made good since."""

    live: tuple[RebuildTold, ...]
    failed: tuple[RebuildTold, ...]


class _Uncertain(NamedTuple):
    live: Sequence[Job]
    failed: Sequence[Job]


def counting() -> Counting:
    """Whether aggregates are being counted anew, or should be. One query."""
    found = _uncertain()
    if found.live:
        return Counting.AT_WORK
    return Counting.FAILED if found.failed else Counting.DONE


def rebuilds_told() -> Rebuilds:
    """The same for people: which rebuilds these are, and of whose fields. Two queries at most."""
    found = _uncertain()
    scopes = {job.pk: of_target(job.target) for jobs in found for job in jobs}
    owners = {user_id for _type, user_id in scopes.values() if user_id is not None}
    names = owners_by_id(owners) if owners else {}

    def told(job: Job) -> RebuildTold:
        entity_type, user_id = scopes[job.pk]
        return RebuildTold(job, entity_type, "" if user_id is None else names.get(user_id, f"#{user_id}"))

    return Rebuilds(tuple(map(told, found.live)), tuple(map(told, found.failed)))


def _uncertain() -> _Uncertain:
    """The rebuilds that leave figures uncertain, by target.

    A rebuild of a part that failed is made good by a later one of everything, or of the same part.
    """
    newest = Job.objects.filter(kind=REBUILD).order_by("target", "-requested_at").distinct("target")
    jobs = list(newest.only("target", "state", "requested_at"))
    whole = next((job for job in jobs if not job.target and job.state == JobState.DONE), None)
    live = [job for job in jobs if job.state in LIVE_JOB_STATES]
    failed = [
        job
        for job in jobs
        if job.state != JobState.DONE
        and job.state not in LIVE_JOB_STATES
        and (whole is None or whole.requested_at < job.requested_at)
    ]
    return _Uncertain(live, failed)
