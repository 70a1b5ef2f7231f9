"""What we believe: sources, the observations they made, and the snapshot of every entity.

Rows of these tables are written in bulk, by COPY and SQL (services/), never by `save()`. Foreign keys of the
big tables carry no database constraint: a check per row would cost more than the row, and `verify` checks
them instead.
"""

from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from schemaevo.kernel.fields import ExactJSONField
from snapshots.models_corrections import Correction as Correction


class Source(models.Model):
    """Where observations came from, for one user: by default one import, a file's name and content.

    The id is derived from user, name and content, so that the same file gives the same ids everywhere.
    """

    id = models.UUIDField(primary_key=True, editable=False)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.DO_NOTHING,
        db_constraint=False,
        related_name="+",
        verbose_name=_("owner"),
    )
    name = models.CharField(_("name"), max_length=500)
    content_hash = models.CharField(_("content hash"), max_length=64, blank=True)
    created_at = models.DateTimeField(_("first seen"), db_default=Now())

    class Meta:
        db_table = "sources"
        verbose_name = _("source")
        verbose_name_plural = _("sources")
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["user", "name", "content_hash"], name="sources_user_name_uq")
        ]
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=["-created_at", "id"], name="sources_created_ix")
        ]

    def __str__(self) -> str:
        return f"{self.name} @{self.content_hash[:8]}" if self.content_hash else self.name


class RetractionState(models.TextChoices):
    TAKING_BACK = "taking_back", _("being taken back")
    TAKEN_BACK = "taken_back", _("taken back")
    GIVING_BACK = "giving_back", _("being given back")
    GIVEN_BACK = "given_back", _("given back")


#: The states of a retraction whose job has not reached everything yet.
UNSETTLED = (RetractionState.TAKING_BACK, RetractionState.GIVING_BACK)


class Retraction(models.Model):
    """A source that takes no part: its observations and fragments count for nothing, until it is undone.

    The row alone decides, from its commit on; what is stored follows by a job, and the state tells how far that is.
    The counts are of the job's last course: observations gone through, snapshots that it let wait for recomputation,
    and fragments that it moved.
    """

    id = models.BigAutoField(primary_key=True)
    source = models.ForeignKey(
        Source,
        on_delete=models.DO_NOTHING,
        db_constraint=False,
        db_index=False,
        related_name="+",
        verbose_name=_("source"),
    )
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.DO_NOTHING,
        db_constraint=False,
        db_index=False,
        related_name="+",
        verbose_name=_("owner"),
    )
    state = models.CharField(
        _("state"), max_length=16, choices=RetractionState.choices, default=RetractionState.TAKING_BACK
    )
    reason = models.TextField(_("reason"))
    retracted_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.DO_NOTHING,
        null=True,
        db_index=False,
        related_name="+",
        verbose_name=_("retracted by"),
    )
    retracted_at = models.DateTimeField(_("retracted"), db_default=Now())
    undo_reason = models.TextField(_("reason of the undo"), blank=True, default="", db_default="")
    undone_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.DO_NOTHING,
        null=True,
        db_index=False,
        related_name="+",
        verbose_name=_("undone by"),
    )
    undone_at = models.DateTimeField(_("undone"), null=True)
    #: When the job had last reached everything.
    settled_at = models.DateTimeField(_("settled"), null=True)
    observation_count = models.BigIntegerField(_("observations"), default=0, db_default=0)
    snapshot_count = models.BigIntegerField(_("snapshots"), default=0, db_default=0)
    fragment_count = models.BigIntegerField(_("fragments"), default=0, db_default=0)

    class Meta:
        db_table = "retractions"
        verbose_name = _("retraction")
        verbose_name_plural = _("retractions")
        default_permissions = ()
        permissions = [("retract_source", "Can retract sources, and undo retractions")]
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(
                fields=["source"], condition=models.Q(undone_at__isnull=True), name="retractions_live_uq"
            ),
            models.CheckConstraint(
                condition=models.Q(undone_at__isnull=True, state__in=["taking_back", "taken_back"])
                | models.Q(undone_at__isnull=False, state__in=["giving_back", "given_back"]),
                name="retractions_state_ck",
            ),
        ]
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=["source", "id"], name="retractions_source_ix"),
            # What a job has to bring to its end, which verify asks for.
            models.Index(
                fields=["user"],
                condition=models.Q(state__in=["taking_back", "giving_back"]),
                name="retractions_unsettled_ix",
            ),
        ]

    def __str__(self) -> str:
        return f"#{self.pk}"


class ObservationOrigin(models.TextChoices):
    INGEST = "ingest", _("ingest")
    PROMOTION = "promotion", _("promotion")
    CORRECTION = "correction", _("correction")


