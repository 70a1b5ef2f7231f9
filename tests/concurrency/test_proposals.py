"""Whoever edits, decides and changes what is in force at the same moment: one outcome, and it is what was approved."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from functools import partial

import pytest
from django.db import transaction

from registry.domain.proposal import State
from registry.models import SchemaVersion
from registry.models_proposals import Proposal, ProposalDecision, ProposalVerdict
from registry.selectors import version_in_force
from registry.services.proposal_apply import proposal_apply
from registry.services.proposal_reviews import proposal_approve, proposal_reject, proposal_request_changes
from registry.services.proposal_upkeep import proposals_expire
from registry.services.proposals import (
    proposal_comment,
    proposal_draft,
    proposal_edit,
    proposal_rebase,
    proposal_submit,
)
from schemaevo.kernel.actors import Actor
from schemaevo.kernel.errors import DomainError
from schemaevo.kernel.models import AuditEvent, User
from tests.factories import SHELL, THING, make_definition, make_version
from tests.proposals.making import (
    adding,
    make_admin,
    make_base,
    make_draft,
    make_submitted,
    make_trial,
    overdue,
)
from tests.rounds import rounds
from tests.threads import PATIENCE_S, Aside, side_by_side, waiting_for_locks
from tests.waiting import wait_for

pytestmark = pytest.mark.django_db(transaction=True)

Act = Callable[[], object]


def outcome_of(act: Act) -> str:
    try:
        act()
    except DomainError as refusal:
        return refusal.code
    return "done"


def race(*acts: Act) -> list[str]:
    return side_by_side([partial(outcome_of, act) for act in acts])


def approving(proposal: Proposal, decider: User) -> Act:
    return partial(
        proposal_approve,
        proposal_id=proposal.pk,
        actor=Actor.login(decider),
        content_hash=proposal.content_hash,
    )


def editing(proposal: Proposal, editor: User, *names: str) -> Act:
    return partial(proposal_edit, proposal_id=proposal.pk, actor=Actor.login(editor), edits=adding(*names))  # type: ignore[arg-type]


def applying(proposal: Proposal, actor: User) -> Act:
    return partial(proposal_apply, proposal_id=proposal.pk, actor=Actor.login(actor))


def require_as_approved(proposal: Proposal) -> Proposal:
    """The proposal as it came out, which is only what somebody approved, if it is that."""
    found = Proposal.objects.get(pk=proposal.pk)
    approvals = ProposalDecision.objects.filter(
        proposal=found,
        verdict=ProposalVerdict.APPROVE,
        content_hash=found.content_hash,
        round_number=found.round_number,
    )
    counted = approvals.exclude(decided_by__in=[found.author_id, found.last_editor_id or 0]).count()
    assert (found.state in (State.APPROVED, State.APPLIED)) == (counted >= found.required_approvals)
    return found


@pytest.mark.rounds
def test_of_deciders_at_the_same_time_one_decides() -> None:
    make_base()
    ann, *deciders = [make_admin() for _ in range(5)]
    for _ in range(rounds(20)):
        proposal = make_submitted(author=ann)
        outcomes = race(*(approving(proposal, decider) for decider in deciders))
        assert sorted(outcomes) == ["already_decided"] * 3 + ["done"]
        assert require_as_approved(proposal).state == State.APPROVED
        assert proposal.decisions.count() == 1


@pytest.mark.rounds
def test_one_approves_and_another_gives_it_back() -> None:
    make_base()
    ann, bob, eve = (make_admin() for _ in range(3))
    for number in range(rounds(20)):
        proposal = make_submitted(author=ann)
        service = proposal_reject if number % 2 else proposal_request_changes
        refusing = partial(
            service,
            proposal_id=proposal.pk,
            actor=Actor.login(eve),
            content_hash=proposal.content_hash,
            note="no",
        )
        approved, refused = race(approving(proposal, bob), refusing)
        # Whoever comes second may still stop it, and cannot let it through any more.
        assert refused == "done"
        assert approved in ("done", "already_decided")
        after = Proposal.objects.get(pk=proposal.pk).state
        assert after == (State.REJECTED if number % 2 else State.CHANGES_REQUESTED)


@pytest.mark.rounds
def test_two_approvers_and_an_editor_come_to_what_was_approved() -> None:
    make_base()
    ann, bob, eve = (make_admin() for _ in range(3))
    for _ in range(rounds(20)):
        proposal = make_submitted(author=ann)
        outcomes = race(
            approving(proposal, bob), approving(proposal, eve), editing(proposal, ann, "size", "weight")
        )
        assert outcomes[2] == "done"
        assert set(outcomes[:2]) in (
            {"stale_content"},
            {"done", "already_decided"},
            {"done", "stale_content"},
        )
        found = require_as_approved(proposal)
        # The edit was made before the approval or after it; either way nobody has approved what it says now.
        assert (found.state, found.edits) == (State.IN_REVIEW, adding("size", "weight"))


@pytest.mark.rounds
def test_who_edits_and_approves_their_own_edit_at_once_does_not_get_it_through() -> None:
    make_base()
    ann, bob = make_admin(), make_admin()
    for _ in range(rounds(20)):
        proposal = make_submitted(author=ann)
        race(editing(proposal, bob, "size", "weight"), approving(proposal, bob))
        found = require_as_approved(proposal)
        make_trial(proposal=found)
        assert outcome_of(approving(found, bob)) == "own_proposal"
        assert found.state == State.IN_REVIEW


@pytest.mark.rounds
def test_two_approvers_an_editor_and_appliers_come_to_one_outcome() -> None:
    """Whatever comes first, what is in force afterwards is what it was, or what enough others approved."""
    ann, bob, eve, joe = (make_admin() for _ in range(4))
    for number in range(rounds(20)):
        # Each round a type of its own, so that no round waits for another's version.
        entity_type = f"raced_{number}"
        make_version(document=make_definition(k="string"), entity_type=entity_type)
        proposal = make_submitted(author=ann, entity_type=entity_type)
        if number % 2:
            # Approved beforehand, so that the edit and the applier meet.
            approving(proposal, bob)()
        outcomes = race(
            approving(proposal, bob),
            approving(proposal, eve),
            editing(proposal, joe, "size", "weight"),
            applying(proposal, ann),
            applying(proposal, joe),
        )
        found = require_as_approved(proposal)
        present = version_in_force(entity_type=entity_type, user_id=None)
        assert present is not None
        if found.state == State.APPLIED:
            # Applied once, as it was approved; the edit came too late.
            assert outcomes[3:].count("done") == 1
            assert outcomes[2] == "wrong_state"
            assert found.content_hash == proposal.content_hash
            assert (present, set(present.parsed.fields)) == (found.applied_version, {"k", "size"})
        else:
            assert "done" not in outcomes[3:]
            assert set(present.parsed.fields) == {"k"}
            assert (found.state, found.edits) == (State.IN_REVIEW, adding("size", "weight"))
        assert SchemaVersion.objects.filter(entity_type=entity_type).count() == (
            2 if found.state == State.APPLIED else 1
        )


@pytest.mark.rounds
def test_two_proposals_of_one_type_applied_at_once_are_not_both_in_force() -> None:
    ann, bob = make_admin(), make_admin()
    for number in range(rounds(10)):
        entity_type = f"raced_{number}"
        make_version(document=make_definition(k="string"), entity_type=entity_type)
        proposals = [
            make_submitted(author=ann, edits=adding(name), entity_type=entity_type) for name in ("a", "b")
        ]
        for proposal in proposals:
            approving(proposal, bob)()
        outcomes = race(*(applying(proposal, bob) for proposal in proposals))
        # The other one is outdated by it.
        assert sorted(outcomes) == ["done", "wrong_state"]
        states = Proposal.objects.filter(entity_type=entity_type).values_list("state", flat=True)
        assert sorted(states) == [State.APPLIED, State.STALE]
        present = version_in_force(entity_type=entity_type, user_id=None)
        assert present is not None
        assert len(present.parsed.fields) == 2


@pytest.mark.rounds
def test_two_submit_and_it_is_submitted_once() -> None:
    make_base()
    ann = make_admin()
    for _ in range(rounds(10)):
        proposal = make_draft(author=ann)
        submitting = partial(proposal_submit, proposal_id=proposal.pk, actor=Actor.login(ann))
        assert race(submitting, submitting) == ["done", "done"]
        events = AuditEvent.objects.filter(action="proposal.submit", target_id=str(proposal.pk))
        assert events.count() == 1


@pytest.mark.rounds
def test_a_draft_and_a_change_of_what_is_in_force_meet_and_none_is_outdated_unseen() -> None:
    make_base()
    ann = make_admin()
    for number in range(rounds(20)):
        drafting = partial(
            proposal_draft,
            entity_type=THING,
            title="x",
            edits=adding(f"mine_{number}"),  # type: ignore[arg-type]
            actor=Actor.login(ann),
        )
        fields = {"k": "string", f"theirs_{number}": "string"}
        race(drafting, partial(make_base, **fields), drafting)
        present = version_in_force(entity_type=THING, user_id=None)
        for proposal in Proposal.objects.exclude(state=State.STALE):
            assert proposal.base_version == present


@pytest.mark.parametrize("is_stale", [False, True])
def test_who_drafts_or_rebases_waits_for_a_change_that_is_not_committed_and_begins_from_it(
    is_stale: bool,
) -> None:
    make_base(k="string")
    ann = make_admin()
    proposal = make_draft(author=ann)
    if is_stale:
        make_base(k="string", first="string")
    act: Act = partial(make_draft, author=ann)
    if is_stale:
        act = partial(proposal_rebase, proposal_id=proposal.pk, actor=Actor.login(ann))
    with ExitStack() as stack:
        with transaction.atomic():
            present = make_base(k="string", first="string", second="string")
            waiting = stack.enter_context(Aside(act))
            wait_for(lambda: waiting_for_locks() == 1, "the draft to wait")
        waiting.result(PATIENCE_S)
    assert Proposal.objects.latest("edited_at").base_version == present
    assert Proposal.objects.filter(state=State.DRAFT).count() == 1


@pytest.mark.rounds
def test_an_approval_and_a_change_of_what_is_in_force_meet() -> None:
    make_base()
    ann, bob = make_admin(), make_admin()
    for number in range(rounds(20)):
        proposal = make_submitted(author=ann)
        fields = {"k": "string", f"theirs_{number}": "string"}
        outcomes = race(approving(proposal, bob), partial(make_base, **fields))
        assert outcomes[0] in ("done", "not_in_review")
        assert Proposal.objects.get(pk=proposal.pk).state == State.STALE


@pytest.mark.rounds
def test_what_is_decided_just_now_is_not_expired_beside_it() -> None:
    make_base()
    ann, bob = make_admin(), make_admin()
    for _ in range(rounds(10)):
        proposal = make_submitted(author=ann)
        overdue(proposal)
        outcomes = race(approving(proposal, bob), partial(proposals_expire, actor=SHELL))
        found = Proposal.objects.get(pk=proposal.pk)
        assert outcomes[1] == "done"
        # An approved one that has waited for too long expires, too; what is expired is not approved any more.
        assert found.state in (State.APPROVED, State.EXPIRED)
        assert (outcomes[0] == "done") == ProposalDecision.objects.filter(proposal=found).exists()


def test_comments_of_many_all_stand() -> None:
    make_base()
    proposal = make_draft()
    people = [make_admin() for _ in range(6)]
    saying = [
        partial(proposal_comment, proposal_id=proposal.pk, actor=Actor.login(who), text="so")
        for who in people
    ]
    assert set(race(*saying)) == {"done"}
    assert proposal.comments.count() == 6
