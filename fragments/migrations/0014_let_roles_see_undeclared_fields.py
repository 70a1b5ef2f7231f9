"""Everybody sees which fields no schema declares."""

from django.db import migrations

from schemaevo.kernel.role_grants import grant_to_roles

VIEW = {("fragments", "rawfragmentaggregate", "view_rawfragmentaggregate")}


class Migration(migrations.Migration):
    dependencies = [
        ("fragments", "0013_add_enhancement"),
        ("auth", "0012_alter_user_first_name_max_length"),
        ("contenttypes", "0002_remove_content_type_name"),
    ]
    operations = [grant_to_roles(dict.fromkeys(("viewer", "operator", "schema_admin"), VIEW))]
