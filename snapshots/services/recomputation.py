"""Recomputation on demand: asked for by a person, for one user, one entity type, or everything."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from django.db import transaction

from registry.domain.targets import job_target
from registry.services.locking import require_entity_type
from schemaevo.kernel.actors import Actor
from schemaevo.kernel.audit import audit_record
from schemaevo.kernel.canonical import JsonObject
from schemaevo.kernel.job_control import MAY_CONTROL
from schemaevo.kernel.jobs import job_request
from schemaevo.kernel.models import Job
from schemaevo.kernel.pause import refuse_while_paused
from snapshots.domain.place import Place
from snapshots.services.failures import failures_count, failures_told
from snapshots.services.observations import RECOMPUTE
from snapshots.services.recompute import place_at_the_beginning, snapshots_recompute_waiting
from snapshots.services.refresh import (
    RefreshPlace,
    refresh_beginning,
    snapshots_refresh,
    snapshots_to_refresh,
)
from snapshots.services.waiting import entity_types_stored, waiting_counted

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
        require_entity_type(entity_type)
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
    actor.require(MAY_CONTROL)
    require_entity_type(entity_type)
    return job_request(
        kind=REFRESH if is_refresh else RECOMPUTE,
        target=job_target(entity_type, user_id),
        requested_by=actor,
    )


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a recomputation without a job did: entities recomputed and failed, and some of these with their errors."""

    recomputed: int
    failed: int
    examples: list[JsonObject]


def recomputation_inline(
    *,
    entity_type: str,
    user_id: int | None,
    actor: Actor,
    is_refresh: bool = False,
    on_progress: Callable[[int], object] = lambda count: None,
) -> Outcome:
    """What waits, or, to refresh, everything of that type and user, is recomputed here, chunk by chunk.

    Each chunk is a transaction of its own, so that what is done stays done; jobs may be at the same work. No history
    is too long. Raises: Denied; Invalid `invalid_entity_type`; Conflict `paused`, also between two chunks; LockTimeout.
    """
    actor.require(MAY_CONTROL)
    require_entity_type(entity_type)
    # Before it is written down: nothing would be done.
    refuse_while_paused()
    audit_record(
        actor=actor,
        action="snapshot.recompute",
        target_type="recomputation",
        target_id=job_target(entity_type, user_id),
        after={"refresh": is_refresh},
    )
    recomputed = 0
    here: Place | RefreshPlace | None
    here = (
        refresh_beginning()
        if is_refresh
        else place_at_the_beginning(entity_type=entity_type, only_owner=user_id)
    )
    since = here.since
    while here is not None:
        refuse_while_paused()
        with transaction.atomic():
            count, here = _chunk(entity_type, user_id, here)
        recomputed += count
        on_progress(count)
    return Outcome(
        recomputed, failures_count(job_id=None, since=since), failures_told(job_id=None, since=since)
    )


def _chunk(
    entity_type: str, user_id: int | None, here: Place | RefreshPlace
) -> tuple[int, Place | RefreshPlace | None]:
    """A chunk from `here` on: how many were recomputed, and where to go on; None at the end."""
    if isinstance(here, RefreshPlace):
        refreshed = snapshots_refresh(entity_type=entity_type, place=here, only_owner=user_id)
        return refreshed.recomputed, refreshed.place
    chunk = snapshots_recompute_waiting(entity_type=entity_type, place=here, only_owner=user_id)
    return chunk.recomputed, chunk.place.next_pass() if chunk.is_over else chunk.place
