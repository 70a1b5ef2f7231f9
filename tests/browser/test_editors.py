"""The editors in a real browser: typed, checked as one types, saved; in both themes, on a phone, by keyboard alone."""

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import expect

from registry.models import ExtensionRevision, SchemaVersion
from schemaevo.kernel.models import User
from tests.admin.test_editors import NEW, edit_of
from tests.admin.test_extension_editor import url_of
from tests.browser.conftest import Visit
from tests.browser.test_admin import serious_flaws
from tests.factories import THING, make_definition, make_extension, make_maximum, make_user, make_version
from tests.quotas import fields_named

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_first_schema_is_built_by_typing(
    visit: Callable[..., Visit], login_of: Callable[[str], User]
) -> None:
    opened = visit()
    opened.sign_in(login_of("schema_admin"))
    page = opened.go(NEW)
    review = page.locator("[data-review]")
    page.fill("[name=entity_type]", THING)
    name = page.locator("[data-part=name]").first
    name.fill("_Straße")
    # What is wrong is said at the field, and goes away by itself.
    row = page.locator("[data-row]").first
    expect(row.locator("[data-problems]")).to_have_text("names that start with _ are reserved")
    expect(name).to_have_attribute("aria-invalid", "true")
    name.fill("Straße")
    expect(row.locator("[data-problems] li")).to_have_count(0)
    expect(name).not_to_have_attribute("aria-invalid", "true")
    expect(review).to_contain_text("adds the field 'Straße', a string")
    expect(review).to_contain_text("1.0.0")
    # A part that is folded away is opened by what is wrong in it.
    page.click("[data-add]")
    row = page.locator("[data-row]").nth(1)
    expect(row.locator("[data-part=name]")).to_be_focused()
    row.locator("[data-part=name]").fill("size")
    row.locator("[data-part=type]").select_option("number")
    row.locator("summary").click()
    expect(row.locator("[data-part=pattern]")).to_be_hidden()
    expect(row.locator("[data-part=min]")).to_be_visible()
    expect(row.locator("[data-part=converter_2]")).to_be_hidden()
    row.locator("[data-part=min]").fill("12345678901234567890123")
    row.locator("[data-part=converter_1]").select_option("string_to_number")
    row.locator("[data-part=max]").fill("many")
    expect(row.locator("[data-problems]")).to_contain_text("At most: must be a number")
    row.locator("[data-part=max]").fill("")
    expect(review).to_contain_text("adds the field 'size', a number")
    # The same document as JSON, and back.
    page.click("button[value=json]")
    expect(page.locator("textarea[name=document]")).to_have_value(
        '{\n  "fields": {\n    "Straße": {\n      "type": "string"\n    },\n    "size": {\n      "constraints": {\n'
        '        "min": 12345678901234567890123\n      },\n      "converters": [\n        "string_to_number"\n'
        '      ],\n      "type": "number"\n    }\n  },\n  "merge_policies": {}\n}'
    )
    page.click("button[value=rows]")
    page.fill("[name=note]", "by typing")
    page.click("button[value=save]")
    expect(page.locator("#content")).to_contain_text("never in force")
    version = SchemaVersion.objects.get()
    assert (version.number, version.note, version.entity_type) == ("1.0.0", "by typing", THING)
    assert version.definition["fields"]["size"]["constraints"] == {"min": 12345678901234567890123}


