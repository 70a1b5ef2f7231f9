from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("kernel", "0004_create_job_log_lines")]
    operations = [
        migrations.AddField("job", "first_mark_at", models.DateTimeField(null=True)),
        migrations.AddField("job", "first_mark_count", models.BigIntegerField(null=True)),
        migrations.AddField("job", "last_mark_at", models.DateTimeField(null=True)),
        migrations.AddField("job", "last_mark_count", models.BigIntegerField(null=True)),
    ]
