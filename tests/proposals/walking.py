"""The walk through one cell of the table of proposals, by any door."""

from __future__ import annotations

from collections import Counter

from registry.domain.proposal import Action
from registry.models_proposals import Proposal
from tests.factories import make_compatibility
from tests.proposals.making import make_admin, make_base, make_in
from tests.proposals.table import BY_AUTHOR, BY_SYSTEM, Cell, Door
from tests.registry.trail import audited


def rows(proposal: Proposal) -> Counter[str]:
    """How many rows there are about the proposal."""
    return Counter(
        decisions=proposal.decisions.count(),
        comments=proposal.comments.count(),
        trials=proposal.trials.count(),
    )


def columns(proposal: Proposal) -> dict[str, object]:
    return dict(Proposal.objects.filter(pk=proposal.pk).values().get())


def walk(door: Door, cell: Cell) -> None:
    """What the cell says comes of its action, as somebody who neither wrote the proposal nor decided about it before,
    or as its author where only they may; and the audit log says so. A refusal changes nothing."""
    make_base()
    make_compatibility()
    author, decider, somebody = make_admin(), make_admin(), make_admin()
    proposal = make_in(cell.state, author=author, decider=decider)
    before, counted = columns(proposal), rows(proposal)
    with audited() as events:
        code = door.perform(cell.action, proposal, author if cell.action in BY_AUTHOR else somebody)
    assert code == cell.code
    after = columns(proposal)
    assert after["state"] == cell.after
    assert rows(proposal) == counted + Counter(cell.rows)
    ours = [event for event in events if event.action.startswith("proposal.")]
    if cell.code or cell.is_nothing:
        # An end that has passed was set for the test.
        assert {**after, "expires_at": None} == {**before, "expires_at": None}
        assert ours == []
        return
    [event] = ours
    assert event.action == f"proposal.{cell.action}"
    assert event.target_id == str(proposal.pk)
    if cell.action not in BY_SYSTEM:
        assert event.actor == (author if cell.action in BY_AUTHOR else somebody)
    if cell.action not in (Action.COMMENT, Action.TRY):
        assert isinstance(event.before, dict)
        assert isinstance(event.after, dict)
        assert (event.before["state"], event.after["state"]) == (cell.state, cell.after)
