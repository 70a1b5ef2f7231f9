from django.db import migrations

from schemaevo.kernel.sql import RunSQLFile


class Migration(migrations.Migration):
    dependencies = [("registry", "0006_guard_quotas")]
    operations = [RunSQLFile("registry", "0013_user_schema_quotas_existing_v1")]
