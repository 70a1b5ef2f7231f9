"""Going through everything that is due: by a job, from wherever it was stopped, or by a command, here and now."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from django.db import transaction
from django.utils import timezone

from fragments.services.lifecycle import Due, Group, Move, fragments_move, page_due
from schemaevo.kernel.actors import Actor
from schemaevo.kernel.audit import audit_record
from schemaevo.kernel.canonical import Json, JsonObject
from schemaevo.kernel.errors import LockTimeout
from schemaevo.kernel.job_control import MAY_CONTROL
from schemaevo.kernel.jobs import Lease
from schemaevo.kernel.pause import refuse_while_paused

logger = logging.getLogger(__name__)

#: Under this name stands how many rows were left for the next run, since others kept the lock for too long.
BUSY = "busy"


class _Step(NamedTuple):
    """A group to be moved, and where the run stands once that is done: in the `number`-th move, with nothing left to do
    up to the row `after`."""

    move: Move
    until: datetime
    group: Group
    number: int
    after: Due | None


@dataclass(frozen=True, slots=True)
class _Course:
    """How far a run has got, kept as the cursor of its job. All that it does was due at `now`, when it began."""

    now: datetime
    number: int = 0
    after: Due | None = None
    counts: dict[str, int] = field(default_factory=dict)

    def beyond(self, step: _Step, name: str, count: int) -> _Course:
        """The course once the step is done, with so many more rows under that name."""
        counts = {**self.counts, name: self.counts.get(name, 0) + count}
        return _Course(self.now, step.number, step.after, counts)

    def steps(self, moves: Sequence[Move]) -> Iterator[_Step]:
        """What is still to do. Each page is looked for when what was found before is done."""
        for number, move in enumerate(moves[self.number :], start=self.number):
            until = move.until(self.now)
            after = self.after if number == self.number else None
            while until is not None and (page := page_due(move, until, after)):
                for group in page.groups[:-1]:
                    yield _Step(move, until, group, number, after)
                after = page.last
                yield _Step(move, until, page.groups[-1], number, after)

    def to_json(self) -> Json:
        """The course as a cursor."""
        after: Json = None if self.after is None else [self.after.at.isoformat(), self.after.fragment_id]
        return {"now": self.now.isoformat(), "number": self.number, "after": after, "counts": {**self.counts}}

    @classmethod
    def from_json(cls, cursor: Json) -> _Course | None:
        """The course that a cursor names; None where there is none, or one of another release."""
        match cursor:
            case {
                "now": str(now),
                "number": int(number),
                "after": [str(at), int(row)],
                "counts": dict(counts),
            }:
                after: Due | None = Due(datetime.fromisoformat(at), row)
            case {"now": str(now), "number": int(number), "after": None, "counts": dict(counts)}:
                after = None
            case _:
                return None
        known = {name: count for name, count in counts.items() if isinstance(count, int)}
        return cls(datetime.fromisoformat(now), number, after, known)


def lifecycle_run(lease: Lease, moves: Sequence[Move]) -> JsonObject:
    """All that was due when the run began has moved, but for what somebody wrote to for too long; the result, which the
    audit log keeps, says how many rows of each move that were."""
    course = _Course.from_json(lease.cursor) or _Course(timezone.now())
    for step in course.steps(moves):
        try:
            with lease.batch() as batch:
                count = fragments_move(step.move, step.until, step.group)
                done = course.beyond(step, step.move.name, count)
                batch.done(count)
                batch.cursor = done.to_json()
            course = done
        except LockTimeout as error:
            course = course.beyond(step, BUSY, _left(step, error))
    return {**course.counts}


def lifecycle_inline(
    *,
    moves: Sequence[Move],
    name: str,
    actor: Actor,
    on_progress: Callable[[int], object] = lambda count: None,
) -> dict[str, int]:
    """As `lifecycle_run`, here and now; gives the counts. What is done stays done, and is in the audit log, whatever
    ends it. `name` is what the log calls it.

    Raises: Denied; Conflict `paused`, also between two groups.
    """
    actor.require(MAY_CONTROL)
    course = _Course(timezone.now())
    try:
        for step in course.steps(moves):
            refuse_while_paused()
            try:
                with transaction.atomic():
                    count = fragments_move(step.move, step.until, step.group)
                course = course.beyond(step, step.move.name, count)
            except LockTimeout as error:
                count = _left(step, error)
                course = course.beyond(step, BUSY, count)
            on_progress(count)
    finally:
        if course.counts:
            audit_record(
                actor=actor,
                action=f"fragment.{name}",
                target_type="fragments",
                target_id="all",
                after={**course.counts},
            )
    return course.counts


def _left(step: _Step, error: LockTimeout) -> int:
    """How many rows are left for the next run, which is logged."""
    group = step.group
    logger.warning("Fragments of %s, user %s, are left alone: %s", group.entity_type, group.user_id, error)
    return len(group.fragment_ids)
