"""Fragments go with whom an erasure erases; and the roles see which erasures there were."""

from django.db import migrations

from schemaevo.kernel.role_grants import grant_to_roles
from schemaevo.kernel.sql import RunSQLFile

VIEW = {("kernel", "erasure", "view_erasure")}


class Migration(migrations.Migration):
    dependencies = [
        ("fragments", "0019_let_sources_be_retracted"),
        ("kernel", "0009_add_erasures"),
        ("auth", "0012_alter_user_first_name_max_length"),
        ("contenttypes", "0002_remove_content_type_name"),
    ]
    operations = [
        RunSQLFile("fragments", "0007_raw_fragments_moves_v2"),
        grant_to_roles({"viewer": VIEW, "operator": VIEW, "schema_admin": VIEW}),
    ]
