from django.db import migrations

from schemaevo.kernel.sql import RunSQLFile


class Migration(migrations.Migration):
    dependencies = [("registry", "0005_add_quotas")]
    operations = [
        RunSQLFile("registry", "0007_user_schema_usage_v1"),
        RunSQLFile("registry", "0008_user_schema_quotas_counted_v1"),
        RunSQLFile("registry", "0009_user_schema_quotas_guarded_v1"),
        RunSQLFile("registry", "0010_user_schema_quotas_noticed_v1"),
        RunSQLFile("registry", "0011_quota_requests_moves_v1"),
        RunSQLFile("registry", "0012_quota_grants_guarded_v1"),
    ]
