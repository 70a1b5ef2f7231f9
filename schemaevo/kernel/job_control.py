"""What people may do with a job: pause, resume, cancel and retry it.

A running job is stopped by its fence: its state changes here, so the worker's next write finds no row, its
batch is rolled back, and it lets go. What earlier batches achieved stays, and the cursor with it.
"""

import uuid
from collections.abc import Collection

import psycopg
from django.db import IntegrityError, transaction
from django.db.models.functions import Now

from schemaevo.kernel.actors import Actor
from schemaevo.kernel.audit import audit_record
from schemaevo.kernel.errors import Conflict, NotFound
from schemaevo.kernel.job_log import Line, lines_write
from schemaevo.kernel.jobs import ring_after_commit
from schemaevo.kernel.models import LIVE_JOB_STATES, Job, JobState

MAY_CONTROL = "kernel.control_job"

_DONE = {"pause": "Paused", "resume": "Resumed", "cancel": "Cancelled", "retry": "Asked to try again"}


@transaction.atomic
def job_pause(*, job_id: uuid.UUID, actor: Actor, reason: str = "") -> Job:
    """The job rests until it is resumed. A paused job stays as it is.

    Raises: Denied `permission_denied`; NotFound `job_not_found`; Conflict `job_state` if it has ended.
    """
    return _move(
        job_id, actor, "pause", frm=(JobState.PENDING, JobState.RUNNING), to=JobState.PAUSED, reason=reason
    )


@transaction.atomic
def job_resume(*, job_id: uuid.UUID, actor: Actor, reason: str = "") -> Job:
    """The paused job goes on at once, from where it was. One that is pending or running stays as it is.

    Raises: Denied `permission_denied`; NotFound `job_not_found`; Conflict `job_state` if it has ended.
    """
    return _move(
        job_id,
        actor,
        "resume",
        frm=(JobState.PAUSED,),
        to=JobState.PENDING,
        fine=(JobState.PENDING, JobState.RUNNING),
        reason=reason,
    )


@transaction.atomic
def job_cancel(*, job_id: uuid.UUID, actor: Actor, reason: str = "") -> Job:
    """The job has ended without being done; what it achieved stays. A cancelled job stays as it is.

    Raises: Denied `permission_denied`; NotFound `job_not_found`; Conflict `job_state` if it ended otherwise.
    """
    return _move(job_id, actor, "cancel", frm=LIVE_JOB_STATES, to=JobState.CANCELLED, reason=reason)


@transaction.atomic
def job_retry(*, job_id: uuid.UUID, actor: Actor, reason: str = "") -> Job:
    """The failed or cancelled job is pending again with all its attempts, from where it was; one that rests
    before its next attempt is due at once.

    Raises: Denied `permission_denied`; NotFound `job_not_found`; Conflict `job_state` in other states, and
    `job_is_owed_again` if the same work has been asked for since and lives.
    """
    return _move(
        job_id,
        actor,
        "retry",
        frm=(JobState.FAILED, JobState.CANCELLED, JobState.PENDING),
        to=JobState.PENDING,
        reason=reason,
    )


def _move(
    job_id: uuid.UUID,
    actor: Actor,
    verb: str,
    *,
    frm: Collection[JobState],
    to: JobState,
    fine: Collection[JobState] = (),
    reason: str,
) -> Job:
    actor.require(MAY_CONTROL)
    job = Job.objects.select_for_update(of=("self",)).filter(pk=job_id).first()
    if job is None:
        raise NotFound("job_not_found", f"There is no job {job_id}.", job_id=str(job_id))
    before = JobState(job.state)
    if before in fine or (before == to and to not in frm):
        return job
    if before not in frm:
        raise Conflict(
            "job_state", f"The job is {before.label}; {verb} is not possible.", state=before.value, verb=verb
        )
    changes: dict[str, object] = {
        "state": to,
        "lease_token": None,
        "lease_expires_at": None,
        "finished_at": Now() if to == JobState.CANCELLED else None,
    }
    if to == JobState.PENDING:
        changes |= {"attempts": 0, "not_before": Now(), "rung_at": None}
    try:
        with transaction.atomic():
            Job.objects.filter(pk=job.pk).update(**changes)
    except IntegrityError as error:
        if constraint_of(error) != "jobs_live_target_uq":
            raise
        raise Conflict(
            "job_is_owed_again", "The same work was asked for again and is not done yet.", job_id=str(job.pk)
        ) from error
    audit_record(
        actor=actor,
        action=f"job.{verb}",
        target_type="job",
        target_id=str(job.pk),
        before={"state": before.value, "kind": job.kind, "target": job.target},
        after={"state": to.value},
        reason=reason,
    )
    lines_write(job.pk, [Line(f"{_DONE[verb]} by {actor.name}.")])
    if to == JobState.PENDING:
        ring_after_commit(job.pk)
    job.refresh_from_db()
    return job


def constraint_of(error: IntegrityError) -> str | None:
    """The name of the constraint that the database found broken."""
    cause = error.__cause__
    return cause.diag.constraint_name if isinstance(cause, psycopg.Error) else None
