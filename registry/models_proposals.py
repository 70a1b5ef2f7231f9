"""Proposals: reviewed changes to global schemas, with what was said, decided and tried about them."""

from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from registry.domain.proposal import OPEN, State
from schemaevo.kernel.fields import ExactJSONField


class ProposalState(models.TextChoices):
    """As registry.domain.proposal has them, in words."""

    DRAFT = State.DRAFT.value, _("draft")
    IN_REVIEW = State.IN_REVIEW.value, _("in review")
    CHANGES_REQUESTED = State.CHANGES_REQUESTED.value, _("changes requested")
    APPROVED = State.APPROVED.value, _("approved")
    APPLIED = State.APPLIED.value, _("applied")
    UNDONE = State.UNDONE.value, _("undone")
    REJECTED = State.REJECTED.value, _("rejected")
    WITHDRAWN = State.WITHDRAWN.value, _("withdrawn")
    EXPIRED = State.EXPIRED.value, _("expired")
    STALE = State.STALE.value, _("stale")
    FAILED = State.FAILED.value, _("failed")


class ProposalOrigin(models.TextChoices):
    ANALYSIS = "analysis", _("found by analysis")
    LOGIN = "login", _("drafted by hand")
    REVERSE = "reverse", _("reverse of an applied proposal")


class Proposal(models.Model):
    """A change to the global schema of an entity type, which others approve before it is in force.

    `edits` is a list as `registry.domain.edit_documents` describes it, made to `base_version`; without one, no global
    schema was in force, and the edits begin with no field. `content_hash` is stamped by the database from type, base
    and edits: what is approved and what is tried is that hash. `subject` is the field that an analysis found, of which
    there is one open proposal at a time. `evidence` is what the analysis found; users are counted there, never named.
    """

    id = models.BigAutoField(primary_key=True)
    entity_type = models.CharField(_("entity type"), max_length=63)
    title = models.CharField(_("title"), max_length=200)
    reason = models.TextField(_("reason"), blank=True)
    base_version = models.ForeignKey(
        "registry.SchemaVersion",
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("changes version"),
    )
    edits = ExactJSONField(_("edits"))
    content_hash = models.CharField(_("content hash"), max_length=64, db_default="", editable=False)
    origin = models.CharField(
        _("origin"), max_length=16, choices=ProposalOrigin.choices, default=ProposalOrigin.LOGIN
    )
    subject = models.CharField(_("field"), max_length=128, blank=True)
    evidence = ExactJSONField(_("evidence"), default=dict, blank=True)
    state = models.CharField(
        _("state"), max_length=20, choices=ProposalState.choices, default=ProposalState.DRAFT
    )
    #: Who answers for it; of what an analysis found, whoever brings it into review.
    author = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.DO_NOTHING,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("author"),
    )
    last_editor = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.DO_NOTHING,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("last edited by"),
    )
    required_approvals = models.SmallIntegerField(_("approvals needed"), default=1)
    #: Counted by the database: each edit, and each coming into review, begins a round in which nobody has approved yet.
    round_number = models.IntegerField(_("round"), db_default=1, editable=False)
    created_at = models.DateTimeField(_("drafted"), db_default=Now())
    #: Of the content, not of the state.
    edited_at = models.DateTimeField(_("last edited"), db_default=Now())
    submitted_at = models.DateTimeField(_("in review since"), null=True, blank=True)
    expires_at = models.DateTimeField(_("expires"), null=True, blank=True)
    #: When it came into its present state.
    moved_at = models.DateTimeField(_("since"), db_default=Now())
    applied_version = models.ForeignKey(
        "registry.SchemaVersion",
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("applied as version"),
    )
    applied_at = models.DateTimeField(_("applied"), null=True, blank=True)
    undone_at = models.DateTimeField(_("undone"), null=True, blank=True)
    #: The ids of the jobs that carry out what applying it, and undoing it, began.
    apply_jobs = ExactJSONField(default=list, blank=True, editable=False)
    undo_jobs = ExactJSONField(default=list, blank=True, editable=False)
    error = models.TextField(_("error"), blank=True)

    class Meta:
        db_table = "schema_proposals"
        verbose_name = _("proposal")
        verbose_name_plural = _("proposals")
        default_permissions = ("view",)
        ordering: ClassVar[list[str]] = ["-id"]
        permissions = [
            ("propose_schema", "Can draft and edit proposals"),
            ("decide_proposal", "Can approve and reject proposals"),
            ("apply_proposal", "Can apply approved proposals and undo them"),
        ]
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.CheckConstraint(
                condition=models.Q(state__in=ProposalState.values), name="schema_proposals_state_ck"
            ),
            models.CheckConstraint(
                condition=models.Q(required_approvals__range=(1, 20)), name="schema_proposals_required_ck"
            ),
            models.CheckConstraint(
                condition=~models.Q(state__in=["applied", "undone"])
                | models.Q(applied_version__isnull=False, applied_at__isnull=False),
                name="schema_proposals_applied_ck",
            ),
            models.CheckConstraint(
                condition=~models.Q(state="undone") | models.Q(undone_at__isnull=False),
                name="schema_proposals_undone_ck",
            ),
            models.CheckConstraint(
                condition=~models.Q(state__in=["in_review", "approved", "applied", "undone"])
                | models.Q(author__isnull=False, submitted_at__isnull=False),
                name="schema_proposals_submitted_ck",
            ),
            models.UniqueConstraint(
                fields=["entity_type", "subject"],
                condition=models.Q(origin="analysis", state__in=[state.value for state in OPEN]),
                name="schema_proposals_subject_uq",
            ),
        ]
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=["state", "-id"], name="schema_proposals_state_ix"),
            models.Index(fields=["entity_type", "-id"], name="schema_proposals_type_ix"),
        ]

    def __str__(self) -> str:
        return f"#{self.pk} {self.title}"

    @property
    def is_open(self) -> bool:
        """Whether something may still come of it."""
        return self.state in OPEN


