"""reset_admin lets somebody in when nobody can get in."""

import io

import msgspec
import pytest
from axes.models import AccessAttempt
from django.core.management import CommandError, call_command
from django.utils import timezone

from schemaevo.kernel.models import AuditEvent, User

pytestmark = pytest.mark.django_db


def reset(*arguments):
    output = io.StringIO()
    call_command("reset_admin", *arguments, stdout=output, stderr=io.StringIO())
    return output.getvalue()


def reset_json(*arguments):
    return msgspec.json.decode(reset("--json", *arguments).splitlines()[-1])


def test_the_first_call_makes_a_superuser_whose_password_works(client):
    made = reset_json()

    assert (made["username"], made["is_new"]) == ("admin", True)
    user = User.objects.get()
    assert user.is_superuser
    assert user.is_staff
    assert user.check_password(made["password"])
    answer = client.post("/admin/login/", {"username": "admin", "password": made["password"]})
    assert answer.status_code == 302


def test_the_second_call_gives_another_password_to_the_same_login():
    first, second = reset_json(), reset_json()

    assert second["is_new"] is False
    assert first["password"] != second["password"]
    assert User.objects.get().check_password(second["password"])


def test_people_read_login_and_password():
    lines = reset("--username", "root").splitlines()

    assert lines[0] == "login: root"
    assert User.objects.get().check_password(lines[1].removeprefix("password: "))


def test_open_sessions_end(client):
    reset()
    client.force_login(User.objects.get())
    assert "_auth_user_id" in client.session
    assert client.get("/admin/password_change/").status_code == 200

    reset()

    assert client.get("/admin/password_change/").status_code == 302


def test_a_deactivated_superuser_may_sign_in_again():
    User.objects.create_superuser("admin", is_active=False)

    reset()

    assert User.objects.get().is_active


def test_an_owner_does_not_become_a_superuser_by_a_slip():
    User.objects.create_user("maintainer-0001")

    with pytest.raises(CommandError, match="no superuser") as refusal:
        reset("--username", "maintainer-0001")

    assert refusal.value.returncode == 1
    assert not User.objects.get().is_superuser
    assert not AuditEvent.objects.exists()


def test_promoting_has_to_be_said():
    User.objects.create_user("olga")

    reset("--username", "olga", "--promote")

    assert User.objects.get().is_superuser


def test_a_name_that_cannot_be_a_login_is_refused():
    with pytest.raises(CommandError):
        reset("--username", "no spaces, please")

    assert not User.objects.exists()


def test_a_lockout_is_lifted():
    AccessAttempt.objects.create(
        username="admin", ip_address="127.0.0.1", failures_since_start=99, attempt_time=timezone.now()
    )

    reset()

    assert not AccessAttempt.objects.exists()


def test_it_is_audited_without_the_password():
    made = reset_json()

    event = AuditEvent.objects.get(action="login.reset")
    assert event.actor_name.startswith("shell:")
    assert event.target_id == str(User.objects.get().pk)
    assert made["password"] not in str([event.before, event.after, event.reason])
