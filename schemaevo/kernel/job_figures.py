"""What the ledger of jobs tells at a glance: what goes on, what waits in which queue, and what was left wrong."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from django.db.models import Case, Count, Exists, IntegerField, Min, OuterRef, Q, QuerySet, Value, When
from django.db.models.functions import Now

from schemaevo.kernel.models import LIVE_JOB_STATES, Job, JobQueue, JobState

#: A job that went wrong is told of for so long.
WRONG_DAYS: Final = 7
WRONG_STATES: Final = (JobState.FAILED, JobState.COMPLETED_WITH_ERRORS)
#: What needs somebody is counted up to here; more is "more than".
COUNTED_MAX: Final = 99
KINDS_NAMED: Final = 3


@dataclass(frozen=True, slots=True)
class Waiting:
    """How many rows of a sort wait for somebody, at most one more than COUNTED_MAX, and since when the oldest does."""

    count: int
    oldest: datetime | None

    @property
    def in_words(self) -> str:
        """The count, as far as it goes."""
        return f"{COUNTED_MAX}+" if self.count > COUNTED_MAX else str(self.count)

    @classmethod
    def since(cls, times: Collection[datetime | None]) -> Waiting:
        """Of rows that wait since these times."""
        return cls(len(times), min((time for time in times if time is not None), default=None))


@dataclass(frozen=True, slots=True)
class LeftWrong:
    """Jobs of the last days that went wrong and were not made good since, with their kinds."""

    waiting: Waiting
    kinds: tuple[str, ...]

    @property
    def kinds_named(self) -> str:
        """The first few kinds."""
        return ", ".join(self.kinds[:KINDS_NAMED]) + (" …" if len(self.kinds) > KINDS_NAMED else "")


@dataclass(frozen=True, slots=True)
class QueueFigures:
    """What one queue owes: how many jobs run, wait their turn, and rest until a time; `oldest_due_at` is since when
    the one that waits longest has been due. `lost` are running ones whose lease has ended."""

    queue: JobQueue
    running: int
    lost: int
    due: int
    resting: int
    paused: int
    oldest_due_at: datetime | None

    @property
    def pending(self) -> int:
        """All that have not begun, or are to begin again."""
        return self.due + self.resting


def jobs_left_wrong() -> QuerySet[Job]:
    """Jobs of the last WRONG_DAYS that failed, or ended with errors, unless the same work was done since."""
    done_since = Job.objects.filter(
        kind=OuterRef("kind"),
        target=OuterRef("target"),
        state=JobState.DONE,
        finished_at__gt=OuterRef("finished_at"),
    )
    return Job.objects.filter(
        ~Exists(done_since),
        state__in=WRONG_STATES,
        requested_at__gte=Now() - timedelta(days=WRONG_DAYS),
    )


def left_wrong() -> LeftWrong:
    """See `LeftWrong`. One query."""
    found = list(jobs_left_wrong().order_by().values_list("kind", "finished_at")[: COUNTED_MAX + 1])
    kinds = sorted({kind for kind, _at in found})
    return LeftWrong(Waiting.since([at for _kind, at in found]), tuple(kinds))


def jobs_live(*, limit: int) -> list[Job]:
    """Jobs that have not ended: those that run, then those that are paused, then those that wait, the next first."""
    place = Case(
        When(state=JobState.RUNNING, then=Value(0)),
        When(state=JobState.PAUSED, then=Value(1)),
        default=Value(2),
        output_field=IntegerField(),
    )
    live = Job.objects.filter(state__in=LIVE_JOB_STATES).defer("options", "cursor", "result", "error")
    return list(live.order_by(place, "not_before", "pk")[:limit])


def queues_figured() -> list[QueueFigures]:
    """The figures of every queue; one query over what has not ended."""
    pending, is_running = Q(state=JobState.PENDING), Q(state=JobState.RUNNING)
    is_due = pending & Q(not_before__lte=Now())
    rows = (
        Job.objects.filter(state__in=LIVE_JOB_STATES)
        .order_by()
        .values("queue")
        .annotate(
            running=Count("pk", filter=is_running),
            lost=Count("pk", filter=is_running & Q(lease_expires_at__lt=Now())),
            due=Count("pk", filter=is_due),
            pending=Count("pk", filter=pending),
            paused=Count("pk", filter=Q(state=JobState.PAUSED)),
            oldest=Min("not_before", filter=is_due),
        )
    )
    found: dict[str, Mapping[str, Any]] = {row["queue"]: row for row in rows}
    return [_figures(queue, found.get(queue.value, {})) for queue in JobQueue]


def _figures(queue: JobQueue, row: Mapping[str, Any]) -> QueueFigures:
    due = row.get("due", 0)
    return QueueFigures(
        queue,
        row.get("running", 0),
        row.get("lost", 0),
        due,
        row.get("pending", 0) - due,
        row.get("paused", 0),
        row.get("oldest"),
    )
