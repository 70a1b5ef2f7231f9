"""Aggregates equal a GROUP BY over the fragments that wait, whatever is done to these (I3)."""

from __future__ import annotations

import io
import json
from collections import Counter
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection

from fragments.models import LifecycleState, RawFragment, RawFragmentAggregate, RawFragmentAggregateSource
from fragments.selectors_counting import REBUILD
from schemaevo.kernel.jobs import job_request, run_job
from schemaevo.kernel.models import AuditEvent, Job, JobState, User
from tests.aggregates import assert_aggregates_are_right
from tests.factories import NOON, THING, make_definition, make_run, make_user, make_version
from tests.lifecycle import put

pytestmark = pytest.mark.django_db
ACTIVE, PROMOTED, ARCHIVED, PENDING = LifecycleState


@pytest.fixture
def owner() -> User:
    """An owner whose type declares a key and a number."""
    make_version(document=make_definition(k="string", size={"type": "number", "constraints": {"max": 9}}))
    return make_user()


def aggregate(key: str) -> RawFragmentAggregate:
    return RawFragmentAggregate.objects.get(fragment_key=key)


def test_what_arrives_is_counted_by_type_format_and_source(owner: User) -> None:
    values: list[Any] = [1, 2.5, "3", None, True, "2024-05-06", "https://a.example", 1, {"a": 1}, [1], "x"]
    make_run(user=owner, source="one", records=[{"k": f"k{n}", "other": v} for n, v in enumerate(values)])
    make_run(user=owner, source="two", records=[{"k": "k0", "other": 1}, {"k": "k0", "other": 1, "n": 0}])

    assert_aggregates_are_right()
    row = aggregate("other")
    assert (row.sample_count, row.frequency_total, row.unique_sources) == (12, 13, 2)
    assert row.type_counts == {
        "null": 1,
        "number": 4,
        "string": 3,
        "boolean": 1,
        "date": 1,
        "object": 1,
        "array": 1,
    }
    assert row.format_counts["string:numeric"] == 1
    assert (row.dominant_type, row.type_consistency) == ("number", 10000 * 4 // 11)
    assert len(row.sample_values) == 10
    assert Counter(map(str, (s["value"] for s in row.sample_values))).most_common(1)[0][1] == 1


def test_only_what_waits_for_a_schema_is_counted(owner: User) -> None:
    records = [{"k": "x", "size": "big", "other": 1}, {"k": "x", "size": 10}, {"k": "x", " bad ": 1}]
    make_run(user=owner, records=records)

    assert set(RawFragment.objects.values_list("reason", flat=True)) == {
        *("type_mismatch", "unknown_field", "constraint", "invalid_name")
    }
    assert {row.fragment_key: row.sample_count for row in RawFragmentAggregate.objects.all()} == {
        "size": 2,
        "other": 1,
    }
    assert_aggregates_are_right()


@pytest.mark.parametrize("state", list(LifecycleState))
def test_moves_are_counted(owner: User, state: LifecycleState) -> None:
    for source in ("one", "two"):
        make_run(user=owner, source=source, records=[{"k": f"k{n}", "other": n} for n in range(20)])
    lasts = {s["value"] for s in aggregate("other").sample_values}

    put(state, entity__entity_key__in=[f"k{n}" for n in range(15)])
    assert_aggregates_are_right()
    counts = state in (ACTIVE, ARCHIVED)
    assert aggregate("other").sample_count == (40 if counts else 10)
    left = {s["value"] for s in aggregate("other").sample_values}
    assert left == (lasts if counts else {value for value in lasts if value >= 15})

    put(state, fragment_key="other")
    assert_aggregates_are_right()
    if not counts:
        assert (aggregate("other").sample_count, aggregate("other").sample_values) == (0, [])
        assert (aggregate("other").dominant_type, aggregate("other").type_consistency) == ("", 0)

    make_run(user=owner, source="one", records=[{"k": "k0", "other": 0, "more": 1}])
    assert_aggregates_are_right()


def test_deletions_are_counted(owner: User) -> None:
    make_run(user=owner, records=[{"k": f"k{n}", "a": n, "b": n} for n in range(6)])
    put(PENDING, fragment_key="a")
    make_run(user=owner, records=[{"k": "k0", "a": 0, "more": 1}])
    assert aggregate("a").sample_count == 1

    RawFragment.objects.filter(lifecycle_state=PENDING).delete()
    assert_aggregates_are_right()
    with connection.cursor() as cursor:
        # Not even what the guard never lets through gets past the counts.
        cursor.execute("ALTER TABLE raw_fragments DISABLE TRIGGER raw_fragments_deletions")
        cursor.execute("DELETE FROM raw_fragments WHERE fragment_key = 'b'")
    assert_aggregates_are_right()
    assert (aggregate("b").sample_count, aggregate("b").sample_values) == (0, [])


def test_large_values_are_no_samples_and_equal_ones_one(owner: User) -> None:
    make_run(
        user=owner, records=[{"k": f"k{n}", "other": v} for n, v in enumerate(["x" * 400, "y", "y", "z"])]
    )
    make_run(user=owner, source="again", records=[{"k": f"k{n}", "other": "y"} for n in range(3)])
    assert sorted(s["value"] for s in aggregate("other").sample_values) == ["y", "z"]


def test_a_write_that_changes_no_count_changes_no_aggregate(owner: User) -> None:
    make_run(user=owner, records=[{"k": "x", "other": 1}])
    with connection.cursor() as cursor:
        cursor.execute("SELECT xmin::text FROM raw_fragment_aggregates")
        before = cursor.fetchall()
        cursor.execute("UPDATE raw_fragments SET last_seen_at = last_seen_at - interval '1 day'")
        cursor.execute("SELECT xmin::text FROM raw_fragment_aggregates")
        assert cursor.fetchall() == before
    put(ARCHIVED)
    assert_aggregates_are_right()


def test_when_it_was_last_seen_never_goes_back(owner: User) -> None:
    make_run(user=owner, records=[{"k": "x", "other": 1}])
    newest = aggregate("other").last_seen_at
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE raw_fragments SET last_seen_at = %s, frequency_count = 2", [NOON - timedelta(days=1)]
        )
    assert aggregate("other").last_seen_at == newest
    assert aggregate("other").frequency_total == 2


