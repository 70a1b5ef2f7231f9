"""Verifications: every check gone through to its end, by the periodic job or by a command, and kept as history.

A row of the history is written when its kind was gone through, in the transaction of the last look; until then what
was found is in the cursor of the job, or in the memory of the command. So one that dies leaves whole rows or none.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal

from django.conf import settings
from django.db import connection, transaction
from django.utils import timezone

from schemaevo.kernel.actors import Actor
from schemaevo.kernel.audit import audit_record
from schemaevo.kernel.canonical import Json, JsonObject, exact_number
from schemaevo.kernel.jobs import Lease, job_kind
from schemaevo.kernel.models import JobQueue, VerifyOutcome
from schemaevo.kernel.retention import Ledger, ledger_register
from schemaevo.kernel.verification import (
    Extent,
    Finding,
    Look,
    Repair,
    Tally,
    VerifyCheck,
    checks_for,
    verify_checks,
)

#: The job kind. Its name is older than the checks of anything but snapshots.
VERIFY = "verify_snapshots"


@dataclass(frozen=True, slots=True)
class Verification:
    """One verification, as far as it has come: what is still to be compared, what was found.

    `kinds` are those that are left; `place` and `tally` are of the first of them.
    """

    id: uuid.UUID
    began_at: datetime
    extent: Extent
    kinds: tuple[str, ...]
    place: Json
    tally: Tally
    done: tuple[tuple[str, Tally], ...] = ()

    @property
    def check(self) -> VerifyCheck | None:
        """What is gone through now; None when all was."""
        return verify_checks()[self.kinds[0]] if self.kinds else None

    @property
    def left(self) -> int:
        """How much of what diverged was left as it is, over all kinds."""
        return sum(tally.left for _, tally in self.done)

    def after_look(self, look: Look, tally: Tally) -> Verification:
        """The next place: behind the look, or at the beginning of the next kind."""
        if look.place is not None:
            return replace(self, place=look.place, tally=tally)
        done = (*self.done, (self.kinds[0], tally))
        return replace(self, kinds=self.kinds[1:], place=None, tally=Tally(), done=done)

    def to_json(self) -> JsonObject:
        """As the cursor of a job."""
        return {
            "verification": str(self.id),
            "began_at": self.began_at.isoformat(),
            "extent": self.extent.to_json(),
            "kinds": [*self.kinds],
            "place": self.place,
            "tally": _tally_json(self.tally),
            "done": [[kind, _tally_json(tally)] for kind, tally in self.done],
        }

    @classmethod
    def from_json(cls, cursor: Json) -> Verification | None:
        """What a cursor holds, if it holds one. A kind that is not verified any more is passed over."""
        match cursor:
            case {
                "verification": str(identity),
                "began_at": str(began_at),
                "extent": dict(extent),
                "kinds": list(kinds),
                "place": place,
                "tally": dict(tally),
                "done": list(done),
            }:
                known = tuple(str(kind) for kind in kinds if kind in verify_checks())
                is_same = bool(known) and known[0] == kinds[0]
                return cls(
                    id=uuid.UUID(identity),
                    began_at=datetime.fromisoformat(began_at),
                    extent=Extent.from_json(extent),
                    kinds=known,
                    place=place if is_same else None,
                    tally=_tally_of(tally) if is_same else Tally(),
                    done=tuple((str(kind), _tally_of(of_kind)) for kind, of_kind in _pairs(done)),
                )
            case _:
                return None


def verification_begun(extent: Extent, kinds: Collection[str] | None = None) -> Verification:
    """A verification in which nothing was compared yet. Raises: Invalid, as `checks_for`."""
    checks = checks_for(extent, kinds)
    return Verification(
        id=uuid.uuid4(),
        began_at=timezone.now(),
        extent=extent,
        kinds=tuple(check.kind for check in checks),
        place=None,
        tally=Tally(),
    )


def verification_make(
    *,
    extent: Extent,
    actor: Actor,
    kinds: Collection[str] | None = None,
    is_repair: bool = False,
    is_dry_run: bool = False,
    on_look: Callable[[int], object] = lambda count: None,
) -> Verification:
    """Everything in the extent was compared, here and now, and the history has it.

    With `is_repair` what diverged and can be repaired is; the audit log has each repair, and at the end who repaired
    how much of which kinds. A dry run looks, and writes nothing. `on_look` is told how much each look compared.
    Raises: Denied; Invalid, as `checks_for`.
    """
    actor.require("kernel.control_job")
    verification = verification_begun(extent, kinds)
    repair_as = actor if is_repair and not is_dry_run else None
    while (check := verification.check) is not None:
        began = time.monotonic()
        look = check.look(check.extent(extent), verification.place)
        findings, repaired = list(look.findings), 0
        if repair_as is not None:
            findings, repaired = _repaired(check, findings, repair_as)
        tally = verification.tally.with_look(
            look, findings, repaired=repaired, seconds=time.monotonic() - began
        )
        on_look(look.checked + look.waiting)
        if look.place is None and not is_dry_run:
            outcome_record(verification, check, tally, actor_name=actor.name, is_repair=repair_as is not None)
        verification = verification.after_look(look, tally)
    if repair_as is not None:
        _repair_audited(verification, repair_as)
    return verification


def verify_run(lease: Lease) -> JsonObject:
    """A random sample was compared, of every kind that has samples, and all of the others. Nothing is repaired.

    Divergence is an error of the job, to be seen and settled by a person.
    """
    verification = Verification.from_json(lease.cursor)
    if verification is None:
        verification = verification_begun(Extent(settings.SCHEMAEVO_VERIFY_SAMPLE))
        extent = verification.extent
        lease.set_total(sum(check.count(check.extent(extent)) for check in checks_for(extent)))
    actor_name = Actor.system(VERIFY).name
    while (check := verification.check) is not None:
        with lease.batch() as batch:
            began = time.monotonic()
            look = check.look(check.extent(verification.extent), verification.place)
            seconds = time.monotonic() - began
            tally = verification.tally.with_look(look, look.findings, repaired=0, seconds=seconds)
            if look.place is None:
                outcome_record(verification, check, tally, actor_name=actor_name, job_id=lease.job_id)
            verification = verification.after_look(look, tally)
            batch.done(look.checked + look.waiting)
            batch.cursor = verification.to_json()
    if verification.left:
        lease.mark_errors()
    return {
        "verification": str(verification.id),
        "kinds": {kind: tally.to_json() for kind, tally in verification.done},
    }


@transaction.atomic
def outcome_record(
    verification: Verification,
    check: VerifyCheck,
    tally: Tally,
    *,
    actor_name: str,
    job_id: uuid.UUID | None = None,
    is_repair: bool = False,
) -> VerifyOutcome:
    """The history has what this verification found of the kind."""
    extent = check.extent(verification.extent)
    return VerifyOutcome.objects.create(
        verification=verification.id,
        kind=check.kind,
        job_id=job_id,
        actor_name=actor_name,
        scope=extent.scope,
        target=extent.target,
        is_repair=is_repair,
        checked=tally.checked,
        waiting=tally.waiting,
        divergent=tally.divergent,
        repaired=tally.repaired,
        examples=tally.told(),
        seconds=tally.seconds,
        began_at=verification.began_at,
    )


def _repaired(check: VerifyCheck, findings: list[Finding], actor: Actor) -> tuple[list[Finding], int]:
    """The findings that did not turn out right by themselves, and how many of them are repaired now."""
    if check.repair is None:
        return findings, 0
    outcomes = [(finding, check.repair(actor, finding)) for finding in findings]
    kept = [finding for finding, outcome in outcomes if outcome is not Repair.NOT_NEEDED]
    return kept, sum(outcome is Repair.DONE for _, outcome in outcomes)


def _repair_audited(verification: Verification, actor: Actor) -> None:
    audit_record(
        actor=actor,
        action="verification.repair",
        target_type="verification",
        target_id=str(verification.id),
        after={
            **verification.extent.to_json(),
            "kinds": {kind: tally.counts() for kind, tally in verification.done},
        },
    )


def _tally_json(tally: Tally) -> JsonObject:
    return {**tally.to_json(), "seconds": exact_number(tally.seconds)}


def _tally_of(said: JsonObject) -> Tally:
    def count(name: str) -> int:
        number = said[name]
        return number if isinstance(number, int) else 0

    examples = said["examples"]
    seconds = said["seconds"]
    return Tally(
        checked=count("checked"),
        waiting=count("waiting"),
        divergent=count("divergent"),
        repaired=count("repaired"),
        seconds=float(seconds) if isinstance(seconds, (int, Decimal)) else 0.0,
        examples=tuple(
            Finding("", said)
            for said in (examples if isinstance(examples, list) else ())
            if isinstance(said, dict)
        ),
    )


def _pairs(done: list[Json]) -> list[tuple[Json, JsonObject]]:
    return [(one[0], one[1]) for one in done if isinstance(one, list) and isinstance(one[1], dict)]


# --- how long the history is kept ---------------------------------------------------------------------
# The newest of each kind stays: pages tell when it was last verified, and how that went.
_OLD = """
    SELECT id FROM verify_outcomes
      JOIN (SELECT kind, max(id) AS newest FROM verify_outcomes GROUP BY kind) AS latest USING (kind)
     WHERE finished_at < %s AND id < newest
"""


def _old_count(cutoff: datetime) -> int:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT count(*) FROM ({_OLD}) AS old", [cutoff])  # noqa: S608
        (count,) = cursor.fetchone()
    return int(count)


def _old_delete(cutoff: datetime, limit: int) -> int:
    with connection.cursor() as cursor:
        cursor.execute(
            f"DELETE FROM verify_outcomes WHERE id IN ({_OLD} ORDER BY finished_at LIMIT %s)",  # noqa: S608
            [cutoff, limit],
        )
        return int(cursor.rowcount)


def register() -> None:
    """The periodic job and the ledger of verifications are known."""
    job_kind(VERIFY, queue=JobQueue.LIFECYCLE, run=verify_run, every_s=settings.SCHEMAEVO_VERIFY_INTERVAL_S)
    ledger_register(Ledger("verify_outcomes", "SCHEMAEVO_RETENTION_DAYS_VERIFY", _old_count, _old_delete))
