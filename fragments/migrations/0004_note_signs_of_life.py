"""A run says when it was last heard of, so that one whose process was killed gets an end."""

from django.db import migrations, models
from django.db.models.functions import Now


def fail_interrupted(apps, schema_editor):
    """What a version without this state would stumble over has failed, as such runs did to it."""
    apps.get_model("fragments", "IngestRun").objects.filter(state="interrupted").update(state="failed")


class Migration(migrations.Migration):
    dependencies = [("fragments", "0003_let_operators_pause")]
    operations = [
        # Runs that are there count from now on: those that live are heard of again, the others are ended in time.
        migrations.AddField(
            "ingestrun", "alive_at", models.DateTimeField(db_default=Now(), verbose_name="last heard of")
        ),
        migrations.AlterField(
            "ingestrun",
            "state",
            models.CharField(
                choices=[
                    ("running", "running"),
                    ("done", "done"),
                    ("failed", "failed"),
                    ("interrupted", "interrupted"),
                ],
                default="running",
                max_length=16,
                verbose_name="state",
            ),
        ),
        migrations.RunPython(migrations.RunPython.noop, fail_interrupted),
    ]