class ProposalVerdict(models.TextChoices):
    APPROVE = "approve", _("approved")
    REQUEST_CHANGES = "request_changes", _("changes requested")
    REJECT = "reject", _("rejected")


class ProposalDecision(models.Model):
    """What one login decided about a proposal, and the content and people that the decision was about. Immutable.

    An approval counts in the round that it was made in, which ends with an edit; so content that was changed, and
    changed back, has to be approved again.
    """

    id = models.BigAutoField(primary_key=True)
    proposal = models.ForeignKey(
        Proposal, on_delete=models.PROTECT, related_name="decisions", verbose_name=_("proposal")
    )
    verdict = models.CharField(_("decision"), max_length=20, choices=ProposalVerdict.choices)
    decided_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.DO_NOTHING, related_name="+", verbose_name=_("by")
    )
    content_hash = models.CharField(max_length=64)
    round_number = models.IntegerField(_("round"), db_default=0, editable=False)
    author = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.DO_NOTHING, related_name="+")
    last_editor = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.DO_NOTHING, null=True, related_name="+"
    )
    note = models.TextField(_("note"), blank=True)
    decided_at = models.DateTimeField(_("decided"), db_default=Now())

    class Meta:
        db_table = "schema_proposal_decisions"
        verbose_name = _("decision about a proposal")
        verbose_name_plural = _("decisions about proposals")
        default_permissions = ("view",)
        ordering: ClassVar[list[str]] = ["id"]
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.CheckConstraint(
                condition=models.Q(verdict__in=ProposalVerdict.values),
                name="schema_proposal_decisions_verdict_ck",
            ),
            # Whoever wrote it does not approve it, whatever door they come through.
            models.CheckConstraint(
                condition=~models.Q(verdict="approve")
                | (
                    ~models.Q(decided_by=models.F("author"))
                    & (models.Q(last_editor__isnull=True) | ~models.Q(decided_by=models.F("last_editor")))
                ),
                name="schema_proposal_decisions_four_eyes_ck",
            ),
            models.UniqueConstraint(
                fields=["proposal", "decided_by", "round_number"],
                condition=models.Q(verdict="approve"),
                name="schema_proposal_decisions_once_uq",
            ),
        ]

    def __str__(self) -> str:
        return f"#{self.pk} {self.verdict}"


class ProposalComment(models.Model):
    """What somebody said about a proposal. Immutable."""

    id = models.BigAutoField(primary_key=True)
    proposal = models.ForeignKey(
        Proposal, on_delete=models.PROTECT, related_name="comments", verbose_name=_("proposal")
    )
    written_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.DO_NOTHING,
        null=True,
        related_name="+",
        verbose_name=_("by"),
    )
    text = models.TextField(_("comment"))
    written_at = models.DateTimeField(_("written"), db_default=Now())

    class Meta:
        db_table = "schema_proposal_comments"
        verbose_name = _("comment on a proposal")
        verbose_name_plural = _("comments on proposals")
        default_permissions = ("view",)
        ordering: ClassVar[list[str]] = ["id"]

    def __str__(self) -> str:
        return f"#{self.pk}"


