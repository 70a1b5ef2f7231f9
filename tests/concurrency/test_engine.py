"""Changes of schemas and extensions beside each other and beside ingest, on real connections."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from typing import Any

import pytest
from django.db import transaction

from registry.domain.definition import Declaration
from registry.errors import StaleBase
from registry.models import ExtensionRevision, SchemaEpoch, SchemaVersion
from registry.selectors import effective_schema, extension_in_force
from registry.services.activation import SETTLE, schema_activate
from registry.services.compatibility import compatibility_set
from registry.services.extensions import extension_add_fields, extension_save
from registry.services.schemas import schema_update
from registry.services.settling import extensions_settle
from schemaevo.kernel.errors import DomainError
from schemaevo.kernel.jobs import run_job
from schemaevo.kernel.locks import LockSpace, hold
from schemaevo.kernel.models import AuditEvent, Job, JobState, User
from snapshots.models import EntitySnapshot
from tests.concurrency.test_schemas import waiting_for_me
from tests.factories import (
    SHELL,
    THING,
    make_compatibility,
    make_definition,
    make_extension,
    make_run,
    make_user,
    make_version,
)
from tests.rounds import rounds
from tests.threads import PATIENCE_S, Aside, side_by_side, waiting_for_locks
from tests.waiting import wait_for

pytestmark = pytest.mark.django_db(transaction=True)

SHARED = make_definition(a="string")


def adding(*names: str) -> Any:
    """An extension's document that adds these fields."""
    return {"additional_fields": {name: {"type": "string"} for name in names}}


def save(user: User, *names: str, base: int | None = None) -> ExtensionRevision:
    return extension_save(
        entity_type=THING, user_id=user.pk, document=adding(*names), actor=SHELL, base=base
    ).revision


def outcome(act: Any) -> str:
    try:
        act()
    except DomainError as refusal:
        return refusal.code
    return "done"


def run_settle() -> None:
    """The settle jobs that are owed are done."""
    for job in Job.objects.filter(kind=SETTLE, state=JobState.PENDING):
        run_job(str(job.pk))


# --- who waits for whom ---------------------------------------------------------------------------------------
@pytest.mark.parametrize("change", ["activate", "extend", "update"])
def test_a_users_change_waits_for_no_other_user(change: str) -> None:
    """The other user is caught in the middle of an ingest, and a change of that user waits for it."""
    owner, other = make_user(), make_user()
    if change == "extend":
        make_version(document=SHARED)
    else:
        make_version(document=SHARED, user=owner)
        make_version(document=SHARED, user=other)
    make_run(user=other, records=[{"k": "x", "a": "1"}])
    drafts = {}
    if change == "activate":
        for user in (owner, other):
            drafts[user.pk] = make_version(document=make_definition(b="date"), user=user, is_active=False)

    def act(user: User) -> object:
        if change == "activate":
            return schema_activate(version_id=drafts[user.pk].pk, actor=SHELL)
        if change == "extend":
            return save(user, "b")
        return schema_update(
            entity_type=THING,
            user_id=user.pk,
            edits=[{"op": "add_field", "field": "b", "declaration": {"type": "date"}}],
            base="1.0.0",
            actor=SHELL,
        )

    with ExitStack() as asides:
        with transaction.atomic():
            EntitySnapshot.objects.select_for_update().get()
            ingesting = asides.enter_context(
                Aside(lambda: make_run(user=other, records=[{"k": "x", "a": "2"}], source="second"))
            )
            wait_for(waiting_for_me, "the ingest to wait for the row")
            theirs = asides.enter_context(Aside(lambda: act(other)))
            wait_for(waiting_for_locks, "the other user's change to wait for the ingest")
            asides.enter_context(Aside(lambda: act(owner))).result(PATIENCE_S)
            assert not ingesting.done()
            assert not theirs.done()
        ingesting.result(PATIENCE_S)
        theirs.result(PATIENCE_S)


@pytest.mark.parametrize("has_global", [False, True], ids=["own alone", "beside a global one"])
def test_a_users_change_waits_for_no_other_users_change(has_global: bool) -> None:
    """The other user's change is made and not committed: the jobs that both ask for are no common row."""
    owner, other = make_user(), make_user()
    if has_global:
        make_version(document=SHARED)
    first, second = (make_version(document=SHARED, user=user, is_active=False) for user in (other, owner))
    with transaction.atomic():
        schema_activate(version_id=first.pk, actor=SHELL)
        with Aside(partial(schema_activate, version_id=second.pk, actor=SHELL)) as change:
            change.result(PATIENCE_S)
    assert SchemaVersion.objects.get(pk=second.pk).is_active


