"""Every page there is, by its address: axe finds nothing serious, it is as wide as its window, and it is quiet."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page as Sheet
from playwright.sync_api import expect

from schemaevo.kernel.models import Job, User
from tests.admin.addresses import list_of
from tests.browser.conftest import Visit
from tests.browser.test_admin import serious_flaws
from tests.factories import make_quota_request
from tests.permissions.pages import PAGES, Page, pages_of, registered
from tests.permissions.scene import Scene, make_store
from tests.permissions.table import Role

pytestmark = pytest.mark.django_db(transaction=True)

#: Addresses that answer with something else than a page.
NO_PAGES = {
    "dashboard_live",
    "admin:jsi18n",
    "admin:autocomplete",
    "admin:search",
    "admin:app_list",
    "admin:kernel_job_live",
    "admin:kernel_erasure_live",
    "admin:fragments_promotion_live",
    "admin:fragments_bulkact_live",
    "admin:snapshots_source_live",
    "admin:registry_proposal_live",
    "admin:registry_proposal_report_json",
}


def _pages() -> Iterator[Page]:
    for page in PAGES:
        if page.shown == 200 and page.name not in NO_PAGES:
            yield page
    for label in registered():
        yield from (page for page in pages_of(label) if page.shown == 200 and page.sees != "write by hand")


@pytest.fixture
def scene(transactional_db: None, tmp_path: Path, login_of: Callable[[str], User]) -> Scene:
    store = make_store(tmp_path)
    request = make_quota_request(user=store.owner, asker=store.operator, max_schemas=20)
    return Scene(store, Role.SUPERUSER, login_of("superuser"), request)


def _headings_skipped(sheet: Sheet) -> list[str]:
    """Headings of the page's own part that stand more than one level below the one before."""
    found: list[str] = sheet.evaluate(
        """() => {
            let level = 1; const skipped = [];
            for (const one of document.querySelectorAll('#content :is(h1, h2, h3, h4, h5, h6)')) {
                const own = Number(one.tagName[1]);
                if (own > level + 1) skipped.push(one.textContent.trim());
                level = own;
            }
            return skipped;
        }"""
    )
    return found


@pytest.mark.long
@pytest.mark.parametrize(("width", "theme"), [(1440, "light"), (390, "dark")])
def test_every_page_is_readable_and_quiet(
    scene: Scene, visit: Callable[..., Visit], width: int, theme: str
) -> None:
    opened = visit(width=width, theme=theme)
    opened.sign_in(scene.login)
    wrong = {}
    seen = set()
    for page in _pages():
        page.first(scene)
        path = page.at(scene)
        if path in seen:
            continue
        seen.add(path)
        sheet = opened.go(path)
        said = [*serious_flaws(sheet), *(f"skips to the heading {one}" for one in _headings_skipped(sheet))]
        if opened.overflow() > 0:
            said.append(f"wider than its window by {opened.overflow()}")
        if not sheet.title().partition("|")[0].strip() or sheet.title().startswith("Select"):
            said.append(f"called {sheet.title()}")
        if said:
            wrong[path] = said
    assert not wrong, "\n".join(f"{path}: {line}" for path, lines in wrong.items() for line in lines)
    assert len(seen) > 60


def test_the_keyboard_reaches_the_content_and_the_filters(scene: Scene, visit: Callable[..., Visit]) -> None:
    opened = visit()
    opened.sign_in(scene.login)
    page = opened.go(list_of(Job))
    page.keyboard.press("Tab")
    skip = page.locator(".se-skip")
    expect(skip).to_be_focused()
    expect(skip).to_be_in_viewport()
    page.keyboard.press("Enter")
    way = page.get_by_role("button", name="Filters", exact=True)
    expect(way).to_have_attribute("aria-expanded", "false")
    way.focus()
    page.keyboard.press("Enter")
    expect(way).to_have_attribute("aria-expanded", "true")
    expect(page.locator("#filter-form :is(input:not([type=hidden]), [role=combobox])").first).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.locator("#changelist-filter")).to_be_hidden()
    expect(way).to_be_focused()


@pytest.mark.parametrize("width", [1440, 390])
def test_without_a_script_a_list_is_filtered(scene: Scene, visit: Callable[..., Visit], width: int) -> None:
    opened = visit(width=width)
    opened.sign_in(scene.login)
    cookies = opened.context.cookies()
    browser = opened.context.browser
    assert browser is not None
    plain = browser.new_context(java_script_enabled=False, viewport={"width": width, "height": 900})
    try:
        plain.add_cookies(cookies)  # type: ignore[arg-type]
        page = plain.new_page()
        page.goto(opened.base + list_of(Job))
        expect(page.get_by_role("button", name="Filters", exact=True)).to_be_hidden()
        page.locator("#filter-form [name=state]").select_option("paused")
        page.locator("#filter-form button[type=submit]").click()
        expect(page.locator("#result_list .data-row")).to_have_count(1)
        assert page.locator("#result_list").inner_text().count("paused")
    finally:
        plain.close()


def test_a_list_with_nothing_in_it_says_why(scene: Scene, visit: Callable[..., Visit]) -> None:
    opened = visit()
    opened.sign_in(scene.login)
    page = opened.go(f"{list_of(Job)}?state=cancelled")
    expect(page.get_by_role("heading", name="Nothing is found by these filters")).to_be_visible()
    page.get_by_role("link", name="Show all").click()
    expect(page.locator("#result_list .data-row").first).to_be_visible()
