"""More quota is asked for and decided in a real browser, in both themes and on a phone."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.utils.timezone import now
from playwright.sync_api import expect

from registry.models import QuotaNotice, QuotaRequest, UserQuota
from schemaevo.kernel.models import User
from tests.admin.addresses import list_of, page_of, verb_of
from tests.browser.conftest import Visit
from tests.browser.test_admin import serious_flaws
from tests.factories import (
    make_definition,
    make_maximum,
    make_quota_request,
    make_run,
    make_user,
    make_version,
)
from tests.quotas import fields_named, maxima

pytestmark = pytest.mark.django_db(transaction=True)

LONG = "The feed grew: every package has build ids now, and two of them have fields of their own. " * 3


@pytest.fixture
def owner(transactional_db: None) -> User:
    """Somebody who uses nine of ten schemas, most of whose fields have no data."""
    ada = make_user(username="ada-whose-name-is-as-long-as-names-of-real-data-are")
    make_version(document={"fields": fields_named(20)}, entity_type="type_0", user=ada)
    for number in range(1, 9):
        make_version(document=make_definition(k="string"), entity_type=f"type_{number}", user=ada)
    make_run(records=[{"k": "one", "f1": "x"}], user=ada, entity_type="type_0")
    return ada


def test_an_operator_asks_and_a_schema_admin_grants_less_until_a_date(
    owner: User, visit: Callable[..., Visit], login_of: Callable[[str], User]
) -> None:
    operator, admin = login_of("operator"), login_of("schema_admin")
    asking = visit()
    page = asking.sign_in(operator)
    page.click(f'#nav-sidebar a[href="{list_of(UserQuota)}"]')
    page.get_by_label("Quota of").fill(owner.username)
    page.get_by_role("button", name="Open").click()
    page.get_by_role("link", name="Ask for more").click()
    page.get_by_label("Schemas at most").fill("9")
    page.get_by_label("Why").fill("two more feeds")
    page.get_by_role("button", name="Ask", exact=True).click()
    expect(page.locator("form.se-form")).to_contain_text("The owner may have 10 schemas already.")
    expect(page.get_by_label("Why")).to_have_value("two more feeds")
    page.get_by_label("Schemas at most").fill("20")
    page.get_by_role("button", name="Ask", exact=True).click()
    expect(page.locator("#content")).to_contain_text("It waits for a schema admin to decide.")

    deciding = visit()
    page = deciding.sign_in(admin)
    expect(page.locator(".se-nav-badge")).to_have_text("1")
    page.click(f'#nav-sidebar a[href^="{list_of(QuotaRequest)}"]')
    row = page.locator("#result_list .data-row")
    expect(row).to_contain_text("two more feeds")
    request = QuotaRequest.objects.get()
    row.get_by_role("link", name=f"#{request.pk}").click()
    page.get_by_label("Schemas at most").fill("15")
    page.get_by_label("Until").fill(f"{now() + timedelta(days=30):%Y-%m-%dT%H:%M}")
    page.get_by_label("Note").fill("15 will do")
    page.get_by_role("button", name="Approve").click()
    expect(page.locator("body")).to_contain_text("Approved: the owner may have 15 schemas.")
    expect(page.locator(".se-nav-badge")).to_have_count(0)
    assert maxima(owner) == (15, 200)
    request.refresh_from_db()
    assert request.granted_until is not None

    page = asking.go(page_of(request))
    expect(page.locator("#content")).to_contain_text("15 will do")


def test_who_asked_is_shown_why_they_cannot_decide_and_withdraws(
    owner: User, visit: Callable[..., Visit], login_of: Callable[[str], User]
) -> None:
    admin = login_of("schema_admin")
    request = make_quota_request(user=owner, asker=admin)
    opened = visit()
    opened.sign_in(admin)
    page = opened.go(page_of(request))
    expect(page.locator("#content")).to_contain_text("You asked for this, so you cannot decide it")
    expect(page.get_by_role("button", name="Approve")).to_have_count(0)
    page.get_by_role("button", name="Withdraw the request").click()
    expect(page.locator("#content")).to_contain_text("Decision withdrawn")


def test_several_are_rejected_with_one_note(
    owner: User, visit: Callable[..., Visit], login_of: Callable[[str], User]
) -> None:
    admin = login_of("schema_admin")
    chosen = [make_quota_request(user=user) for user in (owner, make_user())]
    own, left = make_quota_request(user=make_user(), asker=admin), make_quota_request(user=make_user())
    opened = visit()
    opened.sign_in(admin)
    page = opened.go(list_of(QuotaRequest) + "?state=pending")
    for request in [*chosen, own]:
        page.get_by_label(f"Choose request {request.pk}", exact=True).check()
    page.get_by_role("button", name="Decide the chosen ones").click()
    expect(page.locator("#decide")).to_have_text("Decide the 2 that wait")
    page.get_by_label("Note").fill("not this year")
    page.get_by_role("button", name="Reject all").click()
    expect(page.get_by_role("status")).to_contain_text("2 requests are decided.")
    expect(page.locator("tr", has_text=f"#{own.pk}")).to_contain_text("somebody else has to")
    states = dict(QuotaRequest.objects.values_list("pk", "state"))
    assert {pk for pk, state in states.items() if state == "rejected"} == {one.pk for one in chosen}
    assert states[left.pk] == states[own.pk] == "pending"


@pytest.mark.long
@pytest.mark.parametrize(("width", "theme"), [(1440, "light"), (390, "dark")])
def test_pages_of_quotas_are_read_without_complaint_or_overflow(
    owner: User, visit: Callable[..., Visit], login_of: Callable[[str], User], width: int, theme: str
) -> None:
    admin = login_of("schema_admin")
    full = make_user(username="full")
    make_version(document=make_definition(k="string"), user=full)
    make_maximum(user=full, max_schemas=1)
    request = make_quota_request(user=owner, max_fields=400)
    QuotaRequest.objects.create(user=full, asked_max_schemas=20, reason=LONG, asked_by=admin)
    opened = visit(width=width, theme=theme)
    opened.sign_in(admin)
    rows = [request, QuotaRequest.objects.get(user=full), UserQuota.objects.get(user=owner)]
    pages = [
        *map(list_of, (QuotaRequest, UserQuota, QuotaNotice)),
        *map(page_of, [*rows, QuotaNotice.objects.all()[0]]),
        *(verb_of(UserQuota, verb, full.pk) for verb in ("ask", "maxima")),
        verb_of(QuotaRequest, "decide") + "?" + "&".join(f"ids={row.pk}" for row in rows[:2]),
    ]
    for path in pages:
        page = opened.go(path)
        assert opened.overflow() <= 0, path
        assert serious_flaws(page) == [], path
