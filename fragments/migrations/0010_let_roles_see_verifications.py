"""Everybody sees what was verified, and what came of it."""

from django.db import migrations

from schemaevo.kernel.role_grants import grant_to_roles

VIEW = {("kernel", "verifyoutcome", "view_verifyoutcome")}


class Migration(migrations.Migration):
    dependencies = [
        ("fragments", "0009_add_aggregates"),
        ("kernel", "0006_keep_verifications"),
        ("auth", "0012_alter_user_first_name_max_length"),
        ("contenttypes", "0002_remove_content_type_name"),
    ]
    operations = [grant_to_roles(dict.fromkeys(("viewer", "operator", "schema_admin"), VIEW))]
