"""Erasure of the person: what a login leaves behind, and the row of the user itself."""

from __future__ import annotations

from typing import Final
from uuid import uuid4

from axes.models import AccessAttempt, AccessFailureLog, AccessLog
from django.contrib.admin.models import LogEntry
from django.contrib.auth.hashers import make_password
from django.contrib.sessions.models import Session

from schemaevo.kernel.models import Erasure, User

#: What everybody is called once erased; their number says who is who.
SHELL_NAME: Final = "erased-%s"


def shell_name(user_id: int) -> str:
    """The user name of an owner who is erased."""
    return SHELL_NAME % user_id


def traces_erase(erasure: Erasure, counts: dict[str, int]) -> None:
    """Sessions, tries to sign in, and Django's own notes of what the login did are gone.

    Runs inside the caller's transaction, as what follows.
    """
    user = erasure.user
    own = [
        session.pk
        for session in Session.objects.iterator()
        if session.get_decoded().get("_auth_user_id") == str(user.pk)
    ]
    tries = {
        model._meta.db_table: model.objects.filter(username__iexact=user.username)
        for model in (AccessAttempt, AccessFailureLog, AccessLog)
    }
    for table, rows in {
        "django_session": Session.objects.filter(pk__in=own),
        "django_admin_log": LogEntry.objects.filter(user_id=user.pk),
        **tries,
    }.items():
        deleted, _ = rows.delete()
        counts[table] = counts.get(table, 0) + deleted


def person_erase(user: User) -> int:
    """The user is a shell: nobody signs in as it, and it is called by its number. Gives 0 where it was one already."""
    name = shell_name(user.pk)
    if User.objects.filter(username=name).exclude(pk=user.pk).exists():
        # Ingest makes owners of any name.
        name = f"{name}-{uuid4().hex[:8]}"
    user.groups.clear()
    user.user_permissions.clear()
    rows = User.objects.filter(pk=user.pk).exclude(username__startswith=shell_name(user.pk))
    return rows.update(
        username=name,
        email="",
        first_name="",
        last_name="",
        password=make_password(None),
        is_active=False,
        is_staff=False,
        is_superuser=False,
        last_login=None,
        time_zone="UTC",
    )