def test_a_global_activation_waits_for_the_batch_in_progress_and_comes_before_the_next() -> None:
    """The ingest has batches of one record each, and is caught in the second of three."""
    owner = make_user()
    make_compatibility()
    old = make_version(document=make_definition(a="string"))
    make_run(user=owner, records=[{"k": "y", "a": "0"}])
    newer = make_version(document=make_definition(b="string"), is_active=False)
    records = [{"k": key, "a": "1", "b": "1"} for key in ("x", "y", "z")]

    with ExitStack() as asides:
        with transaction.atomic():
            EntitySnapshot.objects.select_for_update().get()
            ingesting = asides.enter_context(
                Aside(lambda: make_run(user=owner, records=records, source="second", batch_size=1))
            )
            wait_for(waiting_for_me, "the second batch to wait for the row")
            activating = asides.enter_context(
                Aside(partial(schema_activate, version_id=newer.pk, actor=SHELL, without_review="now"))
            )
            wait_for(waiting_for_locks, "the activation to wait for the batch")
        activating.result(PATIENCE_S)
        ingesting.result(PATIENCE_S)
    stamps = {
        snapshot.entity_key: (snapshot.schema_version_id, snapshot.values)
        for snapshot in EntitySnapshot.objects.all()
    }
    assert stamps == {
        "x": (old.pk, {"a": "1"}),
        "y": (old.pk, {"a": "1"}),
        "z": (newer.pk, {"b": "1"}),
    }


# --- one base, two authors ------------------------------------------------------------------------------------
@pytest.mark.parametrize("is_owners", [False, True])
@pytest.mark.parametrize("is_activated", [False, True])
def test_of_two_updates_from_one_base_exactly_one_succeeds(is_owners: bool, is_activated: bool) -> None:
    owner = make_user() if is_owners else None
    make_version(document=SHARED, user=owner)

    def update(field: str) -> str:
        with transaction.atomic():
            version = schema_update(
                entity_type=THING,
                user_id=owner.pk if owner else None,
                edits=[{"op": "add_field", "field": field, "declaration": {"type": "date"}}],
                base="1.0.0",
                actor=SHELL,
            ).version
            if is_activated:
                schema_activate(version_id=version.pk, actor=SHELL, without_review="now")
        return version.number

    def attempt(field: str) -> str:
        try:
            return update(field)
        except StaleBase as refusal:
            return refusal.code

    outcomes = side_by_side([partial(attempt, f"f{n}") for n in range(4)])
    assert sorted(outcomes) == ["1.1.0", "stale_base", "stale_base", "stale_base"]
    newest = SchemaVersion.objects.get(minor=1)
    assert len(newest.definition["fields"]) == 2
    assert AuditEvent.objects.filter(action="schema_version.register").count() == 2


def test_of_two_extensions_from_one_base_exactly_one_succeeds() -> None:
    owner = make_user()
    make_version(document=SHARED)
    for base in (0, 1):
        acts = [partial(save, owner, f"f{base}{n}", base=base) for n in range(4)]
        outcomes = side_by_side([partial(outcome, act) for act in acts])
        assert sorted(outcomes) == ["done", "stale_base", "stale_base", "stale_base"]
    assert list(ExtensionRevision.objects.order_by("revision").values_list("revision", "is_active")) == [
        (1, False),
        (2, True),
    ]


def test_fields_added_side_by_side_are_all_there() -> None:
    owner = make_user()
    make_version(document=SHARED)
    names = [f"f{n}" for n in range(6)]

    def add(number: int) -> None:
        declared = Declaration.from_json(names[number], {"type": "string"})
        extension_add_fields(entity_type=THING, user_id=owner.pk, declarations=[declared], actor=SHELL)

    side_by_side([partial(add, number) for number in range(6)])
    revision = extension_in_force(entity_type=THING, user_id=owner.pk)
    assert revision is not None
    assert (revision.revision, set(revision.additional_fields)) == (6, set(names))
    # The first brought one into force; every later one took one out of it as well.
    assert SchemaEpoch.objects.get(user=owner).epoch == 11


# --- what comes into force while somebody extends -------------------------------------------------------------
@pytest.mark.rounds
def test_an_extension_saved_beside_a_global_activation_is_settled_whoever_comes_first() -> None:
    """Either the save is refused, since the field is there already, or it is absorbed afterwards."""
    for number in range(rounds(6)):
        kind = f"kind{number}"
        owner = make_user()
        make_version(document=SHARED, entity_type=kind)
        newer = make_version(
            document=make_definition(a="string", b="string"), entity_type=kind, is_active=False
        )

        def extend(kind: str = kind, owner: User = owner) -> object:
            return make_extension(user=owner, document=adding("b", "c"), entity_type=kind)

        def activate(newer: SchemaVersion = newer) -> object:
            return schema_activate(version_id=newer.pk, actor=SHELL, without_review="now")

        extended, activated = side_by_side([partial(outcome, extend), partial(outcome, activate)])
        assert activated == "done"
        assert extended in ("done", "invalid_extension")
        run_settle()
        revision = extension_in_force(entity_type=kind, user_id=owner.pk)
        assert (revision is None) == (extended == "invalid_extension")
        if revision is not None:
            assert set(revision.additional_fields) == {"c"}


