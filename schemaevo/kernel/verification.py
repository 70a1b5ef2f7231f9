"""What `verify` compares: every floor names its own checks in AppConfig.ready(), each gone through look by look."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import TypeAlias

from django.utils.functional import Promise

from schemaevo.kernel.actors import Actor
from schemaevo.kernel.canonical import Json, JsonObject
from schemaevo.kernel.errors import Invalid
from schemaevo.kernel.models import VerifyScope

#: So many findings of one check are kept; all are counted.
EXAMPLES_MAX = 20

Text: TypeAlias = "str | Promise"


@dataclass(frozen=True, slots=True)
class Extent:
    """How much is compared: about `size` from random places, or all where there is none; of a target, or everywhere."""

    size: int | None = None
    target: str = ""

    @property
    def scope(self) -> VerifyScope:
        """As the history names it."""
        return VerifyScope.ALL if self.size is None else VerifyScope.SAMPLE

    def to_json(self) -> JsonObject:
        """As cursors and the audit log hold it."""
        return {"size": self.size, "target": self.target}

    @classmethod
    def from_json(cls, said: JsonObject) -> Extent:
        """What `to_json` gave."""
        size = said["size"]
        return cls(size if isinstance(size, int) else None, str(said["target"]))


@dataclass(frozen=True, slots=True)
class Finding:
    """Something stored that is not what it follows from: in words, and for machines by ids alone."""

    in_words: str
    said: JsonObject


class Repair(Enum):
    """What came of repairing one finding."""

    DONE = "done"
    #: It was right when it was looked at again, under its lock: somebody else has repaired it.
    NOT_NEEDED = "not_needed"
    #: What it follows from is not there any more, or cannot be read.
    IMPOSSIBLE = "impossible"


@dataclass(frozen=True, slots=True)
class Look:
    """What one short look compared, and the place where the next begins; None when all was looked at.

    What `waits` is known to be outdated, and was not compared.
    """

    checked: int
    findings: Sequence[Finding]
    place: Json
    waiting: int = 0


@dataclass(frozen=True, slots=True)
class VerifyCheck:
    """One kind of what is stored twice.

    `look` goes on from a place (None at the beginning) and changes nothing. `repair` puts one finding right in
    somebody's name, in a transaction of its own, with an audit event; a kind without it can only be told. `count` says
    about how much there is to look at, and is bounded where the extent is.
    """

    kind: str
    label: Text
    look: Callable[[Extent, Json], Look]
    count: Callable[[Extent], int]
    repair: Callable[[Actor, Finding], Repair] | None = None
    #: Whether it compares a sample where one is asked for; else it always compares all.
    has_samples: bool = False
    #: Whether it can be narrowed to a target.
    has_targets: bool = False

    def extent(self, wanted: Extent) -> Extent:
        """What it compares of what is wanted."""
        return wanted if self.has_samples else replace(wanted, size=None)


@dataclass(frozen=True, slots=True)
class Tally:
    """What the looks of one check have come to until now."""

    checked: int = 0
    waiting: int = 0
    divergent: int = 0
    repaired: int = 0
    seconds: float = 0.0
    examples: tuple[Finding, ...] = field(default=())

    @property
    def left(self) -> int:
        """How much of what diverged was left as it is."""
        return self.divergent - self.repaired

    def with_look(self, look: Look, findings: Sequence[Finding], *, repaired: int, seconds: float) -> Tally:
        """One look more. `findings` are those of its findings that were not right by themselves meanwhile."""
        return Tally(
            checked=self.checked + look.checked,
            waiting=self.waiting + look.waiting,
            divergent=self.divergent + len(findings),
            repaired=self.repaired + repaired,
            seconds=self.seconds + seconds,
            examples=(*self.examples, *findings)[:EXAMPLES_MAX],
        )

    def counts(self) -> JsonObject:
        """The counts alone."""
        return {
            "checked": self.checked,
            "waiting": self.waiting,
            "divergent": self.divergent,
            "repaired": self.repaired,
        }

    def told(self) -> list[Json]:
        """The first findings, as the history and results hold them."""
        return [finding.said for finding in self.examples]

    def to_json(self) -> JsonObject:
        """The counts, and the first findings: as results and cursors hold them."""
        return {**self.counts(), "examples": self.told()}


_checks: dict[str, VerifyCheck] = {}


def verify_check(check: VerifyCheck) -> None:
    """The check is part of `verify`, and of its periodic job. Called in AppConfig.ready()."""
    if _checks.setdefault(check.kind, check) != check:
        raise ValueError(f"The check {check.kind} is already registered otherwise.")


def verify_checks() -> dict[str, VerifyCheck]:
    """All checks by kind, in the order in which they are gone through."""
    return {kind: _checks[kind] for kind in sorted(_checks)}


def checks_for(extent: Extent, kinds: Iterable[str] | None = None) -> list[VerifyCheck]:
    """The checks of these kinds, or all that can be narrowed as wanted.

    Raises: Invalid `unknown_kind`, `kind_has_no_targets`.
    """
    checks = verify_checks()
    if kinds is None:
        return [check for check in checks.values() if check.has_targets or not extent.target]
    wanted = sorted(set(kinds))
    for kind in wanted:
        if kind not in checks:
            known = ", ".join(checks)
            raise Invalid(
                "unknown_kind", f"Nothing of the kind {kind} is verified; there are {known}.", kind=kind
            )
        if extent.target and not checks[kind].has_targets:
            raise Invalid(
                "kind_has_no_targets",
                f"Of {kind} all is compared, and not what belongs to {extent.target}.",
                kind=kind,
            )
    return [checks[kind] for kind in wanted]
