"""Passwords of logins: a fresh one from outside the admin, and the trace that every change leaves."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from axes.utils import reset as lift_lockout
from django.contrib.auth.hashers import is_password_usable
from django.core.exceptions import ValidationError
from django.db import transaction

from schemaevo.kernel.actors import Actor
from schemaevo.kernel.audit import audit_record
from schemaevo.kernel.canonical import Json
from schemaevo.kernel.errors import Conflict, Invalid
from schemaevo.kernel.models import User

PASSWORD_BYTES = 15


@dataclass(frozen=True)
class FreshLogin:
    """A login and its new password, which is known nowhere else."""

    username: str
    password: str
    is_new: bool


@transaction.atomic
def superuser_reset(*, username: str, actor: Actor, may_promote: bool = False) -> FreshLogin:
    """The superuser `username` exists, may sign in, and has a new random password; its sessions have ended.

    An owner of records or a lesser login of that name becomes a superuser only with `may_promote`: else a
    mistyped name would give all rights to a tenant.

    Raises: Conflict `login_is_no_superuser`; Invalid `username_invalid`.
    """
    user = User.objects.select_for_update().filter(username=username).first()
    before: dict[str, Json] | None = None
    if user is None:
        user = User(username=username)
    else:
        before = {
            "is_superuser": user.is_superuser,
            "is_staff": user.is_staff,
            "is_active": user.is_active,
        }
        if not user.is_superuser and not may_promote:
            raise Conflict(
                "login_is_no_superuser",
                f"{username} exists and is no superuser; choose another name, or say that it shall be one.",
                username=username,
            )
    password = secrets.token_urlsafe(PASSWORD_BYTES)
    user.is_superuser = user.is_staff = user.is_active = True
    user.set_password(password)
    try:
        user.full_clean()
    except ValidationError as error:
        raise Invalid("username_invalid", " ".join(error.messages), username=username) from error
    user.save()
    # Too many failed attempts may be why the password is being reset.
    lift_lockout(username=username)
    audit_record(
        actor=actor,
        action="login.reset",
        target_type="user",
        target_id=user.pk,
        before=before,
        after={"is_superuser": True, "is_staff": True, "is_active": True},
    )
    return FreshLogin(username=username, password=password, is_new=before is None)


@contextmanager
def password_watched(*, user: User, actor: Actor) -> Iterator[None]:
    """A password that the block changes is in the audit log, in one transaction with the change.

    What the password was or is, is not.
    """
    with transaction.atomic():
        before = _password_hash(user)
        yield
        after = _password_hash(user)
        if after != before:
            audit_record(
                actor=actor,
                action="login.change_password",
                target_type="user",
                target_id=user.pk,
                before={"has_password": is_password_usable(before)},
                after={"has_password": is_password_usable(after)},
            )


def _password_hash(user: User) -> str:
    return User.objects.values_list("password", flat=True).get(pk=user.pk)
