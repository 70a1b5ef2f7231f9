from django.db import migrations, models

from schemaevo.kernel.sql import RunSQLFile


class Migration(migrations.Migration):
    dependencies = [("fragments", "0006_let_roles_see_quotas")]
    operations = [
        migrations.AlterModelOptions(
            name="rawfragment",
            options={
                "permissions": [("restore_fragment", "Can restore fragments that wait for their deletion")],
                "verbose_name": "fragment",
                "verbose_name_plural": "fragments",
            },
        ),
        migrations.AddIndex(
            model_name="rawfragment",
            index=models.Index(
                condition=models.Q(lifecycle_state="promoted"),
                fields=["expires_at", "id"],
                name="raw_fragments_expiring_ix",
            ),
        ),
        migrations.AddIndex(
            model_name="rawfragment",
            index=models.Index(
                condition=models.Q(lifecycle_state="pending_deletion"),
                fields=["expires_at", "id"],
                name="raw_fragments_deletable_ix",
            ),
        ),
        migrations.AddIndex(
            model_name="rawfragment",
            index=models.Index(
                condition=models.Q(frequency_count__lt=3, lifecycle_state="active"),
                fields=["last_seen_at", "id"],
                name="raw_fragments_archivable_ix",
            ),
        ),
        migrations.AddIndex(
            model_name="rawfragment",
            index=models.Index(
                condition=models.Q(lifecycle_state="archived"),
                fields=["archived_at", "id"],
                name="raw_fragments_archived_ix",
            ),
        ),
        RunSQLFile("fragments", "0001_raw_fragments_moves_v1"),
    ]
