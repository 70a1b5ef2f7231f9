import django.db.models.deletion
import django.db.models.functions.datetime
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("kernel", "0003_create_pauses")]
    operations = [
        migrations.CreateModel(
            name="JobLogLine",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                (
                    "at",
                    models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now(),
                        editable=False,
                        verbose_name="when",
                    ),
                ),
                (
                    "level",
                    models.CharField(
                        choices=[("info", "info"), ("warning", "warning"), ("error", "error")],
                        default="info",
                        max_length=8,
                        verbose_name="level",
                    ),
                ),
                ("text", models.TextField(verbose_name="what")),
                (
                    "job",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to="kernel.job",
                        verbose_name="job",
                    ),
                ),
            ],
            options={
                "verbose_name": "line of a job's log",
                "verbose_name_plural": "logs of jobs",
                "db_table": "job_log_lines",
                "default_permissions": (),
                "indexes": [models.Index(fields=["job", "id"], name="job_log_lines_job_ix")],
            },
        ),
    ]