def test_a_next_version_is_typed_by_keyboard_alone(
    visit: Callable[..., Visit], login_of: Callable[[str], User]
) -> None:
    version = make_version(document=make_definition(a="string"))
    opened = visit()
    opened.sign_in(login_of("schema_admin"))
    page = opened.go(edit_of(version))
    page.locator("[data-add]").focus()
    page.keyboard.press("Enter")
    page.keyboard.type("born")
    page.keyboard.press("Enter")  # saves nothing
    page.keyboard.press("Tab")
    page.keyboard.type("date")
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("Space")
    expect(page.locator("[data-review]")).to_contain_text("refused")
    page.keyboard.press("Space")
    expect(page.locator("[data-review]")).to_contain_text("1.1.0")
    expect(page.locator("[role=status]")).to_contain_text("No problems. 1.1.0")
    page.locator("[name=note]").focus()
    page.keyboard.press("Tab")
    expect(page.locator("button.se-button-main[value=save]")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#main")).to_contain_text("is registered. It is not in force yet.")
    assert SchemaVersion.objects.get(minor=1).definition["fields"]["born"] == {"type": "date"}


def test_an_extension_is_typed_with_an_override(
    visit: Callable[..., Visit], login_of: Callable[[str], User]
) -> None:
    odd: dict[str, Any] = {"g<b>'\"": "string"}
    make_version(document=make_definition(a={"type": "number", "constraints": {"max": 100}}, **odd))
    owner = make_user(username="ada")
    make_maximum(user=owner, max_fields=1)
    opened = visit()
    opened.sign_in(login_of("schema_admin"))
    page = opened.go(url_of(owner))
    page.get_by_role("button", name="Override a", exact=True).click()
    row = page.locator("[data-rows=overrides] [data-row]").first
    expect(row.locator("[data-part=max]")).to_have_attribute("placeholder", "100")
    row.locator("[data-part=max]").fill("1000")
    expect(row.locator("[data-problems]")).to_contain_text("the global schema is tighter")
    row.locator("[data-part=max]").fill("50")
    expect(page.locator("[data-review]")).to_contain_text("changes max of 'a' from 100 to 50")
    expect(page.get_by_role("button", name="Override a", exact=True)).to_be_disabled()
    page.get_by_role("button", name="Override g<b>'\"", exact=True).click()
    page.locator("[data-rows=overrides] [data-row]").nth(1).locator("[data-remove]").click()
    page.click("[data-add]")
    page.locator("[data-rows=fields] [data-part=name]").first.fill("mine")
    expect(page.locator("[data-review]")).to_contain_text("0 › 1 / 1")
    expect(page.locator("[data-review]")).to_contain_text("nearly used up")
    page.click("button.se-button-main[value=save]")
    expect(page.locator("#content")).to_contain_text("Additional fields")
    revision = ExtensionRevision.objects.get()
    assert revision.field_overrides == {"a": {"constraints": {"max": 50}}}
    assert revision.additional_fields == {"mine": {"type": "string"}}


def test_of_two_editors_the_second_goes_on_from_what_the_first_did(
    visit: Callable[..., Visit], login_of: Callable[[str], User]
) -> None:
    version = make_version(document=make_definition(a="string"))
    opened = visit()
    opened.sign_in(login_of("schema_admin"))
    page = opened.go(edit_of(version))
    make_version(document=make_definition(a="string", theirs="date"), is_active=False)
    page.click("[data-add]")
    page.locator("[data-part=name]").nth(1).fill("mine")
    stale = page.locator(".se-review-stale")
    expect(stale).to_contain_text("adds the field 'theirs', a date")
    page.click("button.se-button-main[value=save]")
    expect(stale).to_contain_text("you began from 1.0.0, and by now 1.1.0 is there")
    expect(page.locator("[data-part=name]").nth(1)).to_have_value("mine")
    stale.get_by_role("button", name="Put my changes on top of it").click()
    expect(page.locator("[data-part=name]")).to_have_count(3)
    page.click("button.se-button-main[value=save]")
    expect(page.locator("#content")).to_contain_text("1.2.0")
    assert set(SchemaVersion.objects.get(minor=2).definition["fields"]) == {"a", "mine", "theirs"}


def test_three_hundred_fields_stay_usable(
    visit: Callable[..., Visit], login_of: Callable[[str], User]
) -> None:
    version = make_version(document={"fields": fields_named(300)})
    opened = visit()
    opened.sign_in(login_of("schema_admin"))
    page = opened.go(edit_of(version))
    rows = page.locator("[data-rows=fields] [data-row]")
    expect(rows).to_have_count(300)
    page.fill("[data-find] input", "f299")
    expect(rows.filter(visible=True)).to_have_count(1)
    rows.filter(visible=True).locator("[data-part=required]").check()
    expect(page.locator("[data-review]")).to_contain_text("makes 'f299' required")
    rows.filter(visible=True).locator("[data-remove]").click()
    page.fill("[data-find] input", "")
    expect(page.locator("[data-review]")).to_contain_text("removes the field 'f299', a string")
    page.click("button.se-button-main[value=save]")
    expect(page.locator("#content")).to_contain_text("2.0.0")
    assert len(SchemaVersion.objects.get(major=2).definition["fields"]) == 299


@pytest.mark.long
@pytest.mark.parametrize(("width", "theme"), [(1440, "light"), (390, "dark")])
def test_the_editors_are_read_without_complaint_or_overflow(
    visit: Callable[..., Visit], login_of: Callable[[str], User], width: int, theme: str
) -> None:
    long: dict[str, Any] = {"x" * 128: "date"}
    version = make_version(
        document=make_definition(a="string", b={"type": "number", "description": "said"}, **long)
    )
    owner = make_user(username="ada")
    make_extension(
        user=owner,
        document={"additional_fields": {"c": {"type": "date"}}, "field_overrides": {"b": {"required": True}}},
    )
    make_version(document=make_definition(a="string", b="number", c="array"), is_active=True)
    opened = visit(width=width, theme=theme)
    opened.sign_in(login_of("superuser"))
    remove = url_of(owner, "remove/")
    for path in [NEW, edit_of(version), url_of(owner), remove, remove.partition("remove/")[0]]:
        page = opened.go(path)
        for summary in page.locator("[data-row] summary").all():
            summary.click()
        if page.locator("[data-rows=fields] [data-row]").count():
            page.locator("[data-rows=fields] [data-part=name]").first.fill("_bad")
            expect(page.locator(".se-review-bad")).to_be_visible()
        assert opened.overflow() <= 0, path
        assert serious_flaws(page) == [], path
        # What was typed here is left behind on purpose.
        page.once("dialog", lambda dialog: dialog.accept())
