"""Pattern analysis: what many users do becomes draft proposals for the global schema, one entity type after the other.

Looking takes long and locks nothing; what was found is written in short steps, under the lock that keeps the version
in force where it is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final

from django.db import transaction

from fragments.selectors_patterns import Candidate, Patterns, patterns_of
from fragments.selectors_usage import entity_types_used
from registry.services.proposals import PROPOSE
from registry.services.proposals_found import (
    ANALYSIS,
    Outcome,
    entity_types_found,
    proposal_faded,
    proposal_found,
    proposals_found_open,
)
from schemaevo.kernel.actors import Actor
from schemaevo.kernel.canonical import Json, JsonObject
from schemaevo.kernel.errors import DomainError
from schemaevo.kernel.jobs import Lease
from schemaevo.kernel.locks import LockSpace, hold

#: Candidates that are written in one transaction.
CANDIDATES_PER_STEP: Final = 50
#: Conflicts that the result of a run lists.
CONFLICTS_MAX: Final = 100
#: Outcomes beside those of a candidate: its field fell below the rules, or the registry refused its edits.
FADED: Final = "faded"
REFUSED: Final = "refused"


@dataclass(frozen=True, slots=True)
class Proposed:
    """What came of one candidate. `refusal` says why the registry refused its edits."""

    candidate: Candidate
    proposal_id: int | None
    outcome: str
    refusal: DomainError | None = None

    def to_json(self) -> JsonObject:
        """As results hold it."""
        evidence = self.candidate.evidence
        told: JsonObject = {
            "field": self.candidate.subject,
            "pattern": evidence["pattern"],
            "outcome": self.outcome,
            "proposal": self.proposal_id,
            "eligible": self.candidate.is_eligible,
            "users": evidence["users"],
        }
        return told if self.refusal is None else {**told, "error": self.refusal.code}


def entity_types_analysed() -> list[str]:
    """The entity types that an analysis looks at, by name: those that users have fields of, and those of which it has
    found something before. Two queries."""
    return sorted({*entity_types_used(), *entity_types_found()})


def patterns_look(*, entity_type: str) -> Patterns:
    """What users do with the fields of the type, and what is to be said now of what was found before. Only looks."""
    return patterns_of(entity_type=entity_type, known=proposals_found_open(entity_type=entity_type))


@transaction.atomic
def candidates_propose(*, entity_type: str, candidates: Sequence[Candidate], actor: Actor) -> list[Proposed]:
    """There is an open proposal about each eligible candidate, but for what was dismissed; where there is one about
    another candidate its evidence says so. Gives what came of each. The same once more changes nothing.

    What the registry refuses of one does not cost the others. Raises: Denied; LockTimeout.
    """
    actor.require(PROPOSE)
    # Before any row, and outside of the savepoints below, whose rollback would give it back.
    hold(LockSpace.SCHEMA_TYPE, [(entity_type,)], shared=True)
    return [_propose(entity_type, candidate, actor) for candidate in candidates]


def _propose(entity_type: str, candidate: Candidate, actor: Actor) -> Proposed:
    if not candidate.is_eligible:
        faded = proposal_faded(
            entity_type=entity_type, subject=candidate.subject, evidence=candidate.evidence, actor=actor
        )
        is_changed = faded.outcome is Outcome.REFRESHED
        return Proposed(candidate, faded.proposal_id, FADED if is_changed else faded.outcome.value)
    try:
        with transaction.atomic():
            found = proposal_found(
                entity_type=entity_type,
                subject=candidate.subject,
                title=candidate.title,
                reason=candidate.reason,
                edits=candidate.edits,
                evidence=candidate.evidence,
                actor=actor,
            )
    except DomainError as refusal:
        return Proposed(candidate, None, REFUSED, refusal)
    return Proposed(candidate, found.proposal_id, found.outcome.value)


@dataclass(frozen=True, slots=True)
class _Course:
    """How far a run has got, kept as the cursor of its job: all types up to `entity_type` are done, and of that one the
    fields up to `field`; None where it is done, too."""

    entity_type: str = ""
    field: str | None = None
    counts: JsonObject | None = None
    conflicts: tuple[Json, ...] = ()

    def is_before(self, entity_type: str) -> bool:
        """Whether something of the type is still to do."""
        return entity_type > self.entity_type or (entity_type == self.entity_type and self.field is not None)

    def beyond(self, entity_type: str, proposed: Sequence[Proposed]) -> _Course:
        """The course once these are done, which are not the last of their type."""
        counted = Counter(one.outcome for one in proposed)
        return _Course(
            entity_type, proposed[-1].candidate.subject, _added(self.counts, counted), self.conflicts
        )

    def through(self, patterns: Patterns) -> _Course:
        """The course once the whole type is done."""
        conflicts: list[Json] = [
            {"entity_type": patterns.entity_type, **one.to_json()} for one in patterns.conflicts
        ]
        counts = _added(self.counts, {"types": 1, "conflicts": len(conflicts)})
        listed = (*self.conflicts, *conflicts)[:CONFLICTS_MAX]
        return _Course(patterns.entity_type, None, counts, listed)

    def left(self, patterns: Patterns) -> list[Candidate]:
        """The candidates of the type that are still to be written."""
        is_begun = patterns.entity_type == self.entity_type and self.field is not None
        return [one for one in patterns.candidates if not is_begun or one.subject > str(self.field)]

    def to_json(self) -> Json:
        """The course as a cursor."""
        return {
            "entity_type": self.entity_type,
            "field": self.field,
            "counts": self.counts or {},
            "conflicts": list(self.conflicts),
        }

    @classmethod
    def from_json(cls, cursor: Json) -> _Course:
        """The course that a cursor names; from the beginning where there is none, or one of another release."""
        match cursor:
            case {
                "entity_type": str(entity_type),
                "field": None | str() as field,
                "counts": dict(counts),
                "conflicts": list(conflicts),
            }:
                return cls(entity_type, field, counts, tuple(conflicts))
            case _:
                return cls()


def analysis_run(lease: Lease) -> JsonObject:
    """Every entity type was looked at, and what was found in it is proposed. Nothing is done while fragments are being
    counted anew, and the result says so."""
    course = _Course.from_json(lease.cursor)
    for entity_type in filter(course.is_before, entity_types_analysed()):
        lease.renew()
        patterns = patterns_look(entity_type=entity_type)
        if not patterns.is_certain:
            return {"skipped": "the fragments are being counted", **_result(course)}
        for step in _in_steps(course.left(patterns)):
            with lease.batch() as batch:
                proposed = candidates_propose(
                    entity_type=entity_type, candidates=step, actor=Actor.system(ANALYSIS)
                )
                done = course.beyond(entity_type, proposed)
                batch.done(len(proposed))
                batch.cursor = done.to_json()
            course = done
        done = course.through(patterns)
        with lease.batch() as batch:
            batch.cursor = done.to_json()
        course = done
    return _result(course)


def _result(course: _Course) -> JsonObject:
    return {**(course.counts or {}), "conflicts_listed": list(course.conflicts)}


def _added(counts: JsonObject | None, more: dict[str, int] | Counter[str]) -> JsonObject:
    total = Counter({name: count for name, count in (counts or {}).items() if isinstance(count, int)})
    for name, count in more.items():
        total[name] += count
    return dict(total)


def _in_steps(candidates: Sequence[Candidate]) -> Iterator[list[Candidate]]:
    left = iter(candidates)
    while step := list(islice(left, CANDIDATES_PER_STEP)):
        yield step
