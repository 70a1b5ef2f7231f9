"""Undeclared fields are added up over their owners: exactly, from wherever the job was stopped, and no others stay."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from fragments.domain.confidence import confidence
from fragments.models import FieldGrowth, FieldTotal, RawFragmentAggregate
from fragments.selectors_aggregates import counted_over_users_of
from fragments.selectors_counting import REBUILD
from fragments.selectors_recommendations import recommendation_over_users, recommendations_over_users
from fragments.services import field_growth
from fragments.services.field_growth import GROWTH
from schemaevo.kernel.jobs import job_request, run_job
from schemaevo.kernel.models import Job, JobState
from tests.factories import NOON, THING, make_definition, make_run, make_user, make_version
from tests.rounds import rounds
from tests.totals import make_totals

pytestmark = pytest.mark.django_db

#: What the aggregates come to, asked for in the plainest way there is.
GROUPED = """
    SELECT entity_type, fragment_key, count(*), sum(sample_count), sum(frequency_total), sum(unique_sources),
           max(last_seen_at),
           (SELECT coalesce(jsonb_object_agg(k, n), '{}') FROM (
               SELECT k, sum(v::bigint) AS n
                 FROM raw_fragment_aggregates AS b, jsonb_each_text(type_counts) AS t(k, v)
                WHERE b.entity_type = a.entity_type AND b.fragment_key = a.fragment_key AND b.sample_count > 0
                GROUP BY k HAVING sum(v::bigint) <> 0) AS one)::text,
           (SELECT coalesce(jsonb_object_agg(k, n), '{}') FROM (
               SELECT k, sum(v::bigint) AS n
                 FROM raw_fragment_aggregates AS b, jsonb_each_text(format_counts) AS t(k, v)
                WHERE b.entity_type = a.entity_type AND b.fragment_key = a.fragment_key AND b.sample_count > 0
                GROUP BY k HAVING sum(v::bigint) <> 0) AS one)::text
      FROM raw_fragment_aggregates AS a WHERE sample_count > 0 GROUP BY 1, 2 ORDER BY 1, 2
"""
KEPT = """
    SELECT entity_type, fragment_key, user_count, sample_count, frequency_total, unique_sources, last_seen_at,
           type_counts::text, format_counts::text FROM field_totals ORDER BY 1, 2
