"""Operators, and with them schema admins, may pause and resume everything."""

from django.db import migrations

ROLES = ("operator", "schema_admin")
NAME = "Can pause and resume all ingest and all jobs"


def grant(apps, schema_editor):
    kind, _ = apps.get_model("contenttypes", "ContentType").objects.get_or_create(
        app_label="kernel", model="pause"
    )
    granted, _ = apps.get_model("auth", "Permission").objects.get_or_create(
        content_type=kind, codename="switch_pause", defaults={"name": NAME}
    )
    for role in apps.get_model("auth", "Group").objects.filter(name__in=ROLES):
        role.permissions.add(granted)


def take_back(apps, schema_editor):
    permissions = apps.get_model("auth", "Permission").objects.filter(
        content_type__app_label="kernel", codename="switch_pause"
    )
    for role in apps.get_model("auth", "Group").objects.filter(name__in=ROLES):
        role.permissions.remove(*permissions)


class Migration(migrations.Migration):
    dependencies = [
        ("fragments", "0002_make_roles"),
        ("kernel", "0003_create_pauses"),
        ("auth", "0012_alter_user_first_name_max_length"),
        ("contenttypes", "0002_remove_content_type_name"),
    ]
    operations = [migrations.RunPython(grant, take_back)]
