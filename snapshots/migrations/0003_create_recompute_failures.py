import django.db.models.deletion
import django.db.models.functions.datetime
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("snapshots", "0002_guard_observations"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]
    operations = [
        migrations.CreateModel(
            name="RecomputeFailure",
            fields=[
                (
                    "entity",
                    models.OneToOneField(
                        db_constraint=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        primary_key=True,
                        related_name="+",
                        serialize=False,
                        to="snapshots.entitysnapshot",
                        verbose_name="entity",
                    ),
                ),
                ("entity_type", models.CharField(max_length=63, verbose_name="entity type")),
                ("reduction_hash", models.CharField(blank=True, max_length=64)),
                ("job_id", models.UUIDField(null=True, verbose_name="job")),
                ("code", models.CharField(max_length=64, verbose_name="error")),
                ("place", models.CharField(blank=True, max_length=200, verbose_name="where")),
                (
                    "failed_at",
                    models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now(), verbose_name="when"
                    ),
                ),
                (
                    "user",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                        verbose_name="owner",
                    ),
                ),
            ],
            options={
                "verbose_name": "failed recomputation",
                "verbose_name_plural": "failed recomputations",
                "db_table": "recompute_failures",
                "default_permissions": (),
                "indexes": [
                    models.Index(
                        fields=["entity_type", "user", "failed_at"], name="recompute_failures_owner_ix"
                    ),
                    models.Index(fields=["job_id", "failed_at"], name="recompute_failures_job_ix"),
                    models.Index(fields=["failed_at"], name="recompute_failures_old_ix"),
                ],
            },
        ),
    ]
