"""The roles of the admin exist after migrating, and each has the permissions of its rows in the table and no more."""

import pytest
from django.apps import apps
from django.contrib.auth.models import Group
from django.core.management import call_command

from schemaevo.kernel.actors import Actor
from schemaevo.kernel.errors import Denied
from schemaevo.kernel.models import User
from tests.admin.addresses import OURS
from tests.factories import make_login
from tests.permissions.table import GROUPS, TABLE, Role

pytestmark = pytest.mark.django_db

PERMISSIONS = {row.permission: row.holders for row in TABLE.values() if row.permission}


def held(role: Role) -> set[str]:
    """The permissions of the role's group."""
    return make_login(role=role.value).get_all_permissions()


@pytest.mark.parametrize("role", sorted(GROUPS))
def test_a_role_has_the_permissions_of_its_rows_and_no_others(role: Role) -> None:
    assert {name for name in held(role) if not name.split(".")[1].startswith("view_")} == {
        permission for permission, holders in PERMISSIONS.items() if role in holders
    }


@pytest.mark.parametrize("role", sorted(GROUPS))
def test_every_role_sees_lists_but_not_users(role: Role) -> None:
    names = held(role)
    assert {"kernel.view_job", "kernel.view_auditevent", "snapshots.view_observation"} <= names
    assert not any(name.startswith(("auth.", "kernel.view_user")) for name in names)


def test_every_permission_that_a_model_declares_is_in_the_table() -> None:
    assert PERMISSIONS.keys() == {
        f"{model._meta.app_label}.{codename}"
        for model in apps.get_models()
        if model._meta.app_label in OURS
        for codename, _name in model._meta.permissions
    }


def test_rows_of_one_permission_have_the_same_holders() -> None:
    assert {(row.permission, row.holders) for row in TABLE.values() if row.permission} == set(
        PERMISSIONS.items()
    )


def test_a_superuser_and_trusted_doors_may_do_everything() -> None:
    for actor in (Actor.login(make_login(is_superuser=True)), Actor.shell(), Actor.system("jobs")):
        for permission in PERMISSIONS:
            actor.require(permission)


def test_a_refusal_names_the_permission_and_a_deactivated_login_has_none() -> None:
    for login in (make_login(role="viewer"), make_login(role="schema_admin", is_active=False)):
        for permission in PERMISSIONS:
            with pytest.raises(Denied) as refusal:
                Actor.login(User.objects.get(pk=login.pk)).require(permission)
            assert refusal.value.context == {"permission": permission}


def test_permissions_that_roles_named_before_they_existed_are_the_models_own() -> None:
    """A role's migration runs before Django makes permissions; both must mean the same rows."""
    before = {
        group.name: set(group.permissions.values_list("pk", flat=True)) for group in Group.objects.all()
    }

    call_command("migrate", verbosity=0)

    after = {group.name: set(group.permissions.values_list("pk", flat=True)) for group in Group.objects.all()}
    assert after == before
