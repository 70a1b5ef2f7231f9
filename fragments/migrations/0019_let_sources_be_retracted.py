"""Fragments of a retracted source are not counted, ingest runs say how much came to one, and
schema admins may retract."""

from django.db import migrations, models

from schemaevo.kernel.role_grants import grant_to_roles
from schemaevo.kernel.sql import RunSQLFile

RETRACT = {("snapshots", "retraction", "retract_source")}


class Migration(migrations.Migration):
    dependencies = [("fragments", "0018_count_owners_of_fields")]
    operations = [
        migrations.AddField(
            model_name="rawfragment",
            name="is_retracted",
            field=models.BooleanField(db_default=False, default=False, verbose_name="retracted"),
        ),
        migrations.AddField(
            model_name="ingestrun",
            name="retracted_count",
            field=models.BigIntegerField(db_default=0, default=0, verbose_name="of a retracted source"),
        ),
        RunSQLFile("fragments", "0006_aggregates_v4"),
        # Here, since the roles are made by this app.
        grant_to_roles({"schema_admin": RETRACT}),
    ]
