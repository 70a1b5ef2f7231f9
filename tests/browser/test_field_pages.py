"""Fields over all owners in a real browser: from the side bar to a field, its owners, and one owner's part in it."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta

import pytest
from playwright.sync_api import expect

from fragments.domain.growth import FieldOwners
from fragments.models import FieldTotal, RawFragmentAggregate
from fragments.services.dismissals import field_dismiss
from fragments.services.field_growth import growth_keep
from schemaevo.kernel.figures import today
from schemaevo.kernel.models import User
from tests.admin.addresses import list_of, page_of
from tests.browser.conftest import Visit
from tests.browser.test_admin import serious_flaws
from tests.enhancements import make_given_up, make_undone
from tests.factories import SHELL, THING, make_definition, make_run, make_user, make_version
from tests.proposals.making import adding, make_draft
from tests.totals import make_totals

pytestmark = pytest.mark.django_db(transaction=True)

LONG = "a-name-that-nobody-would-type-" + "x" * 90
DATES = ["2024-01-01", "2024-01-02", "2024-03-01T10:00:00Z", 1_700_000_000, None]


@pytest.fixture
def owners(transactional_db: None) -> list[User]:
    """Some owners of a field that is mostly a date, of one with a long name, and of one that few have."""
    make_version(document=make_definition(k="string"))
    owners = [make_user(username=name) for name in ("ada", "bob", "an-owner-with-a-long-name-" + "x" * 40)]
    for n, owner in enumerate(owners):
        records = [{"k": f"k{i}", "made_at": DATES[i % 5], LONG: i, "colour": "red"} for i in range(12 + n)]
        make_run(user=owner, records=records)
    make_run(user=owners[0], source="another", records=[{"k": "k1", "made_at": "2024-05-05", "rare": True}])
    for days, count in ((40, 1), (20, 1), (9, 2), (3, 2)):
        fields = [FieldOwners("made_at", count), FieldOwners("colour", count)]
        growth_keep(entity_type=THING, fields=fields, day=today() - timedelta(days=days))
    field_dismiss(user_id=None, entity_type=THING, name="colour", reason="free text", actor=SHELL)
    make_undone(user=owners[0], field="made_at")
    make_given_up(user=owners[0], field="made_at")
    make_draft(edits=adding("made_at"))
    make_totals()
    return owners


def test_from_the_side_bar_to_a_field_and_to_one_of_its_owners(
    owners: list[User], visit: Callable[..., Visit], login_of: Callable[[str], User]
) -> None:
    opened = visit()
    page = opened.sign_in(login_of("operator"))
    page.locator(f'#nav-sidebar a[href="{list_of(FieldTotal)}"]').click()
    rows = page.locator("#result_list .data-row")
    expect(rows).to_have_count(4)
    expect(rows.filter(has_text="made_at")).to_contain_text("+2")
    page.get_by_role("link", name="made_at").click()
    expect(page.locator("[data-fact=owners]")).to_have_text("3")
    expect(page.locator("section", has=page.locator("#trend")).locator("canvas")).to_be_visible()
    expect(page.locator("section", has=page.locator("#proposals"))).to_contain_text("draft")
    page.locator("section", has=page.locator("#owners")).get_by_role("link", name="ada").click()
    expect(page.locator("section", has=page.locator("#promoted"))).to_contain_text("undone")
    expect(page.locator("section", has=page.locator("#enhanced"))).to_contain_text("given up")
    page.get_by_role("link", name="Active").click()
    expect(page).to_have_url(re.compile("owner=ada.*state=active"))
    opened.go(f"{list_of(RawFragmentAggregate)}?confidence=90&type={THING}")
    page.get_by_role("link", name="Fields over all owners, by confidence").click()
    expect(page.locator("#result_list .data-row")).to_have_count(2)


@pytest.mark.long
@pytest.mark.parametrize(("width", "theme"), [(1440, "light"), (1440, "dark"), (390, "light"), (390, "dark")])
def test_the_pages_are_read_without_complaint_or_overflow(
    owners: list[User], visit: Callable[..., Visit], login_of: Callable[[str], User], width: int, theme: str
) -> None:
    opened = visit(width=width, theme=theme)
    opened.sign_in(login_of("operator"))
    for path in (
        list_of(FieldTotal),
        f"{list_of(FieldTotal)}?confidence=low",
        *map(page_of, FieldTotal.objects.all()),
        list_of(RawFragmentAggregate),
        f"{list_of(RawFragmentAggregate)}?confidence=90",
        f"{list_of(RawFragmentAggregate)}?confidence=90&owner=ada",
        *map(page_of, RawFragmentAggregate.objects.filter(user=owners[0])),
    ):
        page = opened.go(path)
        assert opened.overflow() <= 0, path
        assert serious_flaws(page) == [], path
