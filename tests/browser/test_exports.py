"""A list is narrowed and taken along as a file, in a real browser: on a desk, on a phone, and without a script."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from fragments.models import RawFragment
from schemaevo.kernel.canonical import canonical_json, decode
from schemaevo.kernel.export_runs import EXPORTED
from schemaevo.kernel.figures import today
from schemaevo.kernel.models import AuditEvent, User
from tests.admin.addresses import list_of, verb_of
from tests.browser.conftest import PASSWORD, Visit
from tests.browser.test_admin import serious_flaws
from tests.factories import THING, make_definition, make_run, make_user, make_version
from tests.waiting import wait_for

pytestmark = pytest.mark.django_db(transaction=True)

VALUES = ["=HYPERLINK(1)", {"deep": [1, None]}, -7, "plain"]
GUARDED = ["'=HYPERLINK(1)", '{"deep":[1,null]}', "-7", "plain"]


@pytest.fixture
def owner(transactional_db: None) -> User:
    """The owner of a field `smell` of four sorts of values, and of another field."""
    make_version(document=make_definition(k="string"))
    owner = make_user(username="ada")
    make_run(user=owner, records=[{"k": f"k{n}", "smell": value, "x": n} for n, value in enumerate(VALUES)])
    return owner


def saved(page: Page, button: str, folder: Path) -> tuple[str, bytes]:
    """The file that the button gives: its name and what is in it."""
    with page.expect_download() as begun:
        page.get_by_role("button", name=button).click()
    path = folder / begun.value.suggested_filename
    begun.value.save_as(path)
    return path.name, path.read_bytes()


def assert_is_the_field(page: Page, folder: Path) -> None:
    """Both files hold the fragments of the field, and no others, as the database has them."""
    name, data = saved(page, "Download JSON Lines", folder)
    assert name == f"fragments-{THING}-{today()}.jsonl"
    stored = RawFragment.objects.filter(fragment_key="smell").order_by("-id")
    assert [canonical_json(decode(line)["value"]) for line in data.splitlines()] == [  # type: ignore[call-overload,index]
        canonical_json(fragment.value) for fragment in stored
    ]
    name, data = saved(page, "Download CSV", folder)
    assert name == f"fragments-{THING}-{today()}.csv"
    table = list(csv.DictReader(io.StringIO(data.decode("utf-8-sig"), newline="")))
    assert [row["value"] for row in table] == GUARDED[::-1]
    assert {(row["field"], row["user"]) for row in table} == {("smell", "ada")}
    events = wait_for(
        lambda: list(AuditEvent.objects.filter(action=EXPORTED))[1:] or None, "both to be audited"
    )
    assert events[0].after is not None
    assert AuditEvent.objects.filter(action=EXPORTED, after__rows=4, after__is_whole=True).count() == 2


def test_a_list_is_narrowed_and_exported(
    owner: User, visit: Callable[..., Visit], login_of: Callable[[str], User], tmp_path: Path
) -> None:
    opened = visit()
    opened.sign_in(login_of("operator"))
    page = opened.go(list_of(RawFragment))
    page.get_by_role("button", name="Filters", exact=True).click()
    page.locator("#filter-form [name=type]").fill(THING)
    page.locator("#filter-form [name=field]").fill("smell")
    page.locator("#filter-form").get_by_role("button", name="Apply Filters").click()
    expect(page.locator("#result_list .data-row")).to_have_count(4)
    page.get_by_role("link", name="Export", exact=True).click()
    expect(page.locator("[data-fact=rows]")).to_have_text("4")
    expect(page.locator(".se-facts")).to_contain_text("smell")
    assert_is_the_field(page, tmp_path)
    page.get_by_role("link", name="Back to the list").click()
    expect(page.locator("#result_list .data-row")).to_have_count(4)


def test_it_is_exported_where_no_script_runs(
    owner: User,
    chromium: Browser,
    live_server: object,
    login_of: Callable[[str], User],
    tmp_path: Path,
) -> None:
    login = login_of("operator")
    context = chromium.new_context(java_script_enabled=False, viewport={"width": 390, "height": 844})
    page = context.new_page()
    page.goto(f"{live_server}/admin/")
    page.fill("[name=username]", login.username)
    page.fill("[name=password]", PASSWORD)
    page.click("#login-form button[type=submit]")
    page.goto(f"{live_server}{list_of(RawFragment)}?type={THING}&field=smell")
    page.get_by_role("link", name="Export", exact=True).click()
    assert_is_the_field(page, tmp_path)
    context.close()


@pytest.mark.parametrize(("width", "theme"), [(1440, "light"), (390, "dark")])
def test_its_page_is_readable_whatever_was_typed(
    owner: User, visit: Callable[..., Visit], login_of: Callable[[str], User], width: int, theme: str
) -> None:
    opened = visit(width=width, theme=theme)
    opened.sign_in(login_of("operator"))
    for path in (
        f"{list_of(RawFragment)}?type={THING}",
        f"{verb_of(RawFragment, 'export')}?type={THING}&field={'x' * 200}&q={'y' * 200}",
    ):
        page = opened.go(path)
        assert serious_flaws(page) == [], path
        assert opened.overflow() <= 0, path
