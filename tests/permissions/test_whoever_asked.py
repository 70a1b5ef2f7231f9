"""Whoever asked for an upgrade neither decides it nor raises the maxima otherwise, whatever they come through (I4).

Services, pages and commands are walked by the tests of those doors, in which whoever asked are roles of their own.
Here are the rows that make it so, the ways round in several steps, and SQL. Who writes SQL in the name of somebody
else is beyond what a database can know; in their own name, or in nobody's, a request is not decided.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from registry.models import QuotaRequest
from registry.services.quota_requests import quota_request_withdraw
from registry.services.quotas import quota_set_maximum
from schemaevo.kernel.errors import DomainError
from tests.factories import make_login, make_quota_request
from tests.permissions.commands import COMMANDS
from tests.permissions.scene import Scene, Store, everything, scene_of
from tests.permissions.services import SERVICES
from tests.permissions.table import ASKERS, TABLE, Role
from tests.quotas import maxima
from tests.triggers.attacks import execute, refused_by

pytestmark = pytest.mark.django_db

#: Rows of what decides about more for an owner.
DECIDING = {"decide requests", "raise maxima"}

Attack = Callable[[Scene], object]


def approve(decided_by: str, more: str = "") -> Attack:
    return lambda s: execute(
        "UPDATE quota_requests SET state = 'approved', decided_at = now(), granted_max_schemas = 20,"
        f" decided_by_id = {decided_by}{more} WHERE id = %(request)s",
        names(s),
    )


def grant(columns: str, values: str) -> Attack:
    return lambda s: execute(
        f"INSERT INTO quota_grants (user_id, max_schemas, granted_by_name, note, {columns})"
        f" VALUES (%(owner)s, 20, 'me', '', {values})",
        names(s),
    )


def sql(statement: str) -> Attack:
    return lambda s: execute(statement, names(s))


def names(scene: Scene) -> dict[str, int]:
    return {
        "request": scene.request.pk,
        "owner": scene.store.owner.pk,
        "asker": scene.login.pk,
        "other": scene.store.other_login.pk,
    }


def withdraw_and_grant(scene: Scene) -> object:
    execute(
        "UPDATE quota_requests SET state = 'withdrawn', decided_at = now() WHERE id = %(request)s",
        names(scene),
    )
    return grant("granted_by_id", "%(asker)s")(scene)


#: A way round by SQL, and the guard that refuses it.
ATTACKS: list[tuple[str, Attack]] = [
    ("quota_requests_four_eyes_ck", approve("%(asker)s")),
    ("quota_requests_decided_ck", approve("NULL")),
    ("quota_requests_immutable", approve("%(asker)s", ", asked_by_id = %(other)s")),
    (
        "quota_requests_four_eyes_ck",
        sql(
            "UPDATE quota_requests SET state = 'rejected', decided_at = now(), decided_by_id = %(asker)s"
            " WHERE id = %(request)s"
        ),
    ),
    (
        "quota_requests_immutable",
        sql("UPDATE quota_requests SET asked_by_id = %(other)s WHERE id = %(request)s"),
    ),
    ("quota_requests_kept", sql("DELETE FROM quota_requests WHERE id = %(request)s")),
    (
        "quota_requests_moves",
        sql(
            "INSERT INTO quota_requests (user_id, asked_max_schemas, granted_max_schemas, reason, asked_by_id, state,"
            " decided_by_id, decided_at, decision_note)"
            " VALUES (%(owner)s, 20, 20, 'x', %(other)s, 'approved', %(asker)s, now(), '')"
        ),
    ),
    ("quota_grants_four_eyes", grant("granted_by_id", "%(asker)s")),
    ("quota_grants_four_eyes", withdraw_and_grant),
    ("quota_grants_as_decided", grant("granted_by_id, request_id", "%(asker)s, %(request)s")),
    ("quota_grants_as_decided", grant("granted_by_id, request_id", "%(other)s, %(request)s")),
    ("quota_grants_as_decided", grant("request_id", "%(request)s")),
    ("quota_grants_immutable", sql("UPDATE quota_grants SET max_schemas = 20 WHERE user_id = %(owner)s")),
    ("quota_grants_kept", sql("DELETE FROM quota_grants WHERE user_id = %(owner)s")),
    (
        "user_schema_quotas_granted",
        sql("UPDATE user_schema_quotas SET max_schemas = 20 WHERE user_id = %(owner)s"),
    ),
]


@pytest.mark.parametrize("role", sorted(ASKERS))
def test_no_statement_in_their_name_decides_or_grants(store: Store, role: Role) -> None:
    for constraint, attack in ATTACKS:
        with scene_of(store, role) as scene:
            before = everything()
            refused_by(constraint, lambda s=scene, a=attack: a(s))  # type: ignore[misc]
            assert everything() == before


@pytest.mark.parametrize("role", sorted(ASKERS))
def test_a_request_that_is_over_still_binds_its_asker(store: Store, role: Role) -> None:
    with scene_of(store, role) as scene:
        quota_request_withdraw(request_id=scene.request.pk, actor=scene.actor)
        second = make_quota_request(user=store.owner, asker=make_login(role="operator"), max_schemas=30)
        before = maxima(store.owner)
        with pytest.raises(DomainError):
            quota_set_maximum(user_id=store.owner.pk, actor=scene.actor, note="then so", max_schemas=20)
        assert maxima(store.owner) == before
        assert QuotaRequest.objects.get(pk=second.pk).state == "pending"


def test_the_doors_that_decide_are_tried_by_whoever_asked() -> None:
    for name in DECIDING:
        assert TABLE[name].never >= ASKERS
    assert {line.row for line in SERVICES} >= DECIDING
    assert {line.row for line in COMMANDS} >= {"decide requests"}
