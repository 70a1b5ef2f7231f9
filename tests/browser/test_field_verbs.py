"""An undeclared field is found, promoted after a look, and followed to its end, in a real browser."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from fragments.models import FieldDismissal, Promotion, RawFragment, RawFragmentAggregate
from fragments.services.promotions import field_promote
from schemaevo.kernel.models import User
from tests.admin.addresses import list_of, page_of, verb_of
from tests.browser.conftest import Visit
from tests.browser.test_admin import serious_flaws
from tests.browser.test_promotion_pages import work
from tests.factories import SHELL, THING, make_definition, make_run, make_snapshot, make_user, make_version

pytestmark = pytest.mark.django_db(transaction=True)

LONG = "a-name-that-nobody-would-type-" + "x" * 90


@pytest.fixture
def owner(transactional_db: None) -> User:
    """An owner of undeclared fields, one of them with a long name and long values."""
    make_version(document=make_definition(k="string"))
    owner = make_user(username="an-owner-with-a-rather-long-name-" + "x" * 60)
    sizes = [1, 2, "3", "large"]
    records = [{"k": f"k{n}", "size": size, LONG: "y" * 150 + str(n)} for n, size in enumerate(sizes)]
    make_run(user=owner, records=records)
    return owner


def row_of(field: str) -> RawFragmentAggregate:
    return RawFragmentAggregate.objects.get(fragment_key=field)


def test_a_field_is_found_promoted_after_a_look_and_followed_to_its_end(
    owner: User, visit: Callable[..., Visit], login_of: Callable[[str], User]
) -> None:
    work()
    opened = visit()
    opened.sign_in(login_of("schema_admin"))
    page = opened.go(f"{list_of(RawFragmentAggregate)}?type={THING}&field=size")
    rows = page.locator("#result_list .data-row")
    expect(rows).to_have_count(1)
    rows.locator("th a").click()
    page.get_by_role("link", name="Promote…").click()
    page.get_by_label("Type").select_option("number")
    page.get_by_label("Merge policy").select_option("highest_priority")
    page.get_by_label(re.compile("^string_to_number")).check()
    page.get_by_role("button", name="Look").click()
    for fact, said in {
        "waiting": "4",
        "fitting": "2",
        "converted": "1",
        "misfit": "1",
        "fields": "0 → 1",
    }.items():
        expect(page.locator(f"[data-fact={fact}]")).to_contain_text(said)
    expect(page.locator("[data-sampled=k2]")).to_contain_text("3")
    assert serious_flaws(page) == []
    assert not Promotion.objects.exists()
    page.get_by_label("Reason").fill("they need it in their reports")
    page.get_by_role("button", name="Promote", exact=True).click()
    expect(page.locator("#promotion-state .se-badge")).to_have_text("running")

    # The page is not loaded again: it sees by itself what workers do.
    work()

    expect(page.locator("#promotion-state .se-badge")).to_have_text("done")
    expect(page.locator("[data-fact=promoted]")).to_have_text("3")
    expect(page.get_by_role("link", name="Undo…")).to_be_visible()
    page = opened.go(page_of(make_snapshot(user=owner, key="k2")))
    expect(page.locator("#content")).to_contain_text("size")
    assert make_snapshot(user=owner, key="k2").values == {"k": "k2", "size": 3}


def test_without_a_script_a_field_is_looked_at_and_dismissed(
    owner: User, visit: Callable[..., Visit], login_of: Callable[[str], User]
) -> None:
    opened = visit(width=390)
    opened.sign_in(login_of("schema_admin"))
    browser = opened.context.browser
    assert browser is not None
    plain = browser.new_context(java_script_enabled=False, viewport={"width": 390, "height": 900})
    try:
        plain.add_cookies(opened.context.cookies())  # type: ignore[arg-type]
        page = plain.new_page()
        page.goto(opened.base + verb_of(RawFragmentAggregate, "promote", row_of("size").pk))
        page.get_by_label("Type").select_option("string")
        page.get_by_role("button", name="Look").click()
        expect(page.locator("[data-fact=waiting]")).to_have_text("4")
        page.goto(opened.base + page_of(row_of("size")))
        page.get_by_role("link", name="Dismiss or snooze…").click()
        page.get_by_label("Reason").fill("only noise")
        page.get_by_role("button", name="Decide").click()
        expect(page.locator(".se-field-standing")).to_contain_text("only noise")
        assert FieldDismissal.objects.get().fragment_key == "size"
    finally:
        plain.close()


@pytest.mark.long
@pytest.mark.parametrize(("width", "theme"), [(1440, "light"), (1440, "dark"), (390, "light"), (390, "dark")])
def test_the_pages_are_read_without_complaint_or_overflow(
    owner: User, visit: Callable[..., Visit], login_of: Callable[[str], User], width: int, theme: str
) -> None:
    field_promote(
        user_id=owner.pk,
        entity_type=THING,
        field="size",
        declaration={"type": "number"},
        actor=SHELL,
    )
    work()
    opened = visit(width=width, theme=theme)
    opened.sign_in(login_of("schema_admin"))
    paths = [page_of(row_of(LONG)), page_of(row_of("size"))]
    for verb in ("promote", "dismiss", "ignore", "archive", "converters"):
        paths += [verb_of(RawFragmentAggregate, verb, row_of(field).pk) for field in (LONG, "size")]
    paths += [
        f"{verb_of(RawFragmentAggregate, 'promote', row_of(LONG).pk)}?type=number&converter=string_to_number",
        f"{verb_of(RawFragmentAggregate, 'converters', row_of('size').pk)}?converter=string_to_number",
        f"{verb_of(RawFragmentAggregate, 'ignore', row_of(LONG).pk)}?pattern=a*",
    ]
    assert RawFragment.objects.filter(fragment_key=LONG).count() == 4
    for path in paths:
        page = opened.go(path)
        assert opened.overflow() <= 0, path
        assert serious_flaws(page) == [], path
