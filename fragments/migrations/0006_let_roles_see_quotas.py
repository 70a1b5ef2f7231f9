"""Everybody sees quotas; operators ask for more for an owner; schema admins decide."""

from django.db import migrations

VIEW = {
    ("registry", "userquota", "view_userquota"),
    ("registry", "quotarequest", "view_quotarequest"),
    ("registry", "quotagrant", "view_quotagrant"),
    ("registry", "quotanotice", "view_quotanotice"),
}
ASK = {("registry", "quotarequest", "request_quota")}
DECIDE = {("registry", "quotarequest", "decide_quota")}
ROLES = {"viewer": VIEW, "operator": VIEW | ASK, "schema_admin": VIEW | ASK | DECIDE}


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
        ("fragments", "0005_let_schema_admins_extend"),
        ("registry", "0005_add_quotas"),
        ("auth", "0012_alter_user_first_name_max_length"),
        ("contenttypes", "0002_remove_content_type_name"),
    ]
    operations = [migrations.RunPython(grant, take_back)]
