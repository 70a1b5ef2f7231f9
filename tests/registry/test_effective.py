"""The effective schema of a user: the global one, with the user's own read as an extension of it."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from registry.domain.definition import UNDECLARED_REDUCTION_HASH
from registry.domain.vocabulary import FieldType, Strategy
from registry.selectors import effective_schema, effective_schemas
from registry.selectors_pages import reduction_hashes_in_force
from registry.services.activation import schema_deactivate
from tests.factories import (
    SHELL,
    THING,
    make_compatibility,
    make_definition,
    make_extension,
    make_user,
    make_version,
)

pytestmark = pytest.mark.django_db


def test_without_any_schema_the_type_is_undeclared() -> None:
    owner = make_user()
    make_version(document=make_definition(a="string"), is_active=False)
    make_version(document=make_definition(a="string"), entity_type="other")
    schema = effective_schema(entity_type=THING, user_id=owner.pk)
    assert (schema.definition, schema.version_id, schema.number) == (None, None, "")
    assert schema.reduction_hash == UNDECLARED_REDUCTION_HASH


def test_an_own_schema_applies_to_its_owner_only() -> None:
    owner, other = make_user(), make_user()
    version = make_version(document=make_definition(a="string"), user=owner)
    schemas = effective_schemas(entity_type=THING, user_ids=[owner.pk, other.pk])
    assert schemas[owner.pk].version_id == version.pk
    assert schemas[other.pk].definition is None


def test_the_global_schema_comes_first_and_the_own_one_adds_to_it() -> None:
    owner, other = make_user(), make_user()
    shared = make_version(
        document=make_definition(
            a="string",
            b={"type": "number", "required": True},
            c="string",
            policies={"a": {"strategy": "highest_priority"}, "c": {"strategy": "most_specific"}},
            kinds=["human"],
        )
    )
    make_version(
        document=make_definition(
            a={"type": "string", "description": "mine"},
            b="string",
            c="array",
            d="date",
            policies={"a": {"strategy": "merge_array"}, "d": {"strategy": "merge_array"}},
            kinds=["sync"],
        ),
        user=owner,
    )
    schemas = effective_schemas(entity_type=THING, user_ids=[owner.pk, other.pk])
    mine, theirs = schemas[owner.pk].definition, schemas[other.pk].definition
    assert mine is not None
    assert theirs is not None
    assert {name: field.type for name, field in mine.fields.items()} == {
        "a": FieldType.STRING,
        "b": FieldType.STRING,  # a conflict: the user's data keeps working
        "c": FieldType.ARRAY,
        "d": FieldType.DATE,
    }
    assert mine.fields["a"].description == ""
    assert {name: mine.policy_of(name).strategy for name in "abcd"} == {
        "a": Strategy.HIGHEST_PRIORITY,
        "b": Strategy.LAST_WRITE,
        "c": Strategy.LAST_WRITE,
        "d": Strategy.MERGE_ARRAY,
    }
    assert mine.kind_order == ("human",)
    assert schemas[owner.pk].version_id == schemas[other.pk].version_id == shared.pk
    assert set(theirs.fields) == {"a", "b", "c"}
    assert schemas[owner.pk].reduction_hash != schemas[other.pk].reduction_hash


def test_what_is_in_force_now_is_read_every_time() -> None:
    owner = make_user()
    make_compatibility()
    make_version(document=make_definition(a="string"))
    assert effective_schema(entity_type=THING, user_id=owner.pk).number == "1.0.0"
    make_version(document=make_definition(a="array"))
    assert effective_schema(entity_type=THING, user_id=owner.pk).number == "2.0.0"
    make_version(document=make_definition(b="string"), user=owner)
    definition = effective_schema(entity_type=THING, user_id=owner.pk).definition
    assert definition is not None
    assert set(definition.fields) == {"a", "b"}
    schema_deactivate(entity_type=THING, user_id=None, actor=SHELL, without_review="gone")
    definition = effective_schema(entity_type=THING, user_id=owner.pk).definition
    assert definition is not None
    assert set(definition.fields) == {"b"}


def test_descriptions_and_constraints_do_not_make_snapshots_wait() -> None:
    owner = make_user()
    make_compatibility()
    make_version(document=make_definition(a="string"))
    before = effective_schema(entity_type=THING, user_id=owner.pk).reduction_hash
    make_version(
        document=make_definition(
            a={"type": "string", "description": "x", "required": True, "constraints": {"max_length": 3}}
        )
    )
    assert effective_schema(entity_type=THING, user_id=owner.pk).reduction_hash == before


def test_many_users_cost_as_many_queries_as_one() -> None:
    make_version(document=make_definition(a="string"))
    users = [make_user() for _ in range(30)]
    for user in users[::2]:
        make_version(document=make_definition(b="string"), user=user)
    effective_schemas(entity_type=THING, user_ids=[user.pk for user in users])
    with CaptureQueriesContext(connection) as queries:
        schemas = effective_schemas(entity_type=THING, user_ids=[user.pk for user in users])
    # One for the versions, one for the extensions.
    assert len(queries) == 2
    assert len(schemas) == 30


def test_users_who_extend_cost_no_more() -> None:
    make_version(document=make_definition(a="string"))
    users = [make_user() for _ in range(30)]
    for number, user in enumerate(users[::2]):
        make_extension(user=user, document={"additional_fields": {f"f{number}": {"type": "string"}}})
    effective_schemas(entity_type=THING, user_ids=[user.pk for user in users])
    with CaptureQueriesContext(connection) as queries:
        schemas = effective_schemas(entity_type=THING, user_ids=[user.pk for user in users])
    assert len(queries) == 2
    first = schemas[users[0].pk].definition
    assert first is not None
    assert set(first.fields) == {"a", "f0"}


def test_pages_know_what_an_up_to_date_snapshot_carries_whatever_the_user_has() -> None:
    plain, extended, own, other = (make_user() for _ in range(4))
    make_version(document=make_definition(a="string"))
    make_extension(
        user=extended,
        document={"additional_fields": {"b": {"type": "array", "merge_policy": {"strategy": "merge_array"}}}},
    )
    make_version(document=make_definition(c="array", policies={"c": {"strategy": "merge_array"}}), user=own)
    make_version(document=make_definition(d="string"), user=other, entity_type="other")
    owners = [(THING, user.pk) for user in (plain, extended, own, other)] + [("other", other.pk)]
    reduction_hashes_in_force(owners=owners)
    with CaptureQueriesContext(connection) as queries:
        hashes = reduction_hashes_in_force(owners=owners)
    assert len(queries) == 2
    assert hashes == {
        (entity_type, user_id): effective_schema(entity_type=entity_type, user_id=user_id).reduction_hash
        for entity_type, user_id in owners
    }
    assert len(set(hashes.values())) == 4
