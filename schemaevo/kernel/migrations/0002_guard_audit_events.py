from django.db import migrations

from schemaevo.kernel.sql import RunSQLFile


class Migration(migrations.Migration):
    dependencies = [("kernel", "0001_create_tables")]
    operations = [RunSQLFile("kernel", "0001_audit_events_append_only_v1")]
