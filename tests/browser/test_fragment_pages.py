"""Undeclared fields and restoring in a real browser, in both themes and on a phone."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from django.utils import timezone
from playwright.sync_api import expect

from fragments.models import LifecycleState, RawFragment, RawFragmentAggregate
from fragments.services.aggregates import Scope
from fragments.services.aggregates_rebuild import aggregates_rebuild_request
from schemaevo.kernel.job_control import job_cancel
from schemaevo.kernel.models import Job, User
from tests.admin.addresses import list_of, page_of, verb_of
from tests.browser.conftest import Visit
from tests.browser.test_admin import serious_flaws
from tests.factories import SHELL, THING, make_definition, make_run, make_user, make_version
from tests.lifecycle import HOUR, put

pytestmark = pytest.mark.django_db(transaction=True)

LONG = "a-name-that-nobody-would-type-" + "x" * 90


@pytest.fixture
def owner(transactional_db: None) -> User:
    """The owner of a field of many types, and of one with a long name, which waits for its deletion."""
    owner = make_user(username="an-owner-with-a-rather-long-name-" + "x" * 60)
    make_version(document=make_definition(k="string"))
    values = ["text", "2024-01-01", 7, 7.5, True, None, {"deep": {"n": 1}}, [1, 2], "y" * 250]
    records = [{"k": f"k{n}", "mixed": value, LONG: n} for n, value in enumerate(values)]
    make_run(user=owner, records=records)
    put(LifecycleState.PENDING_DELETION, since=timezone.now() - HOUR, fragment_key=LONG)
    return owner


def test_from_the_side_bar_to_a_field_and_the_fragments_behind_a_type(
    owner: User, visit: Callable[..., Visit], login_of: Callable[[str], User]
) -> None:
    page = visit().sign_in(login_of("operator"))
    page.locator("#nav-sidebar").get_by_role("link", name="Undeclared fields").click()
    rows = page.locator("#result_list .data-row")
    expect(rows).to_have_count(1)
    rows.locator("th a").click()
    types = page.locator("section", has=page.locator("#types"))
    expect(types.get_by_role("row", name="number")).to_contain_text("2")
    expect(page.locator("section", has=page.locator("#samples"))).to_contain_text('"2024-01-01"')
    types.get_by_role("link", name="number").click()
    expect(page.locator("#result_list .data-row")).to_have_count(2)


def test_a_field_that_waits_for_its_deletion_is_restored_from_its_fragment(
    owner: User, visit: Callable[..., Visit], login_of: Callable[[str], User]
) -> None:
    opened = visit()
    opened.sign_in(login_of("operator"))
    page = opened.go(page_of(RawFragment.objects.filter(fragment_key=LONG)[0]))
    page.get_by_role("link", name="Restore its field").click()
    expect(page.locator("[data-fact=promoted]")).to_have_text("9")
    page.get_by_label("Reason").fill("promoted by mistake")
    page.get_by_role("button", name="Restore this field").click()
    expect(page.locator("body")).to_contain_text("Restored: 9 promoted again, 0 active again.")
    expect(page.locator("#content")).to_contain_text("Nothing of this field")
    assert not RawFragment.objects.filter(lifecycle_state=LifecycleState.PENDING_DELETION).exists()


def test_fields_are_counted_anew_from_the_list(
    owner: User, visit: Callable[..., Visit], login_of: Callable[[str], User]
) -> None:
    opened = visit()
    opened.sign_in(login_of("operator"))
    page = opened.go(list_of(RawFragmentAggregate))
    page.get_by_role("link", name="Count anew").click()
    page.get_by_label("Entity type").fill(THING)
    page.get_by_role("button", name="Show").click()
    expect(page.locator("#chosen")).to_have_text("Fields of the type thing of all owners")
    page.get_by_role("button", name="Count anew").click()
    expect(page).to_have_url(re.compile(re.escape(page_of(Job.objects.get(kind="rebuild_aggregates")))))
    page = opened.go(list_of(RawFragmentAggregate))
    expect(page.locator("#content")).to_contain_text("Fields of the type thing are being counted.")


@pytest.mark.long
@pytest.mark.parametrize(("width", "theme"), [(1440, "light"), (1440, "dark"), (390, "light"), (390, "dark")])
def test_the_pages_are_read_without_complaint_or_overflow(
    owner: User, visit: Callable[..., Visit], login_of: Callable[[str], User], width: int, theme: str
) -> None:
    aggregates_rebuild_request(actor=SHELL, scope=Scope(THING, owner.pk))
    broken = aggregates_rebuild_request(actor=SHELL)
    job_cancel(job_id=broken.pk, actor=SHELL)
    opened = visit(width=width, theme=theme)
    opened.sign_in(login_of("operator"))
    restore = verb_of(RawFragment, "restore")
    for path in (
        list_of(RawFragment),
        list_of(RawFragmentAggregate),
        *map(page_of, RawFragmentAggregate.objects.all()),
        verb_of(RawFragmentAggregate, "rebuild"),
        restore,
        f"{restore}?owner=nobody",
        f"{restore}?owner={owner.username}",
        f"{restore}?owner={owner.username}&type={THING}",
        f"{restore}?owner={owner.username}&type={THING}&field={LONG}",
        page_of(RawFragment.objects.filter(fragment_key=LONG)[0]),
    ):
        page = opened.go(path)
        assert opened.overflow() <= 0, path
        assert serious_flaws(page) == [], path
