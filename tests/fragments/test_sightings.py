"""raw_fragments: one row per value, place and trust; how often it was seen, when last, and its life."""

from __future__ import annotations

from datetime import timedelta
from random import Random
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from django.db.models import F

from fragments.models import LifecycleState, RawFragment
from registry.services.compatibility import compatibility_set
from schemaevo.kernel.canonical import Json
from schemaevo.kernel.models import User
from snapshots.models import Observation
from tests.content import stored_content
from tests.factories import NOON, SHELL, THING, make_definition, make_run, make_user, make_version
from tests.lifecycle import put

pytestmark = pytest.mark.django_db

DOCUMENT = make_definition(
    size={"type": "number", "converters": ["string_to_number"], "constraints": {"max": 100}}, name="string"
)


@pytest.fixture
def owner() -> User:
    """An owner whose type has a schema."""
    make_version(document=DOCUMENT)
    return make_user()


def fragment(**where: Any) -> RawFragment:
    return RawFragment.objects.get(**where)


def sighting(second: int, **fields: Json) -> dict[str, Json]:
    return {"k": "x", "at": (NOON + timedelta(seconds=second)).isoformat(), **fields}


def ingest_at(owner: User, *records: dict[str, Json], **options: Any) -> None:
    run = make_run(user=owner, records=records, observed_at_field="at", **options)
    assert run.rejected_count == 0


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        ("other", 1, "unknown_field"),
        ("other", None, "unknown_field"),
        ("name", 1, "type_mismatch"),
        ("size", 101, "constraint"),
        ("_x", 1, "invalid_name"),
    ],
)
def test_what_does_not_fit_is_born_active(owner: User, key: str, value: Json, reason: str) -> None:
    make_run(user=owner, records=[{"k": "x", key: value}])
    row = fragment()
    observation = Observation.objects.get()
    assert (row.fragment_key, row.reason, row.lifecycle_state) == (key, reason, "active")
    assert (row.promoted_at, row.archived_at, row.expires_at) == (None, None, None)
    assert (row.frequency_count, row.observation_id, row.observed_at) == (
        1,
        observation.pk,
        observation.observed_at,
    )
    assert (row.user_id, row.entity_id, row.source_id) == (
        owner.pk,
        observation.entity_id,
        observation.source_id,
    )
    assert row.value == value
    assert observation.fields == {}


def test_the_original_of_a_converted_value_is_born_promoted_and_expires(owner: User, settings: Any) -> None:
    settings.SCHEMAEVO_PROMOTED_RETENTION_DAYS = 7
    make_run(user=owner, records=[{"k": "x", "size": "12"}])
    row = fragment()
    assert (row.reason, row.lifecycle_state, row.value) == ("converted_original", "promoted", "12")
    assert row.promoted_at is not None
    assert row.expires_at == row.promoted_at + timedelta(days=7)
    assert Observation.objects.get().fields == {"size": 12}


def test_json_null_is_stored_as_json_null(owner: User) -> None:
    make_run(user=owner, records=[{"k": "x", "other": None}])
    with connection.cursor() as cursor:
        cursor.execute("SELECT value::text, value IS NULL, value_type FROM raw_fragments")
        assert cursor.fetchone() == ("null", False, "null")


def test_one_row_for_each_value_and_one_count_for_each_distinct_observation(owner: User) -> None:
    ingest_at(
        owner,
        sighting(1, other=1),
        sighting(1, other=1),  # the same record: the same observation
        sighting(2, other=1),
        sighting(2, other=2),
        sighting(3, other=True),
        sighting(4, other="1"),
        sighting(5, other={"b": 1, "a": 2}),
        sighting(6, other={"a": 2, "b": 1}),
    )
    assert sorted(RawFragment.objects.values_list("value_type", "frequency_count")) == [
        ("boolean", 1),
        ("number", 1),
        ("number", 2),
        ("object", 2),
        ("string", 1),
    ]


def test_numbers_equal_by_value_are_one(owner: User) -> None:
    make_run(user=owner, records=[b'{"k":"x","other":1}', b'{"k":"x","other":1.0}', b'{"k":"x","other":1e0}'])
    assert fragment().frequency_count == 3


