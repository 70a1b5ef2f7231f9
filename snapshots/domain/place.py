"""Where a worker is in a run of recomputation: which pass, and which owners are still to come in it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from schemaevo.kernel.canonical import Json


class Pass(StrEnum):
    """How a pass goes through the owners."""

    #: Those with the newest observations, newest first, so that what people look at is right first.
    NEWEST = "newest"
    #: Everybody, passing over what other workers have in their hands.
    ALL = "all"
    #: Everybody, waiting for what other workers have in their hands. A run ends when this finds nothing.
    LAST = "last"


@dataclass(frozen=True, slots=True)
class Place:
    """A place in a run, kept as the cursor of its job.

    `since` is when the run began, as ISO 8601 by the database's clock: what failed from then on is not tried again in
    it. `newest` are the owners of the first pass that are still to come, `after` in the others the owner up to whom
    nothing is left. `has_found` tells that this pass found something to do.
    """

    since: str
    turn: Pass
    newest: tuple[int, ...] = ()
    after: int = 0
    has_found: bool = False

    @property
    def skips(self) -> bool:
        """Whether what other workers have in their hands is passed over."""
        return self.turn is not Pass.LAST

    def beyond(self, owners: int, last: int) -> Place:
        """The place once that many owners, of whom `last` is the last, are done with."""
        if self.turn is Pass.NEWEST:
            return replace(self, newest=self.newest[owners:])
        return replace(self, after=last)

    def again(self) -> Place:
        """The beginning of a pass over everybody."""
        return Place(self.since, Pass.ALL)

    def next_pass(self) -> Place | None:
        """Where the next pass begins, this one being over; None where nothing is left to do.

        Everybody is gone through again until nothing is found but what others have, and then once more, waiting for
        them: only what they could not do, or did not live to do, is found then.
        """
        if self.turn is Pass.NEWEST or self.has_found:
            return self.again()
        return Place(self.since, Pass.LAST) if self.turn is Pass.ALL else None

    def to_json(self) -> Json:
        """The place as a cursor."""
        return {
            "since": self.since,
            "pass": self.turn.value,
            "newest": [*self.newest],
            "after": self.after,
            "found": self.has_found,
        }

    @classmethod
    def from_json(cls, cursor: Json) -> Place | None:
        """The place that a cursor names; None where there is none, or one of another release."""
        match cursor:
            case {
                "since": str(since),
                "pass": str(turn),
                "newest": [*newest],
                "after": int(after),
                "found": bool(found),
            }:
                owners = tuple(owner for owner in newest if isinstance(owner, int))
                return cls(since, Pass(turn), owners, after, found)
            case _:
                return None
