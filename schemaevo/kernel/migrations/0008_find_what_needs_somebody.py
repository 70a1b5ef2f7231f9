"""What needs somebody is found without going through the ledgers: jobs that went wrong, whether the same work was done
since, and what was done without a review."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("kernel", "0007_keep_daily_figures")]

    operations = [
        migrations.AddIndex(
            model_name="job",
            index=models.Index(fields=["kind", "target", "-finished_at"], name="jobs_work_ix"),
        ),
        migrations.AddIndex(
            model_name="job",
            index=models.Index(
                condition=models.Q(("state__in", ["failed", "completed_with_errors"])),
                fields=["-requested_at"],
                name="jobs_wrong_ix",
            ),
        ),
        migrations.AddIndex(
            model_name="auditevent",
            index=models.Index(
                condition=models.Q(("after__without_review", True)),
                fields=["-id"],
                name="audit_events_unreviewed_ix",
            ),
        ),
    ]
