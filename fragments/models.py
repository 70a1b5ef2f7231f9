"""What came in: ingest runs, what they refused, and the raw fragments that fit no schema yet."""

from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from fragments.models_bulk import VERBS_OF as VERBS_OF
from fragments.models_bulk import BulkAct as BulkAct
from fragments.models_bulk import BulkList as BulkList
from fragments.models_bulk import BulkState as BulkState
from fragments.models_bulk import BulkVerb as BulkVerb
from fragments.models_enhancement import Enhancement as Enhancement
from fragments.models_enhancement import EnhancementMode as EnhancementMode
from fragments.models_enhancement import EnhancementSetting as EnhancementSetting
from fragments.models_enhancement import EnhancementState as EnhancementState
from fragments.models_growth import FieldGrowth as FieldGrowth
from fragments.models_promotions import Promotion as Promotion
from fragments.models_promotions import PromotionCause as PromotionCause
from fragments.models_promotions import PromotionState as PromotionState
from fragments.models_recommendations import DismissalOrigin as DismissalOrigin
from fragments.models_recommendations import FieldDismissal as FieldDismissal
from fragments.models_recommendations import IgnoredPattern as IgnoredPattern
from fragments.models_totals import FieldTotal as FieldTotal
from schemaevo.kernel.fields import ExactJSONField


class IngestState(models.TextChoices):
    RUNNING = "running", _("running")
    DONE = "done", _("done")
    FAILED = "failed", _("failed")
    #: Not heard of any more; its next batch, if there is one, makes it a running one again.
    INTERRUPTED = "interrupted", _("interrupted")


class IngestRun(models.Model):
    """One import of a file or stream. Its counts are written with each batch, in the batch's transaction."""

    id = models.BigAutoField(primary_key=True)
    name = models.CharField(_("file or stream"), max_length=500)
    content_hash = models.CharField(_("content hash"), max_length=64, blank=True)
    entity_type = models.CharField(_("entity type"), max_length=63)
    options = ExactJSONField(_("options"), default=dict)
    state = models.CharField(
        _("state"), max_length=16, choices=IngestState.choices, default=IngestState.RUNNING
    )
    #: The time of records that carry none, before their number is added in microseconds; a stream may have none.
    default_observed_at = models.DateTimeField(_("time of records without one"), null=True)
    started_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.DO_NOTHING,
        null=True,
        related_name="+",
        verbose_name=_("started by"),
    )
    started_at = models.DateTimeField(_("started"), db_default=Now())
    #: When it began or stored its last batch.
    alive_at = models.DateTimeField(_("last heard of"), db_default=Now())
    #: Of an interrupted run: when it was last heard of.
    finished_at = models.DateTimeField(_("finished"), null=True)
    record_count = models.BigIntegerField(_("records"), default=0)
    observation_count = models.BigIntegerField(_("observations"), default=0)
    duplicate_count = models.BigIntegerField(_("duplicates"), default=0)
    fragment_count = models.BigIntegerField(_("fragments"), default=0)
    rejected_count = models.BigIntegerField(_("rejected"), default=0)
    #: Of the observations, those that took no part when they came, since their source was retracted.
    retracted_count = models.BigIntegerField(_("of a retracted source"), default=0, db_default=0)
    error = models.TextField(_("error"), blank=True)

    class Meta:
        db_table = "ingest_runs"
        verbose_name = _("ingest run")
        verbose_name_plural = _("ingest runs")
        ordering: ClassVar[list[str]] = ["-id"]
        permissions = [("ingest", "Can ingest records")]
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=["content_hash", "entity_type"], name="ingest_runs_content_ix"),
            models.Index(fields=["started_at"], name="ingest_runs_started_ix"),
        ]

    def __str__(self) -> str:
        return f"#{self.pk} {self.name}"


class DeadLetter(models.Model):
    """A record that was refused: where it stood, why, and its bytes as they came."""

    id = models.BigAutoField(primary_key=True)
    run = models.ForeignKey(
        IngestRun, on_delete=models.CASCADE, related_name="dead_letters", verbose_name=_("ingest run")
    )
    line_number = models.BigIntegerField(_("line"))
    code = models.CharField(_("reason"), max_length=64)
    message = models.TextField(_("message"))
    raw = models.BinaryField(_("record"))
    created_at = models.DateTimeField(_("refused"), db_default=Now())

    class Meta:
        db_table = "dead_letters"
        verbose_name = _("dead letter")
        verbose_name_plural = _("dead letters")
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["run", "line_number"], name="dead_letters_line_uq")
        ]

    def __str__(self) -> str:
        return f"{self.code} at line {self.line_number}"


