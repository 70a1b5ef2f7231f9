"""An entity in a real browser: why it is so, what changed when, how it was, and back; with and without scripts."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from playwright.sync_api import Page, expect

from schemaevo.kernel.canonical import JsonObject
from schemaevo.kernel.models import User
from snapshots.models import EntitySnapshot, ObservationOrigin
from tests.admin.addresses import list_of, page_of, verb_of
from tests.browser.conftest import Visit
from tests.browser.test_admin import serious_flaws
from tests.factories import (
    NOON,
    make_definition,
    make_observation,
    make_recorded,
    make_run,
    make_snapshot,
    make_user,
    make_version,
)

pytestmark = pytest.mark.django_db(transaction=True)

LONG = "a-name-that-nobody-would-type-" + "x" * 90


@pytest.fixture
def entity(transactional_db: None) -> EntitySnapshot:
    """An entity with all that its pages can show: long names and values, a conversion, a promotion, a deletion."""
    owner = make_user(username="an-owner-with-a-rather-long-name-" + "x" * 60)
    declared: dict[str, Any] = {LONG: "object"}
    make_version(
        document=make_definition(
            k="string",
            colour="string",
            size={"type": "number", "converters": ["string_to_number"]},
            tags="array",
            must={"type": "string", "required": True},
            policies={"size": {"strategy": "highest_priority"}, "tags": {"strategy": "merge_array"}},
            **declared,
        )
    )
    key = "thing-1-" + "y" * 60
    told: list[JsonObject] = [
        {"colour": "red", "size": "12", "tags": ["a", "b"], LONG: {"n": list(range(60))}},
        {"colour": "blue", "size": 7, "tags": ["b", "c"], "undeclared": 1},
        {"_deleted": True},
        {"colour": "green"},
    ]
    observations = [
        make_observation(user=owner, key=key, fields=fields, seconds=n, priority=200 if n != 1 else 100)
        for n, fields in enumerate(told)
    ]
    make_recorded(observations=observations)
    promoted = make_observation(user=owner, key=key, fields={"k": "was a fragment"}, seconds=1)
    make_recorded(
        observations=[
            msgspec.structs.replace(promoted, ranks_as=observations[1].id, origin=ObservationOrigin.PROMOTION)
        ]
    )
    make_run(
        records=[{"k": key, **{f"smell-{'z' * n}": {"n": n} for n in range(30)}}],
        user=owner,
        source="a-source-with-a-rather-long-name-" + "x" * 60,
        observed_at=NOON - timedelta(hours=1),
    )
    return make_snapshot(user=owner, key=key)


def _walked(page: Page, base: str, entity: EntitySnapshot) -> None:
    """From the list to the entity, why, its history, as of a time of it, and back to now."""
    page.goto(base + list_of(EntitySnapshot))
    page.locator("#result_list .data-row th a").click()
    expect(page.locator("#entity")).to_have_text(entity.entity_key)
    size = page.locator("[data-field=size]")
    expect(size.locator(".se-value")).to_have_text("12")
    expect(size.locator("table")).to_be_hidden()
    size.locator("summary").first.click()
    expect(size.locator("tr.se-lost")).to_contain_text("lost: higher priority: 200 over 100")
    expect(size.locator("tbody tr").first).to_contain_text("shown as 12 by string_to_number")

    page.get_by_role("link", name="What changed, and when").click()
    expect(page.locator(".se-moment")).to_have_count(6)
    newest = page.locator(".se-moment").first
    expect(newest).to_contain_text("brings it back")
    expect(newest.locator("del")).to_have_text('"blue"')
    expect(newest.locator("ins")).to_have_text('"green"')
    page.locator(".se-moment").nth(3).get_by_role("link", name=re.compile("^as of then")).click()

    expect(page.locator("#as-of")).to_contain_text("1 field is different now: colour")
    expect(page.locator("[data-field=colour] .se-value")).to_contain_text('"blue"')
    expect(page.locator("[data-field=colour] .se-instead")).to_contain_text('"green"')
    page.get_by_label(re.compile("^As of")).fill("2024-05-01 12:00:02")
    page.get_by_role("button", name="Show", exact=True).click()
    expect(page.locator(".se-entity")).to_contain_text("The entity is deleted, so no field is shown.")
    page.get_by_label(re.compile("^As of")).fill("the day before")
    page.get_by_role("button", name="Show", exact=True).click()
    expect(page.locator("#as-of-wrong")).to_contain_text("This is no time.")
    page.get_by_role("link", name="Back to now").click()
    expect(page.locator("[data-field=colour] .se-value")).to_have_text('"green"')
    expect(page.locator("#as-of-wrong")).to_have_count(0)


def test_from_the_list_to_why_to_the_history_to_a_time_and_back(
    entity: EntitySnapshot, visit: Callable[..., Visit], login_of: Callable[[str], User]
) -> None:
    opened = visit()
    page = opened.sign_in(login_of("operator"))
    _walked(page, opened.base, entity)


def test_the_same_without_a_script(
    entity: EntitySnapshot, visit: Callable[..., Visit], login_of: Callable[[str], User]
) -> None:
    opened = visit()
    opened.sign_in(login_of("operator"))
    browser = opened.context.browser
    assert browser is not None
    plain = browser.new_context(java_script_enabled=False)
    try:
        plain.add_cookies(opened.context.cookies())  # type: ignore[arg-type]
        _walked(plain.new_page(), opened.base, entity)
    finally:
        plain.close()


@pytest.mark.long
@pytest.mark.parametrize(("width", "theme"), [(1440, "light"), (390, "dark")])
def test_the_pages_of_an_entity_are_read_without_complaint_or_overflow(
    entity: EntitySnapshot,
    visit: Callable[..., Visit],
    login_of: Callable[[str], User],
    width: int,
    theme: str,
) -> None:
    opened = visit(width=width, theme=theme)
    opened.sign_in(login_of("operator"))
    at = page_of(entity)
    for path in (
        at,
        f"{at}?as_of=2024-05-01T12:00:01Z",
        f"{at}?as_of=never",
        verb_of(EntitySnapshot, "history", entity.pk),
    ):
        page = opened.go(path)
        page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
        assert opened.overflow() <= 0, path
        assert serious_flaws(page) == [], path
