"""Verifications in a real browser: from the first page to the entity that diverged, in both themes and on a phone."""

from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from schemaevo.kernel.models import User, VerifyOutcome
from schemaevo.kernel.verification import Extent
from schemaevo.kernel.verification_runs import verification_make
from snapshots.models import EntitySnapshot
from tests.admin.addresses import list_of, page_of
from tests.browser.conftest import Visit
from tests.browser.test_admin import serious_flaws
from tests.factories import SHELL, make_definition, make_run, make_user, make_version
from tests.quotas import tamper

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def diverged(transactional_db: None) -> EntitySnapshot:
    """One of thirty entities whose snapshot is wrong, beside others, a wrong quota and a reference to nothing."""
    owner = make_user(username="an-owner-with-a-rather-long-name-" + "x" * 60)
    make_version(document=make_definition(k="string"))
    make_run(records=[{"k": f"thing-{n:02}", "smell": n} for n in range(30)], user=owner)
    make_version(document=make_definition(a="string"), entity_type="own_things", user=owner)
    verification_make(extent=Extent(10), actor=SHELL)
    EntitySnapshot.objects.filter(entity_key__lt="thing-25").update(
        observation_count=77, last_computed_observation_id=None, deleted=True
    )
    EntitySnapshot.objects.filter(entity_key="thing-29").update(user_id=987_654)
    tamper(owner, total_fields=77)
    verification_make(extent=Extent(), actor=SHELL)
    return EntitySnapshot.objects.get(entity_key="thing-07")


def test_whoever_sees_the_first_page_is_led_to_what_diverged(
    diverged: EntitySnapshot, visit: Callable[..., Visit], login_of: Callable[[str], User]
) -> None:
    page = visit().sign_in(login_of("viewer"))
    panel = page.locator("section", has=page.locator("#verified"))
    expect(panel.get_by_role("row", name="snapshots")).to_contain_text("diverges")
    panel.get_by_role("row", name="snapshots").locator("a[href*='outcome=divergent']").first.click()
    rows = page.locator("#result_list .data-row")
    expect(rows).to_have_count(1)
    expect(rows).to_contain_text("25")
    rows.locator("th a").click()
    expect(page.locator("#content")).to_contain_text("Nothing was repaired.")
    expect(page.locator("#content")).to_contain_text("5 more are not listed.")
    example = page.locator("section", has=page.locator("#examples")).locator("tbody tr").first
    expect(example).to_contain_text("observation_count")
    example.locator("a").click()
    expect(page.locator(".se-entity-key")).to_contain_text("thing-")


@pytest.mark.long
@pytest.mark.parametrize(("width", "theme"), [(1440, "light"), (1440, "dark"), (390, "light"), (390, "dark")])
def test_pages_of_verifications_are_read_without_complaint_or_overflow(
    diverged: EntitySnapshot,
    visit: Callable[..., Visit],
    login_of: Callable[[str], User],
    width: int,
    theme: str,
) -> None:
    verification_make(extent=Extent(), actor=SHELL, kinds=["quotas"], is_repair=True)
    opened = visit(width=width, theme=theme)
    opened.sign_in(login_of("operator"))
    outcomes = VerifyOutcome.objects.filter(divergent__gt=0)
    assert outcomes.count() == 4
    pages = ["/admin/", list_of(VerifyOutcome), list_of(VerifyOutcome) + "?outcome=left&kind=quotas"]
    for path in [*pages, *map(page_of, outcomes)]:
        page = opened.go(path)
        assert opened.overflow() <= 0, path
        assert serious_flaws(page) == [], path


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_where_nothing_was_verified_yet_it_says_what_to_do(
    visit: Callable[..., Visit], login_of: Callable[[str], User], theme: str
) -> None:
    opened = visit(width=390, theme=theme)
    opened.sign_in(login_of("viewer"))
    for path in ("/admin/", list_of(VerifyOutcome)):
        page = opened.go(path)
        expect(page.locator("#content")).to_contain_text("Nothing has been verified yet")
        assert opened.overflow() <= 0, path
        assert serious_flaws(page) == [], path