class FragmentReason(models.TextChoices):
    UNKNOWN_FIELD = "unknown_field", _("unknown field")
    TYPE_MISMATCH = "type_mismatch", _("type mismatch")
    CONSTRAINT = "constraint", _("constraint")
    INVALID_NAME = "invalid_name", _("invalid name")
    CONVERTED_ORIGINAL = "converted_original", _("original of a converted value")


class LifecycleState(models.TextChoices):
    ACTIVE = "active", _("active")
    PROMOTED = "promoted", _("promoted")
    ARCHIVED = "archived", _("archived")
    PENDING_DELETION = "pending_deletion", _("pending deletion")


#: A fragment that was seen fewer times is archived once it is not seen any more.
ARCHIVED_BELOW = 3


class RawFragment(models.Model):
    """A field value that could not go into an observation, once per value, place and trust.

    `frequency_count` counts the distinct observations that carried it; `observation_id` and `observed_at`
    are those of the newest. `value` may be JSON null: such rows are written by SQL only.
    """

    id = models.BigAutoField(primary_key=True)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.DO_NOTHING,
        db_constraint=False,
        db_index=False,
        related_name="+",
        verbose_name=_("owner"),
    )
    entity_type = models.CharField(_("entity type"), max_length=63)
    entity = models.ForeignKey(
        "snapshots.EntitySnapshot",
        on_delete=models.DO_NOTHING,
        db_constraint=False,
        db_index=False,
        related_name="+",
        verbose_name=_("entity"),
    )
    fragment_key = models.TextField(_("field"))
    source = models.ForeignKey(
        "snapshots.Source",
        on_delete=models.DO_NOTHING,
        db_constraint=False,
        db_index=False,
        related_name="+",
        verbose_name=_("source"),
    )
    value = ExactJSONField(_("value"), null=False)
    value_hash = models.BinaryField()
    value_type = models.CharField(_("type"), max_length=16)
    value_format = models.CharField(_("format"), max_length=16, blank=True)
    reason = models.CharField(_("reason"), max_length=24, choices=FragmentReason.choices)
    priority = models.IntegerField(_("priority"))
    specificity = models.FloatField(_("specificity"))
    kind = models.CharField(_("kind"), max_length=63, null=True)  # noqa: DJ001  none is not the kind ''
    frequency_count = models.BigIntegerField(_("seen"), default=1)
    observation_id = models.UUIDField(_("newest observation"))
    observed_at = models.DateTimeField(_("newest observed"))
    first_seen_at = models.DateTimeField(_("first seen"), db_default=Now())
    last_seen_at = models.DateTimeField(_("last seen"), db_default=Now())
    lifecycle_state = models.CharField(
        _("state"),
        max_length=16,
        choices=LifecycleState.choices,
        default=LifecycleState.ACTIVE,
        db_default=LifecycleState.ACTIVE,
    )
    promoted_at = models.DateTimeField(_("promoted"), null=True)
    archived_at = models.DateTimeField(_("archived"), null=True)
    expires_at = models.DateTimeField(_("expires"), null=True)
    #: Whether its source takes no part. After a retraction, and after its undo, a job brings it up to date.
    is_retracted = models.BooleanField(_("retracted"), default=False, db_default=False)

    class Meta:
        db_table = "raw_fragments"
        verbose_name = _("fragment")
        verbose_name_plural = _("fragments")
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(
                fields=[
                    "user",
                    "entity",
                    "fragment_key",
                    "source",
                    "value_hash",
                    "priority",
                    "specificity",
                    "kind",
                ],
                nulls_distinct=False,
                name="raw_fragments_sighting_uq",
            ),
            models.CheckConstraint(
                condition=models.Q(
                    lifecycle_state="active",
                    promoted_at__isnull=True,
                    archived_at__isnull=True,
                    expires_at__isnull=True,
                )
                | models.Q(
                    lifecycle_state__in=["promoted", "pending_deletion"],
                    promoted_at__isnull=False,
                    expires_at__isnull=False,
                )
                | models.Q(lifecycle_state="pending_deletion", expires_at__isnull=False)
                | models.Q(lifecycle_state="archived", archived_at__isnull=False, expires_at__isnull=True),
                name="raw_fragments_lifecycle_ck",
            ),
            models.CheckConstraint(
                condition=models.Q(frequency_count__gt=0), name="raw_fragments_frequency_ck"
            ),
        ]
        indexes: ClassVar[list[models.Index]] = [
            models.Index(
                fields=["user", "entity_type", "fragment_key", "lifecycle_state"], name="raw_fragments_key_ix"
            ),
            # One for each question that the lifecycle asks.
            models.Index(
                fields=["expires_at", "id"],
                condition=models.Q(lifecycle_state="promoted"),
                name="raw_fragments_expiring_ix",
            ),
            models.Index(
                fields=["expires_at", "id"],
                condition=models.Q(lifecycle_state="pending_deletion"),
                name="raw_fragments_deletable_ix",
            ),
            models.Index(
                fields=["last_seen_at", "id"],
                condition=models.Q(lifecycle_state="active", frequency_count__lt=ARCHIVED_BELOW),
                name="raw_fragments_archivable_ix",
            ),
            models.Index(
                fields=["archived_at", "id"],
                condition=models.Q(lifecycle_state="archived"),
                name="raw_fragments_archived_ix",
            ),
            # What people look for, and what few have: of the others one comes soon, whichever way one walks.
            models.Index(
                fields=["reason", "id"],
                condition=~models.Q(reason="unknown_field"),
                name="raw_fragments_reason_ix",
            ),
            models.Index(
                fields=["value_type", "id"],
                condition=~models.Q(value_type="string"),
                name="raw_fragments_type_ix",
            ),
            # By the time alone: of a batch it is one, and many rows of one are little in an index.
            models.Index(fields=["last_seen_at"], name="raw_fragments_seen_ix"),
        ]
        permissions = [
            ("restore_fragment", "Can restore fragments that wait for their deletion"),
            ("archive_fragment", "Can archive fragments"),
        ]

    def __str__(self) -> str:
        return f"{self.fragment_key} ({self.reason})"


