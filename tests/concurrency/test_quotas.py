"""Of any number who take the last place at the same time exactly one gets it, and the counters are the count."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from functools import partial

import psycopg
import pytest
from django.db import connection, transaction

from registry.errors import AlreadyDecided
from registry.models import ExtensionRevision, QuotaGrant, QuotaNotice, QuotaRequest, Schema, SchemaVersion
from registry.services.activation import schema_activate
from registry.services.extensions import extension_save
from registry.services.quota_requests import quota_request_approve, quota_request_create, quota_request_reject
from registry.services.quotas import quota_grants_expire
from registry.services.schemas import schema_register
from schemaevo.kernel.actors import Actor
from schemaevo.kernel.errors import DomainError
from schemaevo.kernel.models import AuditEvent, User
from tests.factories import (
    SHELL,
    make_definition,
    make_login,
    make_maximum,
    make_quota_request,
    make_user,
    make_version,
)
from tests.quotas import counted, counters, fields_named, maxima
from tests.threads import side_by_side

pytestmark = pytest.mark.django_db(transaction=True)

ASKED = 64
#: Connections at a time; each thread takes several of the turns, one after the other.
THREADS = 16


def in_turns(acts: list[Callable[[], str]]) -> Counter[str]:
    """Runs all acts on THREADS connections, the first of each at the same moment; counts what came of them."""

    def some(mine: list[Callable[[], str]]) -> list[str]:
        return [act() for act in mine]

    outcomes = side_by_side([partial(some, acts[number::THREADS]) for number in range(THREADS)])
    return Counter(outcome for mine in outcomes for outcome in mine)


def outcome_of(act: Callable[[], object]) -> str:
    try:
        act()
    except DomainError as refusal:
        return refusal.code
    return "done"


def to_the_limit_minus_one(owner: User) -> None:
    for number in range(9):
        make_version(document=make_definition(a="string"), entity_type=f"there_{number}", user=owner)
    assert counters(owner) == (9, 9)


@transaction.atomic
def register_and_activate(entity_type: str, owner: User) -> None:
    registered = schema_register(
        entity_type=entity_type, document=make_definition(a="string"), user_id=owner.pk, actor=SHELL
    )
    schema_activate(version_id=registered.version.pk, actor=SHELL)


def test_of_parallel_registrations_exactly_one_takes_the_last_place() -> None:
    owner, neighbour = make_user(), make_user()
    to_the_limit_minus_one(owner)
    acts = [
        partial(outcome_of, partial(register_and_activate, f"new_{number}", owner)) for number in range(ASKED)
    ]
    # Another user's registrations go on meanwhile.
    beside = [
        partial(outcome_of, partial(register_and_activate, f"new_{number}", neighbour))
        for number in range(10)
    ]
    outcomes = in_turns([*acts, *beside])
    assert outcomes == {"done": 1 + 10, "quota_exceeded": ASKED - 1}
    assert counters(owner) == counted(owner) == (10, 10)
    assert counters(neighbour) == counted(neighbour) == (10, 10)
    assert SchemaVersion.objects.filter(user=owner, is_active=True).count() == 10
    # A refused registration leaves nothing, not even an empty schema.
    assert Schema.objects.filter(user=owner).count() == 10
    assert QuotaNotice.objects.filter(user=owner, cleared_at=None).count() == 2


def test_of_parallel_extensions_exactly_one_takes_the_last_place() -> None:
    owner = make_user()
    to_the_limit_minus_one(owner)
    for number in range(ASKED):
        make_version(document=make_definition(a="string"), entity_type=f"new_{number}")
    outcomes = in_turns(
        [
            partial(
                outcome_of,
                partial(
                    extension_save,
                    entity_type=f"new_{number}",
                    user_id=owner.pk,
                    document={"additional_fields": fields_named(2)},
                    actor=SHELL,
                ),
            )
            for number in range(ASKED)
        ]
    )
    assert outcomes == {"done": 1, "quota_exceeded": ASKED - 1}
    assert counters(owner) == counted(owner) == (10, 11)
    assert ExtensionRevision.objects.filter(user=owner).count() == 1


@pytest.mark.parametrize("isolation", ["READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"])
def test_of_parallel_raw_inserts_exactly_one_takes_the_last_place(isolation: str) -> None:
    """Half of them own schemas and half extensions, by connections that know nothing of the application."""
    owner = make_user()
    to_the_limit_minus_one(owner)
    schemas = [
        Schema.objects.create(entity_type=f"new_{number}", user=owner).pk for number in range(0, ASKED, 2)
    ]
    server, _, _ = os.environ["DATABASE_URL"].rpartition("/")
    address = f"{server}/{connection.settings_dict['NAME']}"

    def insert(number: int) -> str:
        with psycopg.connect(address) as direct:
            direct.execute(f"SET TRANSACTION ISOLATION LEVEL {isolation}")
            # Its view of the database is taken here, before it waits for anybody.
            direct.execute("SELECT count(*) FROM user_schema_quotas")
            try:
                if number % 2:
                    direct.execute(
                        "INSERT INTO user_schema_extensions (user_id, entity_type, revision, base_schema_version,"
                        " additional_fields, field_overrides, content_hash, is_active, cause, absorbed, note)"
                        " VALUES (%s, %s, 1, '', '{\"a\": {}}', '{}', '', true, 'edit', '{}', '')",
                        [owner.pk, f"new_{number}"],
                    )
                else:
                    direct.execute(
                        "INSERT INTO schema_registry (schema_id, entity_type, user_id, major, minor, patch,"
                        " definition, definition_hash, note, is_active)"
                        " VALUES (%s, %s, %s, 1, 0, 0, '{\"fields\": {\"a\": {}}}', '', '', false)",
                        [schemas[number // 2], f"new_{number}", owner.pk],
                    )
                direct.commit()
            except psycopg.errors.IntegrityConstraintViolation as error:
                direct.rollback()
                return str(error.diag.constraint_name)
            except psycopg.errors.SerializationFailure:
                direct.rollback()
                return "tried by what was outdated"
        return "done"

    outcomes = in_turns([partial(insert, number) for number in range(ASKED)])
    assert outcomes["done"] == 1
    assert set(outcomes) <= {"done", "user_schema_quotas_max_schemas", "tried by what was outdated"}
    assert counters(owner) == counted(owner) == (10, 10)


def test_changes_of_one_user_in_many_types_and_both_tables_keep_the_counters_right() -> None:
    owner = make_user()
    make_maximum(user=owner, max_schemas=100, max_fields=1000)
    for number in range(16):
        make_version(document=make_definition(a="string"), entity_type=f"global_{number}")

    def change(number: int) -> str:
        for size in (3, 1, 5, 0, 2):
            extension_save(
                entity_type=f"global_{number}",
                user_id=owner.pk,
                document={"additional_fields": fields_named(size)},
                actor=SHELL,
            )
        return "done"

    assert in_turns([partial(change, number) for number in range(16)]) == {"done": 16}
    assert counters(owner) == counted(owner) == (16, 32)


def test_of_deciders_at_the_same_time_one_decides() -> None:
    owner = make_user()
    request = make_quota_request(user=owner, asker=make_login(is_superuser=True))
    deciders = [Actor.login(make_login(is_superuser=True)) for _ in range(8)]
    acts: list[Callable[[], str]] = [
        partial(
            outcome_of,
            partial(quota_request_approve, request_id=request.pk, actor=decider)
            if number % 2
            else partial(quota_request_reject, request_id=request.pk, actor=decider, note="no"),
        )
        for number, decider in enumerate(deciders)
    ]
    outcomes = Counter(side_by_side(acts))
    assert outcomes == {"done": 1, AlreadyDecided(0, "").code: 7}
    decided = QuotaRequest.objects.get()
    assert maxima(owner)[0] == (20 if decided.state == "approved" else 10)
    assert AuditEvent.objects.filter(action__startswith="quota_request.").count() == 2


def test_of_askers_at_the_same_time_one_asks() -> None:
    owner = make_user()
    askers = [Actor.login(make_login(is_superuser=True)) for _ in range(6)]
    outcomes = Counter(
        side_by_side(
            [
                partial(
                    outcome_of,
                    partial(
                        quota_request_create, user_id=owner.pk, actor=asker, reason="more", max_schemas=20
                    ),
                )
                for asker in askers
            ]
        )
    )
    assert outcomes == {"done": 1, "request_pending": 5}


def test_a_job_that_is_started_twice_ends_each_grant_once() -> None:
    owners = [make_user() for _ in range(4)]
    for owner in owners:
        make_maximum(user=owner, max_schemas=20)
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO quota_grants (user_id, max_schemas, until, granted_by_name, note)"
            " SELECT user_id, 30, now() - interval '1 s', 'me', '' FROM user_schema_quotas"
        )
    ended = side_by_side([partial(quota_grants_expire, actor=SHELL)] * 4)
    assert sum(ended) == 4
    assert {maxima(owner) for owner in owners} == {(20, 200)}
    assert AuditEvent.objects.filter(action="quota.expire").count() == 4
    assert QuotaGrant.objects.filter(ended_at__isnull=False).count() == 4
