"""observations_record: new, repeated and conflicting observations, and the snapshots that take them in."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import msgspec
import pytest
from pytest_django import Settings

from registry.domain.times import from_us, to_us
from schemaevo.kernel.models import Job, User
from snapshots.domain.reducer import reduce
from snapshots.models import Observation
from snapshots.services.merging import histories_of
from snapshots.services.observations import RECOMPUTE, NewObservation
from snapshots.services.recompute import snapshots_recompute
from snapshots.services.verify import snapshots_verify
from tests.content import stored_content
from tests.factories import (
    NOON,
    THING,
    make_definition,
    make_observation,
    make_recorded,
    make_snapshot,
    make_user,
    make_version,
)

pytestmark = pytest.mark.django_db


def test_a_new_observation_is_a_row_and_a_snapshot() -> None:
    owner = make_user()
    version = make_version(document=make_definition(a="string"))
    new = make_observation(user=owner, fields={"a": "x", "other": 1}, seconds=5, kind="human")
    recorded = make_recorded(observations=[new])
    assert recorded.inserted == {new.id}
    assert not recorded.conflicting
    row = Observation.objects.get()
    assert (str(row.pk), row.fields, row.kind, row.schema_version_id, row.origin) == (
        new.id,
        {"a": "x", "other": 1},
        "human",
        version.pk,
        "ingest",
    )
    snapshot = make_snapshot(user=owner)
    assert snapshot.values == {"a": "x"}
    assert snapshot.provenance == {"a": [new.id]}
    assert (snapshot.observation_count, snapshot.last_observation_at, snapshot.deleted) == (
        1,
        from_us(new.observed_us),
        False,
    )
    assert str(snapshot.last_computed_observation_id) == new.id
    assert snapshot.schema_version_id == version.pk


def test_the_same_again_is_a_duplicate_and_changes_nothing() -> None:
    owner = make_user()
    news = [make_observation(user=owner, fields={"a": n}, seconds=n, key=f"k{n % 2}") for n in range(4)]
    make_recorded(observations=[*news, news[0], news[3]])
    before = stored_content()
    again = make_recorded(observations=list(reversed(news)))
    assert not again.inserted
    assert not again.conflicting
    assert stored_content() == before
    assert make_snapshot(user=owner, key="k0").observation_count == 2


def test_nothing_is_recorded_of_nothing() -> None:
    owner = make_user()
    first = make_recorded(observations=[make_observation(user=owner, fields={})])
    assert len(first.inserted) == 1  # an observation without fields is one
    assert make_snapshot(user=owner).values == {}


@pytest.mark.parametrize("batches", [[[0, 1, 2, 3]], [[0], [1], [2], [3]], [[0, 1], [2, 3]]])
def test_a_given_id_belongs_to_the_first_content_however_it_is_batched(batches: list[list[int]]) -> None:
    owner = make_user()
    first = make_observation(user=owner, fields={"a": 1}, given_id="one")
    other = make_observation(user=owner, fields={"a": 2}, given_id="one")
    third = make_observation(user=owner, fields={"a": 3}, key="another", given_id="one")
    assert first.id == other.id == third.id
    news = [first, other, first, third]
    inserted: set[str] = set()
    conflicting: set[tuple[str, str]] = set()
    for batch in batches:
        recorded = make_recorded(observations=[news[index] for index in batch])
        inserted |= recorded.inserted
        conflicting |= recorded.conflicting
    assert inserted == {first.id}
    assert conflicting == {(other.id, other.content_id), (third.id, third.content_id)}
    assert make_snapshot(user=owner).values == {"a": 1}
    assert Observation.objects.count() == 1


def test_what_is_stored_under_an_id_decides_and_not_the_order_in_the_batch() -> None:
    owner = make_user()
    stored = make_observation(user=owner, fields={"a": 1}, given_id="one")
    other = make_observation(user=owner, fields={"a": 2}, given_id="one")
    make_recorded(observations=[stored])
    recorded = make_recorded(observations=[other, stored])
    assert recorded.inserted == frozenset()
    assert recorded.conflicting == {(other.id, other.content_id)}


def test_names_of_two_users_never_meet() -> None:
    one, other = make_user(), make_user()
    news = [make_observation(user=user, fields={"a": user.pk}, given_id="same") for user in (one, other)]
    recorded = make_recorded(observations=news)
    assert len(recorded.inserted) == 2
    assert recorded.conflicting == frozenset()
    for user in (one, other):
        snapshot = make_snapshot(user=user)
        assert (snapshot.values, snapshot.observation_count) == ({"a": user.pk}, 1)


def test_values_survive_exactly() -> None:
    owner = make_user()
    value = {
        "big": 2**70,
        "wide": 10**308,
        "small": Decimal("1E-307"),
        "long": Decimal("0." + "1234567890" * 5),
        "true": True,
        "text": 'tab\t"quote" \\ \u2028 \U0001f600',
        "nested": [[{"": None}], {"a": [Decimal("1.5")]}],
    }
    make_recorded(observations=[make_observation(user=owner, fields=value)])  # type: ignore[arg-type]
    assert make_snapshot(user=owner).values == value
    assert Observation.objects.get().fields == value


@pytest.mark.parametrize(
    "moment",
    [
        datetime(1, 1, 1, tzinfo=UTC),
        datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
        datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
    ],
)
def test_the_first_and_the_last_instant_can_be_stored(moment: datetime) -> None:
    owner = make_user()
    new = make_observation(user=owner, fields={"a": 1})
    first = msgspec.structs.replace(new, observed_us=to_us(moment))
    second = make_observation(user=owner, fields={"a": 2})
    make_recorded(observations=[first])
    make_recorded(observations=[second])
    snapshot = make_snapshot(user=owner)
    assert snapshot.values == {"a": 1 if moment > NOON else 2}
    assert snapshot.last_observation_at == max(moment, NOON)
    assert not snapshots_verify([str(snapshot.pk)]).divergent


def test_deletion_hides_the_values_and_a_later_word_brings_them_back() -> None:
    owner = make_user()
    make_recorded(observations=[make_observation(user=owner, fields={"a": 1})])
    make_recorded(observations=[make_observation(user=owner, fields={"_deleted": True}, seconds=1)])
    gone = make_snapshot(user=owner)
    assert (gone.deleted, gone.values, gone.provenance) == (True, {}, {})
    make_recorded(observations=[make_observation(user=owner, fields={"b": 2}, seconds=2)])
    assert make_snapshot(user=owner).values == {"a": 1, "b": 2}


# --- the schema changed -------------------------------------------------------------------------------------
def _history(count: int) -> list[NewObservation]:
    owner = make_user()
    return [make_observation(user=owner, fields={"a": str(n), "b": n}, seconds=n) for n in range(count)]


def assert_is_full_reduction(new: NewObservation) -> None:
    verified = snapshots_verify([new.entity_id])
    assert (verified.checked, verified.waiting, verified.divergent) == (1, 0, [])


def test_after_a_change_of_schema_the_entity_is_reduced_anew_inline() -> None:
    news = _history(6)
    make_recorded(observations=news[:5])
    version = make_version(
        document=make_definition(
            a={"type": "number", "converters": ["string_to_number"]},
            policies={"a": {"strategy": "merge_array"}},
        )
    )
    make_recorded(observations=news[5:])
    assert_is_full_reduction(news[0])
    snapshot = make_snapshot(user=_owner_of(news))
    assert snapshot.values == {"a": [5, 4, 3, 2, 1, 0]}
    assert snapshot.schema_version_id == version.pk
    assert snapshot.observation_count == 6


def _owner_of(news: list[NewObservation]) -> User:
    return User.objects.get(pk=news[0].user_id)


def test_a_long_history_waits_for_the_job_and_loses_nothing(settings: Settings) -> None:
    settings.SCHEMAEVO_INLINE_RECOMPUTE_MAX = 5
    news = _history(8)
    make_recorded(observations=news[:5])
    make_version(document=make_definition(b="number"))
    Job.objects.all().delete()
    make_recorded(observations=news[5:7])
    snapshot = make_snapshot(user=_owner_of(news))
    assert snapshot.reduction_hash == ""
    assert Observation.objects.count() == 7
    assert Job.objects.get(kind=RECOMPUTE).target == THING
    make_recorded(observations=news[7:])
    assert make_snapshot(user=_owner_of(news)).reduction_hash == ""
    # It was asked for when the entity began to wait.
    assert Job.objects.get(kind=RECOMPUTE).wanted == 1
    assert snapshots_verify([news[0].entity_id]).waiting == 1
    snapshots_recompute(entity_type=THING, owners={news[0].entity_id: news[0].user_id})
    assert_is_full_reduction(news[0])
    assert make_snapshot(user=_owner_of(news)).observation_count == 8


def test_what_waits_is_left_to_the_job_however_little_is_new(settings: Settings) -> None:
    """What was stored while it waited is not counted in its row, so its length is not known."""
    settings.SCHEMAEVO_INLINE_RECOMPUTE_MAX = 5
    news = _history(8)
    make_recorded(observations=news[:4])
    make_version(document=make_definition(b="number"))
    make_recorded(observations=news[4:7])
    assert make_snapshot(user=_owner_of(news)).observation_count == 4
    make_recorded(observations=news[7:])
    assert make_snapshot(user=_owner_of(news)).reduction_hash == ""


def test_exactly_at_the_bound_it_is_done_inline(settings: Settings) -> None:
    settings.SCHEMAEVO_INLINE_RECOMPUTE_MAX = 5
    news = _history(5)
    make_recorded(observations=news[:4])
    make_version(document=make_definition(b="number"))
    make_recorded(observations=news[4:])
    assert_is_full_reduction(news[0])


def test_many_stale_entities_in_one_batch_are_read_in_parts(settings: Settings) -> None:
    settings.SCHEMAEVO_INLINE_RECOMPUTE_MAX = 4
    owner = make_user()
    news = [
        make_observation(user=owner, key=f"k{n % 5}", fields={"a": n, "b": n}, seconds=n) for n in range(15)
    ]
    make_recorded(observations=news[:10])
    make_version(document=make_definition(a="number"))
    make_recorded(observations=news[10:])
    verified = snapshots_verify([new.entity_id for new in news])
    assert (verified.checked, verified.waiting, verified.divergent) == (5, 0, [])
    assert make_snapshot(user=owner, key="k3").values == {"a": 13}


def test_one_batch_may_hold_merged_reduced_and_waiting_entities(settings: Settings) -> None:
    settings.SCHEMAEVO_INLINE_RECOMPUTE_MAX = 3
    owner, other = make_user(), make_user()
    long = [make_observation(user=owner, key="long", fields={"a": n}, seconds=n) for n in range(4)]
    short = [make_observation(user=owner, key="short", fields={"a": n}, seconds=n) for n in range(2)]
    make_recorded(observations=[*long[:3], *short[:1]])
    make_version(document=make_definition(a="number"), user=owner)
    fresh = make_observation(user=owner, key="fresh", fields={"a": 1})
    theirs = make_observation(user=other, key="long", fields={"a": 9})
    make_recorded(observations=[long[3], short[1], fresh, theirs])
    assert make_snapshot(user=owner, key="long").reduction_hash == ""
    assert make_snapshot(user=owner, key="short").values == {"a": 1}
    assert make_snapshot(user=owner, key="fresh").values == {"a": 1}
    assert make_snapshot(user=other, key="long").values == {"a": 9}
    verified = snapshots_verify([n.entity_id for n in (long[0], short[0], fresh, theirs)])
    assert (verified.checked, verified.waiting, verified.divergent) == (3, 1, [])


def test_a_change_that_does_not_touch_reduction_keeps_merging(settings: Settings) -> None:
    settings.SCHEMAEVO_INLINE_RECOMPUTE_MAX = 0
    make_version(document=make_definition(b="number"))
    news = _history(2)
    make_recorded(observations=news[:1])
    make_version(document=make_definition(b={"type": "number", "description": "better"}))
    make_recorded(observations=news[1:])
    assert_is_full_reduction(news[0])
    assert make_snapshot(user=_owner_of(news)).values == {"b": 1}


def test_the_history_that_is_read_back_reduces_to_the_snapshot() -> None:
    news = _history(3)
    make_recorded(observations=news)
    history = histories_of([news[0].entity_id])[news[0].entity_id]
    assert reduce(history, None).values == make_snapshot(user=_owner_of(news)).values
