"""A whole list acted on in a real browser: previewed, asked for, followed, cancelled midway and gone on with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from playwright.sync_api import Page, expect

from fragments.models import BulkAct, BulkVerb, LifecycleState, RawFragment, RawFragmentAggregate
from fragments.selectors_bulk import ACT, Look
from fragments.services import bulk_pieces, bulk_runs
from schemaevo.kernel.job_control import job_cancel
from schemaevo.kernel.jobs import run_job
from schemaevo.kernel.models import Job, User
from tests.admin.addresses import list_of, page_of, verb_of
from tests.aggregates import assert_aggregates_are_right
from tests.browser.conftest import Visit
from tests.browser.test_admin import serious_flaws
from tests.bulk import declare, make_act, put_field, work
from tests.factories import SHELL, make_maximum, make_run, make_user

pytestmark = pytest.mark.django_db(transaction=True)

LONG = "a-name-that-nobody-would-type-" + "x" * 80


def stocked(count: int) -> User:
    """The owner of so many fragments of one field, made of a few real ones, and of a few of another."""
    declare()
    owner = make_user(username="ada")
    make_run(user=owner, records=[{"k": "k", "smell": "x", "size": 1}])
    with connection.cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO raw_fragments (user_id, entity_type, entity_id, fragment_key, source_id, value, value_hash,
                                       value_type, value_format, reason, priority, specificity, frequency_count,
                                       observation_id, observed_at)
            SELECT user_id, entity_type, entity_id, fragment_key, source_id, to_jsonb(n), sha256(n::text::bytea),
                   'number', 'integer', reason, priority, specificity, 1, observation_id, observed_at
              FROM raw_fragments CROSS JOIN generate_series(2, %s) AS n WHERE fragment_key = 'smell'
            """,
            [count],
        )
    return owner


def small_pieces(monkeypatch: pytest.MonkeyPatch, rows: int) -> None:
    monkeypatch.setattr(bulk_pieces, "ROWS_AT_ONCE", dict.fromkeys(BulkVerb, rows))
    monkeypatch.setattr(bulk_runs, "ROWS_LOOKED_FOR", rows)


def between_pieces(monkeypatch: pytest.MonkeyPatch, number: int, act: Callable[[], object]) -> None:
    """That is done before the look for the piece of that number, while nothing is locked."""
    look_for, looks = bulk_runs.rows_next, list[int]()  # type: ignore[attr-defined]

    def rows_next(*arguments: Any, **given: Any) -> Look:
        looks.append(1)
        if len(looks) == number:
            act()
        found: Look = look_for(*arguments, **given)
        return found

    monkeypatch.setattr(bulk_runs, "rows_next", rows_next)


