"""Retraction: a source takes no part any more, as if it had never been ingested; and its undo.

The row decides, from its commit on: whoever reduces histories leaves the source out, and what still comes from it is
stored apart. What was merged and counted before follows by a job, chunk by chunk, and so does the undo. The row is
written while nobody writes for the owner, so that there are no observations but those merged before it, which the job
goes through, and those stored after it, which nobody merged.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from django.db import connection, transaction
from django.db.models import F
from django.db.models.functions import Now

from registry.services.locking import hold_sources
from schemaevo.kernel.actors import Actor
from schemaevo.kernel.audit import audit_record
from schemaevo.kernel.canonical import require_storable
from schemaevo.kernel.erasing import require_not_erased
from schemaevo.kernel.errors import Invalid
from schemaevo.kernel.jobs import job_alive, job_request
from snapshots.errors import AlreadyRetracted, NotRetracted, SourceNotFound
from snapshots.models import UNSETTLED, Retraction, RetractionState, Source
from snapshots.selectors_retractions import SETTLE_RETRACTION as SETTLE_RETRACTION
from snapshots.selectors_retractions import newest_retraction

MAY_RETRACT = "snapshots.retract_source"
REASON_MAX = 2_000


@transaction.atomic
def source_retract(*, source_id: UUID, reason: str, actor: Actor) -> Retraction:
    """The source takes no part from the commit on, and a job is owed that takes back what it brought.

    Where it is retracted already, and the job has ended before all was taken back, the job is owed again.

    Raises: Denied; SourceNotFound; Invalid `invalid_reason`; Unstorable; AlreadyRetracted; LockTimeout.
    """
    actor.require(MAY_RETRACT)
    _require_reason(reason)
    source = _held(source_id)
    newest = newest_retraction(source_id)
    if newest is not None and newest.undone_at is None:
        if not _goes_on(newest):
            raise AlreadyRetracted(str(source))
        return newest
    retraction = Retraction.objects.create(
        source=source, user_id=source.user_id, reason=reason, retracted_by=actor.user
    )
    audit_record(
        actor=actor,
        action="source.retract",
        target_type="source",
        target_id=str(source_id),
        after={"retraction": retraction.pk, "owner": source.user_id, "state": retraction.state},
        reason=reason,
    )
    job_request(kind=SETTLE_RETRACTION, target=str(source_id))
    return retraction


@transaction.atomic
def retraction_undo(*, source_id: UUID, actor: Actor, reason: str = "") -> Retraction:
    """The source takes part again from the commit on, and a job is owed that gives back what it brought, with what was
    stored of it meanwhile.

    Raises: Denied; SourceNotFound; Invalid `invalid_reason`; Unstorable; NotRetracted; LockTimeout.
    """
    actor.require(MAY_RETRACT)
    if reason:
        _require_reason(reason)
    source = _held(source_id)
    newest = newest_retraction(source_id)
    if newest is None or newest.undone_at is not None:
        if newest is None or not _goes_on(newest):
            raise NotRetracted(str(source))
        return newest
    before = newest.state
    Retraction.objects.filter(pk=newest.pk).update(
        state=RetractionState.GIVING_BACK,
        undone_at=Now(),
        undone_by=actor.user,
        undo_reason=reason,
        settled_at=None,
        observation_count=0,
        snapshot_count=0,
        fragment_count=0,
    )
    newest.refresh_from_db()
    audit_record(
        actor=actor,
        action="source.retract_undo",
        target_type="source",
        target_id=str(source_id),
        before={"retraction": newest.pk, "owner": source.user_id, "state": before},
        after={"retraction": newest.pk, "owner": source.user_id, "state": newest.state},
        reason=reason,
    )
    job_request(kind=SETTLE_RETRACTION, target=str(source_id))
    return newest


def _held(source_id: UUID) -> Source:
    """The source, while nobody writes for its owner. Raises: SourceNotFound; OwnerErased; LockTimeout."""
    source = Source.objects.filter(pk=source_id).first()
    if source is None:
        raise SourceNotFound(str(source_id), "Nobody")
    hold_sources(source.user_id)
    require_not_erased(source.user_id)
    return source


def _goes_on(retraction: Retraction) -> bool:
    """Whether its job had ended too early, and is owed again now."""
    if retraction.state not in UNSETTLED or job_alive(SETTLE_RETRACTION, str(retraction.source_id)):
        return False
    job_request(kind=SETTLE_RETRACTION, target=str(retraction.source_id))
    return True


def _require_reason(reason: str) -> None:
    require_storable(reason)
    if not reason.strip() or len(reason) > REASON_MAX:
        raise Invalid("invalid_reason", f"A reason has 1 to {REASON_MAX} characters.")


# --- what the job does ------------------------------------------------------------------------------------
class Spot(NamedTuple):
    """An observation's place among those of its source: in the order in which they were received."""

    recorded_at: datetime
    observation_id: UUID


