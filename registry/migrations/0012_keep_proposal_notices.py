"""Who is to be told what happened to a proposal, until they are."""

import django.db.models.deletion
import django.db.models.functions.datetime
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("kernel", "0006_keep_verifications"),
        ("registry", "0011_let_revisions_restore"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="ProposalNotice",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("in_review", "waits for review"),
                            ("changes_requested", "changes requested"),
                            ("approved", "approved"),
                            ("rejected", "rejected"),
                            ("expired", "expired"),
                            ("stale", "stale"),
                            ("failed", "applying it was refused"),
                            ("applied", "applied"),
                            ("undone", "undone"),
                            ("commented", "commented on"),
                        ],
                        max_length=20,
                        verbose_name="what",
                    ),
                ),
                (
                    "made_at",
                    models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now(),
                        editable=False,
                        verbose_name="since",
                    ),
                ),
                ("mailed_at", models.DateTimeField(blank=True, null=True, verbose_name="mailed")),
                (
                    "event",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to="kernel.auditevent",
                        verbose_name="event",
                    ),
                ),
                (
                    "login",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                        verbose_name="login",
                    ),
                ),
                (
                    "proposal",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="registry.proposal",
                        verbose_name="proposal",
                    ),
                ),
            ],
            options={
                "verbose_name": "notice about a proposal",
                "verbose_name_plural": "notices about proposals",
                "db_table": "proposal_notices",
                "default_permissions": (),
                "indexes": [
                    models.Index(
                        condition=models.Q(("mailed_at__isnull", True)),
                        fields=["login", "id"],
                        name="proposal_notices_to_mail_ix",
                    )
                ],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            (
                                "kind__in",
                                [
                                    "in_review",
                                    "changes_requested",
                                    "approved",
                                    "rejected",
                                    "expired",
                                    "stale",
                                    "failed",
                                    "applied",
                                    "undone",
                                    "commented",
                                ],
                            )
                        ),
                        name="proposal_notices_kind_ck",
                    ),
                    models.UniqueConstraint(fields=("event", "login"), name="proposal_notices_event_uq"),
                ],
            },
        ),
    ]
