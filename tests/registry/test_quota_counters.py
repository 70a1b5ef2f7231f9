"""Whatever is done, by services or by SQL, the counters are the count and nothing grows past a maximum (I4)."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest
from django.db import DataError, IntegrityError, connection, transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from registry.models import SchemaVersion
from registry.selectors_quotas import usage_counted
from registry.services.activation import schema_activate, schema_deactivate, schema_retire
from registry.services.extensions import extension_remove, extension_save
from registry.services.quota_requests import quota_request_approve, quota_request_create
from registry.services.quotas import quota_grants_expire, quota_set_maximum
from registry.services.schemas import schema_register
from registry.services.settling import extensions_settle
from schemaevo.kernel.actors import Actor
from schemaevo.kernel.errors import DomainError
from schemaevo.kernel.models import User
from tests.factories import SHELL, make_compatibility, make_login, make_user
from tests.quotas import counted, counters, fields_named, maxima
from tests.rounds import rounds

pytestmark = pytest.mark.django_db(transaction=True)

_examples = itertools.count(1)
TYPES = 3
USERS = 2


class World:
    """Two users and three entity types of their own, in which every step is one transaction."""

    def __init__(self) -> None:
        number = next(_examples)
        self.types = [f"e{number}_{kind}" for kind in range(TYPES)]
        self.users = [make_user() for _ in range(USERS)]
        self.asker = Actor.login(make_login(is_superuser=True))
        self.decider = Actor.login(make_login(is_superuser=True))
        for entity_type in self.types:
            make_compatibility(entity_type=entity_type)
        # One of them can be extended from the beginning.
        self.register_global(self.users[0], self.types[0], 2)

    def register(self, user: User | None, entity_type: str, size: int) -> None:
        schema_register(
            entity_type=entity_type,
            document={"fields": fields_named(size)},
            user_id=user.pk if user else None,
            actor=SHELL,
        )

    def activate(self, user: User | None, entity_type: str, size: int) -> None:
        versions = SchemaVersion.objects.filter(user=user, entity_type=entity_type).order_by("pk")
        if versions:
            schema_activate(
                version_id=versions[size % len(versions)].pk, actor=SHELL, without_review="a test"
            )

    def register_global(self, user: User, entity_type: str, size: int) -> None:
        self.register(None, entity_type, size)
        self.activate(None, entity_type, size)

    def deactivate(self, user: User, entity_type: str, size: int) -> None:
        schema_deactivate(entity_type=entity_type, user_id=user.pk, actor=SHELL)

    def retire(self, user: User, entity_type: str, size: int) -> None:
        schema_retire(entity_type=entity_type, user_id=user.pk, actor=SHELL)

    def extend(self, user: User, entity_type: str, size: int) -> None:
        document: dict[str, Any] = {"additional_fields": fields_named(size, "own_" if size % 2 else "f")}
        extension_save(entity_type=entity_type, user_id=user.pk, document=document, actor=SHELL)

    def take_back(self, user: User, entity_type: str, size: int) -> None:
        extension_remove(entity_type=entity_type, user_id=user.pk, actor=SHELL)

    def settle(self, user: User, entity_type: str, size: int) -> None:
        extensions_settle(entity_type=entity_type, after_user=0, actor=SHELL)

    def set_maximum(self, user: User, entity_type: str, size: int) -> None:
        quota_set_maximum(user_id=user.pk, actor=SHELL, note="x", max_schemas=size % 4, max_fields=size)

    def upgrade(self, user: User, entity_type: str, size: int) -> None:
        request = quota_request_create(
            user_id=user.pk, actor=self.asker, reason="x", max_fields=size + 1, max_schemas=None
        )
        quota_request_approve(request_id=request.pk, actor=self.decider)

    def expire(self, user: User, entity_type: str, size: int) -> None:
        self.execute(
            "INSERT INTO quota_grants (user_id, max_schemas, until, granted_by_name, note)"
            " VALUES (%s, %s, now() - interval '1 s', 'x', '')",
            user.pk,
            size,
        )
        quota_grants_expire(actor=SHELL)

    def sql_retire(self, user: User, entity_type: str, size: int) -> None:
        self.execute(
            "UPDATE schema_registry SET is_active = false, retired_at = now() WHERE user_id = %s AND major %% 2 = %s",
            user.pk,
            size % 2,
        )

    def sql_bring_back(self, user: User, entity_type: str, size: int) -> None:
        self.execute("UPDATE schema_registry SET retired_at = NULL WHERE user_id IS NOT NULL")

    def sql_delete_drafts(self, user: User, entity_type: str, size: int) -> None:
        self.execute("DELETE FROM schema_registry WHERE user_id = %s AND first_activated_at IS NULL", user.pk)

    def sql_swap_extensions(self, user: User, entity_type: str, size: int) -> None:
        """The last two revisions of every extension take each other's place, in one statement."""
        self.execute(
            "UPDATE user_schema_extensions AS e SET is_active = NOT e.is_active"
            "  FROM (SELECT user_id, entity_type, max(revision) AS last FROM user_schema_extensions"
            "         GROUP BY user_id, entity_type HAVING count(*) > 1) AS n"
            " WHERE e.user_id = n.user_id AND e.entity_type = n.entity_type AND e.revision IN (n.last, n.last - 1)"
            "   AND n.user_id = %s",
            user.pk,
        )

    def execute(self, statement: str, *parameters: int) -> None:
        with connection.cursor() as cursor:
            cursor.execute(statement, parameters)


STEPS: list[Callable[[World, User, str, int], None]] = [
    World.register,
    World.activate,
    World.register_global,
    World.deactivate,
    World.retire,
    World.extend,
    World.extend,
    World.take_back,
    World.settle,
    World.set_maximum,
    World.upgrade,
    World.expire,
    World.sql_retire,
    World.sql_bring_back,
    World.sql_delete_drafts,
    World.sql_swap_extensions,
]

steps = st.lists(
    st.tuples(
        st.sampled_from(range(len(STEPS))),
        st.integers(0, USERS - 1),
        st.integers(0, TYPES - 1),
        st.integers(0, 9),
    ),
    min_size=4,
    max_size=24,
)


@settings(
    max_examples=rounds(25),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(steps=steps)
def test_counters_are_the_count_after_every_step(steps: list[tuple[int, int, int, int]]) -> None:
    world = World()
    for step, user, entity_type, size in steps:
        before = {one.pk: counters(one) for one in world.users}
        try:
            with transaction.atomic():
                STEPS[step](world, world.users[user], world.types[entity_type], size)
        except (DomainError, IntegrityError, DataError):
            # Refused: nothing has happened.
            assert {one.pk: counters(one) for one in world.users} == before
        for one in world.users:
            now = counters(one)
            assert now == counted(one) == usage_counted(user_ids=[one.pk])[one.pk]
            for usage, earlier, maximum in zip(now, before[one.pk], maxima(one), strict=True):
                # A grant that came and went within the step leaves no trace of the maximum it was.
                assert usage <= max(maximum, earlier)
