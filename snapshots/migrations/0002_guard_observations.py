from django.db import migrations

from schemaevo.kernel.sql import RunSQLFile


class Migration(migrations.Migration):
    dependencies = [("snapshots", "0001_create_tables")]
    operations = [RunSQLFile("snapshots", "0001_observations_append_only_v1")]