class RawFragmentAggregate(models.Model):
    """What the waiting fragments of one field of a user and entity type come to. Written by triggers only.

    Counted are fragments that are active or archived, of the reasons unknown_field, type_mismatch and constraint, and
    of a source that is not retracted.
    `type_counts` gives for each value type how many of them have it, `format_counts` the same for ``type:format``;
    counts of nothing are left out; while the fragments of before are still being counted some may be negative.
    `sample_values` are at most ten small and different ones: the value, and the fragment that had it.
    `type_consistency` is in ten-thousandths.
    """

    id = models.BigAutoField(primary_key=True)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.DO_NOTHING,
        db_constraint=False,
        db_index=False,
        related_name="+",
        verbose_name=_("owner"),
    )
    entity_type = models.CharField(_("entity type"), max_length=63)
    fragment_key = models.TextField(_("field"))
    sample_count = models.BigIntegerField(_("values"), default=0, db_default=0)
    frequency_total = models.BigIntegerField(_("seen"), default=0, db_default=0)
    type_counts = ExactJSONField(_("types"), default=dict, db_default={})
    format_counts = ExactJSONField(_("formats"), default=dict, db_default={})
    unique_sources = models.BigIntegerField(_("sources"), default=0, db_default=0)
    last_seen_at = models.DateTimeField(_("last seen"), null=True)
    sample_values = ExactJSONField(_("samples"), default=list, db_default=[])
    # Both are generated columns of the database. Not Django's GeneratedField: its check asks the server for its
    # version, and so an image could not be checked without one.
    dominant_type = models.TextField(_("type of most"), db_default="", editable=False)
    type_consistency = models.IntegerField(_("share of that type"), db_default=0, editable=False)

    class Meta:
        db_table = "raw_fragment_aggregates"
        verbose_name = _("undeclared field")
        verbose_name_plural = _("undeclared fields")
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(
                fields=["user", "entity_type", "fragment_key"], name="raw_fragment_aggregates_key_uq"
            ),
        ]
        indexes: ClassVar[list[models.Index]] = [
            models.Index(
                fields=["entity_type", "fragment_key", "user"], name="raw_fragment_aggregates_by_ix"
            ),
        ]

    def __str__(self) -> str:
        return self.fragment_key


class RawFragmentAggregateSource(models.Model):
    """How many counted fragments one source has of one field of a user and entity type. Written by triggers only."""

    id = models.BigAutoField(primary_key=True)
    user_id = models.BigIntegerField()
    entity_type = models.CharField(max_length=63)
    fragment_key = models.TextField()
    source_id = models.UUIDField()
    row_count = models.BigIntegerField()

    class Meta:
        db_table = "raw_fragment_aggregate_sources"
        default_permissions = ()
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(
                fields=["user_id", "entity_type", "fragment_key", "source_id"],
                name="raw_fragment_aggregate_sources_key_uq",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.fragment_key} of {self.source_id}"