class Said(NamedTuple):
    """An observation of a source, as far as a retraction needs it."""

    observation_id: UUID
    entity_id: UUID
    entity_type: str
    recorded_at: datetime

    @property
    def spot(self) -> Spot:
        return Spot(self.recorded_at, self.observation_id)


def retraction_held(source_id: UUID) -> Retraction | None:
    """The newest retraction of the source, which nobody undoes, and after which nobody makes another, before the
    caller's transaction ends. Raises: LockTimeout."""
    newest = newest_retraction(source_id)
    if newest is None:
        return None
    hold_sources(newest.user_id, shared=True)
    # In a later statement than the one that took the lock.
    return newest_retraction(source_id)


def observations_of_source(*, source_id: UUID, after: Spot | None, limit: int) -> Sequence[Said]:
    """The next observations of the source. Locks nothing."""
    sql = f"""
        SELECT id, entity_id, entity_type, recorded_at FROM observations
         WHERE source_id = %s {"AND (recorded_at, id) > (%s, %s)" if after else ""}
         ORDER BY recorded_at, id LIMIT %s
        """  # noqa: S608  every part of it stands in this file
    with connection.cursor() as cursor:
        cursor.execute(sql, [source_id, *(after or ()), limit])
        return [Said(*row) for row in cursor.fetchall()]


def snapshots_let_wait(entity_ids: Collection[UUID]) -> int:
    """The snapshots of these entities wait for recomputation; gives how many did not before.

    Runs inside the caller's transaction. By the empty hash, which no rules have: what merged the source before, or did
    not, is reduced anew whatever the rules are by then.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT id FROM entity_snapshots WHERE id = ANY(%s) ORDER BY user_id, id FOR UPDATE",
            [[*entity_ids]],
        )
        cursor.execute(
            "UPDATE entity_snapshots SET reduction_hash = '' WHERE id = ANY(%s) AND reduction_hash <> ''",
            [[*entity_ids]],
        )
        return int(cursor.rowcount)


def retraction_count(
    retraction: Retraction, *, observations: int, snapshots: int, fragments: int, is_first: bool
) -> None:
    """The retraction counts what a chunk of its job did; the first one of a course begins anew."""
    done = {"observation_count": observations, "snapshot_count": snapshots, "fragment_count": fragments}
    counts = done if is_first else {name: F(name) + count for name, count in done.items()}
    Retraction.objects.filter(pk=retraction.pk).update(**counts)


def retraction_settle(retraction: Retraction) -> None:
    """The job has reached everything: so the retraction, or its undo, is over. Older ones of the source that were
    overtaken are over as well."""
    ended = RetractionState.TAKEN_BACK if retraction.undone_at is None else RetractionState.GIVEN_BACK
    older = Retraction.objects.filter(
        source_id=retraction.source_id, state=RetractionState.GIVING_BACK, pk__lt=retraction.pk
    )
    older.update(state=RetractionState.GIVEN_BACK)
    Retraction.objects.filter(pk=retraction.pk).update(state=ended, settled_at=Now())
    before = retraction.state
    retraction.refresh_from_db()
    audit_record(
        actor=Actor.system("retraction"),
        action=f"source.{ended.value}",
        target_type="source",
        target_id=str(retraction.source_id),
        before={"retraction": retraction.pk, "state": before},
        after={
            "retraction": retraction.pk,
            "state": ended.value,
            "observations": retraction.observation_count,
            "snapshots": retraction.snapshot_count,
            "fragments": retraction.fragment_count,
        },
    )
