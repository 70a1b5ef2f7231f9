"""Permissions for the roles, as a reversible migration: what a release adds, its roles may do from the upgrade on."""

from collections.abc import Collection, Mapping
from typing import Any, TypeAlias

from django.db.migrations import RunPython

#: App label, model and code name.
Named: TypeAlias = "tuple[str, str, str]"


def grant_to_roles(granted: Mapping[str, Collection[Named]]) -> RunPython:
    """The operation by which each role of that name has these permissions, and backwards has them no more.

    Django makes content types and permissions only after all migrations; what is missing is made as it would be.
    """

    def grant(apps: Any, schema_editor: Any) -> None:
        kinds = apps.get_model("contenttypes", "ContentType").objects
        permissions = apps.get_model("auth", "Permission").objects
        for role in apps.get_model("auth", "Group").objects.filter(name__in=granted):
            for app_label, model, codename in sorted(granted[role.name]):
                kind, _ = kinds.get_or_create(app_label=app_label, model=model)
                permission, _ = permissions.get_or_create(
                    content_type=kind, codename=codename, defaults={"name": codename.replace("_", " ")}
                )
                role.permissions.add(permission)

    def take_back(apps: Any, schema_editor: Any) -> None:
        permissions = apps.get_model("auth", "Permission").objects
        for role in apps.get_model("auth", "Group").objects.filter(name__in=granted):
            for app_label, model, codename in sorted(granted[role.name]):
                role.permissions.remove(
                    *permissions.filter(
                        content_type__app_label=app_label, content_type__model=model, codename=codename
                    )
                )

    return RunPython(grant, take_back)
