"""A worker's hold on one job: claimed with a token, renewed by every batch, refused once another has it.

Every write of a running job asks for ``state = 'running' AND lease_token = mine``. So a worker that slept
longer than its lease, or whose job was paused or cancelled meanwhile, can write nothing more: no row answers,
LeaseLost is raised, and the transaction that was to hold its results is rolled back.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta

from django.conf import settings
from django.db import connection, transaction
from django.db.models import BigIntegerField, Case, Exists, F, QuerySet, Value, When
from django.db.models.expressions import Combinable
from django.db.models.functions import Coalesce, Now

from schemaevo.kernel.canonical import Json, JsonObject
from schemaevo.kernel.faults import error_text, error_told
from schemaevo.kernel.job_log import Line, lines_write, record_move, worker_name
from schemaevo.kernel.models import Job, JobState, LogLevel, Pause
from schemaevo.kernel.progress import begun, counted

FIRST_RETRY_S = 5
RETRY_FACTOR = 4
LAST_RETRY_S = 3600


class LeaseLost(Exception):
    """Another worker has the job, or it was paused or cancelled: nothing of this batch was written.

    A job kind lets it pass; the ledger catches it.
    """


class WorkEnded(Exception):
    """The job that this one shares the work of rests by order, or has ended: nothing of this batch was written."""


class GivenUp(Exception):
    """Trying again by itself would help nothing: the job has failed at once, until a person retries it."""


class RunInterrupted(Exception):
    """The run has to end here, between two batches, and goes on later from its cursor.

    A job kind lets it pass; the ledger catches it.
    """


def nobody_asks_to_stop() -> bool:
    """Whether the process has to end soon: no, unless a worker says otherwise."""
    return False


@dataclass
class Batch:
    """What one batch will have achieved when its transaction commits."""

    cursor: Json
    done_count: int = 0
    lines: list[Line] = field(default_factory=list)

    def done(self, count: int) -> None:
        """`count` more pieces of work are part of this batch."""
        self.done_count += count


class Lease:
    """The right to work on one job. Made by `claim`; a job kind's `run` is called with it.

    A run is a pass over the work, from `cursor` (None at the beginning) to the end. It may be interrupted at
    the start of any batch, and is then called again later with the cursor of the last batch that committed:
    a kind whose work can outlast SCHEMAEVO_RUN_BUDGET_S must keep its place in the cursor.
    """

    def __init__(self, job: Job, *, should_stop: Callable[[], bool] = nobody_asks_to_stop) -> None:
        if job.lease_token is None:
            raise ValueError(f"Job {job.pk} is not leased.")
        self.job_id: uuid.UUID = job.pk
        self.kind: str = job.kind
        self.target: str = job.target
        self.options: JsonObject = job.options
        self.cursor: Json = job.cursor
        self.done_count: int = job.done_count
        self.has_errors = False
        #: Where a pass begins that sees what was asked for during the last one. Set by a kind that finds its work in
        #: the data, it also keeps counting; None begins from nothing.
        self.again_from: Json = None
        self._token = job.lease_token
        self._seen = job.wanted_seen
        self._should_stop = should_stop
        self._stops_at = time.monotonic() + settings.SCHEMAEVO_RUN_BUDGET_S
        self._has_achieved = False
        self._batch: Batch | None = None

    @contextmanager
    def batch(self) -> Iterator[Batch]:
        """Everything written inside, the new cursor and the progress commit together, or not at all.

        The job row is locked last, when the block ends, as the lock order wants it. The lease is renewed. A worker
        that sleeps inside for longer than its lease loses the connection too, and with it every lock it held. Where
        the cursor moves, earlier attempts no longer count: only failures at one place are failures in a row.
        Raises: RunInterrupted before the block, LeaseLost after it.
        """
        self.stop_if_due()
        batch = Batch(cursor=self.cursor)
        with transaction.atomic():
            _let_go_when_asleep()
            self._batch = batch
            try:
                yield batch
            finally:
                self._batch = None
            has_moved = batch.cursor != self.cursor
            self._write(
                **({"attempts": 0} if has_moved else {}),
                **counted(batch.done_count),
                cursor=batch.cursor,
                lease_expires_at=lease_end(),
            )
            lines_write(self.job_id, batch.lines)
        self._has_achieved = True
        self.cursor = batch.cursor
        self.done_count += batch.done_count

    def renew(self) -> None:
        """The lease runs from now again; for work between batches, such as a long read.

        Raises: RunInterrupted if the worker has to end or everything is paused; LeaseLost.
        """
        self.stop_if_asked()
        self._write(lease_expires_at=lease_end())

    def log(self, text: str, level: LogLevel = LogLevel.INFO) -> None:
        """The job's log says so, for people to read: few lines, and no values of records.

        Inside a batch it is part of that batch. Raises: LeaseLost, outside of one.
        """
        line = Line(text, level)
        if self._batch is not None:
            self._batch.lines.append(line)
            return
        with transaction.atomic():
            self._write(lease_expires_at=lease_end())
            lines_write(self.job_id, [line])

    def set_total(self, count: int) -> None:
        """Pages show progress against `count`. Raises: LeaseLost."""
        self._write(total_count=count)

    def begin_pass(self, cursor: Json, *, left: int) -> None:
        """A new pass begins at `cursor`, one that sees everything asked for until now; counting goes on.

        `left` is how much there is still to do. Raises: LeaseLost.
        """
        self._begin(cursor=cursor, total_count=F("done_count") + left, **begun(F("done_count")))

    def counted(self) -> int:
        """How much is done, with what other jobs counted towards it."""
        return Job.objects.values_list("done_count", flat=True).get(pk=self.job_id)

    def left(self) -> int:
        """How much there is still to do, as far as a total was set; else 0."""
        job = Job.objects.only("done_count", "total_count").get(pk=self.job_id)
        return max(0, (job.total_count or 0) - job.done_count)

    def mark_errors(self) -> None:
        """The job will end as completed_with_errors: parts of it were passed over.

        Holds for this call of `run` only; what earlier calls passed over, a kind keeps in its cursor.
        """
        self.has_errors = True

    def stop_if_asked(self) -> None:
        """Raises RunInterrupted if the worker has to end, or everything is paused."""
        if self._should_stop():
            raise RunInterrupted("the worker has to end")
        if Pause.objects.exists():
            raise RunInterrupted("everything is paused")

    def stop_if_due(self) -> None:
        """Raises RunInterrupted if the worker has to end, everything is paused, or the time budget is used up.

        A run that has achieved nothing yet has no budget: interrupted again and again at the same place, its
        job would never end.
        """
        self.stop_if_asked()
        if self._has_achieved and time.monotonic() >= self._stops_at:
            raise RunInterrupted("the time budget is used up")

    # --- how a run ends; called by the ledger ------------------------------------------------------------
    def finish(self, result: JsonObject | None) -> bool:
        """The job has ended, unless somebody asked for the work again while it ran; says which."""
        state = JobState.COMPLETED_WITH_ERRORS if self.has_errors else JobState.DONE
        with transaction.atomic():
            ended = (
                self._mine()
                .filter(wanted=self._seen)
                .update(
                    state=state,
                    result=result,
                    error="",
                    attempts=0,
                    finished_at=Now(),
                    lease_token=None,
                    lease_expires_at=None,
                )
            )
            if ended:
                self._record("finish", state, outcome=result)
                self._tell(f"Ended: {state.label}.", LogLevel.WARNING if self.has_errors else LogLevel.INFO)
        return bool(ended)

    def begin_again(self) -> None:
        """A new pass begins, one that sees everything asked for until now. Raises: LeaseLost."""
        line = Line("Begins another pass: it was asked for again meanwhile.")
        if self.again_from is None:
            self._begin(line, cursor=None, total_count=None, **begun(0))
        else:
            self._begin(line, cursor=self.again_from, **begun(F("done_count")))
        self.has_errors = False
        self._has_achieved = True

    def _begin(self, *lines: Line, cursor: Json, **columns: object) -> None:
        with transaction.atomic():
            self._write(cursor=cursor, wanted_seen=F("wanted"), lease_expires_at=lease_end(), **columns)
            lines_write(self.job_id, lines)
            self._seen, self.done_count = Job.objects.values_list("wanted_seen", "done_count").get(
                pk=self.job_id
            )
        self.cursor = cursor

    def give_back(self, because: object = "the worker let go of it") -> None:
        """The job waits for the next worker, from where this one got to. Raises: LeaseLost.

        A run that got this far without failing is no attempt that failed.
        """
        with transaction.atomic():
            self._write(
                state=JobState.PENDING,
                attempts=0,
                not_before=Now(),
                rung_at=None,
                lease_token=None,
                lease_expires_at=None,
            )
            self._record("rest", JobState.PENDING)
            self._tell(f"Rests: {because}.")

    def fail(self, error: Exception) -> None:
        """The attempt counts as failed: the job waits for a retry, or has failed until a person retries it.

        Raises: LeaseLost.
        """
        with transaction.atomic():
            job = self._mine().select_for_update().first()
            if job is None:
                raise LeaseLost(f"Job {self.job_id} is no longer held by this worker.")
            attempts = job.attempts + 1
            rest_s = retry_delay_s(attempts)
            text, told = error_text(error), error_told(error)
            if attempts < settings.SCHEMAEVO_JOB_MAX_ATTEMPTS and not isinstance(error, GivenUp):
                self._write(
                    state=JobState.PENDING,
                    attempts=attempts,
                    error=text,
                    not_before=Now() + timedelta(seconds=rest_s),
                    lease_token=None,
                    lease_expires_at=None,
                )
                self._record("retry_later", JobState.PENDING, outcome={"attempts": attempts})
                self._tell(
                    f"Attempt {attempts} failed: {told}. The next one follows in {rest_s} s.",
                    LogLevel.WARNING,
                )
            else:
                self._write(
                    state=JobState.FAILED,
                    attempts=attempts,
                    error=text,
                    finished_at=Now(),
                    lease_token=None,
                    lease_expires_at=None,
                )
                self._record("fail", JobState.FAILED, outcome={"attempts": attempts})
                self._tell(f"Failed for good at attempt {attempts}: {told}.", LogLevel.ERROR)

    def _mine(self) -> QuerySet[Job]:
        return Job.objects.filter(pk=self.job_id, state=JobState.RUNNING, lease_token=self._token)

    def _record(self, verb: str, after: JobState, outcome: JsonObject | None = None) -> None:
        record_move(self.job_id, self.kind, self.target, verb, JobState.RUNNING, after, outcome)

    def _tell(self, text: str, level: LogLevel = LogLevel.INFO) -> None:
        lines_write(self.job_id, [Line(text, level)])

    def _write(self, **columns: object) -> None:
        if not self._mine().update(**columns):
            raise LeaseLost(f"Job {self.job_id} is no longer held by this worker.")


def lease_end() -> Combinable:
    """When a lease taken or renewed by this statement ends, by the database's clock."""
    return Now() + timedelta(seconds=settings.SCHEMAEVO_LEASE_S)


