"""The trends in a real browser: drawn, narrow or dark, and as tables where no script runs."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Browser, Page, expect

from fragments.domain.growth import FieldOwners
from fragments.models import LifecycleState
from fragments.selectors_figures import fragments_in
from fragments.services.field_growth import growth_keep
from schemaevo.kernel.figure_runs import figures_keep
from schemaevo.kernel.figures import DAY, today
from schemaevo.kernel.models import User
from schemaevo.kernel.pages.estimates import Amount
from tests.browser.conftest import PASSWORD, Visit
from tests.browser.test_admin import serious_flaws
from tests.factories import THING

DAYS = 60


@pytest.fixture
def _counted(transactional_db: None) -> None:
    """Two months were counted but for one day, and fields gained owners."""
    for back in range(DAYS):
        if back == 3:
            continue
        amounts = {"observations": 100 * back, "records": 100 * back, "fragments": back, "rejected": 1}
        amounts |= {"promotions": back % 3, "recomputed": 50_000 * (back % 5)}
        amounts |= {fragments_in(state): 20_000 + back for state in LifecycleState}
        kept = {name: Amount(value, is_exact="_" not in name) for name, value in amounts.items()}
        figures_keep(day=today() - back * DAY, amounts=kept)
    for day, owners in ((today() - 20 * DAY, 3), (today(), 12)):
        fields = [FieldOwners("a-field-with-a-name-that-is-" + "very-" * 12 + "long", owners)]
        growth_keep(entity_type=THING, fields=fields, day=day)


def drawn(page: Page) -> list[int]:
    """Of how many points each chart is."""
    points: list[int] = page.evaluate(
        "[...document.querySelectorAll('canvas.chart')].map(one => Chart.getChart(one).data.labels.length)"
    )
    return points


@pytest.mark.usefixtures("_counted")
@pytest.mark.parametrize(("width", "theme"), [(1440, "light"), (390, "dark")])
def test_the_trends_are_drawn_for_as_many_days_as_are_asked_for(
    visit: Callable[..., Visit], login_of: Callable[[str], User], width: int, theme: str
) -> None:
    opened = visit(width=width, theme=theme)
    page = opened.sign_in(login_of("viewer"))
    assert drawn(page) == [30] * 4

    page.locator(".se-period", has_text="7 days").click()
    expect(page).to_have_url(re.compile(r"\?days=7#trends$"))
    expect(page.locator(".se-period[aria-current]")).to_have_text("7 days")
    assert drawn(page) == [7] * 4

    first = page.locator(".se-trend").first
    first.locator("summary").click()
    expect(first.locator("tbody tr")).to_have_count(7)
    expect(first.locator("tbody tr").nth(3)).to_contain_text("not counted")
    expect(first.locator("tbody tr").nth(4)).to_contain_text("400")
    assert opened.overflow() <= 0
    assert serious_flaws(page) == []


@pytest.mark.usefixtures("_counted")
def test_the_numbers_stand_there_where_no_script_runs(
    chromium: Browser, live_server: object, login_of: Callable[[str], User]
) -> None:
    context = chromium.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{live_server}/admin/")
    page.fill("[name=username]", login_of("viewer").username)
    page.fill("[name=password]", PASSWORD)
    page.click("#login-form button[type=submit]")
    page.goto(f"{live_server}/admin/?days=7")
    first = page.locator(".se-trend").first
    expect(first.locator(".se-trend-chart")).to_be_hidden()
    first.locator("summary").click()
    expect(first.locator("tbody tr").nth(4)).to_be_visible()
    context.close()
