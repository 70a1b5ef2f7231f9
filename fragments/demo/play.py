"""The demo's steps in their order, each done once, and each as long ago as it is to seem."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Final, TextIO

from fragments.demo import proposals, quotas, recommendations, repositories, schemas
from fragments.demo.cast import Cast, cast_call
from fragments.demo.past import Doings
from fragments.services.field_growth import GROWTH
from schemaevo.kernel.actors import Actor
from schemaevo.kernel.audit import audit_record
from schemaevo.kernel.figure_runs import COUNT_DAYS
from schemaevo.kernel.jobs import job_request
from schemaevo.kernel.models import AuditEvent
from schemaevo.kernel.pause import refuse_while_paused
from schemaevo.kernel.verification import Extent
from schemaevo.kernel.verification_runs import verification_make

#: How many of each kind a verification of the demo compares.
VERIFIED: Final = 300
DONE: Final = "demo.step"
#: They tell of every start and end, and of the quota that is used up on purpose.
TALKING: Final = ("schemaevo.kernel.job_log", "fragments.services.enhancement")


@dataclass(frozen=True, slots=True)
class Step:
    """Something that was done with the store, its name in the audit log, and how long ago it is to seem."""

    name: str
    do: Callable[[Cast, Doings], None]
    ago: timedelta


def demo_play(out: TextIO) -> int:
    """Every step of the demo has been done; gives how many of them were done now.

    Raises: Conflict `paused`; JobsLeft; and whatever a service refuses.
    """
    done = set(AuditEvent.objects.filter(target_type="demo", action=DONE).values_list("target_id", flat=True))
    left = [step for step in steps(out) if step.name not in done]
    if not left:
        return 0
    refuse_while_paused()
    cast = cast_call()
    for step in left:
        doings = Doings()
        with _quiet():
            step.do(cast, doings)
        doings.move_back(step.ago)
        audit_record(
            actor=Actor.system("demo"), action=DONE, target_type="demo", target_id=step.name, after={}
        )
    return len(left)


def demo_count(*, at_once: bool) -> None:
    """What the first page tells of days, and of fields that gain owners, is owed, or known already.

    Else it would tell of what there was before the demo, for as long as such a count is fresh. Raises: JobsLeft.
    """
    for kind in (COUNT_DAYS, GROWTH):
        job_request(kind=kind)
    if at_once:
        with _quiet():
            Doings().work()


@contextmanager
def _quiet() -> Iterator[None]:
    """What a worker would print of its jobs is kept in their logs alone."""
    loggers = [logging.getLogger(name) for name in TALKING]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)


def steps(out: TextIO) -> list[Step]:
    """What happens in the demo, the oldest first."""

    def step(name: str, do: Callable[[Cast, Doings], None], *, days: int, hours: int = 0) -> Step:
        return Step(name, do, timedelta(days=days, hours=hours))

    return [
        step("repositories", partial(repositories.repositories_load, out=out), days=24),
        step("first verification", _verify, days=23, hours=2),
        step("broken file", partial(repositories.broken_file_arrives, out=out), days=22, hours=5),
        step("extensions", schemas.extensions_begin, days=21),
        step("quotas", quotas.quotas_fill, days=18, hours=3),
        step("contested field", schemas.contested_field_becomes_global, days=16, hours=1),
        step("second verification", _verify, days=15),
        step("refusals", recommendations.refusals_say, days=14),
        step("promotion", recommendations.promotions_make, days=13, hours=4),
        step("promotion taken back", recommendations.promotions_undo, days=12),
        step("promotions by themselves", recommendations.enhancement_runs, days=10, hours=6),
        step("proposal applied", proposals.proposal_goes_through, days=8, hours=2),
        step("third verification", _verify, days=7),
        step("recomputation", repositories.recomputation_ends, days=6, hours=7),
        step("dropped field", schemas.dropped_field_goes, days=4, hours=3),
        step("fourth verification", _verify, days=3),
        step("quota requests", quotas.quota_requests_ask, days=2),
        step("proposals", proposals.proposals_wait, days=1, hours=4),
        step("paused recomputation", repositories.recomputation_rests, days=0, hours=2),
        step("fifth verification", _verify, days=0, hours=1),
    ]


def _verify(cast: Cast, doings: Doings) -> None:
    """A sample of all that is stored twice was compared."""
    verification = verification_make(extent=Extent(VERIFIED), actor=cast.operator)
    doings.verifications.add(verification.id)
