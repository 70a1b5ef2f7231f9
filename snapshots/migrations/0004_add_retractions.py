"""Sources can be retracted: such a row takes all that the source brought out of every rule, until it is undone."""

import django.db.models.deletion
import django.db.models.functions.datetime
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("snapshots", "0003_create_recompute_failures"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="Retraction",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("taking_back", "being taken back"),
                            ("taken_back", "taken back"),
                            ("giving_back", "being given back"),
                            ("given_back", "given back"),
                        ],
                        default="taking_back",
                        max_length=16,
                        verbose_name="state",
                    ),
                ),
                ("reason", models.TextField(verbose_name="reason")),
                (
                    "retracted_at",
                    models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now(), verbose_name="retracted"
                    ),
                ),
                (
                    "undo_reason",
                    models.TextField(
                        blank=True, db_default="", default="", verbose_name="reason of the undo"
                    ),
                ),
                ("undone_at", models.DateTimeField(null=True, verbose_name="undone")),
                ("settled_at", models.DateTimeField(null=True, verbose_name="settled")),
                (
                    "observation_count",
                    models.BigIntegerField(db_default=0, default=0, verbose_name="observations"),
                ),
                ("snapshot_count", models.BigIntegerField(db_default=0, default=0, verbose_name="snapshots")),
                ("fragment_count", models.BigIntegerField(db_default=0, default=0, verbose_name="fragments")),
            ],
            options={
                "verbose_name": "retraction",
                "verbose_name_plural": "retractions",
                "db_table": "retractions",
                "permissions": [("retract_source", "Can retract sources, and undo retractions")],
                "default_permissions": (),
            },
        ),
        migrations.AddField(
            model_name="retraction",
            name="retracted_by",
            field=models.ForeignKey(
                db_index=False,
                null=True,
                on_delete=django.db.models.deletion.DO_NOTHING,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
                verbose_name="retracted by",
            ),
        ),
        migrations.AddField(
            model_name="retraction",
            name="source",
            field=models.ForeignKey(
                db_constraint=False,
                db_index=False,
                on_delete=django.db.models.deletion.DO_NOTHING,
                related_name="+",
                to="snapshots.source",
                verbose_name="source",
            ),
        ),
        migrations.AddField(
            model_name="retraction",
            name="undone_by",
            field=models.ForeignKey(
                db_index=False,
                null=True,
                on_delete=django.db.models.deletion.DO_NOTHING,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
                verbose_name="undone by",
            ),
        ),
        migrations.AddField(
            model_name="retraction",
            name="user",
            field=models.ForeignKey(
                db_constraint=False,
                db_index=False,
                on_delete=django.db.models.deletion.DO_NOTHING,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
                verbose_name="owner",
            ),
        ),
        migrations.AddIndex(
            model_name="retraction",
            index=models.Index(fields=["source", "id"], name="retractions_source_ix"),
        ),
        migrations.AddIndex(
            model_name="retraction",
            index=models.Index(
                condition=models.Q(("state__in", ["taking_back", "giving_back"])),
                fields=["user"],
                name="retractions_unsettled_ix",
            ),
        ),
        migrations.AddConstraint(
            model_name="retraction",
            constraint=models.UniqueConstraint(
                condition=models.Q(("undone_at__isnull", True)),
                fields=("source",),
                name="retractions_live_uq",
            ),
        ),
        migrations.AddConstraint(
            model_name="retraction",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("state__in", ["taking_back", "taken_back"]), ("undone_at__isnull", True)),
                    models.Q(("state__in", ["giving_back", "given_back"]), ("undone_at__isnull", False)),
                    _connector="OR",
                ),
                name="retractions_state_ck",
            ),
        ),
    ]
