"""A proposal comes into force as it was approved, by others than who wrote it, whatever SQL is written (I10)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.db.models.functions import Now

from registry.domain.proposal import MOVES, OPEN, State
from registry.models_proposals import (
    Proposal,
    ProposalComment,
    ProposalDecision,
    ProposalTrial,
    TrialState,
)
from registry.services.proposals import proposal_comment
from schemaevo.kernel.actors import Actor
from schemaevo.kernel.models import User
from tests.proposals.making import (
    adding,
    approve,
    make_admin,
    make_base,
    make_draft,
    make_found,
    make_in,
    make_submitted,
    make_trial,
)
from tests.triggers.attacks import execute, refused_by

pytestmark = pytest.mark.django_db

MOVED, IMMUTABLE, APPROVALS = (
    "schema_proposals_moves",
    "schema_proposals_immutable",
    "schema_proposals_approvals",
)
LAST_EDITOR, KEPT = "schema_proposals_last_editor", "schema_proposals_kept"
IN_REVIEW, BOUND, TRIED = (
    "schema_proposal_decisions_in_review",
    "schema_proposal_decisions_bound",
    "schema_proposal_decisions_tried",
)
FOUR_EYES = "schema_proposal_decisions_four_eyes_ck"


@pytest.fixture
def ann() -> User:
    return make_admin()


@pytest.fixture
def bob() -> User:
    return make_admin()


@pytest.fixture(autouse=True)
def base() -> None:
    make_base()


def changing(proposal: Proposal, **columns: Any) -> Callable[[], int]:
    """The change of its row, as an attack."""
    return lambda: Proposal.objects.filter(pk=proposal.pk).update(**columns)


def change(proposal: Proposal, **columns: Any) -> Proposal:
    """Its row has these columns by now, which nothing forbids."""
    assert changing(proposal, **columns)() == 1
    proposal.refresh_from_db()
    return proposal


def deciding(proposal: Proposal, decider: User, **columns: Any) -> Callable[[], object]:
    """A decision as the service would write it, but for these columns."""
    given: dict[str, Any] = {
        "proposal_id": proposal.pk,
        "verdict": "approve",
        "decided_by_id": decider.pk,
        "content_hash": proposal.content_hash,
        "author_id": proposal.author_id,
        "last_editor_id": proposal.last_editor_id,
        "note": "",
        **columns,
    }
    names = ", ".join(given)
    values = ", ".join(f"%({name})s" for name in given)
    return lambda: execute(f"INSERT INTO schema_proposal_decisions ({names}) VALUES ({values})", given)


# --- moves ----------------------------------------------------------------------------------------------------
def test_the_database_knows_the_moves_of_the_domain() -> None:
    said: dict[str, set[str]] = {}
    with connection.cursor() as cursor:
        for state in State:
            cursor.execute("SELECT schema_proposal_moves_v1(%s)", [state.value])
            said[state.value] = set(cursor.fetchone()[0])
    assert said == {
        state.value: {
            found[state].value for found in MOVES.values() if state in found and found[state] is not state
        }
        for state in State
    }


@pytest.mark.parametrize("state", State)
def test_no_statement_moves_a_proposal_otherwise(state: State, ann: User, bob: User) -> None:
    proposal = make_in(state, author=ann, decider=bob)
    allowed = {found[state] for found in MOVES.values() if state in found}
    applied_version = proposal.applied_version or proposal.base_version
    more = {"applied_version": applied_version, "applied_at": Now(), "undone_at": Now()}
    for to in State:
        if to not in allowed | {state}:
            refused_by(MOVED, changing(proposal, state=to, **more))


def test_a_proposal_begins_as_a_draft() -> None:
    columns: dict[str, Any] = {
        "entity_type": "thing",
        "title": "x",
        "edits": adding("x"),
        "author": make_admin(),
    }
    for state in set(State) - {State.DRAFT}:
        extra = {"submitted_at": Now(), "applied_version": None}
        refused_by(
            MOVED,
            lambda s=state, e=extra: Proposal.objects.create(state=s, **columns, **e),  # type: ignore[misc]
        )


def test_nothing_is_deleted(ann: User, bob: User) -> None:
    proposal = make_in(State.APPROVED, author=ann, decider=bob)
    proposal_comment(proposal_id=proposal.pk, actor=Actor.login(ann), text="so")
    for constraint, table in (
        (KEPT, "schema_proposals"),
        ("schema_proposal_decisions_kept", "schema_proposal_decisions"),
        ("schema_proposal_comments_kept", "schema_proposal_comments"),
        ("schema_proposal_trials_kept", "schema_proposal_trials"),
    ):
        refused_by(constraint, lambda t=table: execute(f"DELETE FROM {t}"))  # type: ignore[misc]


# --- what it is about -----------------------------------------------------------------------------------------
def test_what_it_is_about_and_who_drafted_it_stays(ann: User, bob: User) -> None:
    proposal = make_submitted(author=ann)
    for columns in (
        {"entity_type": "elsewhere"},
        {"origin": "analysis"},
        {"subject": "other"},
        {"created_at": Now()},
        {"author": bob},
        {"author": None},
        {"submitted_at": None},
    ):
        refused_by(IMMUTABLE, changing(proposal, **columns))
    applied = make_in(State.APPLIED, author=ann, decider=bob)
    refused_by(IMMUTABLE, changing(applied, applied_version=make_base(k="string", x="string")))


@pytest.mark.parametrize("state", [state for state in State if state not in OPEN])
def test_what_ended_says_what_it_said(state: State, ann: User, bob: User) -> None:
    proposal = make_in(state, author=ann, decider=bob)
    refused_by(IMMUTABLE, changing(proposal, edits=adding("other"), last_editor=ann))
    refused_by(IMMUTABLE, changing(proposal, base_version=None, last_editor=ann))


@pytest.mark.parametrize("state", [State.APPROVED, State.FAILED, State.STALE])
def test_content_changes_only_where_it_is_looked_at_again(state: State, ann: User, bob: User) -> None:
    proposal = make_in(state, author=ann, decider=bob)
    refused_by(IMMUTABLE, changing(proposal, edits=adding("other"), last_editor=ann))
    to = State.DRAFT if state is State.STALE else State.IN_REVIEW
    assert change(proposal, edits=adding("other"), last_editor=ann, state=to).state == to


def test_hash_and_round_are_the_databases_own(ann: User) -> None:
    proposal = make_draft(author=ann)
    said = proposal.content_hash
    forged = change(proposal, content_hash="0" * 64, round_number=7)
    assert (forged.content_hash, forged.round_number) == (said, 1)
    edited = change(proposal, edits=adding("other"), last_editor=ann)
    assert (edited.content_hash != said, edited.round_number) == (True, 2)
    based = edited.content_hash
    assert change(proposal, base_version=None, last_editor=ann).content_hash != based


def test_the_last_editor_changes_with_an_edit_and_not_otherwise(ann: User, bob: User) -> None:
    proposal = make_submitted(author=ann)
    refused_by(LAST_EDITOR, changing(proposal, last_editor=bob))
    refused_by(LAST_EDITOR, changing(proposal, edits=adding("other")))
    change(proposal, edits=adding("other"), last_editor=bob)
    refused_by(LAST_EDITOR, changing(proposal, last_editor=None))
    refused_by(LAST_EDITOR, changing(proposal, edits=adding("third"), last_editor=None))


def test_an_analysis_edits_its_own_drafts_alone(ann: User) -> None:
    found = change(make_found(), edits=adding("other"))
    refused_by(
        LAST_EDITOR, changing(found, edits=adding("x"), author=ann, submitted_at=Now(), state="in_review")
    )


# --- approvals ------------------------------------------------------------------------------------------------
def test_nothing_is_approved_or_applied_without_approvals(ann: User) -> None:
    proposal = make_submitted(author=ann)
    refused_by(APPROVALS, changing(proposal, state=State.APPROVED))
    applied = {"state": State.APPLIED, "applied_version": proposal.base_version, "applied_at": Now()}
    refused_by(MOVED, changing(proposal, **applied))


def test_it_does_not_need_fewer_approvals_once_it_was_submitted(ann: User) -> None:
    proposal = change(make_submitted(author=ann), required_approvals=2)
    refused_by(APPROVALS, changing(proposal, required_approvals=1))
    refused_by(APPROVALS, changing(proposal, required_approvals=1, state=State.WITHDRAWN))


def test_neither_author_nor_last_editor_approves_by_sql(ann: User, bob: User) -> None:
    proposal = make_submitted(author=ann)
    refused_by(FOUR_EYES, deciding(proposal, ann))
    proposal = change(proposal, edits=adding("other"), last_editor=bob)
    make_trial(proposal=proposal)
    for own in (ann, bob):
        refused_by(FOUR_EYES, deciding(proposal, own))


def test_a_decision_copies_what_and_who_it_was_about(ann: User, bob: User) -> None:
    proposal = make_submitted(author=ann)
    eve = make_admin()
    for columns in ({"content_hash": "0" * 64}, {"author_id": eve.pk}, {"last_editor_id": eve.pk}):
        refused_by(BOUND, deciding(proposal, bob, **columns))
    # Nobody gets round it by naming another author of their own proposal.
    refused_by(BOUND, deciding(proposal, ann, author_id=eve.pk))


@pytest.mark.parametrize("state", [state for state in State if state is not State.IN_REVIEW])
def test_only_what_is_in_review_is_approved(state: State, ann: User, bob: User) -> None:
    proposal = make_in(state, author=ann, decider=bob)
    refused_by(IN_REVIEW, deciding(proposal, make_admin()))


def test_only_what_was_tried_to_the_end_is_approved(ann: User, bob: User) -> None:
    proposal = change(make_submitted(author=ann), edits=adding("other"), last_editor=ann)
    for state in set(TrialState) - {TrialState.DONE}:
        make_trial(proposal=proposal, state=state)
    refused_by(TRIED, deciding(proposal, bob))
    make_trial(proposal=proposal)
    assert deciding(proposal, bob)() == 1


def test_one_login_approves_once_in_a_round(ann: User, bob: User) -> None:
    proposal = change(make_submitted(author=ann), required_approvals=2)
    deciding(proposal, bob)()
    refused_by("schema_proposal_decisions_once_uq", deciding(proposal, bob))
    refused_by("schema_proposal_decisions_once_uq", deciding(proposal, bob, round_number=9))
    refused_by(APPROVALS, changing(proposal, state=State.APPROVED))


def test_an_approval_does_not_come_back_with_content_that_was_changed_back(ann: User, bob: User) -> None:
    proposal = make_submitted(author=ann)
    deciding(proposal, bob)()
    said = proposal.edits
    change(proposal, edits=adding("other"), last_editor=bob)
    change(proposal, edits=said, last_editor=ann)
    refused_by(APPROVALS, changing(proposal, state=State.APPROVED))


def test_what_left_its_review_is_approved_anew(ann: User, bob: User) -> None:
    proposal = make_in(State.APPROVED, author=ann, decider=bob)
    change(proposal, state=State.IN_REVIEW)
    refused_by(APPROVALS, changing(proposal, state=State.APPROVED))


def test_an_edit_and_its_approval_are_not_one_statement(ann: User, bob: User) -> None:
    proposal = make_submitted(author=ann)
    deciding(proposal, bob)()
    refused_by(IMMUTABLE, changing(proposal, edits=adding("other"), last_editor=ann, state=State.APPROVED))


# --- what was said --------------------------------------------------------------------------------------------
def test_decisions_comments_and_trials_that_ended_stay_as_they_were(ann: User, bob: User) -> None:
    proposal = make_submitted(author=ann)
    approve(proposal, bob)
    comment = proposal_comment(proposal_id=proposal.pk, actor=Actor.login(ann), text="so")
    refused_by(
        "schema_proposal_decisions_kept",
        lambda: ProposalDecision.objects.update(verdict="reject"),
    )
    refused_by(
        "schema_proposal_comments_kept",
        lambda: ProposalComment.objects.filter(pk=comment.pk).update(text="not so"),
    )
    refused_by("schema_proposal_trials_kept", lambda: ProposalTrial.objects.update(result={"fits": 1}))
    waiting = make_trial(proposal=proposal, state=TrialState.WAITING)
    refused_by(
        "schema_proposal_trials_kept",
        lambda: ProposalTrial.objects.filter(pk=waiting.pk).update(content_hash="0" * 64),
    )
    refused_by(
        "schema_proposal_trials_kept",
        lambda: ProposalTrial.objects.create(
            proposal=proposal,
            act="apply",
            content_hash=proposal.content_hash,
            state="done",
            finished_at=Now(),
        ),
    )


def test_states_have_what_they_need(ann: User, bob: User) -> None:
    found = make_found()
    refused_by("schema_proposals_submitted_ck", changing(found, state=State.IN_REVIEW))
    approved = make_in(State.APPROVED, author=ann, decider=bob)
    refused_by("schema_proposals_applied_ck", changing(approved, state=State.APPLIED))
    applied = make_in(State.APPLIED, author=ann, decider=bob)
    refused_by("schema_proposals_undone_ck", changing(applied, state=State.UNDONE))


def test_of_one_field_an_analysis_has_one_open_proposal(ann: User) -> None:
    found = make_found()
    refused_by("schema_proposals_subject_uq", make_found)
    change(found, state=State.WITHDRAWN)
    assert make_found().state == State.DRAFT
