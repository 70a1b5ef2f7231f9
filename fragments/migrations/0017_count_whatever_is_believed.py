"""Aggregates are kept as before, in a time that does not hang on what the planner believes of their table."""

from django.db import migrations

from schemaevo.kernel.sql import RunSQLFile


class Migration(migrations.Migration):
    dependencies = [("fragments", "0016_list_enhancements_by_owner")]
    operations = [RunSQLFile("fragments", "0005_aggregates_v3")]
