"""The one switch that stops all ingest and all jobs, and what looks at it.

Whoever works asks before each batch: what runs finishes the batch it is in, and nothing is lost. Jobs stay
pending; an ingest run ends and is run again later, which stores only what is missing.
"""

from django.db import transaction
from django.db.models import F
from django.db.models.functions import Now

from schemaevo.kernel.actors import Actor
from schemaevo.kernel.audit import audit_record
from schemaevo.kernel.canonical import JsonObject
from schemaevo.kernel.errors import Conflict, Invalid
from schemaevo.kernel.jobs import sweep
from schemaevo.kernel.locks import LockSpace, hold
from schemaevo.kernel.models import Job, JobState, Pause

MAY_SWITCH = "kernel.switch_pause"
REASON_MAX = 500


class Paused(Conflict):
    """Everything is paused; code `paused`. The same call succeeds once somebody has resumed."""

    def __init__(self, pause: Pause) -> None:
        because = f": {pause.reason}" if pause.reason else ""
        super().__init__(
            "paused",
            f"All ingest and all jobs are paused since {pause.paused_at:%Y-%m-%d %H:%M} UTC "
            f"by {pause.paused_by}{because}.",
            **_state(pause),
        )


def pause_now() -> Pause | None:
    """The pause that holds, or None."""
    return Pause.objects.first()


def refuse_while_paused() -> None:
    """Returns if nothing is paused. Raises: Paused."""
    pause = pause_now()
    if pause is not None:
        raise Paused(pause)


@transaction.atomic
def store_pause(*, actor: Actor, reason: str = "") -> Pause:
    """No ingest takes another batch and no job is claimed, until somebody resumes.

    Paused already, it stays as it is, with the first reason. Gives the pause that holds.
    Raises: Denied `permission_denied`; Invalid `reason_invalid`.
    """
    actor.require(MAY_SWITCH)
    reason = reason.strip()
    if len(reason) > REASON_MAX or not reason.isprintable():
        raise Invalid("reason_invalid", f"A reason is one line of at most {REASON_MAX} characters.")
    hold(LockSpace.PAUSE, [("all",)])
    pause = pause_now()
    if pause is not None:
        return pause
    pause = Pause.objects.create(paused_by=actor.name, reason=reason)
    pause.refresh_from_db()
    audit_record(
        actor=actor,
        action="store.pause",
        target_type="store",
        target_id="all",
        before=None,
        after=_state(pause),
        reason=reason,
    )
    return pause


@transaction.atomic
def store_resume(*, actor: Actor) -> bool:
    """Ingest and jobs run again; what waited is rung for at the commit. Says whether there was a pause.

    Raises: Denied `permission_denied`.
    """
    actor.require(MAY_SWITCH)
    hold(LockSpace.PAUSE, [("all",)])
    pause = pause_now()
    if pause is None:
        return False
    pause.delete()
    # Bells that were rung meanwhile were answered by workers that might not claim.
    Job.objects.filter(state=JobState.PENDING, not_before__lte=Now(), rung_at__gte=F("not_before")).update(
        rung_at=None
    )
    audit_record(
        actor=actor,
        action="store.resume",
        target_type="store",
        target_id="all",
        before=_state(pause),
        after=None,
    )
    transaction.on_commit(sweep, robust=True)
    return True


def _state(pause: Pause) -> JsonObject:
    return {
        "paused_at": pause.paused_at.isoformat(),
        "paused_by": pause.paused_by,
        "reason": pause.reason,
    }
