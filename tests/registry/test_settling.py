"""Settling: own schemas are adopted and absorbed fields given up, and nobody's effective schema changes by it."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from registry.domain.composition import Origin
from registry.domain.definition import Definition
from registry.models import ExtensionRevision, RevisionCause, SchemaEpoch, SchemaVersion
from registry.selectors import (
    effective_schema,
    effective_schemas,
    extension_in_force,
    schema_standing,
    version_in_force,
)
from registry.services import settling
from registry.services.activation import SETTLE, schema_activate, schema_deactivate
from registry.services.settling import Settled, extensions_settle
from schemaevo.kernel.canonical import JsonObject, canonical_json
from schemaevo.kernel.jobs import run_job
from schemaevo.kernel.models import Job, JobState, User
from snapshots.services.verify import snapshots_verify
from tests.domain.strategies import definitions
from tests.factories import (
    SHELL,
    THING,
    make_compatibility,
    make_definition,
    make_extension,
    make_run,
    make_snapshot,
    make_user,
    make_version,
)
from tests.registry.trail import audited
from tests.rounds import rounds

pytestmark = pytest.mark.django_db

SHARED = make_definition(name="string", size={"type": "number", "constraints": {"max": 10}})


def settle(after: int = 0, **options: Any) -> Settled:
    return extensions_settle(**{"entity_type": THING, "after_user": after, "actor": SHELL, **options})


def effective(users: list[User]) -> dict[int, tuple[str, str]]:
    """What is promised to stay: each user's definition, and the hash that snapshots carry."""
    schemas = effective_schemas(entity_type=THING, user_ids=[user.pk for user in users])
    return {
        user_id: (
            "" if schema.definition is None else canonical_json(schema.definition.to_json()),
            schema.reduction_hash,
        )
        for user_id, schema in schemas.items()
    }


# --- adoption -------------------------------------------------------------------------------------------------
def recomputations_wanted() -> list[tuple[str, int]]:
    return list(
        Job.objects.filter(kind="recompute_snapshots").order_by("target").values_list("target", "wanted")
    )


def test_an_own_schema_is_adopted_and_nothing_changes_for_its_user() -> None:
    owner = make_user()
    make_version(document=make_definition(old="string"), user=owner)
    own = make_version(
        document=make_definition(
            name={"type": "string", "description": "mine"},
            size="string",
            extra="array",
            policies={"extra": {"strategy": "merge_array"}},
        ),
        user=owner,
        is_active=False,
    )
    make_compatibility()
    schema_activate(version_id=own.pk, actor=SHELL)
    shared = make_version(document=SHARED)
    before = effective([owner])
    wanted = recomputations_wanted()
    with audited() as events:
        assert settle() == Settled(adopted=1, absorbed=0, up_to_user=None)
    assert effective([owner]) == before
    assert not SchemaVersion.objects.filter(user=owner, is_active=True).exists()
    assert not SchemaVersion.objects.filter(user=owner, retired_at=None).exists()
    revision = extension_in_force(entity_type=THING, user_id=owner.pk)
    assert revision is not None
    assert (revision.revision, revision.cause, revision.cause_version_id, revision.base_schema_version) == (
        1,
        RevisionCause.ADOPTION,
        own.pk,
        shared.number,
    )
    assert set(revision.additional_fields) == {"size", "extra"}
    assert set(revision.absorbed) == {"name"}
    assert revision.absorbed["name"]["description"] == "mine"
    # The conflict is kept, and listed.
    composition = schema_standing(entity_type=THING, user_id=owner.pk).composition
    assert composition is not None
    assert composition.origins["size"] is Origin.CONFLICT
    assert [event.action for event in events] == [
        "schema_version.retire",
        "schema_version.retire",
        "extension.change",
    ]
    assert [event.before["in_force"] for event in events[:2]] == [True, False]
    assert events[2].before is None
    assert events[2].after["cause"] == "adoption"
    # No snapshot waits for anything.
    assert recomputations_wanted() == wanted


def test_settled_again_nothing_happens() -> None:
    owners = [make_user(), make_user()]
    make_version(document=make_definition(own="string"), user=owners[0])
    make_version(document=SHARED)
    make_extension(user=owners[1], document={"additional_fields": {"b": {"type": "date"}}})
    settle()
    epochs = list(SchemaEpoch.objects.order_by("id").values_list("user_id", "epoch"))
    with audited() as events:
        assert settle() == Settled(0, 0, None)
    assert events == []
    assert list(SchemaEpoch.objects.order_by("id").values_list("user_id", "epoch")) == epochs


