"""The trends of the first page: what was counted, over as many days as are asked for, and nobody sees too much."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from html import unescape
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils.formats import date_format

from fragments.domain.growth import FieldOwners
from fragments.models import FieldGrowth, FieldTotal, LifecycleState
from fragments.selectors_figures import fragments_in
from fragments.services.field_growth import GROWTH, growth_keep
from schemaevo.kernel.figure_runs import COUNT_DAYS, figures_keep
from schemaevo.kernel.figures import DAY, today
from schemaevo.kernel.jobs import job_request, run_job
from schemaevo.kernel.pages.estimates import Amount
from snapshots.models import Observation
from tests.admin.addresses import list_of
from tests.factories import THING, make_definition, make_login, make_run, make_user, make_version

pytestmark = pytest.mark.django_db


def keep(days: range, **figures: int | Amount) -> None:
    """These figures of each of the days, counted from today back."""
    for back in days:
        amounts = {
            name: value if isinstance(value, Amount) else Amount(value) for name, value in figures.items()
        }
        figures_keep(day=today() - back * DAY, amounts=amounts)


def keep_states(days: range, **counts: int | Amount) -> None:
    keep(days, **{fragments_in(state): counts.get(state.value, 0) for state in LifecycleState})


def page(client: Client, days: str = "") -> str:
    answer = client.get("/admin/" + (f"?days={days}" if days else ""))
    assert answer.status_code == 200
    return answer.content.decode()


def text_of(html: str) -> str:
    words = re.sub(r"<[^>]+>", " ", html)
    return unescape(re.sub(r"\s+", " ", words))


def trend(html: str, key: str) -> str:
    """The section of one chart."""
    found = re.search(rf'<section class="se-trend" aria-labelledby="trend-{key}">.*?</section>', html, re.S)
    assert found is not None, key
    return found.group()


def chart(html: str, key: str) -> Any:
    """What the component draws."""
    found = re.search(r'data-value="([^"]*)"', trend(html, key))
    assert found is not None
    return json.loads(unescape(found.group(1)))


def with_permissions(*names: str) -> Client:
    login = make_login()
    for name in names:
        app, codename = name.split(".")
        login.user_permissions.add(Permission.objects.get(content_type__app_label=app, codename=codename))
    client = Client()
    client.force_login(login, backend="django.contrib.auth.backends.ModelBackend")
    return client


# --- days -----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("asked", "days"), [("", 30), ("7", 7), ("30", 30), ("90", 90), ("8", 30), ("x", 30), ("-7", 30)]
)
def test_the_days_are_those_that_are_asked_for(
    client_of: Callable[[str], Client], asked: str, days: int
) -> None:
    keep(range(180), observations=2)
    html = page(client_of("viewer"), asked)
    assert len(chart(html, "observations")["labels"]) == days
    assert text_of(trend(html, "observations")).split(" as many")[0].endswith(f" {2 * days} trending_flat")
    current = re.findall(r'href="\?days=(\d+)#trends" aria-current="true"', html)
    assert current == [str(days)]


def test_a_sum_is_held_against_the_days_before(client_of: Callable[[str], Client]) -> None:
    keep(range(7), observations=15, promotions=1, recomputed=0)
    keep(range(7, 14), observations=10, promotions=0, recomputed=4)
    html = page(client_of("viewer"), "7")
    assert "+50 % against the 7 days before" in text_of(trend(html, "observations"))
    assert "none in the 7 days before" in text_of(trend(html, "promotions"))
    assert "−100 % against the 7 days before" in text_of(trend(html, "recomputations"))


def test_a_day_that_was_not_counted_is_a_gap_and_compared_with_nothing(
    client_of: Callable[[str], Client],
) -> None:
    keep(range(14), observations=3)
    keep(range(2), promotions=0)
    keep(range(4, 5), promotions=8)
    html = page(client_of("viewer"), "7")
    promotions = text_of(trend(html, "promotions"))
    assert chart(html, "promotions")["datasets"][0]["data"] == [None, None, 8, None, None, 0, 0]
    assert f"Counted from {date_format(today() - 4 * DAY, 'j M Y')} on." in promotions
    assert "2 days were not counted: gaps, not zeros." in promotions
    assert "too few days were counted to compare" in promotions
    assert promotions.count(" not counted ") == 4
    observations = trend(html, "observations").split("<details")[0]
    assert "not counted" not in observations
    assert "Counted from" not in observations


def test_fragments_are_told_by_state_as_they_are_now_and_against_then(
    client_of: Callable[[str], Client],
) -> None:
    keep_states(range(1), active=Amount(30_000, is_exact=False), archived=5)
    keep_states(range(7, 8), active=29_000)
    html = page(client_of("viewer"), "7")
    told = trend(html, "fragments")
    words = text_of(told)
    assert "≈ 30,005" in words
    assert "≈+1,005 since 7 days ago" in words
    assert "active ≈ 30,000" in words
    assert "?state=archived" in told
    active = chart(html, "fragments")["datasets"][0]
    assert (active["label"], active["data"]) == ("active", [None] * 6 + [30_000])


# --- links ----------------------------------------------------------------------------------------------------------
def test_each_number_leads_to_the_list_of_what_it_counts(client_of: Callable[[str], Client]) -> None:
    make_run(records=[{"k": "a"}, {"k": "b"}], user=make_user())
    run_job(str(job_request(kind=COUNT_DAYS).pk))
    client = client_of("operator")
    told = trend(page(client, "7"), "observations")
    addresses = {unescape(found) for found in re.findall(r'href="([^"]+)"', told)}
    assert len(addresses) == 2
    for address in addresses:
        assert address.startswith(list_of(Observation))
        answer = client.get(address)
        assert answer.status_code == 200
        assert len(answer.context["cl"].result_list) == 2
    for key in ("fragments", "promotions", "recomputations"):
        for found in re.findall(r'href="([^"]+)"', trend(page(client), key)):
            assert client.get(unescape(found)).status_code == 200, found


def test_a_field_that_gained_owners_leads_to_it_over_all_owners(client_of: Callable[[str], Client]) -> None:
    make_version(document=make_definition(k="string"))
    for _ in range(3):
        make_run(records=[{"k": "a", "smell & taste": 1}], user=make_user())
    growth_keep(entity_type=THING, fields=[FieldOwners("noise", 1)], day=today() - DAY)
    run_job(str(job_request(kind=GROWTH).pk))
    client = client_of("viewer")
    html = page(client)
    assert re.search(r"smell & taste thing 3 owners \+3 since", text_of(html))
    (address,) = {unescape(found) for found in re.findall(r'href="([^"]+smell[^"]+)"', html)}
    assert address.startswith(list_of(FieldTotal))
    [shown] = client.get(address).context["cl"].result_list
    assert (shown.fragment_key, shown.user_count) == ("smell & taste", 3)


def test_a_field_is_new_where_no_day_before_is_known(client_of: Callable[[str], Client]) -> None:
    growth_keep(entity_type=THING, fields=[FieldOwners("smell", 1)], day=today())
    assert "smell thing 1 owner new" in text_of(page(client_of("viewer")))


# --- nothing yet ----------------------------------------------------------------------------------------------------
def test_a_store_that_counted_nothing_says_what_happens_next(client_of: Callable[[str], Client]) -> None:
    html = page(client_of("viewer"))
    assert "No day has been counted yet." in text_of(html)
    assert "?kind=count_days" in html
    assert "No undeclared field gained owners in 30 days." in text_of(html)


# --- who sees what --------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("permission", "key"),
    [
        ("snapshots.view_observation", "observations"),
        ("fragments.view_rawfragment", "fragments"),
        ("fragments.view_promotion", "promotions"),
        ("kernel.view_job", "recomputations"),
    ],
)
def test_a_chart_is_shown_to_who_may_see_its_list(permission: str, key: str) -> None:
    keep(range(2), observations=1, records=2, rejected=3, fragments=4, promotions=5, recomputed=6)
    keep_states(range(2), active=7)
    html = page(with_permissions(permission))
    assert re.findall(r'<section class="se-trend" aria-labelledby="trend-(\w+)">', html) == [key]
    assert "Rejected" not in html
    assert "Fields gaining owners" not in html


def test_imports_are_told_beside_observations_to_who_may_see_them() -> None:
    keep(range(1), observations=1, records=2, rejected=3, fragments=4)
    both = with_permissions("snapshots.view_observation", "fragments.view_ingestrun")
    assert re.search(r"Rejected \d+ \w+ \d+ 1 2 4 3 ", text_of(trend(page(both), "observations")))


def test_fields_alone_are_shown_to_who_may_see_only_them() -> None:
    html = page(with_permissions("fragments.view_fieldtotal"))
    assert "Fields gaining owners" in html
    assert 'id="trends"' not in html


def test_who_may_see_nothing_sees_no_trends(client_of: Callable[[str], Client]) -> None:
    keep(range(2), observations=1)
    html = page(client_of("none"))
    assert "trend" not in re.sub(r"trends\.[\w.]*css", "", html)
    assert "gaining" not in html


# --- cost -----------------------------------------------------------------------------------------------------------
def test_the_number_of_queries_does_not_depend_on_what_was_counted(
    client_of: Callable[[str], Client],
) -> None:
    client = client_of("viewer")

    def asked(days: str) -> list[str]:
        with CaptureQueriesContext(connection) as queries:
            page(client, days)
        return [
            one["sql"] for one in queries if "daily_figures" in one["sql"] or "field_growth" in one["sql"]
        ]

    assert len(asked("7")) == 3
    keep(range(200), observations=1, promotions=1)
    for number in range(20):
        growth_keep(entity_type=f"t{number}", fields=[FieldOwners("smell", 1)], day=today())
    assert FieldGrowth.objects.count() == 20
    assert len(asked("90")) == 3
