"""Operators restore fragments that wait for their deletion."""

from django.db import migrations

from schemaevo.kernel.role_grants import grant_to_roles

RESTORE = {("fragments", "rawfragment", "restore_fragment")}


class Migration(migrations.Migration):
    dependencies = [
        ("fragments", "0007_guard_lifecycle"),
        ("auth", "0012_alter_user_first_name_max_length"),
        ("contenttypes", "0002_remove_content_type_name"),
    ]
    operations = [grant_to_roles({"operator": RESTORE, "schema_admin": RESTORE})]
