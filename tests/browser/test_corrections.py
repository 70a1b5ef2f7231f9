"""A field is corrected in a real browser, on a desk and on a phone, with and without a script."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from schemaevo.kernel.models import User
from snapshots.models import EntitySnapshot
from tests.admin.addresses import page_of, verb_of
from tests.browser.conftest import Visit
from tests.browser.test_admin import serious_flaws
from tests.factories import make_definition, make_run, make_snapshot, make_user, make_version

pytestmark = pytest.mark.django_db(transaction=True)

LONG = {"some": ["x" * 40] * 8, "deep": {"n": [1, 2, 3]}}


@pytest.fixture
def owner(transactional_db: None) -> User:
    policies = {"tags": {"strategy": "merge_array"}}
    document = make_definition(
        policies=policies,
        k="string",
        colour="string",
        about={"type": "object", "required": True},
        tags="array",
    )
    make_version(document=document)
    owner = make_user(username="an-owner-with-a-rather-long-name-" + "x" * 60)
    make_run(
        records=[{"k": "key-" + "y" * 80, "colour": "red", "about": LONG, "tags": ["a", "b"]}], user=owner
    )
    return owner


def key_of(owner: User) -> str:
    return EntitySnapshot.objects.get(user=owner).entity_key


@pytest.mark.parametrize(("width", "theme"), [(1440, "light"), (390, "dark")])
def test_a_field_is_corrected_after_a_look_and_corrected_once_more(
    owner: User, visit: Callable[..., Visit], login_of: Callable[[str], User], width: int, theme: str
) -> None:
    opened = visit(width=width, theme=theme)
    opened.sign_in(login_of("operator"))
    entity = make_snapshot(user=owner, key=key_of(owner))
    page = opened.go(verb_of(EntitySnapshot, "correct", entity.pk))

    def is_fine() -> None:
        assert opened.overflow() <= 0
        assert serious_flaws(page) == []

    is_fine()
    page.locator("select[name=field]").select_option("colour")
    page.get_by_role("button", name="Show").click()
    expect(page.locator("[data-fact=now]")).to_have_text('"red"')
    expect(page.get_by_label("Correct value")).to_have_value("red")
    is_fine()
    for value, before in (("dark blue", '"red"'), ("green", '"dark blue"')):
        page.get_by_label("Correct value").fill(value)
        page.get_by_label("Reason").fill("the label says so")
        page.get_by_role("button", name="Preview").click()
        expect(page.locator("[data-fact=before]")).to_have_text(before)
        expect(page.locator("[data-fact=after]")).to_have_text(f'"{value}"')
        is_fine()
        entity.refresh_from_db()
        assert entity.values["colour"] != value
        page.get_by_role("button", name="Correct it").click()
        expect(page).to_have_url(re.compile(re.escape(page_of(entity))))
        expect(page.locator("body")).to_contain_text("Corrected: colour.")
        page = opened.go(f"{verb_of(EntitySnapshot, 'correct', entity.pk)}?field=colour")
    made = page.locator("section", has=page.locator("#made"))
    expect(made.get_by_text("holds", exact=True)).to_have_count(1)
    expect(made.get_by_text("overtaken", exact=True)).to_have_count(1)
    is_fine()


@pytest.mark.parametrize("width", [1440, 390])
def test_long_values_and_refusals_fit_the_page_and_no_script_is_needed(
    owner: User, visit: Callable[..., Visit], login_of: Callable[[str], User], width: int
) -> None:
    opened = visit(width=width)
    opened.sign_in(login_of("operator"))
    browser = opened.context.browser
    assert browser is not None
    plain = browser.new_context(java_script_enabled=False, viewport={"width": width, "height": 900})
    try:
        plain.add_cookies(opened.context.cookies())  # type: ignore[arg-type]
        page = plain.new_page()
        entity = make_snapshot(user=owner, key=key_of(owner))
        page.goto(f"{opened.base}{verb_of(EntitySnapshot, 'correct', entity.pk)}?field=about")
        page.get_by_label("Correct value").fill("[1")
        page.get_by_label("Reason").fill("r" * 300)
        page.get_by_role("button", name="Preview").click()
        expect(page.locator("#content")).to_contain_text("This is not JSON")
        page.get_by_label("Correct value").fill("null")
        page.get_by_role("button", name="Preview").click()
        expect(page.locator("#content")).to_contain_text("without it the snapshot is incomplete")
        page.get_by_role("button", name="Correct it").click()
        entity.refresh_from_db()
        assert "about" not in entity.values
        page.goto(f"{opened.base}{verb_of(EntitySnapshot, 'correct', entity.pk)}?field=tags")
        width_of_all: int = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
        assert width_of_all <= 0
    finally:
        plain.close()