def test_a_save_that_is_caught_in_the_middle_is_seen_by_the_activation_that_waits_for_it() -> None:
    owner = make_user()
    make_version(document=SHARED)
    newer = make_version(document=make_definition(a="string", b="string"), is_active=False)
    with ExitStack() as asides:
        with transaction.atomic():
            save(owner, "b")
            activating = asides.enter_context(
                Aside(partial(schema_activate, version_id=newer.pk, actor=SHELL, without_review="now"))
            )
            wait_for(waiting_for_locks, "the activation to wait for the save")
        activating.result(PATIENCE_S)
    run_settle()
    revision = extension_in_force(entity_type=THING, user_id=owner.pk)
    assert revision is not None
    assert revision.additional_fields == {}


@pytest.mark.rounds
def test_an_own_schema_activated_beside_the_first_global_one_is_adopted_whoever_comes_first() -> None:
    for number in range(rounds(6)):
        kind = f"kind{number}"
        owner = make_user()
        own = make_version(
            document=make_definition(own="string"), entity_type=kind, user=owner, is_active=False
        )
        shared = make_version(document=SHARED, entity_type=kind, is_active=False)
        side_by_side(
            [partial(schema_activate, version_id=version.pk, actor=SHELL) for version in (own, shared)]
        )
        run_settle()
        revision = extension_in_force(entity_type=kind, user_id=owner.pk)
        assert revision is not None, number
        assert set(revision.additional_fields) == {"own"}
        own.refresh_from_db()
        assert (own.is_active, own.retired_at is None) == (False, False)


def test_extensions_saved_beside_settling_lose_nothing() -> None:
    owners = [make_user() for _ in range(4)]
    make_version(document=SHARED)
    for owner in owners:
        save(owner, "b", f"own{owner.pk}")
    make_version(document=make_definition(a="string", b="string"))

    def edit(owner: User) -> str:
        return outcome(lambda: save(owner, f"own{owner.pk}", f"new{owner.pk}"))

    def settle() -> str:
        return outcome(lambda: extensions_settle(entity_type=THING, after_user=0, actor=SHELL))

    acts: list[Callable[[], str]] = [settle, settle, *(partial(edit, owner) for owner in owners)]
    outcomes = side_by_side(acts)
    assert outcomes == ["done"] * 6
    settle()
    for owner in owners:
        revision = extension_in_force(entity_type=THING, user_id=owner.pk)
        assert revision is not None
        assert set(revision.additional_fields) == {f"own{owner.pk}", f"new{owner.pk}"}
        numbers = ExtensionRevision.objects.filter(user=owner).order_by("revision")
        assert list(numbers.values_list("revision", flat=True)) == list(range(1, revision.revision + 1))
        definition = effective_schema(entity_type=THING, user_id=owner.pk).definition
        assert definition is not None
        assert set(definition.fields) == {"a", "b", f"own{owner.pk}", f"new{owner.pk}"}


def test_an_edit_from_before_an_adoption_is_stale_and_one_after_it_goes_through() -> None:
    owner = make_user()
    make_version(document=make_definition(own="string"), user=owner)
    make_version(document=SHARED)
    acts = [
        partial(extensions_settle, entity_type=THING, after_user=0, actor=SHELL),
        partial(save, owner, "mine", base=0),
    ]
    settled, saved = side_by_side([partial(outcome, act) for act in acts])
    assert settled == "done"
    assert saved in ("not_adopted", "stale_base")
    assert save(owner, "own", "mine", base=1).revision == 2


def test_a_mode_is_set_before_or_after_a_users_registration_and_not_in_the_middle() -> None:
    owner = make_user()
    make_compatibility()
    make_version(document=SHARED, user=owner)
    with ExitStack() as asides:
        with transaction.atomic():
            hold(LockSpace.SCHEMA_TYPE, [(THING,)], shared=True)
            hold(LockSpace.SCHEMA_OWNER, [(THING, owner.pk)], shared=True)
            registering = asides.enter_context(
                Aside(
                    lambda: outcome(
                        lambda: schema_update(
                            entity_type=THING,
                            user_id=owner.pk,
                            edits=[{"op": "set_required", "field": "a", "required": True}],
                            base="1.0.0",
                            actor=SHELL,
                        )
                    )
                )
            )
            wait_for(waiting_for_locks, "the update to wait")
            setting = asides.enter_context(
                Aside(partial(compatibility_set, entity_type=THING, mode="FULL", actor=SHELL))
            )
            wait_for(lambda: waiting_for_locks() == 2, "the mode to wait")
            assert not setting.done()
        assert registering.result(PATIENCE_S) == "done"
        setting.result(PATIENCE_S)
    assert SchemaVersion.objects.filter(user=owner).count() == 2


def test_activations_of_many_users_side_by_side_all_come_into_force() -> None:
    users = [make_user() for _ in range(6)]
    make_version(document=SHARED)
    drafts = [
        make_version(document=make_definition(own="date"), user=user, is_active=False) for user in users
    ]
    side_by_side([partial(schema_activate, version_id=draft.pk, actor=SHELL) for draft in drafts])
    assert SchemaVersion.objects.filter(is_active=True).count() == 7
    assert {job.target for job in Job.objects.filter(kind=SETTLE)} == {f"{THING}:{user.pk}" for user in users}
    run_settle()
    assert ExtensionRevision.objects.filter(is_active=True).count() == 6
