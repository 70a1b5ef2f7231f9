"""Proposals in a real browser: from a draft to what is in force and back, by two logins."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from registry.domain.proposal import State
from registry.models import Proposal
from registry.services.proposals import proposal_comment
from schemaevo.kernel.actors import Actor
from schemaevo.kernel.models import User
from tests.admin.addresses import list_of, page_of, verb_of
from tests.browser.conftest import Visit
from tests.browser.test_admin import serious_flaws
from tests.factories import THING, make_definition, make_extension, make_run, make_user, make_version
from tests.proposals.making import adding, make_draft, make_found, make_in
from tests.proposals.standing import work

pytestmark = pytest.mark.django_db(transaction=True)

LONG = "a_name_that_nobody_would_type_" + "x" * 60


@pytest.fixture
def stored(transactional_db: None) -> None:
    """Two owners of sizes: one declares them, of the other one they wait."""
    make_version(document=make_definition(k="string", colour="string"))
    work()
    make_extension(user=make_user(), document={"additional_fields": {"size": {"type": "number"}}})
    make_run(user=make_user(), records=[{"k": f"k{n}", "size": n} for n in range(3)])
    work()


def test_a_proposal_goes_from_draft_to_applied_by_two_logins_and_is_undone(
    stored: None, visit: Callable[..., Visit], login_of: Callable[[str], User]
) -> None:
    ann, bob = visit(), visit()
    writing, deciding = ann.sign_in(login_of("schema_admin")), bob.sign_in(login_of("schema_admin"))
    writing.get_by_role("link", name="Proposals").click()
    writing.get_by_role("link", name="Draft a proposal").click()
    writing.get_by_label("Entity type").fill(THING)
    writing.get_by_label("Title").fill("Sizes")
    writing.get_by_role("textbox", name="Edits").fill(
        '[{"op": "add_field", "field": "size", "declaration": {"type": "float"}}]'
    )
    writing.get_by_role("button", name="Draft it").click()
    expect(writing.locator("#problems")).to_contain_text("1 problem")
    writing.get_by_role("textbox", name="Edits").fill(
        '[{"op": "add_field", "field": "size", "declaration": {"type": "number"}}]'
    )
    writing.get_by_role("button", name="Draft it").click()
    expect(writing.locator("#proposal-state .se-badge")).to_have_text("draft")
    writing.get_by_role("link", name="Submit for review…").click()
    writing.get_by_role("button", name="Submit for review").click()
    expect(writing.locator("#proposal-verbs")).to_contain_text("a trial of what it says now")
    writing.get_by_role("link", name="Try…").click()
    writing.get_by_role("button", name="Try").click()
    expect(writing.locator("#proposal-trial")).to_contain_text("A trial is under way")

    # The page is not loaded again: it sees by itself what workers do.
    work()

    expect(writing.locator("#proposal-trial")).to_contain_text("Trial of applying it")
    expect(writing.locator("#proposal-verbs")).to_contain_text("somebody else has to approve it")
    expect(writing.get_by_role("link", name="Approve…")).to_have_count(0)

    proposal = Proposal.objects.get()
    deciding = bob.go(list_of(Proposal) + "?state=in_review")
    deciding.get_by_role("link", name="Sizes").click()
    deciding.get_by_role("link", name="Approve…").click()
    expect(deciding.locator("#words + ul")).to_contain_text("Adds the field 'size', a number.")
    deciding.get_by_label("Note").fill("as it should be")
    deciding.get_by_role("button", name="Approve").click()
    expect(deciding.locator("#proposal-state .se-badge")).to_have_text("approved")
    deciding.get_by_role("link", name="Apply…").click()
    deciding.get_by_role("button", name="Apply").click()
    expect(deciding.locator("#proposal-state .se-badge")).to_have_text("applied")
    expect(deciding.locator("#proposal-work")).to_contain_text("at work")

    work()

    effect = deciding.locator("[data-effect=size] td")
    expect(effect).to_have_text(["1", "3", "0", ""])
    expect(deciding.locator("#proposal-work")).not_to_contain_text("at work")
    proposal.refresh_from_db()
    assert proposal.applied_version is not None
    deciding.get_by_role("link", name="Undo…", exact=True).click()
    deciding.get_by_label("Note").fill("a mistake")
    deciding.get_by_role("button", name="Undo").click()
    expect(deciding.locator("#proposal-state .se-badge")).to_have_text("undone")

    work()

    expect(deciding.locator("[aria-labelledby=work-undo] [data-effect=size] td").first).to_have_text("1")
    expect(deciding.locator("#proposal-work")).not_to_contain_text("at work")


@pytest.mark.long
@pytest.mark.parametrize(("width", "theme"), [(1440, "light"), (390, "dark")])
def test_the_pages_are_read_without_complaint_or_overflow(
    stored: None, visit: Callable[..., Visit], login_of: Callable[[str], User], width: int, theme: str
) -> None:
    author, decider = login_of("schema_admin"), login_of("schema_admin")
    proposals = [
        make_in(state, author=author, decider=decider)
        for state in (State.IN_REVIEW, State.CHANGES_REQUESTED, State.APPROVED, State.FAILED, State.REJECTED)
    ]
    proposals.append(make_found(edits=adding(LONG), evidence={"users": 12, "types": {"number": 12}}))
    proposal_comment(proposal_id=proposals[0].pk, actor=Actor.login(decider), text="w" * 300)
    opened = visit(width=width, theme=theme)
    opened.sign_in(decider)
    first, approved, stale = proposals[0], proposals[2], make_draft(author=author, edits=adding(LONG))
    paths = [
        list_of(Proposal),
        *map(page_of, proposals),
        verb_of(Proposal, "draft"),
        *(
            verb_of(Proposal, verb, first.pk)
            for verb in ("edit", "try", "approve", "reject", "comment", "withdraw")
        ),
        verb_of(Proposal, "apply", approved.pk),
    ]
    for path in paths:
        page = opened.go(path)
        assert opened.overflow() <= 0, path
        assert serious_flaws(page) == [], path
    make_version(document=make_definition(k="string", colour="string", smell="string"))
    for path in (page_of(stale), verb_of(Proposal, "rebase", stale.pk)):
        page = opened.go(path)
        assert opened.overflow() <= 0, path
        assert serious_flaws(page) == [], path
