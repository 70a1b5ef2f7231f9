from django.db import migrations

from schemaevo.kernel.sql import RunSQLFile


class Migration(migrations.Migration):
    dependencies = [("snapshots", "0006_create_corrections"), ("kernel", "0009_add_erasures")]
    operations = [RunSQLFile("snapshots", "0002_observations_append_only_v2")]
