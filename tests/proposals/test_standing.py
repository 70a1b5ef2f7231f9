"""What is known about a proposal: its difference, what counts, and what it waits for, in as many queries as ever."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from registry.domain.compatibility import Mode
from registry.domain.proposal import OPEN, Action, State
from registry.errors_proposals import ProposalNotFound
from registry.models_proposals import Proposal, ProposalAct, TrialState
from registry.selectors_proposals import (
    Block,
    Ground,
    ProposalStanding,
    proposal_standing,
    proposals_list,
)
from registry.services.proposal_reviews import proposal_request_changes
from registry.services.proposals import proposal_comment, proposal_edit, proposal_submit
from schemaevo.kernel.actors import Actor
from schemaevo.kernel.models import User
from tests.factories import make_compatibility
from tests.proposals.making import (
    adding,
    approve,
    make_admin,
    make_base,
    make_draft,
    make_in,
    make_submitted,
    make_trial,
)

pytestmark = pytest.mark.django_db


@pytest.fixture
def ann() -> User:
    return make_admin()


@pytest.fixture
def bob() -> User:
    return make_admin()


def standing(proposal: Proposal) -> ProposalStanding:
    return proposal_standing(proposal_id=proposal.pk)


def edit(proposal: Proposal, editor: User, *names: str) -> Proposal:
    return proposal_edit(proposal_id=proposal.pk, actor=Actor.login(editor), edits=adding(*names))  # type: ignore[arg-type]


def test_it_tells_what_would_change_and_under_which_number(ann: User) -> None:
    base = make_base(k="string")
    found = standing(make_draft(author=ann, edits=adding("size")))
    assert (found.base, found.in_force, found.number) == (base, base, "1.1.0")
    assert found.difference.in_words == ("adds the field 'size', a string",)
    assert [one.name for one in found.sides.fields] == ["k", "size"]
    with pytest.raises(ProposalNotFound):
        proposal_standing(proposal_id=0)


def test_the_first_global_schema_is_changed_from_nothing(ann: User) -> None:
    found = standing(make_draft(author=ann))
    assert (found.base, found.in_force, found.number) == (None, None, "1.0.0")


def test_what_is_not_compatible_any_more_is_told(ann: User) -> None:
    make_base(k="string", colour={"type": "string", "required": True})
    proposal = make_draft(author=ann, edits=[{"op": "remove_field", "field": "colour"}])
    assert standing(proposal).reasons == ()
    make_compatibility(mode=Mode.FULL)
    found = standing(proposal)
    assert Block.INCOMPATIBLE in found.blocks
    assert [reason.field for reason in found.reasons] == ["colour"]


def test_decisions_tell_whether_they_count_and_why_not(ann: User, bob: User) -> None:
    make_base()
    proposal = make_submitted(author=ann)
    Proposal.objects.filter(pk=proposal.pk).update(required_approvals=2)
    approve(proposal, bob)
    [seen] = standing(proposal).decisions
    assert (seen.is_counted, seen.ground) == (True, None)
    assert standing(proposal).approvals == 1

    proposal_request_changes(
        proposal_id=proposal.pk, actor=Actor.login(bob), content_hash=proposal.content_hash, note="so"
    )
    proposal_submit(proposal_id=proposal.pk, actor=Actor.login(ann))
    first, second = standing(proposal).decisions
    assert (first.is_counted, first.ground) == (False, Ground.REVIEWED_ANEW)
    # What is no approval counts for nothing, and has no ground why.
    assert (second.is_counted, second.ground) == (False, None)

    edit(proposal, ann, "other")
    edit(proposal, ann, "size")
    assert standing(proposal).decisions[0].ground == Ground.EDITED
    assert standing(proposal).approvals == 0


@pytest.mark.parametrize(
    ("state", "blocks"),
    [
        (State.DRAFT, (Block.NOT_SUBMITTED, Block.NOT_APPROVED)),
        (State.IN_REVIEW, (Block.NOT_APPROVED,)),
        (State.CHANGES_REQUESTED, (Block.CHANGES_REQUESTED, Block.NOT_APPROVED)),
        (State.APPROVED, ()),
        (State.FAILED, ()),
        (State.STALE, (Block.STALE, Block.NOT_SUBMITTED, Block.NOT_APPROVED)),
        (State.REJECTED, (Block.ENDED,)),
        (State.APPLIED, (Block.ENDED,)),
    ],
)
def test_it_says_what_it_waits_for(state: State, blocks: tuple[Block, ...], ann: User, bob: User) -> None:
    make_base()
    assert standing(make_in(state, author=ann, decider=bob)).blocks == blocks


def test_trials_are_those_of_what_it_says_now(ann: User) -> None:
    make_base()
    proposal = make_draft(author=ann)
    assert (standing(proposal).trial, Block.NOT_TRIED in standing(proposal).blocks) == (None, True)
    failed = make_trial(proposal=proposal, state=TrialState.FAILED)
    assert (standing(proposal).trial, standing(proposal).is_tried) == (failed, False)
    make_trial(proposal=proposal)
    done = make_trial(proposal=proposal)
    make_trial(proposal=proposal, state=TrialState.FAILED)
    waiting = make_trial(proposal=proposal, state=TrialState.WAITING)
    make_trial(proposal=proposal, act=ProposalAct.UNDO)
    found = standing(proposal)
    assert (found.trial, found.next_trial, found.is_tried) == (done, waiting, True)
    assert (found.undo_trial is not None, found.next_undo_trial) == (True, None)
    edit(proposal, ann, "other")
    found = standing(proposal)
    assert (found.trial, found.next_trial, found.undo_trial, found.is_tried) == (None, None, None, False)


def test_it_knows_what_each_login_would_be_refused(ann: User, bob: User) -> None:
    make_base()
    found = standing(make_submitted(author=ann))
    assert found.refusal(Action.APPROVE, ann) == "own_proposal"
    assert found.refusal(Action.APPROVE, bob) is None
    assert found.refusal(Action.WITHDRAW, bob) == "not_own_proposal"
    assert found.refusal(Action.APPLY, bob) == "wrong_state"
    assert found.open_to(bob) == {
        *(Action.EDIT, Action.APPROVE, Action.REQUEST_CHANGES, Action.REJECT),
        *(Action.COMMENT, Action.TRY),
    }
    untried = edit(found.proposal, ann, "other")
    assert standing(untried).refusal(Action.APPROVE, bob) == "not_tried"


def test_who_has_approved_need_not_again(ann: User, bob: User) -> None:
    make_base()
    proposal = make_submitted(author=ann)
    Proposal.objects.filter(pk=proposal.pk).update(required_approvals=2)
    approve(proposal, bob)
    assert standing(proposal).refusal(Action.APPROVE, bob) == "already_decided"
    assert standing(proposal).refusal(Action.APPROVE, make_admin()) is None


def queries_of(proposal: Proposal) -> int:
    with CaptureQueriesContext(connection) as queries:
        found = standing(proposal)
        str((found.sides, found.blocks, found.decisions, found.comments))
        for seen in found.decisions:
            str(seen.decision.decided_by)
        for comment in found.comments:
            str(comment.written_by)
        for trial in (found.trial, found.next_trial):
            str(trial and trial.asked_by)
    return len(queries)


def test_all_of_it_takes_as_many_queries_as_ever(ann: User, bob: User) -> None:
    make_base()
    make_compatibility(mode=Mode.BACKWARD_TRANSITIVE)
    make_base(k="string", colour="string", first="string")
    few = queries_of(make_submitted(author=ann))
    for number in range(3):
        make_base(k="string", colour="string", first="string", **{f"f{number}": "string"})
    proposal = make_submitted(author=ann)
    for who in (ann, bob, make_admin()):
        proposal_comment(proposal_id=proposal.pk, actor=Actor.login(who), text="so")
        make_trial(proposal=proposal)
        Proposal.objects.filter(pk=proposal.pk).update(required_approvals=5)
        if who != ann:
            approve(proposal, who)
    assert queries_of(proposal) == few <= 9


def test_the_list_has_the_newest_first_and_takes_one_query(
    ann: User, bob: User, django_assert_num_queries: Any
) -> None:
    make_base()
    rejected = make_in(State.REJECTED, author=ann, decider=bob)
    first, second = make_draft(author=ann), make_draft(author=bob)
    elsewhere = make_draft(author=ann, entity_type="elsewhere")
    with django_assert_num_queries(1):
        listed = [
            (one, str(one.author), one.base_version and one.base_version.number) for one in proposals_list()
        ]
    assert [one for one, _author, _base in listed] == [elsewhere, second, first, rejected]
    assert list(proposals_list(states=OPEN)) == [elsewhere, second, first]
    assert list(proposals_list(entity_type="elsewhere")) == [elsewhere]
