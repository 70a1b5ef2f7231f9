"""Promotions and auto-enhancement in a real browser, in both themes and on a phone."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.utils import timezone
from playwright.sync_api import expect

from fragments.models import (
    Enhancement,
    EnhancementMode,
    EnhancementSetting,
    EnhancementState,
    Promotion,
    PromotionCause,
    RawFragment,
)
from fragments.selectors_promotion_jobs import PROMOTE
from fragments.services.enhancement import enhancement_set
from fragments.services.promotions import field_promote, promotion_undo
from registry.domain.targets import job_target
from schemaevo.kernel.job_control import job_cancel
from schemaevo.kernel.jobs import job_alive, run_job
from schemaevo.kernel.models import Job, User
from tests.admin.addresses import list_of, page_of, verb_of
from tests.browser.conftest import Visit
from tests.browser.test_admin import serious_flaws
from tests.enhancements import make_given_up
from tests.factories import SHELL, THING, make_definition, make_run, make_snapshot, make_user, make_version

pytestmark = pytest.mark.django_db(transaction=True)

LONG = "a-name-that-nobody-would-type-" + "x" * 90


@pytest.fixture
def owner(transactional_db: None) -> User:
    """An owner of undeclared fields, one of them with a long name."""
    make_version(document=make_definition(k="string"))
    owner = make_user(username="an-owner-with-a-rather-long-name-" + "x" * 60)
    sizes = [1, 2, "3", "large"]
    make_run(user=owner, records=[{"k": f"k{n}", "size": size, LONG: n} for n, size in enumerate(sizes)])
    work()
    return owner


def promote(owner: User, field: str, **more: object) -> Promotion:
    return field_promote(
        user_id=owner.pk,
        entity_type=THING,
        field=field,
        declaration={
            "type": "number",
            "converters": [{"from": "string", "to": "number", "function": "string_to_number"}],
        },
        actor=SHELL,
        **more,  # type: ignore[arg-type]
    ).promotion


def work() -> None:
    """All that is owed is done, as workers do it."""
    while job := Job.objects.filter(state="pending").order_by("requested_at").first():
        run_job(str(job.pk))


def test_a_promotion_is_undone_and_its_page_follows_what_comes_of_it(
    owner: User, visit: Callable[..., Visit], login_of: Callable[[str], User]
) -> None:
    promotion = promote(owner, "size")
    work()
    assert make_snapshot(user=owner, key="k0").values == {"k": "k0", "size": 1}
    opened = visit()
    page = opened.sign_in(login_of("schema_admin"))
    page.get_by_role("link", name="Promotions").click()
    page.locator("#result_list .data-row th a").click()
    expect(page.locator("[data-fact=promoted]")).to_have_text("3")
    expect(page.locator("[data-fact=misfit]")).to_have_text("1")
    page.get_by_role("link", name="Undo…").click()
    expect(page.locator("[data-fact=waiting-again]")).to_have_text("3")
    expect(page.locator("[data-fact=snapshots]")).to_have_text("4")
    expect(page.locator("[data-fact=fields]")).to_have_text("1 → 0 of 200")
    page.get_by_label("Reason").fill("promoted by mistake")
    page.get_by_role("button", name="Undo the promotion").click()
    expect(page.locator("#promotion-state .se-badge")).to_have_text("being undone")
    expect(page.locator("#promotion-jobs")).to_contain_text("Fragments are let wait again")

    # The page is not loaded again: it sees by itself what workers do.
    work()

    expect(page.locator("#promotion-state .se-badge")).to_have_text("undone")
    expect(page.locator("#promotion-jobs")).to_be_hidden()
    assert RawFragment.objects.filter(fragment_key="size", lifecycle_state="active").count() == 4
    assert make_snapshot(user=owner, key="k0").values == {"k": "k0"}
    page.get_by_role("link", name="Audit trail").click()
    expect(page.locator("#result_list .data-row")).to_have_count(4)
    promotion.refresh_from_db()
    assert promotion.undone_at is not None


def test_a_mode_is_set_for_an_owner_who_is_typed(
    owner: User, visit: Callable[..., Visit], login_of: Callable[[str], User]
) -> None:
    page = visit().sign_in(login_of("schema_admin"))
    page.get_by_role("link", name="Auto-enhancement").click()
    page.get_by_role("link", name="Set a mode").click()
    page.get_by_label("Owner").fill(owner.username)
    page.get_by_label("Entity type").fill(THING)
    page.get_by_role("button", name="Show").click()
    page.get_by_role("button", name="Promote by itself").click()
    expect(page.locator("body")).to_contain_text("the mode is now auto.")
    expect(page.locator("#chosen .se-badge")).to_have_text("auto")
    expect(page.get_by_role("button", name="Promote by itself")).to_have_count(0)
    assert EnhancementSetting.objects.get().mode == EnhancementMode.AUTO


@pytest.mark.long
@pytest.mark.parametrize(("width", "theme"), [(1440, "light"), (1440, "dark"), (390, "light"), (390, "dark")])
def test_the_pages_are_read_without_complaint_or_overflow(
    owner: User, visit: Callable[..., Visit], login_of: Callable[[str], User], width: int, theme: str
) -> None:
    done = promote(owner, "size", note="asked for " + "w" * 200)
    work()
    undoing = promote(owner, LONG, cause=PromotionCause.ENHANCEMENT)
    stopped = job_alive(PROMOTE, job_target(THING, owner.pk))
    assert stopped is not None
    job_cancel(job_id=stopped.pk, actor=SHELL)
    make_given_up(user=owner, field=LONG)
    waiting = {"state": EnhancementState.WAITING, "next_at": timezone.now(), "error": "quota_exceeded at x"}
    make_given_up(user=owner, field="size", entity_type="other", **waiting)
    enhancement_set(user_id=owner.pk, entity_type=THING, mode=EnhancementMode.AUTO, actor=SHELL)
    opened = visit(width=width, theme=theme)
    opened.sign_in(login_of("schema_admin"))
    mode = verb_of(EnhancementSetting, "set")
    paths = [
        list_of(Promotion),
        page_of(done),
        page_of(undoing),
        verb_of(Promotion, "undo", undoing.pk),
        list_of(Enhancement),
        *map(page_of, Enhancement.objects.all()),
        list_of(EnhancementSetting),
        page_of(EnhancementSetting.objects.get()),
        mode,
        f"{mode}?owner=nobody&type={THING}",
        f"{mode}?owner={owner.username}&type={THING}",
    ]
    for path in paths:
        page = opened.go(path)
        assert opened.overflow() <= 0, path
        assert serious_flaws(page) == [], path
    promotion_undo(promotion_id=undoing.pk, actor=SHELL)
    for path in (page_of(undoing), verb_of(Promotion, "undo", undoing.pk)):
        page = opened.go(path)
        assert opened.overflow() <= 0, path
        assert serious_flaws(page) == [], path
