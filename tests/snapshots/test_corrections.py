"""One field of one entity is corrected: by an observation that wins, with who and why beside it."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.contrib.auth.models import Permission
from django.db import IntegrityError, connection, transaction
from django.utils import timezone
from pytest_django import Settings

from schemaevo.kernel.actors import Actor
from schemaevo.kernel.canonical import Json
from schemaevo.kernel.errors import DomainError
from schemaevo.kernel.models import AuditEvent, User
from snapshots.domain.correction import value_seen
from snapshots.models import Correction, EntitySnapshot, Observation, Source
from snapshots.services.corrections import (
    REASON_MAX,
    Corrected,
    Wanted,
    correction_foresee,
    field_correct,
)
from snapshots.services.verify import snapshots_verify
from tests.content import stored_content
from tests.factories import (
    NOON,
    SHELL,
    THING,
    make_definition,
    make_login,
    make_run,
    make_snapshot,
    make_user,
    make_version,
)
from tests.fragments.exports import exported_lines, forget, make_import

pytestmark = pytest.mark.django_db

FIELDS: dict[str, Any] = {
    "k": "string",
    "colour": "string",
    "size": {"type": "number", "constraints": {"min": 0, "max": 99}},
    "trust": "number",
    "exact": "number",
    "tags": "array",
}
POLICIES = {
    "trust": {"strategy": "highest_priority"},
    "exact": {"strategy": "most_specific"},
    "tags": {"strategy": "merge_array"},
}
FIRST = {"k": "k", "colour": "red", "size": 5, "trust": 1, "exact": 1, "tags": ["a", "b"]}
RIGHT: dict[str, Json] = {"colour": "blue", "size": Decimal("7.5"), "trust": 2, "exact": 2, "tags": ["c"]}


@pytest.fixture
def owner() -> User:
    make_version(document=make_definition(policies=POLICIES, **FIELDS))
    owner = make_user(username="ada")
    make_run(records=[FIRST], user=owner)
    return owner


def correct(owner: User, field: str, value: Json, *, seen: str | None = None, **more: Any) -> Corrected:
    told = {"reason": "it was read wrongly", "actor": SHELL, **more}
    return field_correct(
        entity_id=str(make_snapshot(user=owner).pk), wanted=Wanted(field, value, seen), **told
    )


def refusal_of(owner: User, field: str, value: Json, **more: Any) -> DomainError:
    """Why it is refused, having changed nothing; looking at it is refused alike, where it can be."""
    before, corrections = stored_content(), Correction.objects.count()
    with pytest.raises(DomainError) as refusal, transaction.atomic():
        correct(owner, field, value, **more)
    assert (stored_content(), Correction.objects.count()) == (before, corrections)
    if "reason" not in more:
        with pytest.raises(DomainError) as foreseen:
            correction_foresee(
                entity_id=str(make_snapshot(user=owner).pk),
                wanted=Wanted(field, value, more.get("seen")),
                actor=SHELL,
            )
        assert foreseen.value.code == refusal.value.code
    return refusal.value


def is_sound() -> bool:
    """Whether every snapshot is the full reduction of its observations, and none waits."""
    entities = [str(pk) for pk in EntitySnapshot.objects.values_list("pk", flat=True)]
    found = snapshots_verify(entities)
    return not found.divergent and not found.waiting


# --- what it does ---------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("field", "value"), RIGHT.items())
def test_the_field_says_what_is_right_whatever_its_policy_and_the_others_stay(
    owner: User, field: str, value: Json
) -> None:
    # As far ahead as what is ingested may be.
    late: dict[str, Any] = {
        "observed_at": timezone.now() + timedelta(days=900),
        "priority": 5_000,
        "specificity": 8.25,
    }
    make_run(records=[{**FIRST, "colour": "green", "tags": ["z"]}], user=owner, source="late", **late)
    before = make_snapshot(user=owner)
    foreseen = correction_foresee(entity_id=str(before.pk), wanted=Wanted(field, value), actor=SHELL)
    assert (foreseen.before, foreseen.after) == (before.values[field], value)
    assert make_snapshot(user=owner).values == before.values

    done = correct(owner, field, value)

    after = make_snapshot(user=owner)
    assert after.values == {**before.values, field: value}
    assert after.provenance == {**before.provenance, field: [done.observation_id]}
    assert (after.deleted, after.observation_count) == (False, before.observation_count + 1)
    assert (done.foreseen.before, done.foreseen.after) == (foreseen.before, foreseen.after)
    assert is_sound()


def test_it_is_an_observation_with_a_source_of_its_own_and_who_and_why_beside_it(owner: User) -> None:
    login = make_login(role="operator")
    before = timezone.now()
    one = correct(owner, "colour", "blue", actor=Actor.login(login), reason="  the sticker says so ")
    other = correct(owner, "size", 9)
    row = Observation.objects.get(pk=UUID(one.observation_id))
    assert (row.origin, row.kind, row.priority, row.fields) == (
        "correction",
        "human",
        1000,
        {"colour": "blue"},
    )
    assert before <= row.observed_at <= timezone.now()
    assert (row.user, row.entity_type, row.ingest_run_id, row.ranks_as) == (owner, THING, None, None)
    sources = Source.objects.filter(name="correction", user=owner)
    assert {str(source.pk) for source in sources} == {one.source_id, other.source_id}
    assert len({source.content_hash for source in sources}) == 2
    made = Correction.objects.get(pk=UUID(one.observation_id))
    assert (made.user, made.entity_id, made.field) == (owner, row.entity_id, "colour")
    assert (made.reason, made.made_by, made.made_by_name) == ("the sticker says so", login, login.username)
    assert Correction.objects.get(pk=UUID(other.observation_id)).made_by is None


def test_the_audit_log_tells_field_and_observation_but_neither_value_nor_reason(owner: User) -> None:
    done = correct(owner, "colour", "a-secret-value", reason="a-secret-reason")
    event = AuditEvent.objects.latest("id")
    assert (event.action, event.target_type, event.target_id) == (
        "snapshot.correct",
        "snapshot",
        str(make_snapshot(user=owner).pk),
    )
    assert (event.after, event.before, event.reason) == (
        {"field": "colour", "observation": done.observation_id},
        None,
        "",
    )


def test_null_clears_the_field(owner: User) -> None:
    done = correct(owner, "colour", None)
    assert (done.foreseen.before, done.foreseen.after) == ("red", None)
    assert "colour" not in make_snapshot(user=owner).values
    assert refusal_of(owner, "colour", None).code == "nothing_to_correct"
    assert is_sound()


@pytest.mark.parametrize("field", ["colour", "trust", "exact", "tags"])
def test_a_later_correction_corrects_the_earlier_one(owner: User, field: str) -> None:
    values: list[Json] = (
        ["x", "y", "z"] if field == "colour" else [[1], [2], []] if field == "tags" else [7, 8, 9]
    )
    for value in values:
        correct(owner, field, value)
        assert make_snapshot(user=owner).values[field] == value
    assert is_sound()


def test_what_is_observed_later_takes_its_place_only_where_the_last_word_counts(owner: User) -> None:
    for field, value in RIGHT.items():
        correct(owner, field, value)
    later = timezone.now() + timedelta(seconds=1)
    make_run(records=[FIRST], user=owner, source="later", observed_at=later)
    assert make_snapshot(user=owner).values == {**FIRST, "trust": 2, "exact": 2, "tags": ["c"]}


def test_where_nothing_is_declared_any_field_can_be_corrected(db: None) -> None:
    owner = make_user()
    make_run(records=[{"k": "k", "a": 1}], user=owner)
    assert correct(owner, "a", {"new": [True]}).foreseen.before == 1
    assert correct(owner, "b", "there").foreseen.before is None
    assert make_snapshot(user=owner).values == {"k": "k", "a": {"new": [True]}, "b": "there"}
    assert refusal_of(owner, "_deleted", True).code == "invalid_name"
    assert is_sound()


def test_a_correction_holds_off_a_deletion_of_less_trust_and_says_so(owner: User) -> None:
    assert correct(owner, "colour", "blue").foreseen.holds_off_deletion
    gone = {"k": "k", "_deleted": True}
    later = timezone.now() + timedelta(seconds=1)
    make_run(records=[gone], user=owner, source="later", observed_at=later)
    assert not make_snapshot(user=owner).deleted
    make_run(records=[gone], user=owner, source="latest", observed_at=later, priority=1001)
    assert make_snapshot(user=owner).deleted


def test_the_observation_of_a_correction_is_never_changed(owner: User) -> None:
    done = correct(owner, "colour", "blue")
    with (
        pytest.raises(IntegrityError, match="observations"),
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        cursor.execute("UPDATE observations SET fields = '{}' WHERE id = %s", [done.observation_id])


# --- what is refused ------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("field", "value", "code", "rule"),
    [
        ("smell", "x", "undeclared_field", None),
        ("size", "5", "value_misfit", "type_mismatch"),
        ("size", 100, "value_misfit", "constraint"),
        ("colour", 5, "value_misfit", "type_mismatch"),
        ("colour", "red", "nothing_to_correct", None),
        ("colour", "a\0b", "unstorable_json", "nul"),
        ("tags", ["a", "a"], "repeated_items", None),
        ("tags", ["a", "b"], "nothing_to_correct", None),
    ],
)
def test_what_cannot_be_said_is_refused_with_its_reason(
    owner: User, field: str, value: Json, code: str, rule: str | None
) -> None:
    refusal = refusal_of(owner, field, value)
    assert (refusal.code, refusal.context.get("rule")) == (code, rule)


@pytest.mark.parametrize(
    ("reason", "code"),
    [
        ("", "reason_needed"),
        (" \n ", "reason_needed"),
        ("x" * (REASON_MAX + 1), "reason_too_long"),
        ("\0", "unstorable_json"),
    ],
)
def test_a_correction_needs_a_reason(owner: User, reason: str, code: str) -> None:
    assert refusal_of(owner, "colour", "blue", reason=reason).code == code


def test_a_deleted_entity_is_not_brought_back_by_a_correction(owner: User) -> None:
    make_run(
        records=[{"k": "k", "_deleted": True}],
        user=owner,
        source="later",
        observed_at=NOON + timedelta(days=1),
    )
    assert refusal_of(owner, "colour", "blue").code == "entity_deleted"
    assert make_snapshot(user=owner).deleted


def test_an_entity_that_is_not_there_cannot_be_corrected(owner: User) -> None:
    for act in (
        lambda: field_correct(
            entity_id=str(uuid4()), wanted=Wanted("colour", "blue"), reason="why", actor=SHELL
        ),
        lambda: correction_foresee(entity_id=str(uuid4()), wanted=Wanted("colour", "blue"), actor=SHELL),
    ):
        with pytest.raises(DomainError) as refusal:
            act()
        assert refusal.value.code == "snapshot_not_found"


def test_who_saw_another_value_is_told(owner: User) -> None:
    seen = value_seen("red")
    correct(owner, "colour", "green", seen=seen)
    assert refusal_of(owner, "colour", "blue", seen=seen).code == "value_changed"
    correct(owner, "colour", "blue", seen=value_seen("green"))


def test_what_cannot_be_topped_is_told(owner: User) -> None:
    make_run(records=[{"k": "k", "trust": 1}], user=owner, source="loud", priority=2**31 - 1)
    refusal = refusal_of(owner, "trust", 2)
    assert (refusal.code, refusal.context) == ("cannot_win", {"rule": "highest_priority"})
    correct(owner, "colour", "blue")


def test_seeing_values_is_needed_as_well(owner: User) -> None:
    login = make_login()
    login.user_permissions.add(Permission.objects.get(codename="correct_value"))
    refusal = refusal_of(
        owner, "colour", "blue", actor=Actor.login(User.objects.get(pk=login.pk)), reason="why"
    )
    assert (refusal.code, refusal.context) == ("permission_denied", {"permission": "snapshots.see_values"})


# --- snapshots that wait --------------------------------------------------------------------------------------
@pytest.fixture(params=["", "other rules"])
def waiting(request: pytest.FixtureRequest, owner: User) -> User:
    """The owner's entity waits: by what it holds it was reduced by other rules, or stored without being reduced."""
    make_run(
        records=[{**FIRST, "size": 6}], user=owner, source="second", observed_at=NOON + timedelta(seconds=1)
    )
    EntitySnapshot.objects.update(reduction_hash=request.param, values={}, merge_state={})
    return owner


