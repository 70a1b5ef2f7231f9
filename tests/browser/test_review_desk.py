"""The desk of a reviewer in a real browser: from the number in the navigation to the report on paper, by two logins."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

import pytest
from django.db.models.functions import Now
from django.urls import reverse
from playwright.sync_api import expect

from registry.domain.proposal import State
from registry.models import Proposal, ProposalTrial, TrialState
from registry.selectors_report import proposal_report
from schemaevo.kernel.models import User
from tests.admin.addresses import list_of, page_of
from tests.browser.conftest import Visit
from tests.browser.test_admin import serious_flaws
from tests.factories import make_definition, make_version
from tests.proposals.making import (
    adding,
    approve,
    make_draft,
    make_found,
    make_in,
    make_submitted,
    make_trial,
)

pytestmark = pytest.mark.django_db(transaction=True)

EVIDENCE = {
    "users": 30,
    "users_of_type": 36,
    "share": Decimal("0.8333"),
    "confidence": Decimal("0.91"),
    "types": {"string": 26, "array": 3, "number": 1},
    "declared_by": {"extension": 5, "fragments": 25},
    "near": [{"field": "sizes", "users": 2}],
    "factors": [{"words": "nearly all users have it as a string", "contribution": Decimal("0.4")}],
}
COUNTED = {
    "format": 1,
    "users_changed": 30,
    "fields": {
        "size": {"users": 30, "fits": 400, "converted": 20, "misfits": {"constraint": 3}},
        "a_name_that_nobody_would_type_" + "x" * 50: {"users": 3, "fits": 9},
    },
}


@pytest.fixture(autouse=True)
def base(transactional_db: None) -> None:
    make_version(document=make_definition(k="string", colour="string"))


def counted(proposal: Proposal) -> Proposal:
    """The proposal, whose trial found something to compare."""
    trial = make_trial(proposal=proposal, state=TrialState.WAITING)
    ProposalTrial.objects.filter(pk=trial.pk).update(state=TrialState.DONE, finished_at=Now(), result=COUNTED)
    return proposal


def test_a_reviewer_comes_by_the_number_in_the_navigation_decides_and_prints_the_report(
    visit: Callable[..., Visit], login_of: Callable[[str], User]
) -> None:
    ann, bob = login_of("schema_admin"), login_of("schema_admin")
    proposal = counted(make_draft(author=ann))
    writing, deciding = visit(), visit()
    page = writing.sign_in(ann)
    page.get_by_role("link", name="Proposals").click()
    expect(page.locator(".se-desk-empty")).to_contain_text("Nothing waits for you.")
    page.get_by_role("link", name="Mine 1").click()
    expect(page.locator(".result-list")).to_contain_text("you submit it")
    page.get_by_role("link", name="More fields").click()
    page.get_by_role("link", name="Submit for review…").click()
    page.get_by_role("button", name="Submit for review").click()
    expect(page.locator("#proposal-state .se-badge")).to_have_text("in review")
    # Nothing waits for whoever wrote it.
    expect(page.get_by_role("link", name="approval Proposals")).to_have_text("approval Proposals")

    page = deciding.sign_in(bob)
    page.get_by_role("link", name="Proposals 1").click()
    expect(page.locator("[data-desk=review]")).to_have_attribute("aria-current", "page")
    expect(page.locator(".result-list")).to_contain_text("somebody approves it")
    page.get_by_role("link", name="More fields").click()
    expect(page.get_by_role("img", name="What becomes of the fragments that wait")).to_be_visible()
    page.get_by_role("link", name="Approve…").click()
    page.get_by_role("button", name="Approve").click()
    expect(page.locator("#proposal-state .se-badge")).to_have_text("approved")

    page.get_by_role("link", name="Evidence report").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("More fields")
    expect(page.locator("[aria-labelledby=decisions] tbody th")).to_have_text(bob.username)
    report = proposal_report(proposal_id=proposal.pk)
    expect(page.locator("[data-fact=report-hash]")).to_have_text(report.content_hash)
    with page.expect_download() as download:
        page.get_by_role("link", name="As a file (JSON)").click()
    assert report.content_hash in download.value.path().read_text()
    # On paper there is no way to anywhere.
    page.emulate_media(media="print")
    expect(page.get_by_role("navigation")).to_be_hidden()
    page.emulate_media(media="screen")
    page.get_by_role("link", name="Back to the proposal").click()
    expect(page.locator("#proposal-state .se-badge")).to_have_text("approved")


@pytest.mark.long
@pytest.mark.parametrize(("width", "theme"), [(1440, "dark"), (390, "light"), (390, "dark")])
def test_desk_charts_and_report_are_read_without_complaint_or_overflow(
    visit: Callable[..., Visit], login_of: Callable[[str], User], width: int, theme: str
) -> None:
    author, decider = login_of("schema_admin"), login_of("schema_admin")
    for state in (State.APPROVED, State.CHANGES_REQUESTED, State.STALE):
        make_in(state, author=author, decider=decider)
    # What was stale by the last one is not looked at any more; these are.
    found = counted(make_found(edits=adding("size"), evidence=EVIDENCE))
    waits = make_submitted(author=author)
    approve(waits, decider)
    opened = visit(width=width, theme=theme)
    opened.sign_in(decider)
    paths = [
        *(f"{list_of(Proposal)}{query}" for query in ("", "?desk=review", "?desk=mine", "?state=rejected")),
        page_of(found),
        *(reverse("admin:registry_proposal_report", args=[one.pk]) for one in (found, waits)),
    ]
    for path in paths:
        page = opened.go(path)
        assert opened.overflow() <= 0, path
        assert serious_flaws(page) == [], path


def test_without_a_script_the_tables_stand_alone(
    visit: Callable[..., Visit], login_of: Callable[[str], User]
) -> None:
    found = counted(make_found(edits=adding("size"), evidence=EVIDENCE))
    opened = visit()
    opened.sign_in(login_of("viewer"))
    page = opened.go(page_of(found))
    expect(page.locator("[data-chart]")).to_have_count(2)
    cookies = opened.context.cookies()
    browser = opened.context.browser
    assert browser is not None
    plain = browser.new_context(java_script_enabled=False)
    plain.add_cookies(cookies)  # type: ignore[arg-type]
    page = plain.new_page()
    page.goto(opened.base + page_of(found))
    expect(page.locator("[data-chart]").first).to_be_hidden()
    expect(page.get_by_text("Users by type")).to_have_count(2)
    expect(page.locator(".se-proposal-counts tbody tr")).to_have_count(2)
    plain.close()
