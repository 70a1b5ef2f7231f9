"""Operators share the views of lists that they save."""

from django.db import migrations

from schemaevo.kernel.role_grants import grant_to_roles

SHARE = {("kernel", "savedview", "share_view")}


class Migration(migrations.Migration):
    # Here, since the roles are made by this app.
    dependencies = [
        ("fragments", "0022_act_in_bulk"),
        ("kernel", "0010_keep_views_of_lists"),
        ("auth", "0012_alter_user_first_name_max_length"),
        ("contenttypes", "0002_remove_content_type_name"),
    ]
    operations = [grant_to_roles({"operator": SHARE, "schema_admin": SHARE})]
