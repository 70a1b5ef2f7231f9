from django.db import migrations

from schemaevo.kernel.sql import RunSQLFile


class Migration(migrations.Migration):
    dependencies = [("registry", "0009_add_proposals")]
    operations = [RunSQLFile("registry", "0015_schema_proposals_v1")]
