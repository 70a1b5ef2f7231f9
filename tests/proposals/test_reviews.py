"""Decisions about proposals: by others than who wrote them, about what they looked at, and once."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from registry.domain.proposal import State
from registry.models_proposals import Proposal, ProposalAct, ProposalDecision, TrialState
from registry.services.proposal_reviews import proposal_approve, proposal_reject, proposal_request_changes
from registry.services.proposals import proposal_edit, proposal_submit
from schemaevo.kernel.actors import Actor
from schemaevo.kernel.models import User
from tests.factories import SHELL, make_login
from tests.proposals.making import (
    adding,
    approve,
    make_admin,
    make_approved,
    make_base,
    make_draft,
    make_submitted,
    make_trial,
)
from tests.registry.trail import audited, refused

pytestmark = pytest.mark.django_db


@pytest.fixture
def ann() -> User:
    return make_admin()


@pytest.fixture
def bob() -> User:
    return make_admin()


@pytest.fixture
def eve() -> User:
    return make_admin()


@pytest.fixture
def two(settings: Any) -> None:
    """Two have to approve."""
    settings.SCHEMAEVO_PROPOSAL_APPROVALS = 2


@pytest.fixture(autouse=True)
def base() -> None:
    make_base()


def decide(service: Any, proposal: Proposal, decider: User, note: str = "so") -> Proposal:
    decided: Proposal = service(
        proposal_id=proposal.pk,
        actor=Actor.login(decider),
        content_hash=proposal.content_hash,
        note=note,
    )
    return decided


def edit(proposal: Proposal, editor: User, *names: str) -> Proposal:
    return proposal_edit(proposal_id=proposal.pk, actor=Actor.login(editor), edits=adding(*names))  # type: ignore[arg-type]


def test_another_login_approves_what_was_tried_and_its_row_says_about_what(ann: User, bob: User) -> None:
    proposal = make_submitted(author=ann)
    with audited() as events:
        approved = decide(proposal_approve, proposal, bob, note=" fine ")
    assert approved.state == State.APPROVED
    decision = ProposalDecision.objects.get()
    assert (decision.decided_by, decision.author, decision.last_editor) == (bob, ann, None)
    assert (decision.content_hash, decision.note) == (proposal.content_hash, "fine")
    [event] = events
    assert (event.action, event.actor, event.reason) == ("proposal.approve", bob, "fine")
    assert isinstance(event.after, dict)
    assert (event.after["approvals"], event.after["required_approvals"]) == (1, 1)


def test_author_and_last_editor_do_not_approve_whatever_else_they_may(
    ann: User, bob: User, eve: User
) -> None:
    proposal = make_submitted(author=ann)
    edited = edit(proposal, bob, "weight")
    make_trial(proposal=edited)
    for own in (ann, bob):
        refused(partial(decide, proposal_approve, edited, own), "own_proposal")
    assert approve(edited, eve).state == State.APPROVED


def test_a_superuser_does_not_approve_their_own() -> None:
    root = make_login(is_superuser=True)
    proposal = make_submitted(author=root)
    refused(partial(decide, proposal_approve, proposal, root), "own_proposal")


def test_the_author_may_say_that_it_is_not_ready(ann: User) -> None:
    proposal = make_submitted(author=ann)
    assert decide(proposal_request_changes, proposal, ann).state == State.CHANGES_REQUESTED


@pytest.mark.parametrize("state", [None, TrialState.WAITING, TrialState.RUNNING, TrialState.FAILED])
def test_what_was_not_tried_to_the_end_is_not_approved(
    ann: User, bob: User, state: TrialState | None
) -> None:
    proposal = make_draft(author=ann)
    if state is not None:
        make_trial(proposal=proposal, state=state)
    # Neither a trial of something else, nor one of taking it back, is one of it.
    make_trial(proposal=proposal, content_hash="0" * 64)
    make_trial(proposal=proposal, act=ProposalAct.UNDO)
    proposal = proposal_submit(proposal_id=proposal.pk, actor=Actor.login(ann))
    refused(partial(decide, proposal_approve, proposal, bob), "not_tried")
    make_trial(proposal=proposal)
    assert approve(proposal, bob).state == State.APPROVED


def test_a_decision_is_about_what_was_looked_at(ann: User, bob: User) -> None:
    shown = make_submitted(author=ann)
    make_trial(proposal=edit(shown, ann, "weight"))
    for service in (proposal_approve, proposal_request_changes, proposal_reject):
        context = refused(partial(decide, service, shown, bob), "stale_content")
        assert context["shown"] == shown.content_hash
    assert not ProposalDecision.objects.exists()


@pytest.mark.usefixtures("two")
def test_it_is_approved_by_as_many_as_it_needs(ann: User, bob: User, eve: User) -> None:
    proposal = make_submitted(author=ann)
    assert approve(proposal, bob).state == State.IN_REVIEW
    assert approve(proposal, eve).state == State.APPROVED


@pytest.mark.usefixtures("two")
def test_one_login_counts_once_however_often_it_approves(ann: User, bob: User) -> None:
    proposal = make_submitted(author=ann)
    with audited() as events:
        for _ in range(3):
            assert approve(proposal, bob).state == State.IN_REVIEW
    assert ProposalDecision.objects.count() == len(events) == 1


def test_the_same_decision_again_is_no_refusal_and_no_second_row(ann: User, bob: User) -> None:
    for service in (proposal_approve, proposal_request_changes, proposal_reject):
        proposal = make_submitted(author=ann)
        with audited() as events:
            first, second = (decide(service, proposal, bob) for _ in range(2))
        assert (first.state, proposal.decisions.count(), len(events)) == (second.state, 1, 1)


def test_the_second_of_two_deciders_is_told_that_it_is_decided(ann: User, bob: User, eve: User) -> None:
    for service in (proposal_approve, proposal_request_changes, proposal_reject):
        proposal = make_submitted(author=ann)
        state = decide(service, proposal, bob).state
        context = refused(partial(decide, proposal_approve, proposal, eve), "already_decided")
        assert context == {"proposal_id": proposal.pk, "state": state, "action": "approve"}


@pytest.mark.usefixtures("two")
def test_an_edit_voids_approvals_even_of_content_that_comes_back(ann: User, bob: User, eve: User) -> None:
    proposal = make_submitted(author=ann)
    approve(proposal, bob)
    edit(proposal, ann, "weight")
    back = edit(proposal, ann, "size")
    assert back.content_hash == proposal.content_hash
    assert approve(back, eve).state == State.IN_REVIEW
    assert approve(back, bob).state == State.APPROVED


@pytest.mark.usefixtures("two")
def test_who_approved_and_then_edited_there_and_back_has_not_approved(
    ann: User, bob: User, eve: User
) -> None:
    proposal = make_submitted(author=ann)
    approve(proposal, bob)
    edit(proposal, bob, "weight")
    back = edit(proposal, bob, "size")
    assert approve(back, eve).state == State.IN_REVIEW
    refused(partial(approve, back, bob), "own_proposal")


@pytest.mark.usefixtures("two")
def test_who_asks_for_changes_takes_their_approval_back(ann: User, bob: User, eve: User) -> None:
    proposal = make_submitted(author=ann)
    approve(proposal, bob)
    decide(proposal_request_changes, proposal, bob)
    again = proposal_submit(proposal_id=proposal.pk, actor=Actor.login(ann))
    assert again.content_hash == proposal.content_hash
    assert approve(again, eve).state == State.IN_REVIEW


def test_what_was_approved_can_be_given_back_or_ended(ann: User, bob: User, eve: User) -> None:
    for service, state in (
        (proposal_request_changes, State.CHANGES_REQUESTED),
        (proposal_reject, State.REJECTED),
    ):
        proposal = make_approved(author=ann, decider=bob)
        assert decide(service, proposal, eve).state == state


def test_giving_back_and_rejecting_say_why(ann: User, bob: User) -> None:
    proposal = make_submitted(author=ann)
    for service in (proposal_request_changes, proposal_reject):
        refused(partial(decide, service, proposal, bob, note=" "), "note_needed")


def test_only_a_login_with_the_permission_decides(ann: User) -> None:
    proposal = make_submitted(author=ann)
    refused(partial(decide, proposal_approve, proposal, make_login(role="operator")), "permission_denied")
    refused(
        lambda: proposal_approve(proposal_id=proposal.pk, actor=SHELL, content_hash=proposal.content_hash),
        "login_needed",
    )
    refused(
        lambda: proposal_approve(proposal_id=0, actor=Actor.login(ann), content_hash=""), "proposal_not_found"
    )
