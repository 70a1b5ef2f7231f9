from django.db import migrations

from schemaevo.kernel.sql import RunSQLFile


class Migration(migrations.Migration):
    dependencies = [("registry", "0001_create_tables")]
    operations = [
        RunSQLFile("registry", "0001_schema_registry_one_active_v1"),
        RunSQLFile("registry", "0002_schema_registry_immutable_v1"),
        RunSQLFile("registry", "0003_schemas_identity_v1"),
    ]
