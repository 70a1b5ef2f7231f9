"""Proposals for global schemas, and who may see, draft, decide and apply them."""

import django.db.models.deletion
import django.db.models.functions.datetime
from django.conf import settings
from django.db import migrations, models

import schemaevo.kernel.fields
from schemaevo.kernel.role_grants import grant_to_roles

VIEW = {
    ("registry", model, f"view_{model}")
    for model in ("proposal", "proposaldecision", "proposalcomment", "proposaltrial", "proposaleffect")
}
PROPOSE = {("registry", "proposal", name) for name in ("propose_schema", "decide_proposal", "apply_proposal")}


class Migration(migrations.Migration):
    dependencies = [
        ("auth", "0012_alter_user_first_name_max_length"),
        ("contenttypes", "0002_remove_content_type_name"),
        ("registry", "0008_keep_notices"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="Proposal",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("entity_type", models.CharField(max_length=63, verbose_name="entity type")),
                ("title", models.CharField(max_length=200, verbose_name="title")),
                ("reason", models.TextField(blank=True, verbose_name="reason")),
                ("edits", schemaevo.kernel.fields.ExactJSONField(verbose_name="edits")),
                (
                    "content_hash",
                    models.CharField(
                        db_default="", editable=False, max_length=64, verbose_name="content hash"
                    ),
                ),
                (
                    "origin",
                    models.CharField(
                        choices=[
                            ("analysis", "found by analysis"),
                            ("login", "drafted by hand"),
                            ("reverse", "reverse of an applied proposal"),
                        ],
                        default="login",
                        max_length=16,
                        verbose_name="origin",
                    ),
                ),
                ("subject", models.CharField(blank=True, max_length=128, verbose_name="field")),
                (
                    "evidence",
                    schemaevo.kernel.fields.ExactJSONField(blank=True, default=dict, verbose_name="evidence"),
                ),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("draft", "draft"),
                            ("in_review", "in review"),
                            ("changes_requested", "changes requested"),
                            ("approved", "approved"),
                            ("applied", "applied"),
                            ("undone", "undone"),
                            ("rejected", "rejected"),
                            ("withdrawn", "withdrawn"),
                            ("expired", "expired"),
                            ("stale", "stale"),
                            ("failed", "failed"),
                        ],
                        default="draft",
                        max_length=20,
                        verbose_name="state",
                    ),
                ),
                ("required_approvals", models.SmallIntegerField(default=1, verbose_name="approvals needed")),
                ("round_number", models.IntegerField(db_default=1, editable=False, verbose_name="round")),
                (
                    "created_at",
                    models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now(), verbose_name="drafted"
                    ),
                ),
                (
                    "edited_at",
                    models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now(), verbose_name="last edited"
                    ),
                ),
                ("submitted_at", models.DateTimeField(blank=True, null=True, verbose_name="in review since")),
                ("expires_at", models.DateTimeField(blank=True, null=True, verbose_name="expires")),
                (
                    "moved_at",
                    models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now(), verbose_name="since"
                    ),
                ),
                ("applied_at", models.DateTimeField(blank=True, null=True, verbose_name="applied")),
                ("undone_at", models.DateTimeField(blank=True, null=True, verbose_name="undone")),
                (
                    "apply_jobs",
                    schemaevo.kernel.fields.ExactJSONField(blank=True, default=list, editable=False),
                ),
                (
                    "undo_jobs",
                    schemaevo.kernel.fields.ExactJSONField(blank=True, default=list, editable=False),
                ),
                ("error", models.TextField(blank=True, verbose_name="error")),
                (
                    "applied_version",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="registry.schemaversion",
                        verbose_name="applied as version",
                    ),
                ),
                (
                    "author",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                        verbose_name="author",
                    ),
                ),
                (
                    "base_version",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="registry.schemaversion",
                        verbose_name="changes version",
                    ),
                ),
                (
                    "last_editor",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                        verbose_name="last edited by",
                    ),
                ),
            ],
            options={
                "verbose_name": "proposal",
                "verbose_name_plural": "proposals",
                "db_table": "schema_proposals",
                "ordering": ["-id"],
                "permissions": [
                    ("propose_schema", "Can draft and edit proposals"),
                    ("decide_proposal", "Can approve and reject proposals"),
                    ("apply_proposal", "Can apply approved proposals and undo them"),
                ],
                "default_permissions": ("view",),
            },
        ),
        migrations.CreateModel(
            name="ProposalComment",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("text", models.TextField(verbose_name="comment")),
                (
                    "written_at",
                    models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now(), verbose_name="written"
                    ),
                ),
                (
                    "proposal",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="comments",
                        to="registry.proposal",
                        verbose_name="proposal",
                    ),
                ),
                (
                    "written_by",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                        verbose_name="by",
                    ),
                ),
            ],
            options={
                "verbose_name": "comment on a proposal",
                "verbose_name_plural": "comments on proposals",
                "db_table": "schema_proposal_comments",
                "ordering": ["id"],
                "default_permissions": ("view",),
            },
        ),
        migrations.CreateModel(
            name="ProposalDecision",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                (
                    "verdict",
                    models.CharField(
                        choices=[
                            ("approve", "approved"),
                            ("request_changes", "changes requested"),
                            ("reject", "rejected"),
                        ],
                        max_length=20,
                        verbose_name="decision",
                    ),
                ),
                ("content_hash", models.CharField(max_length=64)),
                ("round_number", models.IntegerField(db_default=0, editable=False, verbose_name="round")),
                ("note", models.TextField(blank=True, verbose_name="note")),
                (
                    "decided_at",
                    models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now(), verbose_name="decided"
                    ),
                ),
                (
                    "author",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "decided_by",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                        verbose_name="by",
                    ),
                ),
                (
                    "last_editor",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "proposal",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="decisions",
                        to="registry.proposal",
                        verbose_name="proposal",
                    ),
                ),
            ],
            options={
                "verbose_name": "decision about a proposal",
                "verbose_name_plural": "decisions about proposals",
                "db_table": "schema_proposal_decisions",
                "ordering": ["id"],
                "default_permissions": ("view",),
            },
        ),
        migrations.CreateModel(
            name="ProposalEffect",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                (
                    "act",
                    models.CharField(
                        choices=[("apply", "apply"), ("undo", "undo")], max_length=8, verbose_name="of"
                    ),
                ),
                ("entity_type", models.CharField(max_length=63, verbose_name="entity type")),
                ("field", models.CharField(max_length=128, verbose_name="field")),
                ("absorbed", models.BigIntegerField(default=0, verbose_name="absorbed")),
                ("given_back", models.BigIntegerField(default=0, verbose_name="given back")),
                ("promoted", models.BigIntegerField(default=0, verbose_name="promoted")),
                ("converted", models.BigIntegerField(default=0, verbose_name="converted")),
                ("taken_back", models.BigIntegerField(default=0, verbose_name="taken back")),
                ("settled_at", models.DateTimeField(null=True)),
                ("promoted_at", models.DateTimeField(null=True)),
                (
                    "proposal",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="effects",
                        to="registry.proposal",
                        verbose_name="proposal",
                    ),
                ),
            ],
            options={
                "verbose_name": "effect of a proposal",
                "verbose_name_plural": "effects of proposals",
                "db_table": "schema_proposal_effects",
                "default_permissions": ("view",),
            },
        ),
        migrations.CreateModel(
            name="ProposalTrial",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                (
                    "act",
                    models.CharField(
                        choices=[("apply", "apply"), ("undo", "undo")], max_length=8, verbose_name="of"
                    ),
                ),
                ("content_hash", models.CharField(max_length=64)),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("waiting", "waiting"),
                            ("running", "running"),
                            ("done", "done"),
                            ("failed", "failed"),
                        ],
                        default="waiting",
                        max_length=16,
                        verbose_name="state",
                    ),
                ),
                ("result", schemaevo.kernel.fields.ExactJSONField(default=dict, verbose_name="result")),
                ("error", models.TextField(blank=True, verbose_name="error")),
                (
                    "asked_at",
                    models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now(), verbose_name="asked for"
                    ),
                ),
                ("finished_at", models.DateTimeField(null=True, verbose_name="finished")),
                (
                    "asked_by",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                        verbose_name="asked for by",
                    ),
                ),
                (
                    "proposal",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="trials",
                        to="registry.proposal",
                        verbose_name="proposal",
                    ),
                ),
            ],
            options={
                "verbose_name": "trial",
                "verbose_name_plural": "trials",
                "db_table": "schema_proposal_trials",
                "ordering": ["-id"],
                "default_permissions": ("view",),
            },
        ),
        migrations.AddIndex(
            model_name="proposal",
            index=models.Index(fields=["state", "-id"], name="schema_proposals_state_ix"),
        ),
        migrations.AddIndex(
            model_name="proposal",
            index=models.Index(fields=["entity_type", "-id"], name="schema_proposals_type_ix"),
        ),
        migrations.AddConstraint(
            model_name="proposal",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    (
                        "state__in",
                        [
                            "draft",
                            "in_review",
                            "changes_requested",
                            "approved",
                            "applied",
                            "undone",
                            "rejected",
                            "withdrawn",
                            "expired",
                            "stale",
                            "failed",
                        ],
                    )
                ),
                name="schema_proposals_state_ck",
            ),
        ),
        migrations.AddConstraint(
            model_name="proposal",
            constraint=models.CheckConstraint(
                condition=models.Q(("required_approvals__range", (1, 20))),
                name="schema_proposals_required_ck",
            ),
        ),
        migrations.AddConstraint(
            model_name="proposal",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("state__in", ["applied", "undone"]), _negated=True),
                    models.Q(("applied_at__isnull", False), ("applied_version__isnull", False)),
                    _connector="OR",
                ),
                name="schema_proposals_applied_ck",
            ),
        ),
        migrations.AddConstraint(
            model_name="proposal",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("state", "undone"), _negated=True),
                    ("undone_at__isnull", False),
                    _connector="OR",
                ),
                name="schema_proposals_undone_ck",
            ),
        ),
        migrations.AddConstraint(
            model_name="proposal",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("state__in", ["in_review", "approved", "applied", "undone"]), _negated=True),
                    models.Q(("author__isnull", False), ("submitted_at__isnull", False)),
                    _connector="OR",
                ),
                name="schema_proposals_submitted_ck",
            ),
        ),
        migrations.AddConstraint(
            model_name="proposal",
            constraint=models.UniqueConstraint(
                condition=models.Q(
                    ("origin", "analysis"),
                    ("state__in", ["draft", "in_review", "changes_requested", "approved", "stale", "failed"]),
                ),
                fields=("entity_type", "subject"),
                name="schema_proposals_subject_uq",
            ),
        ),
        migrations.AddConstraint(
            model_name="proposaldecision",
            constraint=models.CheckConstraint(
                condition=models.Q(("verdict__in", ["approve", "request_changes", "reject"])),
                name="schema_proposal_decisions_verdict_ck",
            ),
        ),
        migrations.AddConstraint(
            model_name="proposaldecision",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("verdict", "approve"), _negated=True),
                    models.Q(
                        models.Q(("decided_by", models.F("author")), _negated=True),
                        models.Q(
                            ("last_editor__isnull", True),
                            models.Q(("decided_by", models.F("last_editor")), _negated=True),
                            _connector="OR",
                        ),
                    ),
                    _connector="OR",
                ),
                name="schema_proposal_decisions_four_eyes_ck",
            ),
        ),
        migrations.AddConstraint(
            model_name="proposaldecision",
            constraint=models.UniqueConstraint(
                condition=models.Q(("verdict", "approve")),
                fields=("proposal", "decided_by", "round_number"),
                name="schema_proposal_decisions_once_uq",
            ),
        ),
        migrations.AddIndex(
            model_name="proposaleffect",
            index=models.Index(
                condition=models.Q(
                    ("settled_at__isnull", True), ("promoted_at__isnull", True), _connector="OR"
                ),
                fields=["entity_type", "field"],
                name="schema_proposal_effects_ix",
            ),
        ),
        migrations.AddConstraint(
            model_name="proposaleffect",
            constraint=models.UniqueConstraint(
                fields=("proposal", "act", "field"), name="schema_proposal_effects_field_uq"
            ),
        ),
        migrations.AddConstraint(
            model_name="proposaltrial",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("act__in", ["apply", "undo"]), ("state__in", ["waiting", "running", "done", "failed"])
                ),
                name="schema_proposal_trials_state_ck",
            ),
        ),
        migrations.AddConstraint(
            model_name="proposaltrial",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("finished_at__isnull", True), ("state__in", ["waiting", "running"])),
                    models.Q(("finished_at__isnull", False), ("state__in", ["done", "failed"])),
                    _connector="OR",
                ),
                name="schema_proposal_trials_finished_ck",
            ),
        ),
        grant_to_roles({"viewer": VIEW, "operator": VIEW, "schema_admin": VIEW | PROPOSE}),
    ]
