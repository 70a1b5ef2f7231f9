"""Rebuilding aggregates on demand: asked for by a person, of one user, one entity type, both, or everything."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from django.db import transaction

from fragments.models import RawFragment, RawFragmentAggregate
from fragments.selectors_counting import REBUILD
from fragments.services.aggregates import (
    EVERYTHING,
    Part,
    Scope,
    aggregates_in,
    aggregates_rebuild,
    part_after,
)
from registry.domain.targets import job_target
from registry.services.locking import require_entity_type
from schemaevo.kernel.actors import Actor
from schemaevo.kernel.audit import audit_record
from schemaevo.kernel.job_control import MAY_CONTROL
from schemaevo.kernel.jobs import job_request
from schemaevo.kernel.models import Job
from schemaevo.kernel.pages.estimates import Amount, found_counted, part_counted, rows_counted
from schemaevo.kernel.pause import refuse_while_paused


class Rebuilt(NamedTuple):
    """What a rebuild is about, or has done: so many aggregates, in so many parts (a user and an entity type each)."""

    parts: int
    aggregates: int


@transaction.atomic
def aggregates_rebuild_request(*, actor: Actor, scope: Scope = EVERYTHING) -> Job:
    """The job is owed that counts the aggregates of the scope anew. Asking for what is already owed is one job.

    Raises: Denied; Invalid `invalid_entity_type`.
    """
    actor.require(MAY_CONTROL)
    _require_type_of(scope)
    return job_request(kind=REBUILD, target=job_target(*scope), requested_by=actor)


def aggregates_rebuild_foresee(scope: Scope = EVERYTHING) -> Rebuilt:
    """What a rebuild of the scope would set now. Changes nothing. Raises: Invalid `invalid_entity_type`."""
    _require_type_of(scope)
    counts = [aggregates_in(part) for part in _parts(scope)]
    return Rebuilt(len(counts), sum(counts))


class RebuildOutlook(NamedTuple):
    """About how much a rebuild would go through: aggregates as they are, and fragments."""

    aggregates: Amount
    fragments: Amount


def aggregates_rebuild_outlook(scope: Scope = EVERYTHING) -> RebuildOutlook:
    """See `RebuildOutlook`; read at a glance, however much it is. Raises: Invalid `invalid_entity_type`."""
    _require_type_of(scope)
    named = {name: value for name, value in scope._asdict().items() if value}
    fragments = RawFragment.objects.filter(**named)
    by_type_alone = bool(scope.entity_type) and scope.user_id is None
    return RebuildOutlook(
        found_counted(RawFragmentAggregate.objects.filter(**named)),
        part_counted(fragments, rows_counted(RawFragment)) if by_type_alone else found_counted(fragments),
    )


def aggregates_rebuild_inline(
    *, actor: Actor, scope: Scope = EVERYTHING, on_progress: Callable[[int], object] = lambda count: None
) -> Rebuilt:
    """The aggregates of the scope are counted anew here, part by part, without a job; fragments may arrive meanwhile.

    What is done stays done, and is in the audit log, whatever ends it.
    Raises: Denied; Invalid `invalid_entity_type`; Conflict `paused`, also between two parts; LockTimeout.
    """
    actor.require(MAY_CONTROL)
    _require_type_of(scope)
    rebuilt = Rebuilt(0, 0)
    try:
        for part in _parts(scope):
            refuse_while_paused()
            count = aggregates_rebuild(part)
            rebuilt = Rebuilt(rebuilt.parts + 1, rebuilt.aggregates + count)
            on_progress(count)
    finally:
        if rebuilt.parts:
            audit_record(
                actor=actor,
                action="aggregate.rebuild",
                target_type="aggregates",
                target_id=job_target(*scope) or "all",
                after={**rebuilt._asdict()},
            )
    return rebuilt


def _parts(scope: Scope) -> Iterator[Part]:
    part: Part | None = None
    while part := part_after(part, scope):
        yield part


def _require_type_of(scope: Scope) -> None:
    if scope.entity_type:
        require_entity_type(scope.entity_type)
