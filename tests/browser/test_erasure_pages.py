"""Erasure in a browser: asked for with the name typed by hand, followed to its end, in both themes and on a phone."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from schemaevo.kernel.models import Erasure, User
from snapshots.models import EntitySnapshot
from tests.admin.addresses import list_of, page_of
from tests.browser.conftest import Visit
from tests.browser.test_admin import serious_flaws
from tests.erasing import run_erasure
from tests.factories import make_definition, make_run, make_snapshot, make_user, make_version

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def owner(transactional_db: None) -> User:
    """The owner of some entities with fragments, one of them with a long key."""
    owner = make_user(username="annabelle-of-the-long-name-" + "x" * 60)
    make_version(document=make_definition(k="string"))
    keys = ["one", "two", "three-" + "y" * 120]
    make_run(user=owner, records=[{"k": key, "size": n, "smell": "sweet"} for n, key in enumerate(keys)])
    return owner


def test_a_superuser_erases_an_owner_and_sees_them_go(
    owner: User, visit: Callable[..., Visit], login_of: Callable[[str], User]
) -> None:
    page = visit().sign_in(login_of("superuser"))
    page.goto(f"{page.url.removesuffix('/admin/')}{page_of(owner)}")
    page.get_by_role("link", name="Erase…").click()
    expect(page.get_by_role("row", name="entity_snapshots")).to_contain_text("3")
    page.get_by_label("Reason").fill("they asked for it")
    page.get_by_label("User name of the owner").fill("somebody else")
    page.get_by_role("button", name="Erase this owner").click()
    expect(page.locator("body")).to_contain_text("This is another name.")
    assert not Erasure.objects.exists()
    page.get_by_label("User name of the owner").fill(owner.username)
    page.get_by_role("button", name="Erase this owner").click()
    expect(page.locator("#erasure-state .se-badge")).to_have_text("running")
    expect(page.locator("#erasure-rows")).to_contain_text("Nothing yet.")

    # The page is not loaded again: it sees by itself what workers do.
    run_erasure()

    expect(page.locator("#erasure-state .se-badge")).to_have_text("done")
    expect(page.locator("#erasure-rows").get_by_role("row", name="entity_snapshots")).to_contain_text("3")
    expect(page.locator("#erasure")).to_have_text(f"erased-{owner.pk}")
    assert not EntitySnapshot.objects.exists()
    page.get_by_role("link", name="Users").click()
    expect(page.locator("#result_list")).to_contain_text(f"erased-{owner.pk}")
    expect(page.locator("#result_list")).not_to_contain_text("annabelle")


def test_an_entity_is_erased_by_its_key(
    owner: User, visit: Callable[..., Visit], login_of: Callable[[str], User]
) -> None:
    snapshot = make_snapshot(user=owner, key="two")
    opened = visit()
    opened.sign_in(login_of("superuser"))
    page = opened.go(f"/admin/kernel/erasure/erase/?entity={snapshot.pk}")
    page.get_by_label("Reason").fill("it was wrong")
    page.get_by_label("Key of the entity").fill("two")
    page.get_by_role("button", name="Erase this entity").click()
    expect(page.locator("#erasure-state .se-badge")).to_have_text("running")
    run_erasure()
    expect(page.locator("#erasure-state .se-badge")).to_have_text("done")
    assert not EntitySnapshot.objects.filter(entity_key="two").exists()
    assert EntitySnapshot.objects.count() == 2


@pytest.mark.long
@pytest.mark.parametrize(("width", "theme"), [(1440, "light"), (1440, "dark"), (390, "light"), (390, "dark")])
def test_the_pages_are_read_without_complaint_or_overflow(
    owner: User, visit: Callable[..., Visit], login_of: Callable[[str], User], width: int, theme: str
) -> None:
    opened = visit(width=width, theme=theme)
    opened.sign_in(login_of("superuser"))
    snapshot = EntitySnapshot.objects.order_by("-entity_key")[1]
    addresses = [
        f"/admin/kernel/erasure/erase/?owner={owner.pk}",
        f"/admin/kernel/erasure/erase/?entity={snapshot.pk}",
    ]
    page = opened.go(addresses[0])
    page.get_by_label("Reason").fill("they asked for it")
    page.get_by_label("User name of the owner").fill(owner.username)
    page.get_by_role("button", name="Erase this owner").click()
    erasure = Erasure.objects.get()
    addresses += [list_of(Erasure), page_of(erasure)]
    for address in addresses:
        opened.go(address)
        assert serious_flaws(opened.page) == [], address
        assert opened.overflow() == 0, address
    run_erasure()
    opened.go(page_of(erasure))
    assert serious_flaws(opened.page) == []
    assert opened.overflow() == 0
