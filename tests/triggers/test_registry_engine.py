"""Revisions cannot be changed or lost, what is retired is not in force, and epochs follow whoever makes a change."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import transaction
from django.utils import timezone

from registry.models import ExtensionRevision, Schema, SchemaCompatibility, SchemaEpoch, SchemaVersion
from schemaevo.kernel.models import User
from tests.triggers.attacks import execute, refused_by

pytestmark = pytest.mark.django_db

IMMUTABLE, KEPT = "user_schema_extensions_immutable", "user_schema_extensions_kept"
ONE_ACTIVE = "user_schema_extensions_one_active"
ACTIVATE = "is_active = true, activated_at = now(), first_activated_at = coalesce(first_activated_at, now())"


def make_revision(user: User, *, number: int = 1, **columns: Any) -> ExtensionRevision:
    """A revision as no service would check it."""
    return ExtensionRevision.objects.create(
        **{
            "user_id": user.pk,
            "entity_type": "package",
            "revision": number,
            "additional_fields": {},
            "field_overrides": {},
            "content_hash": f"{number:064}",
            **columns,
        }
    )


def make_version(
    *, user: User | None = None, entity_type: str = "package", minor: int = 0, is_active: bool = False
) -> SchemaVersion:
    """A version as no service would check it."""
    schema, _ = Schema.objects.get_or_create(entity_type=entity_type, user=user)
    now = timezone.now() if is_active else None
    return SchemaVersion.objects.create(
        schema=schema,
        entity_type=entity_type,
        user=user,
        major=1,
        minor=minor,
        patch=0,
        definition={"fields": {}},
        definition_hash=f"{minor:064}",
        is_active=is_active,
        activated_at=now,
        first_activated_at=now,
    )


@pytest.fixture
def ann() -> User:
    return User.objects.create_user("ann")


@pytest.fixture
def bob() -> User:
    return User.objects.create_user("bob")


def epochs() -> dict[tuple[str, int | None], int]:
    return {
        (entity_type, user_id): epoch
        for entity_type, user_id, epoch in SchemaEpoch.objects.values_list("entity_type", "user_id", "epoch")
    }


# --- revisions ------------------------------------------------------------------------------------------------
CHANGES: dict[str, Any] = {
    "id": -1,
    "user_id": -1,
    "entity_type": "invoice",
    "revision": 2,
    "base_schema_version": "9.9.9",
    "additional_fields": {"more": {"type": "string"}},
    "field_overrides": {"more": {"required": True}},
    "content_hash": "0" * 64,
    "cause": "absorption",
    "cause_version_id": -1,
    "absorbed": {"more": {"type": "string"}},
    "note": "another",
    "created_at": timezone.now(),
    "created_by_id": -1,
}


@pytest.mark.parametrize("column", CHANGES)
@pytest.mark.parametrize("is_active", [True, False])
def test_no_column_of_a_revision_can_be_changed(ann: User, column: str, is_active: bool) -> None:
    make_revision(ann, is_active=is_active)
    refused_by(IMMUTABLE, lambda: ExtensionRevision.objects.update(**{column: CHANGES[column]}))
    refused_by(
        IMMUTABLE, lambda: ExtensionRevision.objects.update(**{column: CHANGES[column], "is_active": False})
    )


def test_every_column_but_that_of_being_in_force_is_covered() -> None:
    assert {field.attname for field in ExtensionRevision._meta.concrete_fields} == {*CHANGES, "is_active"}


def test_raw_sql_cannot_change_what_a_revision_says(ann: User) -> None:
    make_revision(ann)
    refused_by(
        IMMUTABLE,
        lambda: execute(
            "UPDATE user_schema_extensions SET additional_fields = jsonb_set(additional_fields, '{x}', '1')"
        ),
    )
    assert (
        execute("UPDATE user_schema_extensions SET additional_fields = '{   }'") == 1
    )  # equal json is no change


@pytest.mark.parametrize("is_active", [True, False])
def test_a_revision_is_never_deleted(ann: User, is_active: bool) -> None:
    make_revision(ann, is_active=is_active)
    refused_by(KEPT, lambda: execute("DELETE FROM user_schema_extensions"))
    refused_by(KEPT, lambda: ExtensionRevision.objects.all().delete())


def test_being_in_force_may_change(ann: User) -> None:
    make_revision(ann)
    ExtensionRevision.objects.update(is_active=False)
    ExtensionRevision.objects.update(is_active=True)
    assert ExtensionRevision.objects.get().is_active


def test_two_revisions_of_one_user_and_type_cannot_be_in_force(ann: User, bob: User) -> None:
    make_revision(ann)
    refused_by(ONE_ACTIVE, lambda: make_revision(ann, number=2))
    make_revision(ann, number=2, is_active=False)
    refused_by(ONE_ACTIVE, lambda: ExtensionRevision.objects.update(is_active=True))
    make_revision(ann, entity_type="invoice")
    make_revision(bob)
    assert ExtensionRevision.objects.filter(is_active=True).count() == 3


def test_one_statement_swaps_the_revision_in_force(ann: User) -> None:
    make_revision(ann)
    make_revision(ann, number=2, is_active=False)
    execute("UPDATE user_schema_extensions SET is_active = NOT is_active")
    assert ExtensionRevision.objects.get(is_active=True).revision == 2


def test_deferring_the_rule_does_not_lift_it(ann: User) -> None:
    def attack() -> None:
        execute(f"SET CONSTRAINTS {ONE_ACTIVE} DEFERRED")
        make_revision(ann, number=2)
        execute("SET CONSTRAINTS ALL IMMEDIATE")

    make_revision(ann)
    refused_by(ONE_ACTIVE, attack)


def test_a_number_is_given_once_from_1_on_and_for_a_known_cause(ann: User) -> None:
    make_revision(ann, is_active=False)
    refused_by("user_schema_extensions_revision_uq", lambda: make_revision(ann))
    refused_by("user_schema_extensions_revision_ck", lambda: make_revision(ann, number=0))
    refused_by("user_schema_extensions_cause_ck", lambda: make_revision(ann, number=2, cause="whim"))


def test_a_version_that_made_a_revision_cannot_be_deleted_from_under_it(ann: User) -> None:
    version = make_version()
    make_revision(ann, cause="adoption", cause_version=version)

    def attack() -> None:
        execute("DELETE FROM schema_registry")
        execute("SET CONSTRAINTS ALL IMMEDIATE")

    with pytest.raises(Exception, match="user_schema_extensions") as refusal, transaction.atomic():
        attack()
    assert type(refusal.value).__name__ == "IntegrityError"


# --- retired versions, modes ----------------------------------------------------------------------------------
def test_what_is_retired_is_not_in_force_and_the_reverse() -> None:
    rule = "schema_registry_retired_is_inactive_ck"
    make_version(is_active=True)
    refused_by(rule, lambda: SchemaVersion.objects.update(retired_at=timezone.now()))
    execute("UPDATE schema_registry SET is_active = false, retired_at = now()")
    refused_by(rule, lambda: execute(f"UPDATE schema_registry SET {ACTIVATE}"))
    execute(f"UPDATE schema_registry SET {ACTIVATE}, retired_at = NULL")
    assert SchemaVersion.objects.get().is_active


def test_there_is_no_mode_but_the_seven() -> None:
    rule = "schema_compatibility_mode_ck"
    for mode in ("", "backward", "BACKWARDS"):
        refused_by(rule, lambda mode=mode: SchemaCompatibility.objects.create(entity_type="t", mode=mode))  # type: ignore[misc]


# --- epochs ---------------------------------------------------------------------------------------------------
def test_a_version_raises_the_epoch_of_its_type_and_owner_when_what_is_in_force_changes(ann: User) -> None:
    draft = make_version()
    assert epochs() == {}
    make_version(user=ann, is_active=True)
    assert epochs() == {("package", ann.pk): 1}
    execute(f"UPDATE schema_registry SET {ACTIVATE} WHERE id = %s", [draft.pk])
    assert epochs() == {("package", ann.pk): 1, ("package", None): 1}
    execute("UPDATE schema_registry SET is_active = false WHERE id = %s", [draft.pk])
    assert epochs()["package", None] == 2
    SchemaVersion.objects.filter(pk=draft.pk).update(retired_at=timezone.now())
    assert epochs() == {("package", ann.pk): 1, ("package", None): 2}


def test_what_leaves_it_as_it_is_raises_nothing(ann: User) -> None:
    make_version(is_active=True)
    make_version(minor=1)
    make_revision(ann)
    make_revision(ann, number=2, is_active=False)
    before = epochs()
    execute("UPDATE schema_registry SET is_active = is_active, activated_at = now() WHERE is_active")
    execute("UPDATE schema_registry SET retired_at = now() WHERE NOT is_active")
    execute("UPDATE schema_registry SET is_active = false WHERE false")
    execute("UPDATE user_schema_extensions SET is_active = is_active")
    execute("DELETE FROM schema_registry WHERE minor = 1")
    assert epochs() == before


def test_a_swap_in_one_statement_raises_it_once() -> None:
    make_version(is_active=True)
    make_version(minor=1)
    execute(
        "UPDATE schema_registry SET is_active = NOT is_active, activated_at = now(),"
        " first_activated_at = coalesce(first_activated_at, now())"
    )
    assert epochs() == {("package", None): 2}


def test_one_statement_over_many_owners_raises_each_of_them_once(ann: User, bob: User) -> None:
    for user in (None, ann, bob):
        make_version(user=user, is_active=True)
        make_version(user=user, minor=1)
        make_version(user=user, entity_type="invoice")
    before = epochs()
    assert execute("UPDATE schema_registry SET is_active = false") == 9
    assert epochs() == {owner: epoch + 1 for owner, epoch in before.items()}
    assert len(before) == 3


def test_rows_that_raw_sql_inserts_raise_it(ann: User, bob: User) -> None:
    make_revision(ann, is_active=False)
    make_version()
    assert epochs() == {}
    execute(
        "INSERT INTO user_schema_extensions (user_id, entity_type, revision, base_schema_version,"
        " additional_fields, field_overrides, content_hash, is_active, cause, absorbed, note)"
        " SELECT u.id, t, 2, '', '{}', '{}', repeat('0', 64), true, 'edit', '{}', ''"
        "   FROM users AS u, unnest('{package,invoice}'::text[]) AS t".replace("users", User._meta.db_table)
    )
    assert epochs() == {(kind, user.pk): 1 for kind in ("package", "invoice") for user in (ann, bob)}
    execute(
        "INSERT INTO schema_registry (schema_id, entity_type, major, minor, patch, definition, definition_hash, note,"
        " is_active, activated_at, first_activated_at)"
        " SELECT id, entity_type, 3, 0, 0, '{}', '', '', true, now(), now() FROM schemas"
    )
    assert epochs()["package", None] == 1


def test_a_revision_raises_its_owners_epoch_and_no_other(ann: User, bob: User) -> None:
    make_version(is_active=True)
    make_revision(bob)
    before = epochs()
    revision = make_revision(ann)
    assert epochs() == {**before, ("package", ann.pk): 1}
    ExtensionRevision.objects.filter(pk=revision.pk).update(is_active=False)
    assert epochs() == {**before, ("package", ann.pk): 2}


def test_a_version_deleted_while_in_force_raises_it() -> None:
    """The guard lets nobody do so; where it is switched off, as in a repair, readers still learn of it."""
    make_version(is_active=True)
    execute("SET CONSTRAINTS ALL IMMEDIATE")
    execute("ALTER TABLE schema_registry DISABLE TRIGGER schema_registry_immutable")
    execute("DELETE FROM schema_registry")
    execute("ALTER TABLE schema_registry ENABLE TRIGGER schema_registry_immutable")
    assert epochs() == {("package", None): 2}


def test_a_change_that_is_rolled_back_leaves_the_epoch_as_it_was(ann: User) -> None:
    make_version(is_active=True)
    before = epochs()
    with transaction.atomic():
        execute("UPDATE schema_registry SET is_active = false")
        make_revision(ann)
        assert epochs() != before
        transaction.set_rollback(True)
    assert epochs() == before
