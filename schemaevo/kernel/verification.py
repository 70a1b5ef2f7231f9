"""What `verify` looks at beside snapshots: every floor names its own checks in AppConfig.ready()."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass

from schemaevo.kernel.actors import Actor
from schemaevo.kernel.canonical import Json, JsonObject

#: So many findings of one check are kept; all are counted.
EXAMPLES_MAX = 20


@dataclass(frozen=True, slots=True)
class Finding:
    """Something stored that is not what it follows from: in words, and for machines."""

    in_words: str
    said: JsonObject


@dataclass(frozen=True, slots=True)
class VerifyCheck:
    """One kind of what is stored twice. `find` gives what is wrong and changes nothing; `repair` puts that right in
    somebody's name, with an audit event each, and gives what was wrong."""

    kind: str
    find: Callable[[], Iterable[Finding]]
    repair: Callable[[Actor], Iterable[Finding]]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one check found."""

    kind: str
    divergent: int
    repaired: int
    examples: tuple[Finding, ...]

    def to_json(self) -> JsonObject:
        """The counts, and the first findings."""
        examples: list[Json] = [finding.said for finding in self.examples]
        return {"divergent": self.divergent, "repaired": self.repaired, "examples": examples}


_checks: dict[str, VerifyCheck] = {}


def verify_check(check: VerifyCheck) -> None:
    """The check is part of `verify`, and of its periodic job. Called in AppConfig.ready()."""
    if _checks.setdefault(check.kind, check) != check:
        raise ValueError(f"The check {check.kind} is already registered otherwise.")


def checks_run(*, repair_as: Actor | None = None) -> list[Outcome]:
    """What every check found, by kind. Nothing is put right unless it is said in whose name.

    Raises: Denied for whom that is not allowed.
    """
    return [_run(_checks[kind], repair_as) for kind in sorted(_checks)]


def outcomes_json(outcomes: Collection[Outcome]) -> JsonObject:
    """As results hold them: by kind."""
    return {outcome.kind: outcome.to_json() for outcome in outcomes}


def _run(check: VerifyCheck, repair_as: Actor | None) -> Outcome:
    count = 0
    examples: list[Finding] = []
    for finding in check.find() if repair_as is None else check.repair(repair_as):
        count += 1
        if count <= EXAMPLES_MAX:
            examples.append(finding)
    return Outcome(check.kind, count, 0 if repair_as is None else count, tuple(examples))
