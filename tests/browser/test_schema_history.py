"""The past and the future of schemas in a real browser: compare, put in force, retire; what applies, what disagrees."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from django.urls import reverse
from playwright.sync_api import expect

from registry.models import ExtensionRevision, Schema, SchemaVersion
from schemaevo.kernel.models import User
from tests.admin.addresses import page_of, verb_of
from tests.browser.conftest import Visit
from tests.browser.test_admin import serious_flaws
from tests.factories import (
    THING,
    make_compatibility,
    make_definition,
    make_extension,
    make_run,
    make_user,
    make_version,
)

pytestmark = pytest.mark.django_db(transaction=True)

LONG = "a-name-as-long-as-names-of-real-data-are-and-longer-still"


@pytest.fixture
def owner(transactional_db: None) -> User:
    """An owner with three versions of an own schema, the last one never in force, and records."""
    made = make_user(username="ada")
    make_version(
        document=make_definition(k="string", a={"type": "string", "description": "x " * 90}), user=made
    )
    make_version(document=make_definition(k="string", a="string", b="number"), user=made)
    last: dict[str, Any] = {
        "a": {"type": "string", "description": "said otherwise " * 20},
        "b": {"type": "number", "converters": ["string_to_number"]},
        LONG: {"type": "string", "constraints": {"enum": [f"value-{n}" for n in range(60)]}},
    }
    policies = {"a": {"strategy": "highest_priority"}}
    make_version(document=make_definition(policies=policies, k="string", **last), user=made, is_active=False)
    make_run(records=[{"k": str(n), "a": "x"} for n in range(3)], user=made)
    return made


@pytest.fixture
def disagreeing(transactional_db: None) -> ExtensionRevision:
    """An extension that the global schema has moved against, by now."""
    make_version(document=make_definition(a="string", b="number"))
    revision = make_extension(
        user=make_user(username="grace"),
        document={
            "additional_fields": {LONG: {"type": "array"}, "mine": {"type": "number"}},
            "field_overrides": {"b": {"constraints": {"min": 3, "enum": [*range(3, 60)]}}},
        },
    )
    make_version(
        document={"fields": {"a": {"type": "string"}, "b": {"type": "number"}, LONG: {"type": "string"}}}
    )
    return revision


def test_two_versions_are_chosen_compared_and_one_put_in_force_and_retired(
    owner: User, visit: Callable[..., Visit], login_of: Callable[[str], User]
) -> None:
    schema = Schema.objects.get()
    opened = visit()
    opened.sign_in(login_of("schema_admin"))
    page = opened.go(page_of(schema))
    expect(page.locator(".se-version-number")).to_have_text(["1.2.0", "1.1.0", "1.0.0"])
    page.locator("input[name=from][value='1.0.0']").check()
    page.get_by_role("button", name="Compare the two chosen").click()
    expect(page).to_have_url(re.compile(r"/compare/\?to=1\.2\.0&from=1\.0\.0$"))
    expect(page.locator(".se-sides-added .se-sides-head .se-code")).to_have_text([LONG, "b"])
    page.get_by_role("link", name="Swap").click()
    expect(page.locator(".se-sides-removed .se-sides-head .se-code")).to_have_text([LONG, "b"])
    # From the version's page to what it changes, and from there into force.
    page = opened.go(page_of(SchemaVersion.objects.get(minor=2)))
    page.get_by_role("link", name="Put in force…").click()
    expect(page.locator(".se-verb-title")).to_have_text("Put thing 1.2.0 in force")
    expect(page.locator(".se-facts").first).to_contain_text("Snapshots to recompute")
    page.get_by_role("button", name="Put in force").click()
    expect(page).to_have_url(re.compile(re.escape(page_of(SchemaVersion.objects.get(minor=2)))))
    assert SchemaVersion.objects.get(is_active=True).number == "1.2.0"
    page.get_by_role("link", name="Retire…").click()
    page.get_by_label("Note").fill("a mistake")
    page.get_by_role("button", name="Retire this version").click()
    expect(page.get_by_text("Retired: 1.2.0.")).to_be_visible()
    page = opened.go(page_of(schema))
    first = page.locator(".se-version").first
    expect(first).to_contain_text("a mistake")
    expect(first).to_contain_text("put in force instead of 1.1.0")
    assert not SchemaVersion.objects.filter(is_active=True).exists()


def test_from_a_conflict_to_what_applies_to_its_user(
    disagreeing: ExtensionRevision, visit: Callable[..., Visit], login_of: Callable[[str], User]
) -> None:
    opened = visit()
    page = opened.sign_in(login_of("viewer"))
    page.get_by_role("link", name="Conflicts").click()
    expect(page.locator("section", has_text="grace").first).to_contain_text(
        "Give the user's field another name"
    )
    page.get_by_role("link", name="Effective schema").last.click()
    expect(page.locator("#standing")).to_contain_text("thing of grace")
    expect(page.locator("tr", has_text=LONG).first).to_contain_text("conflict")
    page.get_by_label("Owner").fill("")
    page.get_by_role("button", name="Show").click()
    expect(page.locator("#standing")).to_contain_text("thing (global)")


@pytest.mark.long
@pytest.mark.parametrize(("width", "theme"), [(1440, "light"), (390, "dark")])
def test_the_pages_are_read_without_complaint_or_overflow(
    owner: User,
    disagreeing: ExtensionRevision,
    visit: Callable[..., Visit],
    login_of: Callable[[str], User],
    width: int,
    theme: str,
) -> None:
    make_compatibility()
    own = Schema.objects.get(user=owner)
    last = SchemaVersion.objects.get(schema=own, minor=2)
    opened = visit(width=width, theme=theme)
    opened.sign_in(login_of("superuser"))
    effective = reverse("admin:registry_schema_effective")
    for path in (
        page_of(own),
        f"{verb_of(Schema, 'compare', own.pk)}?from=1.0.0&to=1.2.0",
        verb_of(SchemaVersion, "activate", last.pk),
        verb_of(SchemaVersion, "retire", last.pk),
        verb_of(Schema, "retire", own.pk),
        page_of(last),
        f"{effective}?type={THING}&owner=grace",
        f"{effective}?type=nothing",
        reverse("admin:registry_extensionrevision_conflicts"),
        page_of(disagreeing),
        verb_of(ExtensionRevision, "compare", disagreeing.pk),
    ):
        page = opened.go(path)
        assert opened.overflow() <= 0, path
        assert serious_flaws(page) == [], path
