"""Proposals are drafted, edited, submitted, withdrawn, talked about, and moved to another base."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import Any

import pytest

from registry.domain.proposal import State
from registry.models import SchemaVersion
from registry.models_proposals import Proposal, ProposalComment
from registry.selectors_proposals import proposal_standing
from registry.services.proposals import (
    TEXT_MAX,
    TITLE_MAX,
    proposal_comment,
    proposal_draft,
    proposal_edit,
    proposal_rebase,
    proposal_submit,
    proposal_withdraw,
)
from schemaevo.kernel.actors import Actor
from schemaevo.kernel.models import User
from tests.factories import SHELL, THING, make_compatibility, make_definition, make_login, make_version
from tests.proposals.making import (
    adding,
    approve,
    make_admin,
    make_approved,
    make_base,
    make_draft,
    make_found,
    make_in,
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


def draft(author: User, **said: Any) -> Proposal:
    given: dict[str, Any] = {"entity_type": THING, "title": "A title", "edits": adding("size"), **said}
    return proposal_draft(actor=Actor.login(author), **given)


def edit(proposal: Proposal, editor: User, **said: Any) -> Proposal:
    return proposal_edit(proposal_id=proposal.pk, actor=Actor.login(editor), **said)


# --- drafting -------------------------------------------------------------------------------------------------
def test_a_draft_changes_the_version_in_force_and_is_in_the_audit_log(ann: User) -> None:
    version = make_base()
    with audited() as events:
        proposal = draft(ann, title="  More \n fields ", reason=" why ")
    assert (proposal.state, proposal.base_version, proposal.author) == (State.DRAFT, version, ann)
    assert (proposal.title, proposal.reason, proposal.last_editor) == ("More fields", "why", None)
    assert len(proposal.content_hash) == 64
    [event] = events
    assert (event.action, event.actor, event.reason) == ("proposal.draft", ann, "why")
    assert isinstance(event.after, dict)
    assert event.after["edits"] == proposal.edits == adding("size")


def test_without_a_global_schema_a_draft_makes_the_first_one(ann: User) -> None:
    assert draft(ann).base_version is None


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ({"title": " \t"}, "title_needed"),
        ({"title": "x" * (TITLE_MAX + 1)}, "title_too_long"),
        ({"reason": "x" * (TEXT_MAX + 1)}, "text_too_long"),
        ({"reason": "\0"}, "unstorable_json"),
        ({"entity_type": "No Type"}, "invalid_entity_type"),
        ({"edits": {"op": "add_field"}}, "invalid_edits"),
        ({"edits": [{"op": "set_required", "field": "k", "required": True}]}, "invalid_edits"),
        ({"edits": [{"op": "remove_field", "field": "nowhere"}]}, "invalid_edits"),
        ({"edits": adding("x", kind="string") * 2}, "invalid_edits"),
        ({"edits": []}, "empty_proposal"),
        ({"edits": [{"op": "set_description", "field": "k", "description": ""}]}, "empty_proposal"),
        (
            {"edits": [{"op": "add_converter", "field": "k", "converter": "string_to_number"}]},
            "invalid_definition",
        ),
        (
            {
                "edits": [
                    {"op": "add_field", "field": "x", "declaration": {"type": "string", "required": True}}
                ]
            },
            "incompatible_change",
        ),
        (
            {
                "edits": [
                    {"op": "remove_field", "field": "k"},
                    {"op": "add_field", "field": "k", "declaration": {"type": "number"}},
                ]
            },
            "incompatible_change",
        ),
    ],
)
def test_what_could_never_be_applied_is_not_drafted(ann: User, said: dict[str, Any], code: str) -> None:
    make_base()
    refused(lambda: draft(ann, **said), code)
    proposal = make_draft(author=ann)
    if "edits" in said:
        refused(lambda: edit(proposal, ann, **said), code)
    assert Proposal.objects.count() == 1


def test_every_reason_of_a_refusal_is_told_at_drafting(ann: User) -> None:
    make_base()
    required = {"type": "string", "required": True}
    edits = [{"op": "add_field", "field": name, "declaration": required} for name in ("x", "y")]
    context = refused(lambda: draft(ann, edits=edits), "incompatible_change")
    assert len(context["reasons"]) == 2
    make_compatibility()
    assert draft(ann, edits=edits).state == State.DRAFT


def test_only_a_login_with_the_permission_drafts() -> None:
    make_base()
    for actor, code in (
        (Actor.login(make_login(role="operator")), "permission_denied"),
        (SHELL, "login_needed"),
    ):
        refused(
            partial(proposal_draft, entity_type=THING, title="x", edits=[], actor=actor),
            code,
        )


# --- editing --------------------------------------------------------------------------------------------------
def test_other_content_has_another_hash_and_its_editor(ann: User, bob: User) -> None:
    make_base()
    proposal = make_draft(author=ann)
    edited = edit(proposal, bob, edits=adding("weight"), expected_hash=proposal.content_hash)
    assert (edited.author, edited.last_editor, edited.edits) == (ann, bob, adding("weight"))
    assert edited.content_hash != proposal.content_hash
    assert edited.edited_at > proposal.edited_at


def test_an_edit_of_what_was_approved_brings_it_back_into_review(ann: User, bob: User) -> None:
    make_base()
    proposal = make_approved(author=ann, decider=bob)
    edited = edit(proposal, ann, edits=adding("weight"))
    assert edited.state == State.IN_REVIEW
    make_trial(proposal=edited)
    assert approve(edited, bob).state == State.APPROVED


def test_an_edit_takes_the_error_of_a_failure_away(ann: User, bob: User) -> None:
    make_base()
    proposal = make_in(State.FAILED, author=ann, decider=bob)
    assert edit(proposal, ann, edits=adding("weight")).error == ""


def test_a_title_or_reason_alone_is_no_other_content(ann: User, bob: User) -> None:
    make_base()
    proposal = make_approved(author=ann, decider=bob)
    with audited() as events:
        edited = edit(proposal, ann, title="Better", reason="said well")
    assert (edited.state, edited.title, edited.reason) == (State.APPROVED, "Better", "said well")
    assert (edited.content_hash, edited.last_editor) == (proposal.content_hash, None)
    assert len(events) == 1


def test_what_says_the_same_already_changes_nothing(ann: User, bob: User) -> None:
    make_base()
    proposal = make_approved(author=ann, decider=bob)
    spelled_out = [{"op": "add_field", "field": "size", "declaration": {"type": "string", "required": False}}]
    with audited() as events:
        edited = edit(proposal, bob, edits=spelled_out, title=proposal.title)
    assert (edited.state, edited.last_editor, events) == (State.APPROVED, None, [])


def test_who_edits_by_what_is_outdated_is_told(ann: User, bob: User) -> None:
    make_base()
    proposal = make_draft(author=ann)
    edit(proposal, bob, edits=adding("weight"))
    shown = proposal.content_hash
    context = refused(lambda: edit(proposal, ann, edits=adding("x"), expected_hash=shown), "stale_content")
    assert context["shown"] == shown


# --- submitting, withdrawing ----------------------------------------------------------------------------------
def test_a_submitted_proposal_needs_what_the_settings_ask_and_expires(ann: User, settings: Any) -> None:
    settings.SCHEMAEVO_PROPOSAL_APPROVALS = 3
    settings.SCHEMAEVO_PROPOSAL_EXPIRY_DAYS = 7
    make_base()
    proposal = make_submitted(author=ann)
    assert proposal.required_approvals == 3
    assert proposal.expires_at is not None
    assert proposal.submitted_at is not None
    assert abs(proposal.expires_at - proposal.submitted_at - timedelta(days=7)) < timedelta(minutes=1)


def test_without_a_term_it_never_expires(ann: User, settings: Any) -> None:
    settings.SCHEMAEVO_PROPOSAL_EXPIRY_DAYS = 0
    make_base()
    assert make_submitted(author=ann).expires_at is None


def test_submitted_again_it_needs_no_fewer_approvals_than_before(ann: User, bob: User, settings: Any) -> None:
    make_base()
    settings.SCHEMAEVO_PROPOSAL_APPROVALS = 2
    proposal = make_in(State.CHANGES_REQUESTED, author=ann, decider=bob)
    for setting, needed in ((1, 2), (3, 3)):
        settings.SCHEMAEVO_PROPOSAL_APPROVALS = setting
        again = proposal_submit(proposal_id=proposal.pk, actor=Actor.login(ann))
        assert again.required_approvals == needed
        if setting == 1:
            Proposal.objects.filter(pk=proposal.pk).update(state=State.CHANGES_REQUESTED)


def test_submitting_again_is_no_refusal_for_its_author_and_no_second_event(ann: User) -> None:
    make_base()
    proposal = make_submitted(author=ann)
    with audited() as events:
        again = proposal_submit(proposal_id=proposal.pk, actor=Actor.login(ann))
    assert (again.expires_at, events) == (proposal.expires_at, [])


def test_whoever_submits_what_an_analysis_found_is_its_author(ann: User, bob: User) -> None:
    make_base()
    proposal = make_found()
    edited = edit(proposal, bob, edits=adding("size", "weight"))
    assert (edited.author, edited.last_editor) == (None, bob)
    submitted = proposal_submit(proposal_id=proposal.pk, actor=Actor.login(ann))
    assert (submitted.author, submitted.last_editor) == (ann, bob)
    make_trial(proposal=submitted)
    for own in (ann, bob):
        refused(partial(approve, submitted, own), "own_proposal")


def test_only_the_author_withdraws_and_what_has_none_whoever_may_propose(ann: User, bob: User) -> None:
    make_base()
    proposal = make_draft(author=ann)
    refused(lambda: proposal_withdraw(proposal_id=proposal.pk, actor=Actor.login(bob)), "not_own_proposal")
    with audited() as events:
        for _ in range(2):
            withdrawn = proposal_withdraw(proposal_id=proposal.pk, actor=Actor.login(ann), note="mine")
    assert withdrawn.state == State.WITHDRAWN
    assert [event.reason for event in events] == ["mine"]
    found = make_found()
    assert proposal_withdraw(proposal_id=found.pk, actor=Actor.login(bob)).state == State.WITHDRAWN


# --- comments -------------------------------------------------------------------------------------------------
def test_saying_the_same_twice_in_a_row_says_it_once(ann: User, bob: User) -> None:
    make_base()
    proposal = make_draft(author=ann)
    for who, text in ((ann, "a"), (ann, " a "), (bob, "a"), (ann, "a")):
        proposal_comment(proposal_id=proposal.pk, actor=Actor.login(who), text=text)
    said = ProposalComment.objects.values_list("written_by", "text").order_by("pk")
    assert list(said) == [(ann.pk, "a"), (bob.pk, "a"), (ann.pk, "a")]


@pytest.mark.parametrize(
    ("text", "code"),
    [(" ", "comment_needed"), ("x" * (TEXT_MAX + 1), "text_too_long"), ("\0", "unstorable_json")],
)
def test_a_comment_that_is_none_is_refused(ann: User, text: str, code: str) -> None:
    make_base()
    proposal = make_draft(author=ann)
    refused(lambda: proposal_comment(proposal_id=proposal.pk, actor=Actor.login(ann), text=text), code)


# --- rebasing -------------------------------------------------------------------------------------------------
def rebase(proposal: Proposal, editor: User) -> Any:
    return proposal_rebase(proposal_id=proposal.pk, actor=Actor.login(editor))


def test_a_rebased_proposal_is_a_draft_that_changes_what_is_in_force_now(ann: User, bob: User) -> None:
    make_base(k="string", colour="string")
    proposal = make_submitted(
        author=ann,
        edits=[*adding("size"), {"op": "set_description", "field": "k", "description": "mine"}],
    )
    now = make_base(k={"type": "string", "description": "theirs"}, size="string", other="string")
    with audited() as events:
        moved = rebase(proposal, bob)
    assert (moved.proposal.state, moved.proposal.base_version) == (State.DRAFT, now)
    assert moved.clashes == ("/fields/k/description",)
    assert [one["op"] for one in moved.before] == ["add_field", "set_description"]
    # The field is there already; of the description the proposal's stands.
    assert moved.after == [{"op": "set_description", "field": "k", "description": "mine"}]
    assert moved.proposal.edits == moved.after
    assert (moved.proposal.author, moved.proposal.last_editor) == (ann, bob)
    [event] = events
    assert event.action == "proposal.rebase"
    assert isinstance(event.after, dict)
    assert event.after["clashes"] == ["/fields/k/description"]


def test_what_is_in_force_already_is_not_rebased(ann: User) -> None:
    make_base(k="string")
    proposal = make_draft(author=ann)
    make_base(k="string", size="string")
    refused(lambda: rebase(proposal, ann), "empty_proposal")
    assert Proposal.objects.get().state == State.STALE


def test_when_its_base_is_in_force_again_it_says_the_same_and_keeps_its_editor(ann: User, bob: User) -> None:
    before = make_base(k="string")
    proposal = make_draft(author=ann)
    make_base(k="string", other="string")
    make_version(document=make_definition(k="string"))
    assert SchemaVersion.objects.get(is_active=True) == before
    moved = rebase(proposal, bob)
    assert (moved.proposal.content_hash, moved.proposal.last_editor) == (proposal.content_hash, None)
    assert (moved.proposal.state, moved.proposal.base_version) == (State.DRAFT, before)


def test_an_approval_from_before_does_not_count_after_it_was_rebased(ann: User, bob: User) -> None:
    make_base(k="string")
    proposal = make_approved(author=ann, decider=bob)
    make_base(k="string", other="string")
    make_version(document=make_definition(k="string"))
    proposal = rebase(proposal, ann).proposal
    submitted = proposal_submit(proposal_id=proposal.pk, actor=Actor.login(ann))
    assert submitted.state == State.IN_REVIEW
    assert proposal_standing(proposal_id=proposal.pk).approvals == 0
    # What it says is what bob approved then; but he has to do it again.
    assert approve(submitted, bob).state == State.APPROVED
