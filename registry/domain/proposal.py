"""What may be done about a proposal in which state, and what becomes of it: one table, for every door.

The database knows the same moves (sql/0015_schema_proposals_v1.sql); a test compares them.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final


class State(StrEnum):
    """Where a proposal stands."""

    DRAFT = "draft"
    IN_REVIEW = "in_review"
    CHANGES_REQUESTED = "changes_requested"
    APPROVED = "approved"
    APPLIED = "applied"
    UNDONE = "undone"
    """It was applied, and the version before it is in force again."""
    REJECTED = "rejected"
    WITHDRAWN = "withdrawn"
    EXPIRED = "expired"
    STALE = "stale"
    """Another version than the one it changes is in force by now."""
    FAILED = "failed"
    """Applying it was refused."""


class Action(StrEnum):
    """What somebody, or the system, does about a proposal."""

    EDIT = "edit"
    SUBMIT = "submit"
    APPROVE = "approve"
    REQUEST_CHANGES = "request_changes"
    REJECT = "reject"
    WITHDRAW = "withdraw"
    REBASE = "rebase"
    COMMENT = "comment"
    TRY = "try"
    APPLY = "apply"
    FAIL = "fail"
    """The system notes that applying it was refused."""
    UNDO = "undo"
    TRY_UNDO = "try_undo"
    EXPIRE = "expire"
    OUTDATE = "outdate"
    """The system notes that another version came into force."""


#: States in which something may still come of a proposal.
OPEN: Final[tuple[State, ...]] = (
    State.DRAFT,
    State.IN_REVIEW,
    State.CHANGES_REQUESTED,
    State.APPROVED,
    State.STALE,
    State.FAILED,
)

_REVIEWED: Final = (State.IN_REVIEW, State.APPROVED, State.FAILED)
_CURRENT: Final = (State.DRAFT, State.IN_REVIEW, State.CHANGES_REQUESTED, State.APPROVED, State.FAILED)


def _staying(*states: State) -> dict[State, State]:
    return {state: state for state in states}


#: What each action makes of each state that it is allowed in. One approval of several leaves a proposal in review.
MOVES: Final[Mapping[Action, Mapping[State, State]]] = {
    Action.EDIT: {
        **_staying(State.DRAFT, State.IN_REVIEW, State.CHANGES_REQUESTED),
        # Other content than was approved: it has to be looked at again.
        State.APPROVED: State.IN_REVIEW,
        State.FAILED: State.IN_REVIEW,
    },
    Action.SUBMIT: {State.DRAFT: State.IN_REVIEW, State.CHANGES_REQUESTED: State.IN_REVIEW},
    Action.APPROVE: {State.IN_REVIEW: State.APPROVED},
    Action.REQUEST_CHANGES: dict.fromkeys(_REVIEWED, State.CHANGES_REQUESTED),
    Action.REJECT: dict.fromkeys(_REVIEWED, State.REJECTED),
    Action.WITHDRAW: dict.fromkeys(OPEN, State.WITHDRAWN),
    Action.REBASE: {State.STALE: State.DRAFT},
    Action.COMMENT: _staying(*State),
    Action.TRY: _staying(*_CURRENT),
    Action.APPLY: {State.APPROVED: State.APPLIED, State.FAILED: State.APPLIED},
    Action.FAIL: {State.APPROVED: State.FAILED, State.FAILED: State.FAILED},
    Action.UNDO: {State.APPLIED: State.UNDONE},
    Action.TRY_UNDO: _staying(State.APPLIED),
    Action.EXPIRE: dict.fromkeys((*_REVIEWED, State.CHANGES_REQUESTED, State.STALE), State.EXPIRED),
    Action.OUTDATE: dict.fromkeys(_CURRENT, State.STALE),
}

#: Actions by which a login decides.
VERDICTS: Final = frozenset({Action.APPROVE, Action.REQUEST_CHANGES, Action.REJECT})


def refusal_code(action: Action, state: State) -> str | None:
    """The code of the refusal, None where the action is allowed.

    `already_decided` where somebody decided, applied or undid before; `not_in_review` where there is nothing to decide
    yet; else `wrong_state`.
    """
    if state in MOVES[action]:
        return None
    if action in VERDICTS and state in (State.DRAFT, State.STALE):
        return "not_in_review"
    if action in VERDICTS and state is State.CHANGES_REQUESTED:
        return "already_decided"
    is_decision = action in VERDICTS or action in (Action.APPLY, Action.UNDO)
    ended = (State.APPROVED, State.APPLIED, State.UNDONE, State.REJECTED, State.WITHDRAWN, State.EXPIRED)
    if is_decision and state in ended and not (action is Action.UNDO and state is State.APPROVED):
        return "already_decided"
    return "wrong_state"
