"""What comes of every action in every state, as one table. Every door is held to it: services, commands, pages.

It is written down here once more, and not taken from `registry.domain.proposal`: what the code says has to agree.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Protocol

from registry.domain.proposal import Action, State
from registry.models_proposals import Proposal
from schemaevo.kernel.models import User

_STATES: Final = (
    State.DRAFT,
    State.IN_REVIEW,
    State.CHANGES_REQUESTED,
    State.APPROVED,
    State.FAILED,
    State.STALE,
    State.APPLIED,
    State.UNDONE,
    State.REJECTED,
    State.WITHDRAWN,
    State.EXPIRED,
)

# In the order of _STATES: `>` and the state after, `=` where it stays, else the code of the refusal: W is wrong_state,
# N not_in_review, D already_decided. `-` is what is left as it is without a refusal. `try` stands for TRY_UNDO as well:
# of what is applied, undoing it is tried.
_ACTIONS: Final = """
    edit             =      =                  =                  >in_review         >in_review         W          W        W  W  W  W
    submit           >in_review W              >in_review         W                  W                  W          W        W  W  W  W
    approve          N      >approved          D                  D                  W                  N          D        D  D  D  D
    request_changes  N      >changes_requested D                  >changes_requested >changes_requested N          D        D  D  D  D
    reject           N      >rejected          D                  >rejected          >rejected          N          D        D  D  D  D
    withdraw         >withdrawn >withdrawn     >withdrawn         >withdrawn         >withdrawn         >withdrawn W        W  W  -  W
    rebase           W      W                  W                  W                  W                  >draft     W        W  W  W  W
    comment          =      =                  =                  =                  =                  =          =        =  =  =  =
    try              =      =                  =                  =                  =                  W          =        W  W  W  W
    apply            W      W                  W                  >applied           >applied           W          D        D  D  D  D
    undo             W      W                  W                  W                  W                  W          >undone  D  D  D  D
    expire           -      >expired           >expired           >expired           >expired           >expired   -        -  -  -  -
    outdate          >stale >stale             >stale             >stale             >stale             -          -        -  -  -  -
"""  # noqa: E501

_CODES: Final = {"W": "wrong_state", "N": "not_in_review", "D": "already_decided"}

#: Who acts, beside the author and whoever decided before: the author where it has to be them.
BY_AUTHOR: Final = frozenset({Action.WITHDRAW})
#: Actions of the system: nobody is refused, what is not to be touched stays.
BY_SYSTEM: Final = frozenset({Action.EXPIRE, Action.OUTDATE})

#: The rows that an action writes beside the proposal's own and the audit log's.
ROWS: Final[dict[Action, dict[str, int]]] = {
    Action.APPROVE: {"decisions": 1},
    Action.REQUEST_CHANGES: {"decisions": 1},
    Action.REJECT: {"decisions": 1},
    Action.COMMENT: {"comments": 1},
    Action.TRY: {"trials": 1},
}


@dataclass(frozen=True)
class Cell:
    """What comes of one action in one state: the state after, or the code of the refusal.

    Nothing at all is written where it `is_nothing`, though nobody is refused.
    """

    action: Action
    state: State
    after: State
    code: str | None = None
    is_nothing: bool = False

    def __str__(self) -> str:
        return f"{self.action}-{self.state}"

    @property
    def rows(self) -> dict[str, int]:
        return {} if self.code or self.is_nothing else ROWS.get(self.action, {})


def _cells() -> Iterator[Cell]:
    for line in _ACTIONS.strip().splitlines():
        name, *outcomes = line.split()
        for state, outcome in zip(_STATES, outcomes, strict=True):
            action = Action(name)
            if outcome.startswith(">"):
                yield Cell(action, state, State(outcome[1:]))
            elif outcome in _CODES:
                yield Cell(action, state, state, _CODES[outcome])
            else:
                yield Cell(action, state, state, is_nothing=outcome != "=")


CELLS: Final[tuple[Cell, ...]] = tuple(_cells())


class Door(Protocol):
    """A way to act on proposals. `perform` gives the code that it was refused with, None where it was done."""

    @property
    def actions(self) -> frozenset[Action]:
        """What can be done through it."""

    def perform(self, action: Action, proposal: Proposal, actor: User) -> str | None:
        """Does it as that login; an edit adds a field, a verdict is about what the proposal says now."""