def test_another_source_trust_or_kind_is_another_row(owner: User) -> None:
    record = sighting(1, other=1)
    ingest_at(owner, record)
    ingest_at(owner, record, source="elsewhere")
    ingest_at(owner, record, priority=101)
    ingest_at(owner, record, kind="human")
    ingest_at(owner, record, kind="sync")
    ingest_at(owner, record)
    assert RawFragment.objects.count() == 5
    assert set(RawFragment.objects.values_list("frequency_count", flat=True)) == {1}


@pytest.mark.parametrize("batch_size", [1, 2, 1000])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_newest_sighting_is_kept_and_of_one_instant_the_smallest_id(
    owner: User, seed: int, batch_size: int
) -> None:
    # Ids are hashes: of eight it would take luck to come first without being chosen.
    records = [*(sighting(9, other=1, n=n) for n in range(8)), sighting(1, other=1), sighting(5, other=1)]
    order = Random(seed).sample(records, len(records))
    ingest_at(owner, *order, batch_size=batch_size)
    row = fragment(fragment_key="other")
    newest = Observation.objects.filter(observed_at=NOON + timedelta(seconds=9)).order_by("pk")
    assert newest.count() == 8
    assert (row.frequency_count, row.observed_at) == (10, NOON + timedelta(seconds=9))
    assert row.observation_id == newest[0].pk


@pytest.mark.parametrize("state", ["active", "archived", "promoted", "pending_deletion"])
def test_seen_again_it_is_active_again(owner: User, state: str) -> None:
    ingest_at(owner, sighting(1, other=1))
    put(LifecycleState(state))
    RawFragment.objects.update(last_seen_at=F("last_seen_at") - timedelta(days=100))
    before = fragment()
    ingest_at(owner, sighting(2, other=1))
    row = fragment()
    assert (row.lifecycle_state, row.promoted_at, row.archived_at, row.expires_at) == (
        "active",
        None,
        None,
        None,
    )
    assert row.frequency_count == 2
    assert row.last_seen_at > before.last_seen_at
    assert row.first_seen_at == before.first_seen_at


@pytest.mark.parametrize("state", ["archived", "promoted", "pending_deletion"])
def test_a_duplicate_is_no_sighting(owner: User, state: str) -> None:
    ingest_at(owner, sighting(1, other=1))
    put(LifecycleState(state))
    before = RawFragment.objects.values().get()
    ingest_at(owner, sighting(1, other=1))
    assert RawFragment.objects.values().get() == before


@pytest.mark.parametrize("state", ["promoted", "pending_deletion"])
def test_an_original_seen_again_keeps_its_state_and_lives_longer(owner: User, state: str) -> None:
    ingest_at(owner, sighting(1, size="12"))
    put(LifecycleState(state))
    RawFragment.objects.update(expires_at=F("expires_at") - timedelta(days=100))
    before = fragment()
    ingest_at(owner, sighting(2, size="12"))
    row = fragment()
    assert (row.lifecycle_state, row.promoted_at) == (state, before.promoted_at)
    assert row.expires_at is not None
    assert before.expires_at is not None
    assert row.expires_at > before.expires_at + timedelta(days=100)


@pytest.mark.parametrize("state", ["active", "archived"])
def test_what_waits_stays_so_when_it_is_seen_as_an_original(owner: User, state: str) -> None:
    """A converter came later: the older sightings still wait for their retry."""
    make_version(document=make_definition(size="number", name="string"))
    ingest_at(owner, sighting(1, size="12"))
    put(LifecycleState(state))
    compatibility_set(
        entity_type=THING, mode="NONE", actor=SHELL
    )  # the new version has a tighter bound as well
    make_version(document=DOCUMENT)
    ingest_at(owner, sighting(2, size="12"))
    row = fragment()
    assert (row.lifecycle_state, row.reason, row.frequency_count, row.expires_at) == (
        state,
        "type_mismatch",
        2,
        None,
    )


def test_an_original_that_no_longer_converts_waits(owner: User) -> None:
    ingest_at(owner, sighting(1, size="12"))
    make_version(document=make_definition(size="number", name="string"))
    ingest_at(owner, sighting(2, size="12"))
    row = fragment()
    assert (row.lifecycle_state, row.reason, row.promoted_at, row.expires_at) == (
        "active",
        "type_mismatch",
        None,
        None,
    )


