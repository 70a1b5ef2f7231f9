"""The logins of the demo, one for each part that people play: only where it runs locally, never in production."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Final

from axes.utils import reset as lift_lockout
from django.conf import settings
from django.contrib.auth.models import Group
from django.db import transaction

from schemaevo.kernel.actors import Actor
from schemaevo.kernel.audit import audit_record
from schemaevo.kernel.errors import Conflict, NotFound
from schemaevo.kernel.logins import PASSWORD_BYTES, FreshLogin
from schemaevo.kernel.models import User


@dataclass(frozen=True, slots=True)
class DemoLogin:
    """A part somebody plays: the login's name, and the role whose permissions it has."""

    username: str
    role: str


VIEWER: Final = DemoLogin("demo-viewer", "viewer")
OPERATOR: Final = DemoLogin("demo-operator", "operator")
SCHEMA_ADMIN: Final = DemoLogin("demo-schema-admin", "schema_admin")
#: A second schema admin, since nobody approves what they wrote.
REVIEWER: Final = DemoLogin("demo-reviewer", "schema_admin")
DEMO_LOGINS: Final = (VIEWER, OPERATOR, SCHEMA_ADMIN, REVIEWER)


@transaction.atomic
def demo_logins_ensure(*, actor: Actor) -> dict[str, User]:
    """The demo's logins exist, each with its role; gives them by name. New ones cannot sign in yet.

    One that exists stays as it is. Raises: Conflict `demo_in_production`, and `login_is_taken` where an owner
    of records has such a name, who must not be given rights.
    """
    _require_local()
    logins = {}
    for part in DEMO_LOGINS:
        login, is_new = User.objects.get_or_create(username=part.username, defaults={"is_staff": True})
        if is_new:
            login.set_unusable_password()
            login.save(update_fields=["password"])
            login.groups.add(Group.objects.get(name=part.role))
            audit_record(
                actor=actor,
                action="login.create",
                target_type="user",
                target_id=login.pk,
                after={"username": part.username, "role": part.role},
            )
        elif not login.is_staff:
            raise Conflict(
                "login_is_taken",
                f"{part.username} is an owner of records and cannot be a login of the demo.",
                username=part.username,
            )
        logins[part.username] = login
    return logins


@transaction.atomic
def demo_passwords_reset(*, actor: Actor, is_first: bool = False) -> list[FreshLogin]:
    """The demo's logins have new random passwords, which are known nowhere else, and their sessions have ended.

    With `is_first` only those that never had one are given one. Raises: Conflict `demo_in_production`; NotFound
    `no_demo_logins`, but for `is_first`.
    """
    _require_local()
    names = [part.username for part in DEMO_LOGINS]
    known = {
        login.username: login
        for login in User.objects.select_for_update(of=("self",))
        .filter(username__in=names, is_staff=True)
        .order_by("pk")
    }
    if not known and not is_first:
        raise NotFound("no_demo_logins", "There are no logins of the demo here.")
    fresh = []
    for name in names:
        login = known.get(name)
        if login is None or (is_first and login.has_usable_password()):
            continue
        password = secrets.token_urlsafe(PASSWORD_BYTES)
        login.set_password(password)
        login.save(update_fields=["password"])
        lift_lockout(username=name)
        audit_record(actor=actor, action="login.reset", target_type="user", target_id=login.pk)
        fresh.append(FreshLogin(username=name, password=password, is_new=is_first))
    return fresh


def _require_local() -> None:
    if not settings.IS_LOCAL:
        raise Conflict("demo_in_production", "The demo has no logins in production.")
