"""The commands of proposals: what they take, answer, say and refuse. What they may do is in the table."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

from registry.domain.proposal import State
from registry.models_proposals import Proposal
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
from tests.registry.commands import refusal, refused, run, said, written

pytestmark = pytest.mark.django_db


@pytest.fixture
def ann() -> User:
    return make_admin()


@pytest.fixture
def bob() -> User:
    return make_admin()


def edits_file(folder: Path, *names: str) -> str:
    return written(folder / "edits.json", adding(*names))  # type: ignore[arg-type]


def test_from_a_file_to_what_is_in_force(tmp_path: Path, ann: User, bob: User) -> None:
    make_base()
    drafted = run(
        *("draft_proposal", "thing", edits_file(tmp_path, "size"), "--title", "Sizes"),
        *("--reason", "most have one", "--as", ann.username),
    )
    number = str(drafted["proposal"])
    assert (drafted["state"], drafted["author"], drafted["base"]) == ("draft", ann.username, "1.0.0")
    assert [change["code"] for change in drafted["changes"]] == ["field_added"]
    make_trial(proposal=Proposal.objects.get())
    assert run("decide_proposal", number, "--submit", "--as", ann.username)["state"] == "in_review"
    content = run("show_proposal", number)["content"]
    approved = run(
        *("decide_proposal", number, "--approve", "--content", content),
        *("--note", "fine", "--as", bob.username),
    )
    assert approved["state"] == "approved"
    assert "It can be applied." in said("show_proposal", number)
    applied = run("apply_proposal", number, "--as", bob.username)
    assert (applied["state"], applied["applied"]) == ("applied", "1.1.0")
    assert run("undo_proposal", number, "--note", "no", "--as", bob.username)["state"] == "undone"


def test_edits_come_from_standard_input(ann: User, monkeypatch: pytest.MonkeyPatch) -> None:
    make_base()

    class Typed:
        buffer = io.BytesIO(json.dumps(adding("size")).encode())

    monkeypatch.setattr("sys.stdin", Typed())
    assert run("draft_proposal", "thing", "-", "--title", "x", "--as", ann.username)["state"] == "draft"


def test_show_tells_all_in_words(ann: User, bob: User) -> None:
    make_base()
    proposal = make_submitted(author=ann)
    Proposal.objects.filter(pk=proposal.pk).update(required_approvals=2)
    approve(proposal, bob)
    proposal_comment(proposal_id=proposal.pk, actor=Actor.login(ann), text="a word")
    told = said("show_proposal", str(proposal.pk))
    for part in (
        f"Proposal {proposal.pk} for thing by {ann} (in review): More fields",
        "many have it",
        "It changes version 1.0.0, to version 1.1.0",
        proposal.content_hash,
        "adds the field 'size', a string",
        f"{bob}, approved",
        f"{ann}: a word",
        "(to apply it): done.",
        "It cannot be applied: it has 1 of 2 approvals.",
    ):
        assert part in told
    answer = run("show_proposal", str(proposal.pk))
    assert answer["blocks"] == ["not_approved"]
    assert answer["edits"] == adding("size")
    assert [(one["by"], one["counts"]) for one in answer["decisions"]] == [(bob.username, True)]
    assert answer["comments"][0]["text"] == "a word"
    assert answer["trial"]["state"] == "done"


@pytest.mark.parametrize("state", State)
def test_every_state_can_be_told(state: State, ann: User, bob: User) -> None:
    make_base()
    number = str(make_in(state, author=ann, decider=bob).pk)
    assert state.value.replace("_", " ") in said("show_proposal", number)
    assert run("show_proposal", number)["state"] == state


def test_a_list_has_what_is_open_of_one_state_or_all(ann: User, bob: User) -> None:
    assert said("list_proposals") == "There are none.\n"
    make_base()
    draft, found = make_draft(author=ann), make_found()
    rejected = make_in(State.REJECTED, author=ann, decider=bob)

    def listed(*options: str) -> list[int]:
        answer = run("list_proposals", *options)
        assert answer["is_complete"]
        return [one["proposal"] for one in answer["proposals"]]

    assert listed() == [found.pk, draft.pk]
    assert listed("--all") == [rejected.pk, found.pk, draft.pk]
    assert listed("--state", "rejected") == [rejected.pk]
    assert listed("--entity-type", "elsewhere") == []
    assert f"Proposal {found.pk} for thing (draft): Found" in said("list_proposals")


def test_an_edit_says_what_changes_and_can_be_bound_to_what_was_shown(
    tmp_path: Path, ann: User, bob: User
) -> None:
    make_base()
    proposal = make_draft(author=ann)
    number, content = str(proposal.pk), proposal.content_hash
    typed = ("edit_proposal", number, edits_file(tmp_path, "weight"), "--content", content)
    assert run(*typed, "--as", bob.username)["last_editor"] == bob.username
    assert refusal(*typed, "--as", ann.username).answer["error"] == "stale_content"
    assert run("edit_proposal", number, "--title", "Better", "--as", ann.username)["title"] == "Better"
    assert refused("edit_proposal", number, "--as", ann.username).returncode == 2
    wrong = written(tmp_path / "wrong.json", None)
    found = refusal("edit_proposal", number, wrong, "--as", ann.username)
    assert (found.exit_code, found.problems) == (1, [("", "wrong_type")])


def test_a_rebase_tells_what_both_sides_changed(ann: User) -> None:
    make_base(k="string")
    edit = {"op": "set_description", "field": "k", "description": "mine"}
    proposal = make_draft(author=ann, edits=[edit])
    make_base(k={"type": "string", "description": "theirs"})
    answer = run("decide_proposal", str(proposal.pk), "--rebase", "--as", ann.username)
    assert (answer["state"], answer["clashes"]) == ("draft", ["/fields/k/description"])
    assert (answer["before"], answer["after"]) == ([edit], [edit])


@pytest.mark.parametrize(
    "said_so",
    [
        (),
        ("--approve",),
        ("--reject", "--note", "no"),
        ("--submit", "--content", "x"),
        ("--comment", "so", "--note", "no"),
        ("--rebase", "--note", "no"),
        ("--approve", "--reject", "--content", "x"),
    ],
)
def test_what_is_typed_wrongly_is_wrong_usage(ann: User, said_so: tuple[str, ...]) -> None:
    make_base()
    proposal = make_draft(author=ann)
    wrong: Any = refused("decide_proposal", str(proposal.pk), *said_so, "--as", ann.username)
    assert wrong.returncode in (1, 2)
    assert Proposal.objects.get().state == State.DRAFT


def test_refusals_have_their_exit_codes(tmp_path: Path, ann: User, bob: User) -> None:
    make_base()
    proposal = make_submitted(author=ann)
    number, content = str(proposal.pk), proposal.content_hash
    as_ann, as_bob = ("--as", ann.username), ("--as", bob.username)
    for typed, code, exit_code in (
        (("show_proposal", "0"), "proposal_not_found", 2),
        (("decide_proposal", number, "--reject", "--content", content, *as_bob), "note_needed", 2),
        (("decide_proposal", number, "--comment", " ", *as_bob), "comment_needed", 2),
        (("decide_proposal", number, "--approve", "--content", content, *as_ann), "own_proposal", 1),
        (("decide_proposal", number, "--approve", "--content", "0", *as_bob), "stale_content", 1),
        (("apply_proposal", number, *as_bob), "wrong_state", 1),
        (("undo_proposal", number, *as_bob), "wrong_state", 1),
        (
            ("draft_proposal", "No Type", edits_file(tmp_path, "x"), "--title", "x", *as_ann),
            "invalid_entity_type",
            2,
        ),
    ):
        found = refusal(*typed)
        assert (found.answer["error"], found.exit_code) == (code, exit_code), typed