def follow(page: Page, count: int, piece: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the list to the end of the act, with a rest in the midst of it."""
    page.get_by_role("link", name="Fragments", exact=True).first.click()
    page.goto(page.url.partition("?")[0] + "?owner=ada&field=smell&state=active")
    page.get_by_role("link", name="Act on all of these").click()
    expect(page.locator("[data-fact=matched]")).to_have_text(f"{count:,}")
    expect(page.locator("[data-fact=done]")).to_have_text(f"{count:,}")
    page.get_by_label("Reason").fill("nobody needs them")
    page.get_by_role("button", name="Archive all of these").click()
    expect(page.locator("#bulk-state .se-states")).to_have_text("running")

    def rest() -> None:
        # The page was not loaded again: it has seen by itself how far the worker is.
        expect(page.locator("[data-fact=done]")).to_have_text(f"{2 * piece:,}")
        page.get_by_role("button", name="Cancel").click()
        expect(page.locator("#bulk-state .se-states")).to_have_text("cancelled")

    with monkeypatch.context() as halfway:
        between_pieces(halfway, 3, rest)
        run_all()
    assert RawFragment.objects.filter(lifecycle_state="archived").count() == 2 * piece
    page.get_by_role("button", name="Resume").click()
    expect(page.locator("#bulk-state .se-states")).to_have_text("running")
    run_all()
    expect(page.locator("#bulk-state .se-states")).to_have_text("done")
    expect(page.locator("[data-fact=done]")).to_have_text(f"{count:,}")
    expect(page.locator("[data-fact=skipped]")).to_have_text("0")
    assert RawFragment.objects.filter(lifecycle_state="archived").count() == count
    assert RawFragment.objects.filter(lifecycle_state="active").count() == 1
    assert_aggregates_are_right()


def run_all() -> None:
    """The job of the act runs until it rests."""
    while job := Job.objects.filter(kind=ACT, state="pending").first():
        run_job(str(job.pk))


def test_a_filtered_list_is_archived_cancelled_midway_and_gone_on_with(
    visit: Callable[..., Visit], login_of: Callable[[str], User], monkeypatch: pytest.MonkeyPatch
) -> None:
    stocked(300)
    small_pieces(monkeypatch, 50)
    page = visit().sign_in(login_of("operator"))
    follow(page, 300, 50, monkeypatch)
    page.get_by_role("link", name="Audit trail").click()
    expect(page.locator("#result_list .data-row")).to_have_count(4)


@pytest.mark.long
def test_twenty_thousand_rows_are_archived_cancelled_midway_and_gone_on_with(
    visit: Callable[..., Visit], login_of: Callable[[str], User], monkeypatch: pytest.MonkeyPatch
) -> None:
    stocked(20_000)
    page = visit().sign_in(login_of("operator"))
    follow(page, 20_000, 1_000, monkeypatch)


@pytest.mark.long
@pytest.mark.parametrize(("width", "theme"), [(1440, "light"), (390, "dark")])
def test_the_pages_are_read_without_complaint_or_overflow(
    visit: Callable[..., Visit], login_of: Callable[[str], User], width: int, theme: str
) -> None:
    opened = visit(width=width, theme=theme)
    for path in pages(login_of, opened):
        page = opened.go(path)
        assert serious_flaws(page) == [], path
        assert opened.overflow() <= 0, path


def pages(login_of: Callable[[str], User], opened: Visit) -> list[str]:
    """Every page of acts in bulk, with long names and all there is to tell."""
    owner = stocked(30)
    long_one = make_user(username="an-owner-with-a-rather-long-name-" + "x" * 60)
    for number, other in enumerate([long_one, *(make_user() for _ in range(11))]):
        make_run(
            user=other, records=[{"k": f"k{n}", "size": n, "weight": n, LONG: n} for n in range(3 + number)]
        )
    make_maximum(user=owner, max_fields=1)
    put_field(LONG, LifecycleState.ARCHIVED)
    done = work(make_act(BulkVerb.PROMOTE, {"type": "thing"}, reason="they are good " + "w" * 120))
    skipping = work(make_act(BulkVerb.ARCHIVE, {"field": LONG, "owner": long_one.username}))
    running = make_act(BulkVerb.ARCHIVE, {})
    stopped = make_act(BulkVerb.DISMISS, {"owner": long_one.username})
    job_cancel(job_id=Job.objects.filter(kind=ACT).latest("requested_at").pk, actor=SHELL)
    opened.sign_in(login_of("superuser"))
    fragments, fields = (verb_of(model, "bulk") for model in (RawFragment, RawFragmentAggregate))
    return [
        f"{list_of(RawFragment)}?owner=ada",
        f"{list_of(RawFragmentAggregate)}?owner=ada",
        fragments,
        f"{fragments}?owner={long_one.username}&field={LONG}",
        f"{fragments}?state=nonsense",
        f"{fields}?type=thing",
        f"{fields}?type=thing&do=promote&others=1",
        f"{fields}?owner=ada&do=snooze",
        list_of(BulkAct),
        *map(page_of, (done, skipping, running, stopped)),
    ]
