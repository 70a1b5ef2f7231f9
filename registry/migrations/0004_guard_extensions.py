from django.db import migrations

from schemaevo.kernel.sql import RunSQLFile


class Migration(migrations.Migration):
    dependencies = [("registry", "0003_add_extensions")]
    operations = [
        RunSQLFile("registry", "0004_user_schema_extensions_one_active_v1"),
        RunSQLFile("registry", "0005_user_schema_extensions_immutable_v1"),
        RunSQLFile("registry", "0006_schema_epochs_raised_v1"),
    ]
