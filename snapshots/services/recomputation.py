"""Recomputation on demand: jobs asked for by a person, for one user, one entity type, or everything."""

from __future__ import annotations

from dataclasses import dataclass

from django.db import transaction

from registry.domain.names import entity_type_problem
from registry.domain.targets import job_target
from schemaevo.kernel.actors import Actor
from schemaevo.kernel.errors import Invalid
from schemaevo.kernel.jobs import job_request
from schemaevo.kernel.models import Job
from snapshots.services.observations import RECOMPUTE
from snapshots.services.refresh import snapshots_to_refresh
from snapshots.services.waiting import entity_types_stored, waiting_counted

MAY_RECOMPUTE = "kernel.control_job"
#: The job kind that reduces everything of its target anew, whether it waits or not.
REFRESH = "refresh_snapshots"


@dataclass(frozen=True, slots=True)
class Recomputation:
    """Something to be recomputed: an entity type, or one user's part in it, and how many snapshots that concerns."""

    entity_type: str
    user_id: int | None
    count: int


def recomputations(
    *, entity_type: str | None = None, user_id: int | None = None, is_refresh: bool = False
) -> list[Recomputation]:
    """What is to be recomputed, by entity type: what waits, or, to refresh, all there is. Changes nothing.

    Raises: Invalid `invalid_entity_type`.
    """
    if entity_type is not None:
        problem = entity_type_problem(entity_type)
        if problem is not None:
            raise Invalid("invalid_entity_type", problem, entity_type=entity_type)
    types = entity_types_stored(user_id=user_id) if entity_type is None else [entity_type]
    return [
        Recomputation(
            name,
            user_id,
            snapshots_to_refresh(entity_type=name, only_owner=user_id)
            if is_refresh
            else sum(waiting_counted(name, user_id)),
        )
        for name in types
    ]


@transaction.atomic
def recomputation_request(
    *, entity_type: str, user_id: int | None, actor: Actor, is_refresh: bool = False
) -> Job:
    """The job is owed that recomputes what waits, or, to refresh, everything of that type and user.

    Asking for what is already owed is one job. Raises: Denied; Invalid `invalid_entity_type`.
    """
    actor.require(MAY_RECOMPUTE)
    problem = entity_type_problem(entity_type)
    if problem is not None:
        raise Invalid("invalid_entity_type", problem, entity_type=entity_type)
    return job_request(
        kind=REFRESH if is_refresh else RECOMPUTE,
        target=job_target(entity_type, user_id),
        requested_by=actor.user,
    )