def test_the_same_value_of_two_users_or_entities_is_two_rows(owner: User) -> None:
    other = make_user()
    for user in (owner, other):
        make_run(user=user, records=[{"k": "x", "other": 1}, {"k": "y", "other": 1}])
    assert RawFragment.objects.count() == 4


def test_no_fragments_where_nothing_is_declared() -> None:
    owner = make_user()
    run = make_run(user=owner, records=[{"k": "x", "_odd": 1, "other": None}], entity_type="free")
    assert run.fragment_count == 0
    assert not RawFragment.objects.exists()
    assert Observation.objects.get().fields == {"k": "x", "_odd": 1, "other": None}


def test_a_schema_with_no_fields_makes_fragments_of_all() -> None:
    owner = make_user()
    make_version(document=make_definition(), user=owner)
    make_run(user=owner, records=[{"k": "x", "a": 1, "b": 2}])
    assert set(RawFragment.objects.values_list("fragment_key", flat=True)) == {"a", "b"}
    assert Observation.objects.get().fields == {}


# --- what the database itself refuses ---------------------------------------------------------------------
@pytest.mark.parametrize(
    "columns",
    [
        "lifecycle_state = 'active', expires_at = now()",
        "lifecycle_state = 'active', promoted_at = now()",
        "lifecycle_state = 'active', archived_at = now()",
        "lifecycle_state = 'promoted'",
        "lifecycle_state = 'promoted', promoted_at = now()",
        "lifecycle_state = 'promoted', expires_at = now()",
        "lifecycle_state = 'archived'",
        "lifecycle_state = 'archived', archived_at = now(), expires_at = now()",
        "lifecycle_state = 'pending_deletion'",
    ],
)
def test_a_state_without_its_times_is_refused(owner: User, columns: str) -> None:
    make_run(user=owner, records=[{"k": "x", "other": 1}])
    if "pending_deletion" in columns:
        put(LifecycleState.PROMOTED)
        columns += ", promoted_at = NULL, expires_at = NULL"
    with pytest.raises(IntegrityError, match="raw_fragments_lifecycle_ck"), transaction.atomic():
        _execute(f"UPDATE raw_fragments SET {columns}")


@pytest.mark.parametrize(
    "columns",
    [
        "lifecycle_state = 'promoted', promoted_at = now(), expires_at = now()",
        "lifecycle_state = 'archived', archived_at = now()",
        "lifecycle_state = 'pending_deletion', promoted_at = now(), expires_at = now()",
    ],
)
def test_a_state_with_its_times_is_taken(owner: User, columns: str) -> None:
    make_run(user=owner, records=[{"k": "x", "other": 1}])
    if "pending_deletion" in columns:
        put(LifecycleState.PROMOTED)
    _execute(f"UPDATE raw_fragments SET {columns}")


def test_a_fragment_that_nothing_carries_is_refused(owner: User) -> None:
    make_run(user=owner, records=[{"k": "x", "other": 1}])
    with pytest.raises(IntegrityError, match="raw_fragments_frequency_ck"), transaction.atomic():
        _execute("UPDATE raw_fragments SET frequency_count = 0")


def test_the_default_state_is_the_databases_own(owner: User) -> None:
    make_run(user=owner, records=[{"k": "x", "other": 1}])
    before = stored_content()["raw_fragments"]
    _execute(
        """
        INSERT INTO raw_fragments (user_id, entity_type, entity_id, fragment_key, source_id, value, value_hash,
               value_type, value_format, reason, priority, specificity, frequency_count, observation_id, observed_at)
        SELECT user_id, entity_type, entity_id, 'more', source_id, value, value_hash,
               value_type, value_format, reason, priority, specificity, frequency_count, observation_id, observed_at
          FROM raw_fragments
        """
    )
    assert fragment(fragment_key="more").lifecycle_state == "active"
    assert len(stored_content()["raw_fragments"]) == len(before) + 1
    with pytest.raises(IntegrityError, match="raw_fragments_sighting_uq"), transaction.atomic():
        _execute("UPDATE raw_fragments SET fragment_key = 'other'")


def _execute(sql: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(sql)
