"""What can go wrong with proposals, as stable codes."""

from typing import Final

from registry.domain.proposal import Action, State
from schemaevo.kernel.errors import Conflict, Denied, Invalid, NotFound


class ProposalNotFound(NotFound):
    """There is no such proposal; code `proposal_not_found`."""

    def __init__(self, proposal_id: int) -> None:
        super().__init__(
            "proposal_not_found", f"There is no proposal {proposal_id}.", proposal_id=proposal_id
        )


class WrongState(Conflict):
    """A proposal is in a state in which this cannot be done; codes as `registry.domain.proposal.refusal_code` gives
    them: `wrong_state`, `not_in_review`, `already_decided`. Context: `proposal_id`, `state`, `action`."""

    def __init__(self, proposal_id: int, state: State, action: Action, code: str = "wrong_state") -> None:
        super().__init__(
            code,
            _STATED[code].format(
                proposal=proposal_id,
                state=state.value.replace("_", " "),
                action=action.value.replace("_", " "),
            ),
            proposal_id=proposal_id,
            state=state.value,
            action=action.value,
        )


_STATED: Final = {
    "wrong_state": "Proposal {proposal} is {state}; the action {action} is not possible then.",
    "not_in_review": "Proposal {proposal} is {state}, and not in review: there is nothing to decide yet.",
    "already_decided": "Proposal {proposal} is {state} already.",
}


class OwnProposal(Denied):
    """Whoever wrote a proposal, or edited it last, does not approve it; code `own_proposal`."""

    def __init__(self, proposal_id: int) -> None:
        super().__init__(
            "own_proposal",
            f"Who wrote proposal {proposal_id}, or edited it last, cannot approve it; somebody else has to.",
            proposal_id=proposal_id,
        )


class NotOwnProposal(Denied):
    """Only its author withdraws a proposal; code `not_own_proposal`."""

    def __init__(self, proposal_id: int) -> None:
        super().__init__(
            "not_own_proposal",
            f"Only its author can withdraw proposal {proposal_id}.",
            proposal_id=proposal_id,
        )


class StaleContent(Conflict):
    """A proposal says something else by now than what was looked at; code `stale_content`.

    Context: `proposal_id`, `shown` and `present`, the hashes of the content.
    """

    def __init__(self, proposal_id: int, shown: str, present: str) -> None:
        super().__init__(
            "stale_content",
            f"Proposal {proposal_id} was edited since it was shown. Nothing was done; look at what it says now.",
            proposal_id=proposal_id,
            shown=shown,
            present=present,
        )


class NotTried(Conflict):
    """What a proposal says now was not tried on stored history, or the trial is not finished; code `not_tried`."""

    def __init__(self, proposal_id: int) -> None:
        super().__init__(
            "not_tried",
            f"What proposal {proposal_id} says now was not tried yet; try_proposal {proposal_id} does that.",
            proposal_id=proposal_id,
        )


class EmptyProposal(Invalid):
    """The edits come to what is there already; code `empty_proposal`."""

    def __init__(self, entity_type: str) -> None:
        super().__init__(
            "empty_proposal",
            f"These edits change nothing: the global schema {entity_type} says all of that already.",
            entity_type=entity_type,
        )


class StaleProposal(Conflict):
    """Another version than the one that a proposal changes is in force; code `stale_proposal`.

    Context: `proposal_id`, `present`, the number of the version in force, or None.
    """

    def __init__(self, proposal_id: int, present: str | None) -> None:
        super().__init__(
            "stale_proposal",
            f"Proposal {proposal_id} changes another version than {present or 'none'}, which is in force by now; "
            "rebase it.",
            proposal_id=proposal_id,
            present=present,
        )


class NotApproved(Conflict):
    """What a proposal says now has not enough approvals; code `not_approved`. Context: `proposal_id`, `required`."""

    def __init__(self, proposal_id: int, required: int) -> None:
        super().__init__(
            "not_approved",
            f"Proposal {proposal_id} needs {required} approval(s) of what it says now.",
            proposal_id=proposal_id,
            required=required,
        )


class LaterVersion(Conflict):
    """What a proposal put in force is so no more, so it cannot just be undone; code `later_version`.

    Context: `proposal_id`, `present`, the number of the version in force, or None.
    """

    def __init__(self, proposal_id: int, present: str | None) -> None:
        super().__init__(
            "later_version",
            f"Since proposal {proposal_id} was applied, {present or 'no version'} came into force. Undoing it would "
            "take that back as well; draft a proposal for the reverse change instead.",
            proposal_id=proposal_id,
            present=present,
        )
