"""Lists of big tables where they are narrowed: by age, and by what few rows have; what is found, and by which index."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from datetime import datetime, timedelta
from html import unescape
from typing import Any

import pytest
from django.contrib import admin
from django.db import connection
from django.db.models import Model, QuerySet
from django.test import Client, RequestFactory

from fragments.domain.inference import ValueType
from fragments.models import FragmentReason, RawFragment
from schemaevo.kernel.models import User
from schemaevo.kernel.pages.base import StoreAdmin
from snapshots.admin import observations
from snapshots.models import EntitySnapshot, Observation, ObservationOrigin
from tests.admin.addresses import list_of
from tests.factories import NOON, make_definition, make_login, make_run, make_user, make_version

pytestmark = pytest.mark.django_db

DAYS = 8


@pytest.fixture
def owners(db: None) -> list[User]:
    """Three of them, each with fragments of several types and reasons, and with several sources."""
    make_version(document=make_definition(k="string", size="number"))
    made = [make_user(username=f"owner-of-{n}") for n in range(3)]
    for turn, owner in enumerate(made * 2):
        records = [
            {"k": f"k{n}", "smell": n, "tone": "x", "soft": n % 2 == 0, "size": "big" if n == 2 else n}
            for n in range(4)
        ]
        make_run(user=owner, records=records, source=f"feed-{turn}")
    return made


@pytest.fixture
def aged(owners: list[User]) -> list[tuple[datetime, int]]:
    """When each fragment was last seen, and its number: several at one time, in no order of their numbers."""
    chance = random.Random(7)
    for pk in RawFragment.objects.values_list("pk", flat=True):
        at = NOON + timedelta(days=chance.randrange(DAYS))
        RawFragment.objects.filter(pk=pk).update(last_seen_at=at)
    return list(RawFragment.objects.values_list("last_seen_at", "pk"))


def numbers(client: Client, url: str) -> tuple[list[int], str | None]:
    """The rows of a page of fragments, and where the next one is."""
    answer = client.get(url)
    assert answer.status_code == 200
    further = re.search(r'<a[^>]*rel="next"[^>]*href="([^"]+)"', answer.content.decode())
    rows = [row.pk for row in answer.context["cl"].result_list]
    return rows, list_of(RawFragment) + unescape(further.group(1)) if further else None


def walked(client: Client, url: str) -> list[int]:
    """The rows of all pages, one after the other."""
    found: list[int] = []
    following: str | None = url
    while following:
        rows, following = numbers(client, following)
        found += rows
    return found


@pytest.mark.parametrize(
    ("query", "begin", "end"),
    [
        ("seen_from=2024-05-04T12:00:00Z", 3, DAYS),
        ("seen_to=2024-05-04T12:00:00Z", 0, 3),
        ("seen_from=2024-05-03&seen_to=2024-05-06", 2, 4),
        ("seen_from=2024-05-20", DAYS, DAYS),
    ],
)
def test_fragments_are_narrowed_by_age_and_walked_from_the_last_seen_on(
    aged: list[tuple[datetime, int]],
    client_of: Callable[[str], Client],
    monkeypatch: pytest.MonkeyPatch,
    query: str,
    begin: int,
    end: int,
) -> None:
    monkeypatch.setattr(StoreAdmin, "list_per_page", 5)
    wanted = [
        pk
        for at, pk in sorted(aged, reverse=True)
        if NOON + timedelta(days=begin) <= at <= NOON + timedelta(days=end)
    ]
    assert walked(client_of("viewer"), f"{list_of(RawFragment)}?{query}") == wanted


def test_a_place_in_another_order_leads_to_the_list(
    aged: list[tuple[datetime, int]], client_of: Callable[[str], Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(StoreAdmin, "list_per_page", 5)
    client = client_of("viewer")
    _rows, following = numbers(client, list_of(RawFragment))
    assert following is not None
    assert client.get(f"{following}&seen_from=2024-05-01").status_code == 302
    _rows, following = numbers(client, f"{list_of(RawFragment)}?seen_from=2024-05-01")
    assert following is not None
    assert client.get(following.replace("seen_from=2024-05-01", "")).status_code == 302


@pytest.mark.django_db(transaction=True)
def test_a_file_of_fragments_by_age_has_the_order_of_the_list(
    aged: list[tuple[datetime, int]], client_of: Callable[[str], Client]
) -> None:
    client, query = client_of("operator"), "?seen_to=2024-05-05T12:00:00Z"
    answer = client.post(f"{list_of(RawFragment)}export/{query}", {"format": "jsonl"})
    lines: list[Any] = b"".join(answer.streaming_content).splitlines()  # type: ignore[attr-defined]
    listed = walked(client, list_of(RawFragment) + query)
    assert len(lines) == len(listed) > 5
    assert [int(re.findall(rb'"id":\s*(\d+)', line)[0]) for line in lines] == listed


@pytest.mark.parametrize("kind", [*ValueType.__args__, "nothing", "String", "\0"])  # type: ignore[attr-defined]
def test_fragments_are_narrowed_by_the_types_there_are(
    owners: list[User], client_of: Callable[[str], Client], kind: str
) -> None:
    answer = client_of("viewer").get(list_of(RawFragment), {"value_type": kind})
    found = {row.pk for row in answer.context["cl"].result_list}
    known = kind in ValueType.__args__  # type: ignore[attr-defined]
    wanted = RawFragment.objects.filter(value_type=kind) if known else RawFragment.objects.none()
    assert found == set(wanted.values_list("pk", flat=True))


@pytest.mark.parametrize("most", [0, 1, 1_000])
def test_an_owners_observations_are_theirs_however_many_sources_there_are(
    owners: list[User], client_of: Callable[[str], Client], monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    monkeypatch.setattr(observations, "SOURCES_MAX", most)
    client = client_of("viewer")
    for owner in owners:
        answer = client.get(list_of(Observation), {"owner": owner.username})
        wanted = Observation.objects.filter(user=owner).order_by("-recorded_at", "-id")
        assert [row.pk for row in answer.context["cl"].result_list] == [row.pk for row in wanted]
    assert not client.get(list_of(Observation), {"owner": "nobody"}).context["cl"].result_list


def test_the_fragments_of_an_entity_are_found_also_where_it_is_gone(
    owners: list[User], client_of: Callable[[str], Client]
) -> None:
    client = client_of("viewer")
    entity = RawFragment.objects.latest("pk").entity_id
    wanted = list(RawFragment.objects.filter(entity_id=entity).order_by("-pk").values_list("pk", flat=True))
    for _turn in range(2):
        for parameter in ("entity", "q"):
            rows, _further = numbers(client, f"{list_of(RawFragment)}?{parameter}={entity}")
            assert rows == wanted
        EntitySnapshot.objects.filter(pk=entity).delete()


# --- by which index -------------------------------------------------------------------------------------------
def found_by(model: type[Model], **query: str) -> str:
    """The plan of what a list finds, where no table is small enough to be read from its beginning."""
    request = RequestFactory().get(list_of(model), query)
    request.user = make_login(is_superuser=True)
    shown_by: Any = admin.site._registry[model]
    rows: QuerySet[Any] = shown_by.get_changelist_instance(request).queryset
    with connection.cursor() as cursor:
        cursor.execute(f"ANALYZE {model._meta.db_table}")
        cursor.execute("SET LOCAL enable_seqscan = off")
    return rows.order_by().explain()


@pytest.mark.parametrize("reason", [one for one in FragmentReason if one != FragmentReason.UNKNOWN_FIELD])
def test_what_did_not_fit_is_found_by_an_index(owners: list[User], reason: str) -> None:
    assert "raw_fragments_reason_ix" in found_by(RawFragment, reason=reason)


@pytest.mark.parametrize("kind", [one for one in ValueType.__args__ if one != "string"])  # type: ignore[attr-defined]
def test_what_is_no_text_is_found_by_an_index(owners: list[User], kind: str) -> None:
    assert "raw_fragments_type_ix" in found_by(RawFragment, value_type=kind)


def test_what_was_seen_in_a_time_is_found_by_an_index(owners: list[User]) -> None:
    assert "raw_fragments_seen_ix" in found_by(RawFragment, seen_to="2020-01-01")
    assert "raw_fragments_seen_ix" in found_by(RawFragment, seen_from="2199-01-01")


def test_the_observations_of_a_run_an_origin_and_an_owner_are_found_by_an_index(owners: list[User]) -> None:
    assert "observations_run_ix" in found_by(Observation, run="1")
    for origin in (ObservationOrigin.PROMOTION, ObservationOrigin.CORRECTION):
        assert "observations_origin_ix" in found_by(Observation, origin=origin)
    assert "observations_source_ix" in found_by(Observation, owner=owners[0].username)
