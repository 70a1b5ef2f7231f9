"""Recommendations of users and over users: whole pages, from aggregates, in a few queries."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from fragments.domain.counts import counts_added
from fragments.domain.recommendation import Recommendation
from fragments.models import LifecycleState, RawFragment, RawFragmentAggregate
from fragments.selectors_aggregates import (
    FieldKey,
    counted_of_user,
    counted_over_users,
    counted_over_users_of,
    entity_types_counted,
)
from fragments.selectors_counting import REBUILD, Counting, counting
from fragments.selectors_recommendations import (
    LOOKED_AT,
    eligible_fields,
    recommendation_of_field,
    recommendations_of_user,
    recommendations_over_users,
)
from fragments.services.dismissals import field_dismiss, field_recall, field_snooze
from fragments.services.ignore_lists import pattern_ignore, pattern_recall
from schemaevo.kernel.jobs import job_request
from schemaevo.kernel.models import Job, JobState, User
from tests.factories import (
    NOON,
    SHELL,
    THING,
    make_definition,
    make_extension,
    make_run,
    make_user,
    make_version,
)
from tests.lifecycle import put

pytestmark = pytest.mark.django_db


@pytest.fixture
def owner() -> User:
    """The owner of ten things with an undeclared `smell`."""
    owner = make_user()
    make_version(document=make_definition(k="string"))
    smell(owner)
    return owner


def smell(owner: User, **more: Any) -> None:
    make_run(records=[{"k": f"e{n}", "smell": f"like {n}", **more} for n in range(10)], user=owner)


def found(owner: User, **given: Any) -> dict[str, Recommendation]:
    page = recommendations_of_user(user_id=owner.pk, **given)
    return {one.name: one for one in page.recommendations}


def codes(one: Recommendation) -> list[str]:
    return [obstacle.code.value for obstacle in one.obstacles]


# --- what a recommendation says ------------------------------------------------------------------------------
def test_a_field_of_a_user_is_recommended_with_its_counts_and_samples(owner: User) -> None:
    [one] = recommendations_of_user(user_id=owner.pk, entity_type=THING).recommendations
    assert (one.entity_type, one.user_id, one.name, one.is_eligible) == (THING, owner.pk, "smell", True)
    assert (one.counts.sample_count, one.counts.frequency_total, one.counts.unique_sources) == (10, 10, 1)
    assert one.suggested is not None
    assert one.suggested.definition == {"type": "string", "converters": [], "required": False}
    assert set(one.samples) <= {f"like {n}" for n in range(10)}
    assert recommendation_of_field(user_id=owner.pk, entity_type=THING, name="smell") == one
    assert recommendation_of_field(user_id=owner.pk, entity_type=THING, name="taste") is None
    assert [field.name for field in eligible_fields(user_id=owner.pk, entity_type=THING)] == ["smell"]


def test_nobody_gets_what_is_another_users(owner: User) -> None:
    other = make_user()
    make_run(records=[{"k": f"e{n}", "taste": n} for n in range(10)], user=other)
    assert found(owner).keys() == {"smell"}
    assert found(other).keys() == {"taste"}


def test_what_waits_no_more_is_not_recommended(owner: User) -> None:
    put(LifecycleState.ARCHIVED)
    assert found(owner)["smell"].is_eligible
    RawFragment.objects.update(
        lifecycle_state=LifecycleState.PROMOTED, promoted_at=NOON, archived_at=None, expires_at=NOON
    )
    assert found(owner) == {}


@pytest.mark.parametrize("whose", ["own", "global", "extension"])
def test_a_declared_field_is_no_new_one_whoever_declares_it(owner: User, whose: str) -> None:
    if whose == "extension":
        make_extension(user=owner, document={"additional_fields": {"smell": {"type": "string"}}})
    else:
        user = owner if whose == "own" else None
        make_version(document=make_definition(k="string", smell="string"), user=user)
    assert codes(found(owner)["smell"]) == ["already_declared"]
    assert codes(over_users()["smell"]) == (["already_declared"] if whose == "global" else [])


def test_a_name_like_a_declared_one_is_told_with_its_twin(owner: User) -> None:
    make_version(document=make_definition(k="string", Smell="string"))
    one = found(owner)["smell"]
    assert (codes(one), one.obstacles[0].message) == (
        ["ambiguous_name"],
        "cannot be told apart from 'Smell'",
    )


def test_without_a_schema_there_is_nothing_to_add_a_field_to() -> None:
    owner = make_user()
    version = make_version(document=make_definition(k="string"), user=owner)
    smell(owner)
    type(version).objects.update(is_active=False)
    assert codes(found(owner)["smell"]) == ["no_schema"]


# --- two sources, or two entities ----------------------------------------------------------------------------
def one_entity(count: int, *, source: str = "feed", key: str = "e", user: User | None = None) -> User:
    owner = user or make_user()
    make_version(document=make_definition(k="string"))
    make_run(records=[{"k": key, "smell": f"like {n}"} for n in range(count)], user=owner, source=source)
    return owner


def test_one_entity_from_one_source_is_too_little_and_a_second_of_either_is_enough() -> None:
    owner = one_entity(12)
    assert codes(found(owner)["smell"]) == ["one_source_and_entity"]
    assert codes(over_users()["smell"]) == ["one_source_and_entity"]
    one_entity(1, source="another", user=owner)
    assert found(owner)["smell"].is_eligible
    assert over_users()["smell"].is_eligible
    other = one_entity(12)
    one_entity(1, key="f", user=other)
    assert found(other)["smell"].is_eligible


def test_a_second_entity_counts_only_while_its_fragments_do() -> None:
    owner = one_entity(12)
    one_entity(1, key="f", user=owner)
    put(LifecycleState.ARCHIVED, entity__entity_key="f")
    assert found(owner)["smell"].is_eligible
    put(LifecycleState.PROMOTED, entity__entity_key="f", lifecycle_state="active")
    RawFragment.objects.filter(lifecycle_state="archived").update(
        lifecycle_state=LifecycleState.PROMOTED, promoted_at=NOON, archived_at=None, expires_at=NOON
    )
    assert codes(found(owner)["smell"]) == ["one_source_and_entity"]


@pytest.mark.parametrize("second", ["first", "last"])
def test_a_second_entity_is_found_at_either_end_of_many_of_one(
    second: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fragments.selectors_recommendations.LOOKED_AT", 5)
    with connection.cursor() as cursor:
        # Of equal keys the index goes by place: where earlier tests left room, a row may come to stand anywhere.
        cursor.execute("TRUNCATE raw_fragments")
    owner = make_user()
    for key, count in (("f", 1), ("e", 30)) if second == "first" else (("e", 30), ("f", 1)):
        one_entity(count, key=key, user=owner)
    assert found(owner)["smell"].is_eligible


# --- over all users -------------------------------------------------------------------------------------------
def over_users(**given: Any) -> dict[str, Recommendation]:
    page = recommendations_over_users(entity_type=THING, **given)
    return {one.name: one for one in page.recommendations}


def test_over_users_counts_are_those_of_all_added_up(owner: User) -> None:
    others = [make_user() for _ in range(4)]
    for number, other in enumerate(others):
        make_run(
            records=[
                {"k": f"e{n}", "smell": n if number % 2 else f"t{n}", f"f{number}": 1} for n in range(5)
            ],
            user=other,
            source=f"feed-{number}",
        )
    every = [
        one
        for user in (owner, *others)
        for one in counted_of_user(user_id=user.pk, entity_type=THING, limit=100)
    ]
    names = sorted({one.key.name for one in every})
    expected = {name: counts_added(one.counts for one in every if one.key.name == name) for name in names}
    page = counted_over_users(entity_type=THING, limit=100)
    assert {one.key.name: one.counts for one in page.fields} == expected
    assert page.last is None
    assert {
        one.key.name: one.counts for one in counted_over_users_of(entity_type=THING, names=names)
    } == expected
    assert (over_users()["smell"].counts.user_count, over_users()["f0"].counts.user_count) == (5, 1)


def test_over_users_samples_are_not_shown(owner: User) -> None:
    assert over_users()["smell"].samples == ()


def test_over_users_a_global_schema_can_still_be_made() -> None:
    for owner in (make_user(), make_user()):
        make_version(document=make_definition(k="string"), user=owner)
        smell(owner)
    assert over_users()["smell"].is_eligible


# --- pages ----------------------------------------------------------------------------------------------------
def test_pages_have_every_field_once(owner: User) -> None:
    for entity_type in (THING, "another"):
        make_version(document=make_definition(k="string"), entity_type=entity_type)
        records = [{"k": f"e{n}", **{f"f{m:02}": n for m in range(7)}} for n in range(3)]
        make_run(records=records, user=owner, entity_type=entity_type)
    everything = [
        (one.entity_type, one.name) for one in recommendations_of_user(user_id=owner.pk).recommendations
    ]
    assert everything == [
        *(("another", f"f{m:02}") for m in range(7)),
        *((THING, f"f{m:02}") for m in range(7)),
        (THING, "smell"),
    ]
    assert list(pages(owner, limit=4)) == everything
    assert list(pages(owner, limit=15)) == everything
    assert list(pages(owner, limit=2, entity_type=THING)) == everything[7:]
    assert list(pages_over_users(3)) == [name for _type, name in everything[7:]]
    assert entity_types_counted() == entity_types_counted(user_id=owner.pk) == ["another", THING]
    assert entity_types_counted(user_id=make_user().pk) == []


def pages(owner: User, **given: Any) -> Iterator[tuple[str, str]]:
    after: FieldKey | None = None
    while True:
        page = recommendations_of_user(user_id=owner.pk, after=after, **given)
        yield from ((one.entity_type, one.name) for one in page.recommendations)
        after = page.next_after
        if after is None:
            return


def pages_over_users(limit: int) -> Iterator[str]:
    after = ""
    while True:
        page = recommendations_over_users(entity_type=THING, after=after, limit=limit)
        yield from (one.name for one in page.recommendations)
        if page.next_after is None:
            return
        after = page.next_after.name


def test_aggregates_of_nothing_are_passed_over_and_end_no_page(owner: User) -> None:
    make_run(records=[{"k": "e", "a": 1, "b": 2, "c": 3}], user=owner)
    RawFragment.objects.filter(fragment_key__in=["a", "b"]).update(
        lifecycle_state=LifecycleState.PROMOTED, promoted_at=NOON, expires_at=NOON
    )
    assert RawFragmentAggregate.objects.filter(sample_count=0).count() == 2
    assert list(pages(owner, limit=1)) == [(THING, "c"), (THING, "smell")]
    assert list(pages_over_users(1)) == ["c", "smell"]


# --- what it costs --------------------------------------------------------------------------------------------
def queries(look: Any) -> list[str]:
    with CaptureQueriesContext(connection) as captured:
        look()
    return [query["sql"] for query in captured]


def test_a_page_costs_the_same_queries_however_much_there_is(owner: User) -> None:
    def looks() -> list[int]:
        recommendations_of_user(user_id=owner.pk)
        return [
            len(queries(lambda: recommendations_of_user(user_id=owner.pk))),
            len(queries(lambda: recommendations_over_users(entity_type=THING))),
        ]

    few = looks()
    for entity_type in (THING, "another", "third"):
        make_version(document=make_definition(k="string"), entity_type=entity_type)
        make_version(document=make_definition(k="string", mine="string"), entity_type=entity_type, user=owner)
        records = [{"k": f"e{n}", **{f"f{m}": n for m in range(30)}} for n in range(20)]
        make_run(records=records, user=owner, entity_type=entity_type)
    field_dismiss(entity_type=THING, name="f1", user_id=owner.pk, actor=SHELL)
    pattern_ignore(pattern="f2*", user_id=None, actor=SHELL)
    assert max(looks()) <= 8
    assert (
        looks()[0] <= few[0] + 1
    )  # one more: of extensions, there being a global schema of more than one type
    assert looks()[1] == few[1]


def test_fragments_are_read_only_for_fields_of_one_source_that_nothing_else_speaks_against(
    owner: User,
) -> None:
    def reads() -> int:
        return sum(
            "raw_fragments AS" in sql for sql in queries(lambda: recommendations_of_user(user_id=owner.pk))
        )

    assert reads() == 1
    pattern_ignore(pattern="smell", user_id=None, actor=SHELL)
    assert reads() == 0
    pattern_recall(pattern="smell", user_id=None, actor=SHELL)
    make_run(records=[{"k": "e1", "smell": "x"}], user=owner, source="another")
    assert reads() == 0


@pytest.mark.parametrize(("others", "read"), [(3, 20), (0, 2 * LOOKED_AT + 1)])
def test_the_look_at_fragments_goes_by_the_index_and_stops_at_the_second_entity(
    others: int, read: int
) -> None:
    """What the server says that it read, of ten thousand fragments of the field.

    Within one state the index goes by where the rows lie, which depends on what was there before them; so the ten
    thousand are in a later state than the few.
    """
    owner = one_entity(12)
    one_entity(others, key="f", user=owner)
    with connection.cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO raw_fragments (user_id, entity_type, entity_id, fragment_key, source_id, value, value_hash,
                                       value_type, value_format, reason, priority, specificity, frequency_count,
                                       observation_id, observed_at, lifecycle_state, archived_at)
            SELECT user_id, entity_type, entity_id, fragment_key, source_id, to_jsonb(n), sha256(n::text::bytea),
                   'number', 'integer', reason, priority, specificity, 1, observation_id, observed_at, 'archived', now()
              FROM (SELECT * FROM raw_fragments ORDER BY id LIMIT 1) AS one, generate_series(1, 10000) AS n
            """
        )
        cursor.execute("ANALYZE raw_fragments")
    [asked] = [
        sql for sql in queries(lambda: recommendations_of_user(user_id=owner.pk)) if "raw_fragments AS" in sql
    ]
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {asked}")
        (plan,) = cursor.fetchone()
    scans = list(nodes(plan[0]["Plan"]))
    reading = [node for node in scans if node.get("Relation Name") == "raw_fragments"]
    assert {node.get("Index Name") for node in reading} == {"raw_fragments_key_ix"}
    assert sum(node["Actual Rows"] * node["Actual Loops"] for node in reading) <= read


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for inner in plan.get("Plans", []):
        yield from nodes(inner)


