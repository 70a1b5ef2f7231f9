"""Makes the roles of the admin. They are groups; what each may do stands here in full.

Permissions are normally made after the last migration; a role needs them now, so they are made here by name
and found again afterwards.
"""

from django.db import migrations

VIEWER = {
    ("registry", "schema", "view_schema"),
    ("registry", "schemaversion", "view_schemaversion"),
    ("snapshots", "entitysnapshot", "view_entitysnapshot"),
    ("snapshots", "observation", "view_observation"),
    ("snapshots", "source", "view_source"),
    ("fragments", "rawfragment", "view_rawfragment"),
    ("fragments", "ingestrun", "view_ingestrun"),
    ("fragments", "deadletter", "view_deadletter"),
    ("kernel", "job", "view_job"),
    ("kernel", "auditevent", "view_auditevent"),
}
OPERATOR = VIEWER | {
    ("snapshots", "entitysnapshot", "see_values"),
    ("fragments", "ingestrun", "ingest"),
    ("kernel", "job", "control_job"),
}
SCHEMA_ADMIN = OPERATOR | {
    ("registry", "schema", "register_schema"),
    ("registry", "schema", "activate_schema"),
}
ROLES = {"viewer": VIEWER, "operator": OPERATOR, "schema_admin": SCHEMA_ADMIN}


def make_roles(apps, schema_editor):
    group = apps.get_model("auth", "Group")
    permission = apps.get_model("auth", "Permission")
    content_type = apps.get_model("contenttypes", "ContentType")
    for role, grants in ROLES.items():
        made, _ = group.objects.get_or_create(name=role)
        for app_label, model, codename in sorted(grants):
            kind, _ = content_type.objects.get_or_create(app_label=app_label, model=model)
            granted, _ = permission.objects.get_or_create(
                content_type=kind, codename=codename, defaults={"name": codename.replace("_", " ")}
            )
            made.permissions.add(granted)


def remove_roles(apps, schema_editor):
    apps.get_model("auth", "Group").objects.filter(name__in=ROLES).delete()


class Migration(migrations.Migration):
    dependencies = [
        ("fragments", "0001_create_tables"),
        ("registry", "0001_create_tables"),
        ("snapshots", "0001_create_tables"),
        ("kernel", "0001_create_tables"),
        ("auth", "0012_alter_user_first_name_max_length"),
        ("contenttypes", "0002_remove_content_type_name"),
    ]
    operations = [migrations.RunPython(make_roles, remove_roles)]