def columns() -> list[dict[str, Any]]:
    """All aggregates but for their numbers, and of the samples only how many they are."""
    rows: list[dict[str, Any]] = [dict(row) for row in RawFragmentAggregate.objects.values()]
    for row in rows:
        row |= {"id": None, "sample_values": len(row["sample_values"])}
    return sorted(rows, key=lambda row: (row["user_id"], row["fragment_key"]))


def rebuild() -> Job:
    job = job_request(kind=REBUILD)
    run_job(str(job.pk))
    job.refresh_from_db()
    assert job.state == JobState.DONE, job.error
    return job


def test_a_rebuild_counts_what_came_before_there_were_aggregates(owner: User) -> None:
    other = make_user()
    for user in (owner, other):
        make_run(user=user, records=[{"k": f"k{n}", "a": n, "b": str(n)} for n in range(30)])
    right = columns()
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM raw_fragment_aggregate_sources; DELETE FROM raw_fragment_aggregates")
        # Counts are negative until it is counted, and nothing fails on that.
        cursor.execute(
            "UPDATE raw_fragments SET lifecycle_state = 'promoted', promoted_at = now(), expires_at = now()"
            " WHERE fragment_key = 'b'"
        )
        cursor.execute(
            "UPDATE raw_fragments SET lifecycle_state = 'active', promoted_at = NULL, expires_at = NULL"
            " WHERE fragment_key = 'b' AND entity_id IN (SELECT id FROM entity_snapshots WHERE entity_key <> 'k1')"
        )
        cursor.execute(
            "UPDATE raw_fragments SET lifecycle_state = 'active', promoted_at = NULL, expires_at = NULL"
            " WHERE fragment_key = 'b'"
        )
    assert {one["field"] for one in verified()} == {"a", "b"}
    assert rebuild().result == {"aggregates": 4}
    assert_aggregates_are_right()
    assert columns() == right


def test_what_somebody_falsified_is_found_and_counted_anew(owner: User) -> None:
    make_run(user=owner, records=[{"k": f"k{n}", **dict.fromkeys("abcd", n)} for n in range(3)])
    RawFragmentAggregate.objects.filter(fragment_key="a").update(sample_count=7)
    RawFragmentAggregate.objects.filter(fragment_key="b").update(type_counts={"number": 2, "string": 1})
    RawFragmentAggregate.objects.filter(fragment_key="c").delete()
    RawFragmentAggregate.objects.create(user=owner, entity_type=THING, fragment_key="e", unique_sources=1)
    RawFragmentAggregateSource.objects.filter(fragment_key="d").delete()

    assert sorted(one["field"] for one in verified()) == ["a", "b", "c", "d", "e"]
    assert {(one["user_id"], one["entity_type"]) for one in verified()} == {(owner.pk, THING)}
    told = verify("--repair")
    assert (told["divergent"], told["repaired"]) == (1, 1)
    assert verified() == []
    assert_aggregates_are_right()
    # One repair mended them all.
    assert AuditEvent.objects.filter(action="aggregate.repair").count() == 1


def test_while_they_are_counted_they_wait(owner: User) -> None:
    make_run(user=owner, records=[{"k": "x", "a": 1, "b": 2}])
    RawFragmentAggregate.objects.all().delete()
    RawFragmentAggregate.objects.create(user=owner, entity_type=THING, fragment_key="a")
    job = job_request(kind=REBUILD)

    told = verify()
    assert (told["divergent"], told["waiting"]) == (0, 1)
    run_job(str(job.pk))
    told = verify()
    assert (told["divergent"], told["waiting"], told["checked"]) == (0, 0, 2)


def verify(*options: str) -> dict[str, Any]:
    """What the command says of aggregates."""
    out = io.StringIO()
    with suppress(SystemExit):
        call_command("verify", "--all", "--json", *options, stdout=out, stderr=io.StringIO())
    told: dict[str, Any] = json.loads(out.getvalue())["checks"]["aggregates"]
    return told


def verified() -> list[dict[str, Any]]:
    """The divergent ones."""
    examples: list[dict[str, Any]] = verify()["examples"]
    return examples
