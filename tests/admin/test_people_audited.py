"""Every change of who may sign in and do what is in the audit log, and no password is."""

from collections.abc import Callable

import pytest
from django.contrib.auth.models import Group, Permission
from django.test import Client
from django.urls import reverse

from schemaevo.kernel.models import AuditEvent, User
from tests.admin.addresses import page_of, verb_of
from tests.factories import make_login

OLD, NEW = "correct-horse-9", "battery-staple-7"


def the_event(action: str) -> AuditEvent:
    event = AuditEvent.objects.get()
    assert event.action == action
    for secret in (OLD, NEW, "pbkdf2", "md5$"):
        assert secret not in str([event.before, event.after, event.reason])
    return event


def test_a_new_password_given_by_a_superuser(client_of: Callable[[str], Client]) -> None:
    login, client = make_login(), client_of("superuser")
    given = {"password1": NEW, "password2": NEW, "usable_password": "true", "set-password": "1"}
    assert client.post(reverse("admin:auth_user_password_change", args=[login.pk]), given).status_code == 302
    assert User.objects.get(pk=login.pk).check_password(NEW)
    event = the_event("login.change_password")
    assert event.target_id == str(login.pk)
    assert event.actor_id not in {None, login.pk}
    assert (event.before, event.after) == ({"has_password": False}, {"has_password": True})


def test_ones_own_new_password(db: None) -> None:
    login = make_login(role="viewer")
    login.set_password(OLD)
    login.save()
    client = Client()
    client.force_login(login, backend="django.contrib.auth.backends.ModelBackend")
    given = {"old_password": OLD, "new_password1": NEW, "new_password2": NEW}
    assert client.post(reverse("admin:password_change"), given).status_code == 302
    assert User.objects.get(pk=login.pk).check_password(NEW)
    assert the_event("login.change_password").actor_id == login.pk


def test_a_password_that_is_refused_leaves_no_trace(client_of: Callable[[str], Client]) -> None:
    login, client = make_login(), client_of("superuser")
    given = {"password1": NEW, "password2": OLD, "usable_password": "true", "set-password": "1"}
    assert client.post(reverse("admin:auth_user_password_change", args=[login.pk]), given).status_code == 200
    wrong = {"old_password": "wrong", "new_password1": NEW, "new_password2": NEW}
    assert client.post(reverse("admin:password_change"), wrong).status_code == 200
    assert not AuditEvent.objects.exists()


def test_a_new_login(client_of: Callable[[str], Client]) -> None:
    given = {"username": "ann", "password1": NEW, "password2": NEW, "usable_password": "true"}
    assert client_of("superuser").post(verb_of(User, "add"), given).status_code == 302
    event = the_event("user.create")
    assert event.before is None
    assert (event.after["is_staff"], event.after["is_superuser"]) == (True, False)


@pytest.mark.parametrize(
    ("changed", "column", "before", "after"),
    [
        ({"is_active": ""}, "is_active", True, False),
        ({"is_superuser": "on"}, "is_superuser", False, True),
        ({"time_zone": "Europe/Vienna"}, "time_zone", "UTC", "Europe/Vienna"),
    ],
)
def test_a_changed_login(
    client_of: Callable[[str], Client], changed: dict[str, str], column: str, before: object, after: object
) -> None:
    login = make_login()
    given = {"username": login.username, "time_zone": "UTC", "is_active": "on", "is_staff": "on", **changed}
    given = {name: value for name, value in given.items() if value}
    assert client_of("superuser").post(page_of(login), given).status_code == 302
    event = the_event("user.change")
    assert (event.before[column], event.after[column]) == (before, after)


def test_saving_without_a_change_leaves_no_trace(client_of: Callable[[str], Client]) -> None:
    login = make_login()
    given = {"username": login.username, "time_zone": "UTC", "is_active": "on", "is_staff": "on"}
    assert client_of("superuser").post(page_of(login), given).status_code == 302
    assert not AuditEvent.objects.exists()


def test_what_a_role_may_do(client_of: Callable[[str], Client]) -> None:
    role = Group.objects.get(name="viewer")
    held = set(role.permissions.values_list("pk", flat=True))
    added = Permission.objects.get(codename="see_values")
    given = {"name": "viewer", "permissions": sorted(held | {added.pk})}
    assert client_of("superuser").post(page_of(role), given).status_code == 302
    event = the_event("role.change")
    assert "snapshots.see_values" not in event.before["permissions"]
    assert set(event.after["permissions"]) - set(event.before["permissions"]) == {"snapshots.see_values"}


def test_a_new_role(client_of: Callable[[str], Client]) -> None:
    assert client_of("superuser").post(verb_of(Group, "add"), {"name": "auditor"}).status_code == 302
    assert the_event("role.create").after == {"name": "auditor", "permissions": []}
