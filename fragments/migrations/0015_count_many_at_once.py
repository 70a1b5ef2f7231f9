"""Aggregates are kept as before, and of many users at once in a time that does not grow with their square."""

from django.db import migrations

from schemaevo.kernel.sql import RunSQLFile


class Migration(migrations.Migration):
    dependencies = [("fragments", "0014_let_roles_see_undeclared_fields")]
    operations = [RunSQLFile("fragments", "0004_aggregates_v2")]
