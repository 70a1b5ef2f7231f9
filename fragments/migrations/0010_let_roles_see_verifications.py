"""Everybody sees what was verified, and what came of it."""

from django.db import migrations

ROLES = ("viewer", "operator", "schema_admin")
VIEW = {"app_label": "kernel", "model": "verifyoutcome"}


def grant(apps, schema_editor):
    kind, _ = apps.get_model("contenttypes", "ContentType").objects.get_or_create(**VIEW)
    granted, _ = apps.get_model("auth", "Permission").objects.get_or_create(
        content_type=kind, codename="view_verifyoutcome", defaults={"name": "view verifyoutcome"}
    )
    for role in apps.get_model("auth", "Group").objects.filter(name__in=ROLES):
        role.permissions.add(granted)


def take_back(apps, schema_editor):
    permissions = apps.get_model("auth", "Permission").objects.filter(
        content_type__app_label="kernel", content_type__model="verifyoutcome", codename="view_verifyoutcome"
    )
    for role in apps.get_model("auth", "Group").objects.filter(name__in=ROLES):
        role.permissions.remove(*permissions)


class Migration(migrations.Migration):
    dependencies = [
        ("fragments", "0009_add_aggregates"),
        ("kernel", "0006_keep_verifications"),
        ("auth", "0012_alter_user_first_name_max_length"),
        ("contenttypes", "0002_remove_content_type_name"),
    ]
    operations = [migrations.RunPython(grant, take_back)]
