"""Reads of what recomputations could not do."""

from dataclasses import dataclass
from uuid import UUID

from schemaevo.kernel.owners import owners_by_id
from snapshots.models import EntitySnapshot, RecomputeFailure

#: Failures that a page lists; the others are counted.
LISTED_MAX = 50


@dataclass(frozen=True, slots=True)
class FailureTold:
    """A failure with the names of what failed; the key is the entity's id where the entity is gone."""

    failure: RecomputeFailure
    entity_key: str
    owner: str


@dataclass(frozen=True, slots=True)
class FailuresTold:
    """The last failures of a run, newest first, and how many there are in all."""

    listed: tuple[FailureTold, ...]
    count: int


def failures_of_job(*, job_id: UUID) -> FailuresTold:
    """What that run passed over and nobody has recomputed since. Four queries at most."""
    found = RecomputeFailure.objects.filter(job_id=job_id)
    failures = list(found.order_by("-failed_at", "pk")[:LISTED_MAX])
    count = len(failures) if len(failures) < LISTED_MAX else found.count()
    if not failures:
        return FailuresTold((), 0)
    keys = dict(
        EntitySnapshot.objects.filter(pk__in=[failure.entity_id for failure in failures]).values_list(
            "pk", "entity_key"
        )
    )
    owners = owners_by_id({failure.user_id for failure in failures})
    return FailuresTold(
        tuple(
            FailureTold(
                failure,
                keys.get(failure.entity_id, str(failure.entity_id)),
                owners.get(failure.user_id, f"#{failure.user_id}"),
            )
            for failure in failures
        ),
        count,
    )


def failure_of_entity(*, entity_id: UUID) -> RecomputeFailure | None:
    """Why the entity waits on, if a recomputation tried it in vain."""
    return RecomputeFailure.objects.filter(pk=entity_id).first()
