"""The demo's logins are there for whoever looks around, have passwords that are told once, and never in production."""

from __future__ import annotations

import io
from typing import Any

import msgspec
import pytest
from django.core.management import CommandError, call_command
from django.test import Client

from schemaevo.kernel.actors import Actor
from schemaevo.kernel.demo_logins import DEMO_LOGINS, demo_logins_ensure, demo_passwords_reset
from schemaevo.kernel.errors import Conflict, NotFound
from schemaevo.kernel.models import AuditEvent, User

pytestmark = pytest.mark.django_db

SHELL = Actor.shell()


def test_each_login_has_its_role_and_no_password_until_one_is_told() -> None:
    logins = demo_logins_ensure(actor=SHELL)
    assert list(logins) == [part.username for part in DEMO_LOGINS]
    for part in DEMO_LOGINS:
        login = User.objects.get(username=part.username)
        assert [group.name for group in login.groups.all()] == [part.role]
        assert (login.is_staff, login.is_superuser, login.has_usable_password()) == (True, False, False)
    assert AuditEvent.objects.filter(action="login.create").count() == len(DEMO_LOGINS)


def test_asking_again_changes_nothing_of_a_login() -> None:
    demo_logins_ensure(actor=SHELL)
    User.objects.filter(username="demo-viewer").update(is_active=False)
    User.objects.get(username="demo-operator").groups.clear()

    logins = demo_logins_ensure(actor=SHELL)

    assert not logins["demo-viewer"].is_active
    assert not logins["demo-operator"].groups.exists()
    assert AuditEvent.objects.filter(action="login.create").count() == len(DEMO_LOGINS)


def test_a_first_password_is_given_once_and_lets_in(client: Client) -> None:
    demo_logins_ensure(actor=SHELL)
    first = demo_passwords_reset(actor=SHELL, is_first=True)
    assert [one.username for one in first] == [part.username for part in DEMO_LOGINS]
    assert demo_passwords_reset(actor=SHELL, is_first=True) == []
    for one in first:
        form = {"username": one.username, "password": one.password}
        assert client.post("/admin/login/", form).status_code == 302
        client.logout()


def test_reset_admin_gives_all_of_them_others() -> None:
    demo_logins_ensure(actor=SHELL)
    before = {one.username: one.password for one in demo_passwords_reset(actor=SHELL, is_first=True)}
    out = io.StringIO()
    call_command("reset_admin", "--demo", "--json", stdout=out, stderr=io.StringIO())
    told: Any = msgspec.json.decode(out.getvalue().splitlines()[-1])
    assert {one["username"] for one in told["logins"]} == before.keys()
    for one in told["logins"]:
        login = User.objects.get(username=one["username"])
        assert login.check_password(one["password"])
        assert not login.check_password(before[one["username"]])
    assert not User.objects.filter(is_superuser=True).exists()


def test_without_a_demo_there_is_nothing_to_reset() -> None:
    assert demo_passwords_reset(actor=SHELL, is_first=True) == []
    with pytest.raises(NotFound) as refused:
        demo_passwords_reset(actor=SHELL)
    assert refused.value.code == "no_demo_logins"


def test_an_owner_of_that_name_gets_no_rights() -> None:
    owner = User(username="demo-operator")
    owner.set_unusable_password()
    owner.save()
    with pytest.raises(Conflict) as refused:
        demo_logins_ensure(actor=SHELL)
    assert refused.value.code == "login_is_taken"
    assert demo_passwords_reset(actor=SHELL, is_first=True) == []


def test_in_production_there_are_none(settings: Any) -> None:
    demo_logins_ensure(actor=SHELL)
    settings.IS_LOCAL = False
    for act in (demo_logins_ensure, demo_passwords_reset):
        with pytest.raises(Conflict) as refused:
            act(actor=SHELL)
        assert refused.value.code == "demo_in_production"
    with pytest.raises(CommandError):
        call_command("reset_admin", "--demo", stdout=io.StringIO(), stderr=io.StringIO())