def count_towards(job_id: uuid.UUID, count: int) -> None:
    """`count` more pieces of that job's work are done, by a job that shares it, in the caller's transaction.

    Raises: WorkEnded unless the job is pending or running.
    """
    live = Job.objects.filter(pk=job_id, state__in=(JobState.PENDING, JobState.RUNNING))
    if not live.update(**counted(count)):
        raise WorkEnded(f"Job {job_id} is not being worked on.")


def _let_go_when_asleep() -> None:
    """The server ends this transaction if nothing is heard of it for as long as a lease lasts.

    A stopped process keeps its connection, and its locks would hold up everybody else for as long as it sleeps.
    """
    with connection.cursor() as cursor:
        timeout = f"{settings.SCHEMAEVO_LEASE_S}s"
        cursor.execute("SELECT set_config('idle_in_transaction_session_timeout', %s, true)", [timeout])


def claim(job_id: uuid.UUID, *, should_stop: Callable[[], bool] = nobody_asks_to_stop) -> Lease | None:
    """The job is this worker's, if it was pending and due, and nothing is paused; else None.

    A pass that begins now has seen all that was asked for; one that goes on from a cursor only what was asked
    for before it began.
    """
    token = uuid.uuid4()
    done = Case(
        When(cursor__isnull=True, then=Value(0)), default=F("done_count"), output_field=BigIntegerField()
    )
    due = Job.objects.filter(~Exists(Pause.objects.all()), state=JobState.PENDING, not_before__lte=Now())
    with transaction.atomic():
        claimed = due.filter(pk=job_id).update(
            state=JobState.RUNNING,
            lease_token=token,
            lease_expires_at=lease_end(),
            started_at=Coalesce("started_at", Now()),
            wanted_seen=Case(When(cursor__isnull=True, then=F("wanted")), default=F("wanted_seen")),
            **begun(done),
        )
        if not claimed:
            return None
        job = Job.objects.get(pk=job_id)
        record_move(job.pk, job.kind, job.target, "start", JobState.PENDING, JobState.RUNNING)
        where = "at the beginning" if job.cursor is None else "from where it was"
        lines_write(job.pk, [Line(f"Started by worker {worker_name()}, {where}.")])
    return Lease(job, should_stop=should_stop)


