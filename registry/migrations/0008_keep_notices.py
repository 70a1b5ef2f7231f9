from django.db import migrations

from schemaevo.kernel.sql import RunSQLFile


class Migration(migrations.Migration):
    dependencies = [("registry", "0007_count_existing")]
    operations = [RunSQLFile("registry", "0014_user_schema_quotas_noticed_v2")]