def test_without_a_global_schema_nothing_is_settled() -> None:
    owner = make_user()
    make_version(document=make_definition(own="string"), user=owner)
    make_version(document=SHARED)
    schema_deactivate(entity_type=THING, user_id=None, actor=SHELL, without_review="off")
    with audited() as events:
        assert settle() == Settled(0, 0, None)
    assert events == []
    assert version_in_force(entity_type=THING, user_id=owner.pk) is not None


def test_other_types_and_drafts_are_left_alone() -> None:
    owner = make_user()
    make_version(document=make_definition(own="string"), user=owner, entity_type="other")
    make_version(document=make_definition(own="string"), user=owner, is_active=False)
    make_version(document=SHARED)
    assert settle() == Settled(0, 0, None)
    assert SchemaVersion.objects.get(entity_type="other").is_active
    assert SchemaVersion.objects.get(user=owner, entity_type=THING).retired_at is None


# --- absorption -----------------------------------------------------------------------------------------------
def test_fields_that_the_global_schema_has_by_now_leave_the_extension() -> None:
    owner = make_user()
    make_version(document=SHARED)
    colour: JsonObject = {
        "type": "string",
        "description": "mine",
        "merge_policy": {"strategy": "most_specific"},
    }
    make_extension(
        user=owner,
        document={
            "additional_fields": {"colour": colour, "weight": {"type": "string"}, "own": {"type": "date"}},
            "field_overrides": {"size": {"constraints": {"max": 5}}},
        },
    )
    shared = make_version(document=make_definition(**SHARED["fields"], colour="string", weight="number"))
    before = effective([owner])
    with audited() as events:
        assert settle() == Settled(adopted=0, absorbed=1, up_to_user=None)
    assert effective([owner]) == before
    revision = extension_in_force(entity_type=THING, user_id=owner.pk)
    assert revision is not None
    assert (revision.revision, revision.cause, revision.cause_version_id) == (
        2,
        RevisionCause.ABSORPTION,
        shared.pk,
    )
    assert set(revision.additional_fields) == {"weight", "own"}
    assert revision.field_overrides == {"size": {"constraints": {"max": 5}}}
    assert revision.absorbed == {"colour": colour}
    [event] = events
    assert event.before == {"revision": 1, "fields": ["colour", "own", "weight"]}
    assert isinstance(event.after, dict)
    assert (event.after["absorbed"], event.after["fields"]) == (["colour"], ["own", "weight"])


def test_an_extension_that_only_repeats_the_global_schema_ends_up_empty() -> None:
    owner = make_user()
    make_version(document=SHARED)
    make_extension(user=owner, document={"additional_fields": {"colour": {"type": "string"}}})
    make_version(document=make_definition(**SHARED["fields"], colour="string"))
    before = effective([owner])
    assert settle().absorbed == 1
    revision = extension_in_force(entity_type=THING, user_id=owner.pk)
    assert revision is not None
    assert revision.parsed.is_empty
    assert effective([owner]) == before
    assert settle().absorbed == 0


@pytest.mark.rounds
@settings(
    max_examples=rounds(40),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    first=st.none() | definitions(), then=definitions(), owns=st.lists(definitions(), min_size=1, max_size=3)
)
def test_settling_never_changes_an_effective_schema(
    first: Definition | None, then: Definition, owns: list[Definition]
) -> None:
    with transaction.atomic():
        users = [make_user() for _ in owns]
        make_compatibility()
        for user, own in zip(users, owns, strict=True):
            make_version(document=own.to_json(), user=user)
        for document in (first, then):
            if document is not None:
                make_version(document=document.to_json())
                before = effective(users)
                settle()
                assert effective(users) == before
        assert ExtensionRevision.objects.filter(is_active=True).count() == len(users)
        assert not SchemaVersion.objects.filter(is_active=True, user__isnull=False).exists()
        assert settle() == Settled(0, 0, None)
        transaction.set_rollback(True)


# --- in chunks, by the job ------------------------------------------------------------------------------------
@pytest.fixture
def three_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settling, "CHUNK_USERS", 3)


@pytest.mark.usefixtures("three_at_a_time")
def test_chunks_go_on_where_the_last_one_ended() -> None:
    users = [make_user() for _ in range(7)]
    for user in users[::2]:
        make_version(document=make_definition(name="string"), user=user)
    make_version(document=make_definition(other="string"))
    for user in users[1::2]:
        make_extension(user=user, document={"additional_fields": {"name": {"type": "string"}}})
    make_version(document=make_definition(other="string", name="string"))
    assert settle() == Settled(2, 1, users[2].pk)
    assert settle(users[2].pk) == Settled(1, 2, users[5].pk)
    assert settle(users[5].pk) == Settled(1, 0, None)
    assert settle(users[6].pk) == Settled(0, 0, None)
    assert settle().up_to_user == users[2].pk  # all of them have an extension now, with nothing to settle