class Observation(models.Model):
    """One immutable statement about an entity. Append-only by trigger.

    `content_id` is the id that the content itself gives; it differs from `id` only where the sender named
    the observation, and tells a repetition from a conflict. `ranks_as` names the observation in whose place
    a promotion observation stands in every order.
    """

    id = models.UUIDField(primary_key=True, editable=False)
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
        related_name="observations",
        verbose_name=_("entity"),
    )
    schema_version = models.ForeignKey(
        "registry.SchemaVersion",
        on_delete=models.DO_NOTHING,
        db_constraint=False,
        db_index=False,
        null=True,
        related_name="+",
        verbose_name=_("schema version"),
    )
    source = models.ForeignKey(
        Source,
        on_delete=models.DO_NOTHING,
        db_constraint=False,
        db_index=False,
        related_name="+",
        verbose_name=_("source"),
    )
    #: The run of the floor above that brought it; a number, since this floor does not know runs.
    ingest_run_id = models.BigIntegerField(_("ingest run"), null=True)
    observed_at = models.DateTimeField(_("observed"))
    priority = models.IntegerField(_("priority"))
    specificity = models.FloatField(_("specificity"))
    kind = models.CharField(_("kind"), max_length=63, null=True)  # noqa: DJ001  none is not the kind ''
    origin = models.CharField(_("origin"), max_length=16, choices=ObservationOrigin.choices)
    ranks_as = models.UUIDField(null=True)
    content_id = models.UUIDField()
    fields = ExactJSONField(_("fields"))
    recorded_at = models.DateTimeField(_("received"), db_default=Now())

    class Meta:
        db_table = "observations"
        verbose_name = _("observation")
        verbose_name_plural = _("observations")
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=["entity", "-observed_at", "id"], name="observations_history_ix"),
            models.Index(fields=["recorded_at", "id"], name="observations_recorded_ix"),
            models.Index(fields=["source", "recorded_at", "id"], name="observations_source_ix"),
            # Without the id: a run's batch came at one time, and many rows of one are little in an index.
            models.Index(
                fields=["ingest_run_id", "recorded_at"],
                condition=models.Q(ingest_run_id__isnull=False),
                name="observations_run_ix",
            ),
            models.Index(
                fields=["origin", "recorded_at", "id"],
                condition=~models.Q(origin="ingest"),
                name="observations_origin_ix",
            ),
        ]

    def __str__(self) -> str:
        return str(self.id)


class EntitySnapshot(models.Model):
    """An entity and its merged current state. One row per entity; the row is the entity.

    `merge_state` is all that one more observation needs (docs/incremental-snapshots.md); `values` and
    `provenance` are its projection. `reduction_hash` says by which rules it was reduced: where it differs
    from those in force, the snapshot *waits* for recomputation; the empty hash always waits.
    """

    id = models.UUIDField(primary_key=True, editable=False)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.DO_NOTHING,
        db_constraint=False,
        db_index=False,
        related_name="+",
        verbose_name=_("owner"),
    )
    entity_type = models.CharField(_("entity type"), max_length=63)
    entity_key = models.TextField(_("key"))
    values = ExactJSONField(_("values"), default=dict)
    provenance = ExactJSONField(_("provenance"), default=dict)
    merge_state = ExactJSONField(default=dict)
    deleted = models.BooleanField(_("deleted"), default=False)
    observation_count = models.BigIntegerField(_("observations"), default=0)
    last_observation_at = models.DateTimeField(_("last observed"), null=True)
    last_computed_observation_id = models.UUIDField(null=True)
    schema_version = models.ForeignKey(
        "registry.SchemaVersion",
        on_delete=models.DO_NOTHING,
        db_constraint=False,
        db_index=False,
        null=True,
        related_name="+",
        verbose_name=_("schema version"),
    )
    extension_revision_id = models.BigIntegerField(null=True)
    reduction_hash = models.CharField(max_length=64, blank=True)
    computed_at = models.DateTimeField(_("computed"), db_default=Now())

    class Meta:
        db_table = "entity_snapshots"
        verbose_name = _("snapshot")
        verbose_name_plural = _("snapshots")
        permissions = [
            ("see_values", "Can see stored values: observations, snapshots, fragments, exports, dead letters")
        ]
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(
                fields=["user", "entity_type", "entity_key"], name="entity_snapshots_key_uq"
            )
        ]
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=["entity_type", "user", "reduction_hash"], name="entity_snapshots_waiting_ix")
        ]

    def __str__(self) -> str:
        return f"{self.entity_type} {self.entity_key}"


class RecomputeFailure(models.Model):
    """An entity that a recomputation could not do and passed over: it waits on. Gone once one could.

    `code` and `place` say what went wrong and where in the program, never with what value. `reduction_hash` is of the
    rules that were tried, and `job_id` the run that tried; none for one by command.
    """

    entity = models.OneToOneField(
        EntitySnapshot,
        primary_key=True,
        on_delete=models.DO_NOTHING,
        db_constraint=False,
        related_name="+",
        verbose_name=_("entity"),
    )
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.DO_NOTHING,
        db_constraint=False,
        db_index=False,
        related_name="+",
        verbose_name=_("owner"),
    )
    entity_type = models.CharField(_("entity type"), max_length=63)
    reduction_hash = models.CharField(max_length=64, blank=True)
    job_id = models.UUIDField(_("job"), null=True)
    code = models.CharField(_("error"), max_length=64)
    place = models.CharField(_("where"), max_length=200, blank=True)
    failed_at = models.DateTimeField(_("when"), db_default=Now())

    class Meta:
        db_table = "recompute_failures"
        verbose_name = _("failed recomputation")
        verbose_name_plural = _("failed recomputations")
        default_permissions = ()
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=["entity_type", "user", "failed_at"], name="recompute_failures_owner_ix"),
            models.Index(fields=["job_id", "failed_at"], name="recompute_failures_job_ix"),
            models.Index(fields=["failed_at"], name="recompute_failures_old_ix"),
        ]

    def __str__(self) -> str:
        return f"{self.code} at {self.entity_id}"