# --- while fragments are counted ------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("state", "told"),
    [
        (JobState.PENDING, Counting.AT_WORK),
        (JobState.RUNNING, Counting.AT_WORK),
        (JobState.PAUSED, Counting.AT_WORK),
        (JobState.FAILED, Counting.FAILED),
        (JobState.CANCELLED, Counting.FAILED),
        (JobState.DONE, Counting.DONE),
    ],
)
def test_nothing_is_eligible_while_fragments_are_being_counted(
    owner: User, state: JobState, told: Counting
) -> None:
    Job.objects.filter(pk=job_request(kind=REBUILD).pk).update(
        state=state,
        finished_at=None if told is Counting.AT_WORK else timezone.now(),
        lease_token=uuid4(),
        lease_expires_at=timezone.now(),
    )
    for page in (
        recommendations_of_user(user_id=owner.pk),
        recommendations_over_users(entity_type=THING),
    ):
        assert page.counting is told
        [one] = page.recommendations
        assert codes(one) == ([] if told is Counting.DONE else ["being_counted"])
        assert bool(page.eligible) == (told is Counting.DONE)


def test_a_count_of_a_part_that_failed_is_made_good_by_a_later_one_of_everything() -> None:
    def job(state: JobState, target: str, minutes: int) -> None:
        Job.objects.create(
            kind=REBUILD,
            target=target,
            queue="lifecycle",
            state=state,
            requested_at=NOON + timedelta(minutes=minutes),
            finished_at=NOON + timedelta(hours=1),
        )

    job(JobState.DONE, "", 0)
    job(JobState.FAILED, "thing:1", 1)
    assert counting() is Counting.FAILED
    job(JobState.DONE, "thing:2", 2)
    assert counting() is Counting.FAILED
    job(JobState.DONE, "", 3)
    assert counting() is Counting.DONE
    job(JobState.FAILED, "", 4)
    job(JobState.DONE, "", 5)
    assert counting() is Counting.DONE


