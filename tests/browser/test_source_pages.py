"""A source in a real browser: what it brought, its retraction, and the undo, in both themes and on a phone."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from schemaevo.kernel.job_control import job_cancel
from schemaevo.kernel.models import Job, User
from snapshots.models import Observation, Source
from snapshots.services.retractions import SETTLE_RETRACTION
from tests.admin.addresses import list_of, page_of, verb_of
from tests.browser.conftest import Visit
from tests.browser.test_admin import serious_flaws
from tests.factories import SHELL, make_definition, make_run, make_snapshot, make_user, make_version
from tests.retractions import give_back, retract, settle, source_of

pytestmark = pytest.mark.django_db(transaction=True)

WRONG = "the-wrong-file-of-november-" + "x" * 60 + ".jsonl"


@pytest.fixture
def owner(transactional_db: None) -> User:
    """The owner of entities that a right source and a wrong one spoke of."""
    make_version(document=make_definition(k="string", size="number", colour="string"))
    owner = make_user(username="an-owner-with-a-rather-long-name-" + "x" * 60)
    right = [{"k": f"k{n}", "size": n, "at": "2024-05-01"} for n in range(4)]
    make_run(user=owner, records=right, source="right.jsonl", observed_at_field="at")
    wrong = [{"k": f"k{n}", "size": 77, "smell": "x", "at": "2024-05-02"} for n in range(2, 7)]
    make_run(user=owner, records=wrong, source=WRONG, observed_at_field="at")
    settle()
    return owner


def test_a_source_is_retracted_and_given_back_and_its_page_follows(
    owner: User, visit: Callable[..., Visit], login_of: Callable[[str], User]
) -> None:
    assert make_snapshot(user=owner, key="k2").values["size"] == 77
    page = visit().sign_in(login_of("schema_admin"))
    page.get_by_role("link", name="Sources").click()
    page.locator("#result_list .data-row th a").first.click()
    expect(page.locator("#source")).to_have_text(WRONG)
    expect(page.locator("[data-fact=observations]")).to_have_text("5")
    expect(page.locator("[data-fact=fragments]")).to_contain_text("5")
    page.get_by_role("link", name="Retract…").click()
    expect(page.locator("[data-fact=entities]")).to_have_text("5")
    expect(page.locator("[data-fact=changed]")).to_have_text("2")
    expect(page.locator("[data-fact=emptied]")).to_have_text("3")
    expect(page.get_by_role("row", name="size")).to_contain_text("2")
    page.get_by_role("button", name="Retract the source").click()
    expect(page.locator("form.se-form")).to_contain_text("This field is required.")
    page.get_by_label("Reason").fill("the wrong file")
    page.get_by_role("button", name="Retract the source").click()
    expect(page.locator("#source-state .se-states")).to_contain_text("being taken back")
    expect(page.locator("#source-jobs")).to_contain_text("What it brought is taken back")

    # The page is not loaded again: it sees by itself what workers do.
    settle()

    expect(page.locator("#source-retractions .se-badge")).to_have_text("taken back")
    expect(page.locator("#source-jobs")).to_be_hidden()
    assert make_snapshot(user=owner, key="k2").values == {"k": "k2", "size": 2}
    page.locator("[data-fact=observations] a").click()
    expect(page.locator("#result_list .data-row")).to_have_count(5)
    expect(page.locator("#result_list .se-badge", has_text="retracted")).to_have_count(5)
    page.go_back()
    page.get_by_role("link", name="Undo…").click()
    expect(page.locator("[data-fact=emptied]")).to_have_text("3")
    page.get_by_role("button", name="Undo the retraction").click()
    settle()
    expect(page.locator("#source-state .se-states")).to_have_text("takes part")
    assert make_snapshot(user=owner, key="k2").values["size"] == 77
    page.get_by_role("link", name="Audit trail").click()
    expect(page.locator("#result_list .data-row")).to_have_count(4)


@pytest.mark.long
@pytest.mark.parametrize(("width", "theme"), [(1440, "light"), (390, "dark")])
def test_the_pages_are_read_without_complaint_or_overflow(
    owner: User, visit: Callable[..., Visit], login_of: Callable[[str], User], width: int, theme: str
) -> None:
    opened = visit(width=width, theme=theme)
    opened.sign_in(login_of("schema_admin"))
    wrong, right = (Source.objects.get(pk=source_of(owner, name)) for name in (WRONG, "right.jsonl"))
    retract(owner, WRONG)
    settle()
    give_back(owner, WRONG)
    settle()
    retract(owner, "right.jsonl")
    job_cancel(job_id=Job.objects.filter(kind=SETTLE_RETRACTION).latest("requested_at").pk, actor=SHELL)
    paths = [
        list_of(Source),
        page_of(wrong),
        page_of(right),
        verb_of(Source, "retract", wrong.pk),
        verb_of(Source, "retract", right.pk),
        verb_of(Source, "undo", right.pk),
        f"{list_of(Observation)}?source={right.pk}",
    ]
    for path in paths:
        page = opened.go(path)
        assert serious_flaws(page) == [], path
        assert opened.overflow() <= 0, path
    page = opened.go(page_of(right))
    page.get_by_role("button", name="Go on").click()
    expect(page.locator("#source-jobs")).to_contain_text("What it brought is taken back")
