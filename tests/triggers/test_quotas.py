"""Counters follow what they count, and neither they nor maxima can be got round by SQL (I4)."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable

import psycopg
import pytest
from django.db import connection, transaction

from registry.models import (
    QuotaGrant,
    QuotaNotice,
    QuotaRequest,
    Schema,
    SchemaVersion,
    UserQuota,
)
from registry.models_quotas import DEFAULT_MAX_FIELDS, DEFAULT_MAX_SCHEMAS
from schemaevo.kernel.models import AuditEvent, User
from schemaevo.kernel.sql import RunSQLFile
from tests.factories import make_login, make_maximum, make_quota_request, make_user
from tests.quotas import counted, counters, fields_named, maxima
from tests.triggers.attacks import execute, refused_by

pytestmark = pytest.mark.django_db

MAX_SCHEMAS, MAX_FIELDS = "user_schema_quotas_max_schemas", "user_schema_quotas_max_fields"
VERSION_COLUMNS = (
    "schema_id, entity_type, user_id, major, minor, patch, definition, definition_hash, note, is_active"
)
ACTIVATE = "is_active = true, activated_at = now(), first_activated_at = now()"


@pytest.fixture
def ann() -> User:
    return make_user(username="ann")


@pytest.fixture
def bob() -> User:
    return make_user(username="bob")


def schemas(user: User, types: Iterable[str]) -> list[tuple[int, str]]:
    return [(Schema.objects.get_or_create(entity_type=name, user=user)[0].pk, name) for name in types]


def insert(user: User, types: Iterable[str], *, fields: int = 1, minor: int = 0) -> None:
    """Versions of these types, in one statement."""
    rows = [
        (
            pk,
            name,
            user.pk,
            1,
            minor,
            0,
            json.dumps({"fields": fields_named(fields)}),
            f"{minor:064}",
            "",
            False,
        )
        for pk, name in schemas(user, types)
    ]
    values = ", ".join(["(%s, %s, %s, %s, %s, %s, %s::jsonb, %s, %s, %s)"] * len(rows))
    execute(
        f"INSERT INTO schema_registry ({VERSION_COLUMNS}) VALUES {values}",
        [value for row in rows for value in row],
    )


def extend(user: User, entity_type: str, *, fields: int, revision: int = 1, overrides: int = 0) -> None:
    execute(
        "INSERT INTO user_schema_extensions (user_id, entity_type, revision, base_schema_version, additional_fields,"
        " field_overrides, content_hash, is_active, cause, absorbed, note)"
        " VALUES (%s, %s, %s, '', %s::jsonb, %s::jsonb, '', true, 'edit', '{}', '')",
        [
            user.pk,
            entity_type,
            revision,
            json.dumps(fields_named(fields)),
            json.dumps(fields_named(overrides, "o")),
        ],
    )


def types(count: int, prefix: str = "t") -> list[str]:
    return [f"{prefix}{number}" for number in range(count)]


# --- counting -------------------------------------------------------------------------------------------------
def test_a_statement_over_many_rows_and_users_counts_each(ann: User, bob: User) -> None:
    insert(ann, types(3), fields=4)
    insert(bob, types(2), fields=5)
    assert (counters(ann), counters(bob)) == ((3, 12), (2, 10))
    execute("UPDATE schema_registry SET retired_at = now() WHERE entity_type = 't0'")
    assert (counters(ann), counters(bob)) == ((2, 8), (1, 5))
    execute("DELETE FROM schema_registry")
    assert (counters(ann), counters(bob)) == ((0, 0), (0, 0))


def test_copy_is_counted_and_refused_like_any_statement(ann: User) -> None:
    make_maximum(user=ann, max_schemas=3)

    def copy(names: list[str]) -> None:
        found = schemas(ann, names)
        with (
            connection.cursor() as cursor,
            cursor.copy(f"COPY schema_registry ({VERSION_COLUMNS}) FROM STDIN") as rows,
        ):
            for pk, name in found:
                rows.write_row(
                    (pk, name, ann.pk, 1, 0, 0, '{"fields": {"a": {}, "b": {}}}', "0" * 64, "", False)
                )

    copy(types(3))
    assert counters(ann) == (3, 6)
    # Django passes COPY on as it is, and its errors too.
    with pytest.raises(psycopg.errors.IntegrityConstraintViolation) as refusal, transaction.atomic():
        copy(["more"])
    assert refusal.value.diag.constraint_name == MAX_SCHEMAS
    assert counters(ann) == (3, 6)


def test_the_version_in_force_counts_else_the_newest_that_is_not_retired(ann: User) -> None:
    insert(ann, ["t"], fields=2)
    insert(ann, ["t"], fields=7, minor=1)
    assert counters(ann) == (1, 7)
    execute(f"UPDATE schema_registry SET {ACTIVATE} WHERE minor = 0")
    assert counters(ann) == (1, 2)
    execute(
        "UPDATE schema_registry SET is_active = (minor = 1), activated_at = now(), first_activated_at = now()"
    )
    assert counters(ann) == (1, 7)
    execute("UPDATE schema_registry SET is_active = false, retired_at = now() WHERE minor = 1")
    assert counters(ann) == (1, 2)
    execute("UPDATE schema_registry SET retired_at = now()")
    assert counters(ann) == (0, 0)


def test_an_extension_counts_by_type_with_the_own_schema_and_only_if_it_says_something(ann: User) -> None:
    insert(ann, ["t"], fields=2)
    extend(ann, "t", fields=3)
    extend(ann, "other", fields=0)
    extend(ann, "overridden", fields=0, overrides=2)
    assert counters(ann) == counted(ann) == (2, 5)
    execute("UPDATE user_schema_extensions SET is_active = false WHERE entity_type = 't'")
    extend(ann, "t", fields=1, revision=2)
    assert counters(ann) == counted(ann) == (2, 3)


def test_what_is_global_counts_against_nobody() -> None:
    schema = Schema.objects.create(entity_type="t", user=None)
    SchemaVersion.objects.create(
        schema=schema,
        entity_type="t",
        major=1,
        minor=0,
        patch=0,
        definition={"fields": {}},
        definition_hash="0",
    )
    assert not UserQuota.objects.exists()


@pytest.mark.parametrize("definition", ["null", "[]", "{}", '{"fields": []}', '{"fields": null}', '"text"'])
def test_a_document_that_no_service_would_write_counts_no_fields(ann: User, definition: str) -> None:
    ((pk, name),) = schemas(ann, ["t"])
    execute(
        f"INSERT INTO schema_registry ({VERSION_COLUMNS}) VALUES (%s, %s, %s, 1, 0, 0, %s::jsonb, '0', '', false)",
        [pk, name, ann.pk, definition],
    )
    assert counters(ann) == (1, 0)


def test_defaults_are_those_of_the_models(ann: User) -> None:
    insert(ann, ["t"])
    assert maxima(ann) == (DEFAULT_MAX_SCHEMAS, DEFAULT_MAX_FIELDS) == (10, 200)


# --- refusals -------------------------------------------------------------------------------------------------
def test_the_last_place_can_be_taken_and_no_other(ann: User) -> None:
    insert(ann, types(10))
    refused_by(MAX_SCHEMAS, lambda: insert(ann, ["more"]))
    refused_by(MAX_SCHEMAS, lambda: extend(ann, "more", fields=1))
    # What says nothing, and another version of what is there, takes none.
    extend(ann, "more", fields=0)
    insert(ann, ["t0"], minor=1)
    assert counters(ann) == (10, 10)


def test_fields_are_limited_in_all_types_together(ann: User) -> None:
    insert(ann, ["t"], fields=150)
    extend(ann, "u", fields=50)
    refused_by(MAX_FIELDS, lambda: extend(ann, "v", fields=1))
    refused_by(MAX_FIELDS, lambda: insert(ann, ["t"], fields=151, minor=1))
    assert counters(ann) == (2, 200)


def test_a_statement_that_gives_and_takes_is_judged_by_its_difference(ann: User) -> None:
    insert(ann, types(10), fields=20)
    execute("UPDATE schema_registry SET retired_at = now() WHERE entity_type = 't9'")
    refused_by(MAX_SCHEMAS, lambda: insert(ann, ["a", "b"]))
    assert counters(ann) == (9, 180)
    # One comes back and another goes.
    execute(
        "UPDATE schema_registry SET retired_at = CASE WHEN entity_type = 't0' THEN now() END"
        " WHERE entity_type IN ('t0', 't9')"
    )
    assert counters(ann) == (9, 180)


def test_activating_a_larger_version_is_growth(ann: User) -> None:
    make_maximum(user=ann, max_fields=5)
    insert(ann, ["t"], fields=5)
    execute(f"UPDATE schema_registry SET {ACTIVATE}")
    insert(ann, ["t"], fields=6, minor=1)
    swap = (
        "UPDATE schema_registry SET is_active = (minor = 1), activated_at = now(), first_activated_at = now()"
    )
    refused_by(MAX_FIELDS, lambda: execute(swap))
    refused_by(MAX_FIELDS, lambda: execute("UPDATE schema_registry SET is_active = false"))


def test_one_users_refusal_undoes_the_whole_statement(ann: User, bob: User) -> None:
    make_maximum(user=bob, max_schemas=1)
    insert(ann, ["t"])
    insert(bob, ["t"])
    execute("UPDATE schema_registry SET retired_at = now()")
    insert(bob, ["u"])
    refused_by(MAX_SCHEMAS, lambda: execute("UPDATE schema_registry SET retired_at = NULL"))
    assert (counters(ann), counters(bob)) == ((0, 0), (1, 1))


@pytest.mark.django_db(transaction=True)
def test_below_a_lowered_maximum_what_exists_stays_may_shrink_and_does_not_grow(ann: User) -> None:
    insert(ann, types(5), fields=3)
    extend(ann, "u", fields=6)
    make_maximum(user=ann, max_schemas=2, max_fields=4)
    assert counters(ann) == (6, 21)
    refused_by(MAX_SCHEMAS, lambda: insert(ann, ["more"]))
    with transaction.atomic():  # a smaller revision takes the place of a larger one, in two statements
        execute("UPDATE user_schema_extensions SET is_active = false")
        extend(ann, "u", fields=5, revision=2)
    assert counters(ann) == (6, 20)

    def larger() -> None:
        with transaction.atomic():
            execute("UPDATE user_schema_extensions SET is_active = false")
            extend(ann, "u", fields=6, revision=3)

    refused_by(MAX_FIELDS, larger)
    execute("UPDATE schema_registry SET retired_at = now() WHERE entity_type = 't0'")
    # Another transaction does not get back what this one gave up.
    refused_by(MAX_SCHEMAS, lambda: execute("UPDATE schema_registry SET retired_at = NULL"))
    assert counters(ann) == counted(ann) == (5, 17)


@pytest.mark.django_db(transaction=True)
def test_a_maximum_lowered_inside_a_transaction_holds_in_it(ann: User) -> None:
    with transaction.atomic():
        insert(ann, types(4))
        execute("UPDATE schema_registry SET retired_at = now() WHERE entity_type = 't0'")
        make_maximum(user=ann, max_schemas=1)
        refused_by(MAX_SCHEMAS, lambda: insert(ann, ["more"]))
    assert counters(ann) == (3, 3)


# --- passing --------------------------------------------------------------------------------------------------
def test_who_passes_leaves_an_event_and_the_next_statement_is_refused_again(ann: User) -> None:
    insert(ann, types(10))
    execute(
        "SELECT set_config('schemaevo.quota_may_pass', %s, true)", ['{"cause": "undo", "actor_name": "me"}']
    )
    insert(ann, ["more"])
    execute("SELECT set_config('schemaevo.quota_may_pass', '', true)")
    event = AuditEvent.objects.get(action="quota.pass")
    assert (event.actor_name, event.target_id, event.reason) == ("me", str(ann.pk), "undo")
    assert event.before == {"schemas": 10, "fields": 10}
    assert event.after == {"schemas": 11, "fields": 11, "max_schemas": 10, "max_fields": 200}
    refused_by(MAX_SCHEMAS, lambda: insert(ann, ["still_more"]))


def test_passing_where_there_is_room_leaves_no_event(ann: User) -> None:
    execute("SELECT set_config('schemaevo.quota_may_pass', '{}', true)")
    insert(ann, ["t"])
    assert not AuditEvent.objects.filter(action="quota.pass").exists()


# --- the counters themselves ----------------------------------------------------------------------------------
ATTACKS: dict[str, Callable[[User], object]] = {
    "user_schema_quotas_counted": lambda user: UserQuota.objects.filter(user=user).update(schema_count=0),
    "user_schema_quotas_granted": lambda user: UserQuota.objects.filter(user=user).update(max_fields=10**6),
    "user_schema_quotas_kept": lambda user: execute(
        "DELETE FROM user_schema_quotas WHERE user_id = %s", [user.pk]
    ),
    "user_schema_quotas_owner": lambda user: UserQuota.objects.filter(user=user).update(user=make_user()),
}


@pytest.mark.parametrize("constraint", sorted(set(ATTACKS) - {"user_schema_quotas_owner"}))
def test_counters_and_maxima_cannot_be_set(ann: User, constraint: str) -> None:
    insert(ann, ["t"])
    refused_by(constraint, lambda: ATTACKS[constraint](ann))


def test_a_quota_keeps_its_owner(ann: User) -> None:
    make_maximum(user=ann, max_schemas=10)
    execute("UPDATE quota_notices SET user_id = user_id")
    refused_by("user_schema_quotas_owner", lambda: ATTACKS["user_schema_quotas_owner"](ann))


def test_a_new_quota_is_what_it_has_to_be_whatever_it_says(ann: User) -> None:
    UserQuota.objects.create(user=ann, max_schemas=99, max_fields=999, schema_count=-5, total_fields=-5)
    assert (counters(ann), maxima(ann)) == ((0, 0), (10, 200))


def test_the_peak_of_a_transaction_cannot_be_set(ann: User) -> None:
    insert(ann, types(10))
    execute("UPDATE user_schema_quotas SET peak_schema_count = 99, peak_total_fields = 99")
    refused_by(MAX_SCHEMAS, lambda: insert(ann, ["more"]))


def test_an_empty_quota_can_go_and_comes_back_with_what_was_granted(ann: User) -> None:
    make_maximum(user=ann, max_schemas=3)
    execute("DELETE FROM user_schema_quotas")
    insert(ann, ["t"])
    assert (counters(ann), maxima(ann)) == ((1, 1), (3, 200))


# --- notices --------------------------------------------------------------------------------------------------
def open_notices(user: User) -> list[tuple[str, int]]:
    rows = QuotaNotice.objects.filter(user=user, cleared_at__isnull=True).order_by("limit", "threshold")
    return list(rows.values_list("limit", "threshold"))


@pytest.mark.django_db(transaction=True)
def test_a_crossing_is_noted_once_and_again_after_falling_below(ann: User) -> None:
    insert(ann, types(7))
    assert open_notices(ann) == []
    insert(ann, ["a"])
    insert(ann, ["b"])
    assert open_notices(ann) == [("schemas", 80)]
    insert(ann, ["c"])
    assert open_notices(ann) == [("schemas", 80), ("schemas", 100)]
    execute("UPDATE schema_registry SET retired_at = now() WHERE entity_type = 'c'")
    assert open_notices(ann) == [("schemas", 80)]
    execute("UPDATE schema_registry SET retired_at = now() WHERE entity_type IN ('a', 'b')")
    assert open_notices(ann) == []
    execute("UPDATE schema_registry SET retired_at = NULL")
    assert open_notices(ann) == [("schemas", 80), ("schemas", 100)]
    assert QuotaNotice.objects.filter(user=ann).count() == 4


@pytest.mark.django_db(transaction=True)
def test_what_falls_below_and_comes_back_in_one_transaction_has_not_fallen(ann: User) -> None:
    extend(ann, "t", fields=160)
    for revision in (2, 3):
        with transaction.atomic():
            execute("UPDATE user_schema_extensions SET is_active = false")
            assert open_notices(ann) == []
            extend(ann, "t", fields=170, revision=revision)
    assert [(n.threshold, n.usage) for n in QuotaNotice.objects.all()] == [(80, 160)]
    execute("UPDATE user_schema_extensions SET is_active = false")
    extend(ann, "t", fields=170, revision=4)
    assert QuotaNotice.objects.filter(user=ann).count() == 2
    assert open_notices(ann) == [("fields", 80)]


def test_a_maximum_that_comes_down_crosses_and_one_that_goes_up_clears(ann: User) -> None:
    insert(ann, types(4))
    make_maximum(user=ann, max_schemas=5)
    assert open_notices(ann) == [("schemas", 80)]
    make_maximum(user=ann, max_schemas=6)
    assert open_notices(ann) == []
    make_maximum(user=ann, max_schemas=0)
    assert open_notices(ann) == [("schemas", 80), ("schemas", 100)]


# --- requests and grants --------------------------------------------------------------------------------------
def test_whoever_asked_cannot_decide_by_sql(ann: User) -> None:
    asker, other = make_login(role="schema_admin"), make_login(role="schema_admin")
    request = make_quota_request(user=ann, asker=asker)
    approve = (
        "UPDATE quota_requests SET state = 'approved', decided_at = now(),"
        " decided_by_id = %s, granted_max_schemas = %s"
    )
    refused_by("quota_requests_four_eyes_ck", lambda: execute(approve, [asker.pk, 20]))
    refused_by("quota_requests_decided_ck", lambda: execute(approve, [None, 20]))
    refused_by("quota_requests_not_more_ck", lambda: execute(approve, [other.pk, 21]))
    refused_by("quota_requests_granted_ck", lambda: execute(approve, [other.pk, None]))
    refused_by(
        "quota_requests_not_more_ck", lambda: execute(f"{approve}, granted_max_fields = 5", [other.pk, 20])
    )
    refused_by(
        "quota_requests_immutable",
        lambda: execute(f"{approve}, asked_by_id = %s", [asker.pk, 20, other.pk]),
    )
    refused_by(
        "quota_grants_four_eyes",
        lambda: QuotaGrant.objects.create(
            user=ann, max_schemas=20, granted_by=asker, granted_by_name=asker.username
        ),
    )
    refused_by(
        "quota_grants_as_decided",
        lambda: QuotaGrant.objects.create(
            user=ann, request=request, max_schemas=20, granted_by=other, granted_by_name=other.username
        ),
    )
    assert maxima(ann) == (10, 200)


def test_a_request_begins_pending_is_decided_once_and_stays(ann: User) -> None:
    request = make_quota_request(user=ann)
    other = make_login()
    refused_by(
        "quota_requests_moves",
        lambda: QuotaRequest.objects.create(
            user=ann,
            asked_max_schemas=9,
            reason="x",
            asked_by=request.asked_by,
            state="rejected",
            decided_by=other,
            decided_at=request.asked_at,
        ),
    )
    refused_by(
        "quota_requests_pending_uq",
        lambda: QuotaRequest.objects.create(user=ann, asked_max_schemas=9, reason="x", asked_by=other),
    )
    for column, value in (("asked_max_schemas", 99), ("reason", "y"), ("user_id", other.pk)):
        refused_by(
            "quota_requests_immutable",
            lambda c=column, v=value: QuotaRequest.objects.update(**{c: v}),  # type: ignore[misc]
        )
    execute(
        "UPDATE quota_requests SET state = 'rejected', decided_by_id = %s, decided_at = now()", [other.pk]
    )
    refused_by(
        "quota_requests_moves",
        lambda: execute(
            "UPDATE quota_requests SET state = 'pending', decided_by_id = NULL, decided_at = NULL"
        ),
    )
    refused_by("quota_requests_moves", lambda: execute("UPDATE quota_requests SET decision_note = 'else'"))
    refused_by("quota_requests_kept", lambda: execute("DELETE FROM quota_requests"))


def test_a_grant_only_ends_when_its_time_is_over(ann: User) -> None:
    make_maximum(user=ann, max_schemas=20)
    refused_by("quota_grants_immutable", lambda: execute("UPDATE quota_grants SET max_schemas = 99"))
    refused_by("quota_grants_ended_ck", lambda: execute("UPDATE quota_grants SET ended_at = now()"))
    refused_by("quota_grants_kept", lambda: execute("DELETE FROM quota_grants"))
    execute(
        "INSERT INTO quota_grants (user_id, max_schemas, until, granted_by_name, note)"
        " VALUES (%s, 30, now() - interval '1 s', 'me', '')",
        [ann.pk],
    )
    assert maxima(ann) == (30, 200)
    execute("UPDATE quota_grants SET ended_at = now() WHERE until IS NOT NULL")
    assert maxima(ann) == (20, 200)
    refused_by("quota_grants_immutable", lambda: execute("UPDATE quota_grants SET ended_at = NULL"))


# --- what was there before quotas -----------------------------------------------------------------------------
def test_what_stood_before_it_was_counted_is_counted_by_the_migration(ann: User, bob: User) -> None:
    insert(ann, types(3), fields=4)
    extend(bob, "t", fields=190)
    execute("SET CONSTRAINTS ALL IMMEDIATE")
    operation = RunSQLFile("registry", "0013_user_schema_quotas_existing_v1")
    execute(operation.path(".down.sql").read_text())
    assert not UserQuota.objects.exists()
    execute("DELETE FROM quota_notices")
    execute(operation.path(".sql").read_text())
    assert (counters(ann), counters(bob)) == ((3, 12), (1, 190))
    assert open_notices(bob) == [("fields", 80)]
