from django.db import migrations

from schemaevo.kernel.sql import RunSQLFile


class Migration(migrations.Migration):
    dependencies = [("registry", "0012_keep_proposal_notices"), ("kernel", "0009_add_erasures")]
    operations = [RunSQLFile("registry", "0016_erasure_v1")]