"""


def rows_of(sql: str) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(sql)
        found: list[tuple[Any, ...]] = cursor.fetchall()
        return found


def scattered(chance: random.Random) -> Iterator[RawFragmentAggregate]:
    """Fields of several types and owners, some of which nothing waits any more."""
    users = [make_user() for _ in range(6)]
    for entity_type in ("a", "a_b", "b"):
        for name in ("created_at", "x", "x y", "Ä", "ä" * 300, "z"):
            for user in users:
                if chance.random() < 0.6:
                    types = {
                        kind: chance.randrange(1, 9)
                        for kind in ("string", "number", "null")
                        if chance.random() < 0.7
                    }
                    yield RawFragmentAggregate(
                        user=user,
                        entity_type=entity_type,
                        fragment_key=name,
                        sample_count=chance.choice([0, sum(types.values())]),
                        frequency_total=chance.randrange(1, 99),
                        unique_sources=chance.randrange(1, 4),
                        type_counts=types,
                        format_counts={f"{kind}:text": count for kind, count in types.items()},
                        last_seen_at=chance.choice([None, NOON + timedelta(seconds=chance.randrange(99))]),
                    )


@pytest.fixture
def pieces(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    return lambda count: monkeypatch.setattr(field_growth, "AGGREGATES_PER_BATCH", count)


@pytest.mark.parametrize("seed", range(rounds(6)))
def test_the_totals_are_those_of_the_table_however_the_pass_is_cut(
    seed: int, pieces: Callable[[int], None]
) -> None:
    chance = random.Random(seed)
    for _ in range(2):
        RawFragmentAggregate.objects.all().delete()
        RawFragmentAggregate.objects.bulk_create(scattered(chance))
        pieces(chance.choice([1, 2, 5, 17, 100]))
        make_totals()
        # What was there of the round before and is not there now has gone.
        assert rows_of(KEPT) == rows_of(GROUPED)
    for total in FieldTotal.objects.all():
        (counted,) = counted_over_users_of(entity_type=total.entity_type, names=[total.fragment_key])
        assert counted.counts.type_counts == total.type_counts
        one = recommendation_over_users(entity_type=total.entity_type, name=total.fragment_key)
        assert one is not None
        assert (total.confidence, total.dominant_type) == (one.confidence.total, one.confidence.dominant_type)


def test_confidence_is_that_of_all_owners_together() -> None:
    make_version(document=make_definition(k="string"))
    for value in ("2024-01-01", "2024-01-02", "no date"):
        make_run(user=make_user(), records=[{"k": f"k{n}", "made_at": value} for n in range(4)])
    make_totals()
    total = FieldTotal.objects.get()
    sure = confidence(
        "made_at",
        type_counts={"date": 8, "string": 4},
        format_counts={"date:date": 8, "string:text": 4},
        sample_count=12,
    )
    assert (total.dominant_type, total.type_consistency) == ("date", 6_666)
    assert total.confidence == sure.total
    assert (total.user_count, total.sample_count, total.unique_sources) == (3, 12, 3)


@pytest.mark.parametrize("asked", range(7))
def test_a_pass_that_is_stopped_anywhere_goes_on_from_there(
    asked: int, pieces: Callable[[int], None]
) -> None:
    RawFragmentAggregate.objects.bulk_create(scattered(random.Random(asked)))
    make_totals()
    RawFragmentAggregate.objects.filter(fragment_key="x").update(sample_count=0)
    RawFragmentAggregate.objects.filter(entity_type="a").update(frequency_total=7)
    pieces(9)
    left = iter(range(asked))
    job = job_request(kind=GROWTH)
    run_job(str(job.pk), should_stop=lambda: next(left, None) is None)
    job.refresh_from_db()
    assert job.state == JobState.PENDING
    Job.objects.filter(pk=job.pk).update(not_before=job.requested_at)

    run_job(str(job.pk))

    job.refresh_from_db()
    assert job.state == JobState.DONE
    assert rows_of(KEPT) == rows_of(GROUPED)


def test_a_cursor_of_another_release_begins_anew() -> None:
    RawFragmentAggregate.objects.bulk_create(scattered(random.Random(3)))
    job = job_request(kind=GROWTH)
    cursor = {"entity_type": "b", "field": "x", "user": 1, "owners": 2, "most": []}
    Job.objects.filter(pk=job.pk).update(cursor=cursor)
    run_job(str(job.pk))
    assert rows_of(KEPT) == rows_of(GROUPED)


def test_a_field_keeps_its_address_from_pass_to_pass() -> None:
    RawFragmentAggregate.objects.bulk_create(scattered(random.Random(1)))
    make_totals()
    before = dict(FieldTotal.objects.values_list("pk", "fragment_key"))
    first = FieldTotal.objects.order_by("counted_at")[0].counted_at
    make_totals()
    assert dict(FieldTotal.objects.values_list("pk", "fragment_key")) == before
    assert FieldTotal.objects.order_by("counted_at")[0].counted_at > first


def test_nothing_changes_while_the_fragments_are_being_counted() -> None:
    RawFragmentAggregate.objects.bulk_create(scattered(random.Random(2)))
    make_totals()
    before = rows_of(KEPT)
    RawFragmentAggregate.objects.update(sample_count=77)
    job_request(kind=REBUILD)
    run_job(str(job_request(kind=GROWTH).pk))
    assert rows_of(KEPT) == before


def test_the_owners_of_both_tables_are_the_same() -> None:
    RawFragmentAggregate.objects.bulk_create(scattered(random.Random(4)))
    make_totals()
    columns = ("entity_type", "fragment_key")
    assert set(FieldGrowth.objects.values_list(*columns, "owner_count")) == set(
        FieldTotal.objects.values_list(*columns, "user_count")
    )


def test_a_batch_costs_the_same_number_of_statements_whatever_it_holds(pieces: Callable[[int], None]) -> None:
    def statements() -> int:
        with CaptureQueriesContext(connection) as queries:
            make_totals()
        return len(queries)

    RawFragmentAggregate.objects.create(user=make_user(), entity_type="a", fragment_key="f", sample_count=1)
    one = statements()
    users = [make_user() for _ in range(5)]
    RawFragmentAggregate.objects.bulk_create(
        RawFragmentAggregate(user=user, entity_type="a", fragment_key=f"f{n}", sample_count=1)
        for n in range(20)
        for user in users
    )
    assert statements() == one


def test_one_field_is_told_as_the_page_of_all_tells_it() -> None:
    make_version(document=make_definition(k="string"))
    for n in range(3):
        make_run(user=make_user(), records=[{"k": f"k{i}", "smell": i, "noise_at": f"{n}"} for i in range(4)])
    for listed in recommendations_over_users(entity_type=THING).recommendations:
        assert recommendation_over_users(entity_type=THING, name=listed.name) == listed
    assert recommendation_over_users(entity_type=THING, name="nothing") is None