def the_job() -> Job:
    return Job.objects.filter(kind=SETTLE).latest("requested_at")


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("three_at_a_time")
def test_the_job_settles_everybody_and_rests_between_chunks(settings: Any) -> None:
    settings.SCHEMAEVO_RUN_BUDGET_S = 0
    users = [make_user() for _ in range(8)]
    for user in users:
        make_version(document=make_definition(name="string", own="date"), user=user)
    assert not Job.objects.filter(kind=SETTLE).exists()
    make_version(document=SHARED)
    before = effective(users)
    job = the_job()
    assert (job.target, job.wanted, job.state) == (THING, 1, JobState.PENDING)
    runs = 0
    while job.state == JobState.PENDING:
        run_job(str(job.pk))
        job.refresh_from_db()
        runs += 1
    assert (job.state, job.result, job.done_count) == (JobState.DONE, {"adopted": 8, "absorbed": 0}, 8)
    assert runs == 3
    assert effective(users) == before
    assert not SchemaVersion.objects.filter(is_active=True, user__isnull=False).exists()


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("three_at_a_time")
def test_a_job_that_dies_between_chunks_goes_on_and_settles_nobody_twice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    users = [make_user() for _ in range(8)]
    for user in users:
        make_version(document=make_definition(own="date"), user=user)
    make_version(document=SHARED)
    job = the_job()
    adopt = settling._adopt
    adopted: list[int] = []

    def adopt_and_die(shared: SchemaVersion, user_id: int, actor: Any) -> int:
        if len(adopted) == 4:
            raise OSError("out of power")
        adopted.append(user_id)
        return adopt(shared, user_id, actor)

    monkeypatch.setattr(settling, "_adopt", adopt_and_die)
    run_job(str(job.pk))
    job.refresh_from_db()
    assert (job.state, job.attempts) == (JobState.PENDING, 1)
    # The chunk in which it died is as if it had not begun.
    assert sorted(ExtensionRevision.objects.values_list("user_id", flat=True)) == [u.pk for u in users[:3]]
    monkeypatch.setattr(settling, "_adopt", adopt)
    Job.objects.filter(pk=job.pk).update(not_before=job.requested_at)
    run_job(str(job.pk))
    job.refresh_from_db()
    assert (job.state, job.result) == (JobState.DONE, {"adopted": 8, "absorbed": 0})
    assert list(ExtensionRevision.objects.order_by("user_id").values_list("user_id", "revision")) == [
        (user.pk, 1) for user in users
    ]


def test_the_job_is_asked_for_exactly_when_there_is_something_to_settle() -> None:
    make_compatibility()
    owner, other = make_user(), make_user()

    def wanted() -> int:
        return sum(Job.objects.filter(kind=SETTLE).values_list("wanted", flat=True))

    make_version(document=SHARED)
    make_version(document=make_definition(name="string"))
    assert wanted() == 0  # nobody has anything of their own
    make_version(document=make_definition(own="string"), user=owner)
    assert wanted() == 1  # an own schema beside a global one
    make_version(document=SHARED)
    assert wanted() == 2
    settle()
    make_version(document=make_definition(name="string", own="string"))
    assert wanted() == 3  # extensions
    make_version(document=make_definition(own="string"), user=other, entity_type="other")
    assert wanted() == 3  # a type without a global schema


@pytest.mark.django_db(transaction=True)
def test_snapshots_stay_as_they_are_and_do_not_wait() -> None:
    owner = make_user()
    make_version(
        document=make_definition(name="string", tags="array", policies={"tags": {"strategy": "merge_array"}}),
        user=owner,
    )
    make_version(document=SHARED)
    make_run(user=owner, records=[{"k": "x", "name": "a", "tags": [1]}, {"k": "x", "name": "b", "tags": [2]}])
    before = make_snapshot(user=owner, key="x")
    run_job(str(the_job().pk))
    assert extension_in_force(entity_type=THING, user_id=owner.pk) is not None
    schema = effective_schema(entity_type=THING, user_id=owner.pk)
    assert schema.reduction_hash == before.reduction_hash
    verified = snapshots_verify([str(before.pk)])
    assert (verified.checked, verified.waiting, verified.divergent) == (1, 0, [])
    make_run(user=owner, records=[{"k": "x", "tags": [3]}], source="later")
    after = make_snapshot(user=owner, key="x")
    assert sorted(after.values["tags"]) == [1, 2, 3]
    assert after.extension_revision_id == schema.extension_revision_id
    verified = snapshots_verify([str(after.pk)])
    assert (verified.checked, verified.waiting, verified.divergent) == (1, 0, [])
