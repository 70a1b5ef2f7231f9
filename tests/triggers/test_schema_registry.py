"""A schema version cannot be changed, moved or lost, and no two of one owner are in force."""

import pytest
from django.utils import timezone

from registry.models import Schema, SchemaVersion
from schemaevo.kernel.models import User
from tests.triggers.attacks import execute, refused_by

pytestmark = pytest.mark.django_db

IMMUTABLE, OWNER, KEPT = "schema_registry_immutable", "schema_registry_owner", "schema_registry_kept"
ONE_ACTIVE, NUMBER = "schema_registry_one_active", "schema_registry_number_uq"


def make_version(schema, *, minor=0, is_active=False, **columns):
    now = timezone.now() if is_active else None
    return SchemaVersion.objects.create(
        **{
            "schema_id": schema.pk,
            "entity_type": schema.entity_type,
            "user_id": schema.user_id,
            "major": 1,
            "minor": minor,
            "patch": 0,
            "definition": {"fields": {}},
            "definition_hash": f"{minor:064}",
            "is_active": is_active,
            "activated_at": now,
            "first_activated_at": now,
            **columns,
        }
    )


@pytest.fixture
def ann():
    return User.objects.create_user("ann")


@pytest.fixture
def schema():
    return Schema.objects.create(entity_type="package")


@pytest.fixture
def version(schema):
    return make_version(schema)


CHANGES = {
    "definition": {"fields": {"more": {"type": "string"}}},
    "definition_hash": "0" * 63 + "1",
    "entity_type": "invoice",
    "major": 2,
    "minor": 2,
    "patch": 2,
    "note": "another",
    "created_at": timezone.now(),
    "user_id": -1,
    "created_by_id": -1,
    "schema_id": -1,
    "id": -1,
}


@pytest.mark.parametrize("column", CHANGES)
def test_no_column_of_a_version_can_be_changed(version, column):
    refused_by(IMMUTABLE, lambda: SchemaVersion.objects.update(**{column: CHANGES[column]}))


def test_every_column_but_those_of_being_in_force_is_covered():
    may_change = {"is_active", "first_activated_at", "activated_at", "retired_at"}

    assert {field.attname for field in SchemaVersion._meta.concrete_fields} == {*CHANGES, *may_change}


def test_equal_json_written_otherwise_is_no_change(version):
    assert execute("UPDATE schema_registry SET definition = '{  \"fields\" : {} }'") == 1


def test_raw_sql_cannot_change_a_definition(version):
    refused_by(IMMUTABLE, lambda: execute("UPDATE schema_registry SET definition = '{}'"))
    refused_by(
        IMMUTABLE,
        lambda: execute(
            "UPDATE schema_registry SET definition = jsonb_set(definition, '{fields,x}', '1'), is_active = false"
        ),
    )


def test_being_in_force_may_change(version):
    now = timezone.now()

    SchemaVersion.objects.update(is_active=True, activated_at=now, first_activated_at=now)
    SchemaVersion.objects.update(is_active=False)

    assert SchemaVersion.objects.get().first_activated_at == now


def test_the_first_time_in_force_is_never_rewritten(schema):
    make_version(schema, is_active=True)

    refused_by(IMMUTABLE, lambda: SchemaVersion.objects.update(first_activated_at=timezone.now()))
    refused_by(IMMUTABLE, lambda: SchemaVersion.objects.update(first_activated_at=None, is_active=False))


def test_a_version_cannot_be_in_force_without_a_time(version):
    refused_by("schema_registry_active_is_stamped_ck", lambda: SchemaVersion.objects.update(is_active=True))


def test_a_version_that_was_in_force_cannot_be_deleted(schema):
    make_version(schema, is_active=True)
    SchemaVersion.objects.update(is_active=False)

    refused_by(KEPT, lambda: execute("DELETE FROM schema_registry"))
    refused_by(KEPT, lambda: SchemaVersion.objects.all().delete())


def test_a_draft_that_never_was_in_force_can_be_deleted(version):
    assert execute("DELETE FROM schema_registry") == 1


def test_a_version_has_the_type_and_owner_of_its_schema(schema, ann):
    own = Schema.objects.create(entity_type="package", user=ann)

    refused_by(OWNER, lambda: make_version(schema, entity_type="invoice"))
    refused_by(OWNER, lambda: make_version(schema, user_id=ann.pk))
    refused_by(OWNER, lambda: make_version(own, user_id=None))
    refused_by(OWNER, lambda: make_version(schema, schema_id=-1))


def test_two_global_versions_cannot_be_in_force(schema):
    make_version(schema, is_active=True)

    refused_by(ONE_ACTIVE, lambda: make_version(schema, minor=1, is_active=True))


def test_two_versions_of_one_user_cannot_be_in_force(ann):
    schema = Schema.objects.create(entity_type="package", user=ann)
    make_version(schema, is_active=True)
    make_version(schema, minor=1)

    refused_by(
        ONE_ACTIVE,
        lambda: execute(
            "UPDATE schema_registry SET is_active = true, activated_at = now(),"
            " first_activated_at = coalesce(first_activated_at, now())"
        ),
    )


def test_global_and_own_versions_and_other_types_are_in_force_side_by_side(schema, ann):
    make_version(schema, is_active=True)
    make_version(Schema.objects.create(entity_type="package", user=ann), is_active=True)
    make_version(Schema.objects.create(entity_type="invoice"), is_active=True)

    assert SchemaVersion.objects.filter(is_active=True).count() == 3


def test_one_statement_swaps_what_is_in_force(schema):
    make_version(schema, is_active=True)
    make_version(schema, minor=1)

    execute(
        "UPDATE schema_registry SET is_active = NOT is_active, activated_at = now(),"
        " first_activated_at = coalesce(first_activated_at, now())"
    )

    assert SchemaVersion.objects.get(is_active=True).minor == 1


def test_deferring_the_rule_does_not_lift_it(schema):
    def attack():
        execute("SET CONSTRAINTS schema_registry_one_active DEFERRED")
        make_version(schema, minor=1, is_active=True)
        execute("SET CONSTRAINTS ALL IMMEDIATE")

    make_version(schema, is_active=True)
    refused_by(ONE_ACTIVE, attack)


def test_a_number_is_given_once_per_owner(schema, ann):
    make_version(schema)

    refused_by(NUMBER, lambda: make_version(schema))
    make_version(Schema.objects.create(entity_type="package", user=ann))


def test_there_is_one_schema_per_type_and_owner(schema, ann):
    Schema.objects.create(entity_type="package", user=ann)

    refused_by("schemas_owner_uq", lambda: Schema.objects.create(entity_type="package"))
    refused_by("schemas_owner_uq", lambda: Schema.objects.create(entity_type="package", user=ann))


def test_a_schema_cannot_be_moved_away_under_its_versions(schema, version, ann):
    refused_by("schemas_identity", lambda: Schema.objects.update(entity_type="invoice"))
    refused_by("schemas_identity", lambda: Schema.objects.update(user=ann))
    refused_by("schemas_identity", lambda: Schema.objects.update(id=-1))