# --- what nobody wants recommended ----------------------------------------------------------------------------
def test_an_ignored_pattern_is_for_all_users_or_for_one(owner: User) -> None:
    other = make_user()
    smell(other)
    pattern_ignore(pattern="Sm*", user_id=owner.pk, actor=SHELL)
    assert (codes(found(owner)["smell"]), codes(found(other)["smell"])) == (["ignored"], [])
    assert over_users()["smell"].is_eligible
    pattern_ignore(pattern="*ell", user_id=None, entity_type=THING, actor=SHELL)
    assert codes(found(other)["smell"]) == codes(over_users()["smell"]) == ["ignored"]
    pattern_recall(pattern="*ell", user_id=None, entity_type=THING, actor=SHELL)
    pattern_ignore(pattern="smell", user_id=None, entity_type="another", actor=SHELL)
    assert found(other)["smell"].is_eligible


def test_a_dismissal_is_about_one_users_field_or_about_all_users_together(owner: User) -> None:
    other = make_user()
    smell(other)
    field_dismiss(entity_type=THING, name="smell", user_id=owner.pk, actor=SHELL, reason="never again")
    assert (codes(found(owner)["smell"]), codes(found(other)["smell"])) == (["dismissed"], [])
    assert found(owner)["smell"].obstacles[0].message == "dismissed: never again"
    assert over_users()["smell"].is_eligible
    field_dismiss(entity_type=THING, name="smell", user_id=None, actor=SHELL)
    assert codes(over_users()["smell"]) == ["dismissed"]
    assert found(other)["smell"].is_eligible
    field_recall(entity_type=THING, name="smell", user_id=owner.pk, actor=SHELL)
    assert found(owner)["smell"].is_eligible


def test_a_snoozed_field_comes_back_by_itself(owner: User) -> None:
    until = timezone.now() + timedelta(days=2)
    row = field_snooze(entity_type=THING, name="smell", user_id=owner.pk, until=until, actor=SHELL)
    one = found(owner)["smell"]
    assert (codes(one), one.obstacles[0].message) == (
        ["snoozed"],
        f"snoozed until {until:%Y-%m-%d %H:%M} UTC",
    )
    assert one.obstacles[0].until == until
    type(row).objects.update(until=timezone.now() - timedelta(seconds=1))
    assert found(owner)["smell"].is_eligible


def test_nothing_is_written_by_looking(owner: User) -> None:
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION READ ONLY")
        recommendations_of_user(user_id=owner.pk)
        recommendations_over_users(entity_type=THING)
        transaction.set_rollback(True)