def test_a_snapshot_that_waits_is_recomputed_first(waiting: User) -> None:
    entity = str(make_snapshot(user=waiting).pk)
    foreseen = correction_foresee(entity_id=entity, wanted=Wanted("size", 7), actor=SHELL)
    assert (foreseen.before, foreseen.after) == (6, 7)
    assert make_snapshot(user=waiting).values == {}
    correct(waiting, "size", 7, seen=value_seen(6))
    assert make_snapshot(user=waiting).values == {**FIRST, "size": 7}
    assert is_sound()


def test_one_whose_history_is_long_has_to_be_recomputed_before(waiting: User, settings: Settings) -> None:
    settings.SCHEMAEVO_INLINE_RECOMPUTE_MAX = 1
    refusal = refusal_of(waiting, "size", 7)
    assert (refusal.code, refusal.context) == ("snapshot_waiting", {"length": 2})


def test_how_long_the_history_is_does_not_matter_where_it_does_not_wait(
    owner: User, settings: Settings
) -> None:
    make_run(
        records=[{**FIRST, "size": 6}], user=owner, source="second", observed_at=NOON + timedelta(seconds=1)
    )
    settings.SCHEMAEVO_INLINE_RECOMPUTE_MAX = 1
    correct(owner, "size", 7)
    assert is_sound()


# --- what follows ---------------------------------------------------------------------------------------------
def test_corrections_go_out_with_the_observations_and_come_back_as_they_were(owner: User) -> None:
    for field, value in RIGHT.items():
        correct(owner, field, value)
    stored, lines = stored_content(), exported_lines()
    assert sum(line["origin"] == "correction" for line in lines) == len(RIGHT)
    forget()
    make_import(lines=lines[::-1])
    assert stored_content() == stored
    assert make_import(lines=lines).duplicate_count == len(lines)
    assert is_sound()


def test_a_correction_outlives_a_change_of_the_policy_and_of_the_schema(owner: User) -> None:
    for field, value in RIGHT.items():
        correct(owner, field, value)
    wanted = {**FIRST, **RIGHT}
    for strategy in ("most_specific", "highest_priority", "last_write"):
        policies = {name: {"strategy": strategy} for name in FIELDS}
        make_version(document=make_definition(policies=policies, **FIELDS))
        # Recorded once more, each is reduced anew.
        make_run(records=[{"k": "k", "unknown": strategy}], user=owner, observed_at=NOON - timedelta(days=1))
        assert make_snapshot(user=owner).values == wanted, strategy
    assert is_sound()
