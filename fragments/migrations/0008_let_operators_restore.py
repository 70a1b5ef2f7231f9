"""Operators restore fragments that wait for their deletion."""

from django.db import migrations

RESTORE = {("fragments", "rawfragment", "restore_fragment")}
ROLES = {"operator": RESTORE, "schema_admin": RESTORE}


def grant(apps, schema_editor):
    kinds = apps.get_model("contenttypes", "ContentType").objects
    permissions = apps.get_model("auth", "Permission").objects
    for role in apps.get_model("auth", "Group").objects.filter(name__in=ROLES):
        for app_label, model, codename in sorted(ROLES[role.name]):
            kind, _ = kinds.get_or_create(app_label=app_label, model=model)
            granted, _ = permissions.get_or_create(
                content_type=kind, codename=codename, defaults={"name": codename.replace("_", " ")}
            )
            role.permissions.add(granted)


def take_back(apps, schema_editor):
    permissions = apps.get_model("auth", "Permission").objects
    for role in apps.get_model("auth", "Group").objects.filter(name__in=ROLES):
        for app_label, model, codename in sorted(ROLES[role.name]):
            role.permissions.remove(
                *permissions.filter(
                    content_type__app_label=app_label, content_type__model=model, codename=codename
                )
            )


class Migration(migrations.Migration):
    dependencies = [
        ("fragments", "0007_guard_lifecycle"),
        ("auth", "0012_alter_user_first_name_max_length"),
        ("contenttypes", "0002_remove_content_type_name"),
    ]
    operations = [migrations.RunPython(grant, take_back)]
