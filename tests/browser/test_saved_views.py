"""A list is narrowed, saved, opened again and shared, in a real browser: on a desk, on a phone, without a script."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from fragments.models import RawFragment
from schemaevo.kernel.models import SavedView, User
from tests.admin.addresses import list_of
from tests.browser.conftest import Visit
from tests.browser.test_admin import serious_flaws
from tests.factories import make_definition, make_login, make_run, make_user, make_version

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def owner(transactional_db: None) -> User:
    """The owner of two undeclared fields, of one of which somebody else shares a view."""
    make_version(document=make_definition(k="string", size="number"))
    owner = make_user(username="ada")
    make_run(user=owner, records=[{"k": f"k{n}", "smell": n, "x": n, "size": "big"} for n in range(4)])
    other = make_login(role="operator")
    for name, field in (("What smells", "smell"), ("All the x of ada, and nothing else", "x")):
        SavedView.objects.create(
            login=other, list_name="fragments_rawfragment", name=name, query={"field": field}, is_shared=True
        )
    return owner


def is_open(page: Page, name: str) -> None:
    expect(page.locator(".se-saved-pill[aria-current]")).to_have_text(name)


def test_a_list_is_saved_shared_and_opened_again(
    owner: User, visit: Callable[..., Visit], login_of: Callable[[str], User]
) -> None:
    opened = visit()
    opened.sign_in(login_of("operator"))
    page = opened.go(f"{list_of(RawFragment)}?field=smell&owner=ada")
    page.get_by_text("Save this view").click()
    page.get_by_label("Name of the view").fill("Smells of ada")
    page.get_by_role("button", name="Save", exact=True).click()
    is_open(page, "Smells of ada")
    expect(page.locator("#result_list .data-row")).to_have_count(4)
    page.get_by_role("link", name="All", exact=True).click()
    expect(page.locator("#result_list .data-row")).to_have_count(12)
    page.get_by_role("link", name="Smells of ada").click()
    is_open(page, "Smells of ada")
    page.get_by_role("link", name="My views", exact=True).first.click()
    page.locator(".se-saved-change > summary").first.click()
    page.get_by_role("button", name="Share", exact=True).click()
    expect(page.locator(".se-badge", has_text="shared")).to_be_visible()
    assert SavedView.objects.get(name="Smells of ada").is_shared


@pytest.mark.parametrize(("width", "theme"), [(1440, "light"), (390, "dark")])
def test_the_bar_and_the_page_of_views_are_readable(
    owner: User, visit: Callable[..., Visit], login_of: Callable[[str], User], width: int, theme: str
) -> None:
    opened, login = visit(width=width, theme=theme), login_of("superuser")
    SavedView.objects.create(
        login=login,
        list_name="fragments_rawfragment",
        name="y" * 80,
        query={"field": "z" * 300, "reason": "type_mismatch"},
    )
    opened.sign_in(login)
    page = opened.go(f"{list_of(RawFragment)}?field=smell&owner=ada")
    summary = page.locator(".se-saved-keep > summary")
    summary.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_label("Name of the view")).to_be_visible()
    assert serious_flaws(page) == []
    assert opened.overflow() <= 0
    pills = page.locator(".se-saved-pill")
    tops = {round(box["y"]) for box in (pill.bounding_box() for pill in pills.all()) if box}
    assert len(tops) == 1 or width > 767
    page = opened.go("/admin/views/")
    page.locator(".se-saved-change > summary").first.click()
    assert serious_flaws(page) == []
    assert opened.overflow() <= 0


def test_a_view_is_saved_and_deleted_where_no_script_runs(
    owner: User, visit: Callable[..., Visit], login_of: Callable[[str], User]
) -> None:
    opened = visit()
    opened.sign_in(login_of("viewer"))
    browser = opened.context.browser
    assert browser is not None
    plain = browser.new_context(java_script_enabled=False, viewport={"width": 390, "height": 844})
    try:
        plain.add_cookies(opened.context.cookies())  # type: ignore[arg-type]
        page = plain.new_page()
        page.goto(f"{opened.base}{list_of(RawFragment)}?field=smell&owner=ada")
        page.get_by_text("Save this view").click()
        page.get_by_label("Name of the view").fill("Mine")
        page.get_by_role("button", name="Save", exact=True).click()
        is_open(page, "Mine")
        page.get_by_role("link", name="My views", exact=True).first.click()
        page.locator(".se-saved-change > summary").first.click()
        page.get_by_role("button", name="Delete", exact=True).click()
        expect(page.get_by_role("heading", name="You have saved no view yet")).to_be_visible()
    finally:
        plain.close()