class ProposalAct(models.TextChoices):
    APPLY = "apply", _("apply")
    UNDO = "undo", _("undo")


class TrialState(models.TextChoices):
    WAITING = "waiting", _("waiting")
    RUNNING = "running", _("running")
    DONE = "done", _("done")
    FAILED = "failed", _("failed")


class ProposalTrial(models.Model):
    """What applying a proposal, or undoing it, would do, computed on the stored history of one moment.

    It is about the content of that hash, and says nothing about another. `result` is as `fragments.domain.trial` writes
    it. A finished trial never changes.
    """

    id = models.BigAutoField(primary_key=True)
    proposal = models.ForeignKey(
        Proposal, on_delete=models.PROTECT, related_name="trials", verbose_name=_("proposal")
    )
    act = models.CharField(_("of"), max_length=8, choices=ProposalAct.choices)
    content_hash = models.CharField(max_length=64)
    state = models.CharField(
        _("state"), max_length=16, choices=TrialState.choices, default=TrialState.WAITING
    )
    result = ExactJSONField(_("result"), default=dict)
    error = models.TextField(_("error"), blank=True)
    asked_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.DO_NOTHING,
        null=True,
        related_name="+",
        verbose_name=_("asked for by"),
    )
    asked_at = models.DateTimeField(_("asked for"), db_default=Now())
    finished_at = models.DateTimeField(_("finished"), null=True)

    class Meta:
        db_table = "schema_proposal_trials"
        verbose_name = _("trial")
        verbose_name_plural = _("trials")
        default_permissions = ("view",)
        ordering: ClassVar[list[str]] = ["-id"]
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.CheckConstraint(
                condition=models.Q(act__in=ProposalAct.values, state__in=TrialState.values),
                name="schema_proposal_trials_state_ck",
            ),
            models.CheckConstraint(
                condition=models.Q(state__in=["waiting", "running"], finished_at__isnull=True)
                | models.Q(state__in=["done", "failed"], finished_at__isnull=False),
                name="schema_proposal_trials_finished_ck",
            ),
        ]

    def __str__(self) -> str:
        return f"#{self.pk}"


class ProposalEffect(models.Model):
    """What applying a proposal, or undoing it, did about one field, counted by the jobs that do it.

    `absorbed` are extensions that gave the field up, `given_back` those that got it back; `promoted` are fragments that
    became observations, `converted` those of them whose value was converted; `taken_back` fragments that wait again.
    Each count goes on until its time is set, by the job that came to its end.
    """

    id = models.BigAutoField(primary_key=True)
    proposal = models.ForeignKey(
        Proposal, on_delete=models.PROTECT, related_name="effects", verbose_name=_("proposal")
    )
    act = models.CharField(_("of"), max_length=8, choices=ProposalAct.choices)
    entity_type = models.CharField(_("entity type"), max_length=63)
    field = models.CharField(_("field"), max_length=128)
    absorbed = models.BigIntegerField(_("absorbed"), default=0)
    given_back = models.BigIntegerField(_("given back"), default=0)
    promoted = models.BigIntegerField(_("promoted"), default=0)
    converted = models.BigIntegerField(_("converted"), default=0)
    taken_back = models.BigIntegerField(_("taken back"), default=0)
    #: When extensions were through, and when fragments were.
    settled_at = models.DateTimeField(null=True)
    promoted_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "schema_proposal_effects"
        verbose_name = _("effect of a proposal")
        verbose_name_plural = _("effects of proposals")
        default_permissions = ("view",)
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(
                fields=["proposal", "act", "field"], name="schema_proposal_effects_field_uq"
            )
        ]
        indexes: ClassVar[list[models.Index]] = [
            # Every chunk of a promotion asks whether it is to be counted for a proposal.
            models.Index(
                fields=["entity_type", "field"],
                condition=models.Q(settled_at__isnull=True) | models.Q(promoted_at__isnull=True),
                name="schema_proposal_effects_ix",
            )
        ]

    def __str__(self) -> str:
        return f"#{self.pk} {self.field}"
