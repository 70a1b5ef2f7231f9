"""The admin in a real browser: no errors, no refused resources, readable in both themes and on a phone."""

import re
from collections.abc import Callable

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from fragments.models import DeadLetter, RawFragment
from schemaevo.kernel.models import AuditEvent, User
from snapshots.models import EntitySnapshot, Observation
from tests.admin.addresses import READ_ONLY, list_of, page_of
from tests.browser.conftest import PASSWORD, Visit
from tests.factories import make_definition, make_run, make_user, make_version

pytestmark = pytest.mark.django_db(transaction=True)

RECORDS = 120


@pytest.fixture
def stocked(transactional_db: None) -> User:
    """More than two pages of entities and fragments of one owner, and a rejected record."""
    owner = make_user(username="owner-of-it")
    make_version(document=make_definition(k="string", colour="string", tags="array"))
    make_run(records=[{"k": "thing-000", "colour": "red", "tags": ["a"]}], user=owner, source="older")
    make_run(
        records=[
            *(
                {"k": f"thing-{n:03}", "colour": f"shade {n}", "tags": ["b", n], f"extra{n % 3}": {"n": n}}
                for n in range(RECORDS)
            ),
            b'{"k": "broken',
        ],
        user=owner,
        source="a-source-with-a-rather-long-name-" + "x" * 60,
    )
    return owner


def serious_flaws(page: Page) -> list[str]:
    """What axe calls serious or critical, one line each."""
    found = Axe().run(page).response["violations"]
    return [
        f"{flaw['id']}: {flaw['help']} at {flaw['nodes'][0]['target']} ({len(flaw['nodes'])})"
        for flaw in found
        if flaw["impact"] in {"serious", "critical"}
    ]


def test_signing_in_leads_to_the_numbers(
    stocked: User, visit: Callable[..., Visit], login_of: Callable[[str], User]
) -> None:
    page = visit().sign_in(login_of("viewer"))
    expect(page.locator("h1", has_text="Dashboard").first).to_be_visible()
    cards = page.locator(".se-card")
    expect(cards.filter(has_text="Entities")).to_contain_text(str(RECORDS))
    expect(cards.filter(has_text="Rejected")).to_contain_text("1")
    cards.filter(has_text="Fragments").locator(".se-card-link").click()
    expect(page).to_have_url(re.compile(re.escape(list_of(RawFragment)) + "$"))


@pytest.mark.long
@pytest.mark.parametrize(("width", "theme"), [(1440, "light"), (390, "dark")])
def test_every_list_and_page_opens_without_complaint_or_overflow(
    stocked: User,
    visit: Callable[..., Visit],
    login_of: Callable[[str], User],
    width: int,
    theme: str,
) -> None:
    opened = visit(width=width, theme=theme)
    opened.sign_in(login_of("superuser"))
    rows = [
        EntitySnapshot.objects.get(entity_key="thing-000"),
        Observation.objects.all()[0],
        RawFragment.objects.all()[0],
        DeadLetter.objects.get(),
        DeadLetter.objects.get().run,
        AuditEvent.objects.all()[0],
        stocked,
    ]
    lists = [*map(list_of, READ_ONLY), list_of(User)]
    for path in ["/admin/", *lists, *map(page_of, rows)]:
        opened.go(path)
        assert opened.overflow() <= 0, path


def test_an_entity_shows_its_values_beside_their_provenance(
    stocked: User, visit: Callable[..., Visit], login_of: Callable[[str], User]
) -> None:
    opened = visit()
    opened.sign_in(login_of("operator"))
    page = opened.go(page_of(EntitySnapshot.objects.get(entity_key="thing-000")))
    row = page.locator("[data-field=colour]")
    expect(row).to_contain_text(f'"{EntitySnapshot.objects.get(entity_key="thing-000").values["colour"]}"')
    row.locator("summary").click()
    expect(row.locator(".se-lost")).to_contain_text("lost:")
    row.locator("td a.se-id").first.click()
    expect(page.locator("h1").first).to_contain_text("Observations")


def test_fragments_are_filtered_in_the_sheet(
    stocked: User, visit: Callable[..., Visit], login_of: Callable[[str], User]
) -> None:
    opened = visit()
    opened.sign_in(login_of("operator"))
    page = opened.go(list_of(RawFragment))
    page.get_by_text("Filters", exact=False).first.click()
    page.fill("#changelist-filter [name=field]", "extra1")
    page.click("#changelist-filter button[type=submit]")
    expect(page.locator("#result_list .data-row")).to_have_count(RECORDS // 3)
    assert "extra2" not in page.locator("#result_list").inner_text()


def test_pages_turn_forward_and_back(
    stocked: User, visit: Callable[..., Visit], login_of: Callable[[str], User]
) -> None:
    opened = visit()
    opened.sign_in(login_of("viewer"))
    page = opened.go(list_of(EntitySnapshot))
    keys = page.locator("#result_list .data-row th")
    wanted = [f"thing-{n:03}" for n in range(RECORDS)]
    expect(keys).to_have_text(wanted[:50])
    page.click("a[rel=next]")
    expect(keys).to_have_text(wanted[50:100])
    page.click("a[rel=next]")
    expect(keys).to_have_text(wanted[100:])
    expect(page.locator("a[rel=next]")).to_have_count(0)
    page.click("a[rel=prev]")
    expect(keys).to_have_text(wanted[50:100])


def test_a_name_is_locked_after_wrong_passwords(
    visit: Callable[..., Visit], login_of: Callable[[str], User], settings: "object"
) -> None:
    settings.AXES_FAILURE_LIMIT = 3  # type: ignore[attr-defined]
    login, opened = login_of("viewer"), visit()
    page = opened.page
    for _try in range(3):
        page.goto(opened.base + "/admin/login/")
        page.fill("[name=username]", login.username)
        page.fill("[name=password]", "wrong")
        page.click("#login-form button[type=submit]")
        page.wait_for_load_state()
    expect(page.locator("h1").first).to_have_text("Signing in is locked for a while")
    assert serious_flaws(page) == []
    page.goto(opened.base + "/admin/login/")
    page.fill("[name=username]", login.username)
    page.fill("[name=password]", PASSWORD)
    page.click("#login-form button[type=submit]")
    expect(page.locator("h1").first).to_have_text("Signing in is locked for a while")
    # The browser reports the refusal itself as an error of loading; that one is meant.
    opened.complaints[:] = [said for said in opened.complaints if "429" not in said]


def test_the_dark_theme_is_dark(
    stocked: User, visit: Callable[..., Visit], login_of: Callable[[str], User]
) -> None:
    opened = visit(theme="dark")
    page = opened.sign_in(login_of("viewer"))
    expect(page.locator("html")).to_have_class("dark")
    colour = page.locator(".se-card-number").first.evaluate("node => getComputedStyle(node).color")
    background = page.locator(".se-card").first.evaluate("node => getComputedStyle(node).backgroundColor")
    assert colour != background


def test_a_viewer_opens_an_entity_without_its_values(
    stocked: User, visit: Callable[..., Visit], login_of: Callable[[str], User]
) -> None:
    opened = visit()
    opened.sign_in(login_of("viewer"))
    page = opened.go(page_of(EntitySnapshot.objects.get(entity_key="thing-000")))
    expect(page.locator(".se-believed")).to_contain_text("hidden")
    assert "shade" not in page.content()
