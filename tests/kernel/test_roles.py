"""The roles of the admin exist after migrating, and each may do what it should and no more."""

import pytest
from django.contrib.auth.models import Group
from django.core.management import call_command

from schemaevo.kernel.actors import Actor
from schemaevo.kernel.errors import Denied
from schemaevo.kernel.models import User

pytestmark = pytest.mark.django_db

ROLES = ("viewer", "operator", "schema_admin")
MAY = {
    "viewer": set(),
    "operator": {
        "snapshots.see_values",
        "fragments.ingest",
        "kernel.control_job",
        "kernel.switch_pause",
        "registry.request_quota",
    },
}
MAY["schema_admin"] = MAY["operator"] | {
    "registry.register_schema",
    "registry.activate_schema",
    "registry.extend_schema",
    "registry.set_compatibility",
    "registry.decide_quota",
}
GUARDED = MAY["schema_admin"]


@pytest.fixture
def login():
    def make(role):
        user = User.objects.create_user(role, is_staff=True)
        user.groups.add(Group.objects.get(name=role))
        return user

    return make


@pytest.mark.parametrize("role", ROLES)
def test_a_role_has_its_permissions_and_no_others(login, role):
    permissions = login(role).get_all_permissions()

    assert {name for name in permissions if not name.split(".")[1].startswith("view_")} == MAY[role]


@pytest.mark.parametrize("role", ROLES)
def test_every_role_sees_lists_but_not_users(login, role):
    permissions = login(role).get_all_permissions()

    assert {"kernel.view_job", "kernel.view_auditevent", "snapshots.view_observation"} <= permissions
    assert not any(name.startswith(("auth.", "kernel.view_user")) for name in permissions)


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("permission", sorted(GUARDED))
def test_an_actor_is_held_to_the_role(login, role, permission):
    actor = Actor.login(login(role))

    if permission in MAY[role]:
        actor.require(permission)
        return
    with pytest.raises(Denied) as refusal:
        actor.require(permission)
    assert refusal.value.context == {"permission": permission}


def test_a_superuser_and_trusted_doors_may_do_everything():
    for actor in (Actor.login(User.objects.create_superuser("root")), Actor.shell(), Actor.system("jobs")):
        for permission in GUARDED:
            actor.require(permission)


def test_a_deactivated_login_may_do_nothing(login):
    user = login("operator")
    user.is_active = False

    with pytest.raises(Denied):
        Actor.login(user).require("kernel.control_job")


def test_permissions_that_roles_named_before_they_existed_are_the_models_own():
    """A role's migration runs before Django makes permissions; both must mean the same rows."""
    before = {
        group.name: set(group.permissions.values_list("pk", flat=True)) for group in Group.objects.all()
    }

    call_command("migrate", verbosity=0)

    after = {group.name: set(group.permissions.values_list("pk", flat=True)) for group in Group.objects.all()}
    assert after == before