def expire(job_id: uuid.UUID | None = None) -> list[uuid.UUID]:
    """Jobs whose worker let its lease run out are pending again, or have failed; gives their ids.

    A dead worker counts as an attempt, so that a job that kills its workers comes to an end. There is no
    delay before the next attempt: the rest of the lease was one.
    """
    overdue = Job.objects.filter(state=JobState.RUNNING, lease_expires_at__lt=Now())
    if job_id is not None:
        overdue = overdue.filter(pk=job_id)
    with transaction.atomic():
        # What another sweeper or a worker is just writing is left to it.
        jobs = list(overdue.order_by("pk").select_for_update(skip_locked=True, of=("self",)))
        for job in jobs:
            attempts = job.attempts + 1
            is_over = attempts >= settings.SCHEMAEVO_JOB_MAX_ATTEMPTS
            state = JobState.FAILED if is_over else JobState.PENDING
            Job.objects.filter(pk=job.pk).update(
                state=state,
                attempts=attempts,
                error=f"The worker died without a word; attempt {attempts} ended so.",
                not_before=Now(),
                finished_at=Now() if is_over else None,
                rung_at=None,
                lease_token=None,
                lease_expires_at=None,
            )
            verb = "fail" if is_over else "retry_later"
            outcome: JsonObject = {"attempts": attempts}
            record_move(job.pk, job.kind, job.target, verb, JobState.RUNNING, state, outcome)
            line = f"Taken from a worker that died without a word; attempt {attempts} ended so."
            lines_write(job.pk, [Line(line, LogLevel.ERROR if is_over else LogLevel.WARNING)])
    return [job.pk for job in jobs]


def retry_delay_s(attempts: int) -> int:
    """How long a job rests after its `attempts`-th failure in a row: 5 s, 20 s, 80 s … at most an hour."""
    return int(min(FIRST_RETRY_S * RETRY_FACTOR ** (attempts - 1), LAST_RETRY_S))
