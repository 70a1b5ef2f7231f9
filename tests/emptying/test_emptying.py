"""A test that commits leaves the database as migrations made it, whatever it did to it."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import Group, Permission
from django.contrib.contenttypes.models import ContentType
from django.core.management import call_command

from schemaevo.kernel import checks
from schemaevo.kernel.models import AuditEvent, User
from snapshots.models import Observation
from tests.emptying import database
from tests.factories import make_definition, make_login, make_run, make_user, make_version
from tests.permissions.scene import everything

pytestmark = pytest.mark.django_db(transaction=True)


def fill() -> None:
    """Something in tables that let nobody delete, and of whatever refers to something else."""
    make_version(document=make_definition(k="string"))
    make_run(records=[{"k": "one", "more": 1}, b"{"], user=make_user())
    make_login(role="viewer")


@pytest.mark.parametrize("large", [database.LARGE_BYTES, 1], ids=["deleted", "truncated"])
def test_rows_are_gone_and_what_migrations_made_is_there(large: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "LARGE_BYTES", large)
    before = everything()
    fill()
    Group.objects.get(name="viewer").delete()
    Group.objects.filter(name="operator").update(name="another")
    Permission.objects.filter(codename="control_job").delete()
    Group.objects.create(name="made by a test")
    ContentType.objects.get(app_label="registry", model="schema").delete()
    call_command("flush", interactive=False, verbosity=0)
    assert everything() == before
    assert [model for model in (User, Observation, AuditEvent) if model.objects.exists()] == []
    assert make_login(role="operator").has_perm("kernel.control_job")
    assert ContentType.objects.get_by_natural_key("registry", "schema").name


def test_guards_stand_afterwards() -> None:
    fill()
    call_command("flush", interactive=False, verbosity=0)
    assert checks.triggers_are_enabled(["default"]) == []
