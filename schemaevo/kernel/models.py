"""The tables that know no domain: who may sign in, what was done, which work is owed and what became of it, whether it
may run."""

import uuid
import zoneinfo
from typing import ClassVar

from django.contrib.auth.models import AbstractUser
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from schemaevo.kernel.fields import ExactJSONField
from schemaevo.kernel.models_erasures import Erasure as Erasure
from schemaevo.kernel.models_figures import DailyFigure as DailyFigure
from schemaevo.kernel.models_verification import VerifyOutcome as VerifyOutcome
from schemaevo.kernel.models_verification import VerifyScope as VerifyScope
from schemaevo.kernel.models_views import SavedView as SavedView


def validate_time_zone(name: str) -> None:
    """Raises ValidationError unless `name` is a zone of the IANA database."""
    try:
        zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError):
        raise ValidationError(_("%(name)s is not a known time zone."), params={"name": name}) from None


class User(AbstractUser):
    """An owner of records, or a login, or both.

    An *owner* is a tenant: its rows in other tables carry this id. A *login* signs in to the admin and has
    a password, roles and `is_staff`. Owners do not sign in; ingest makes them with an unusable password.
    Users are deactivated, never deleted: too much hangs on them (erasure is a job of its own).
    """

    time_zone = models.CharField(
        _("time zone"), max_length=64, default="UTC", db_default="UTC", validators=[validate_time_zone]
    )

    class Meta:
        db_table = "users"
        verbose_name = _("user")
        verbose_name_plural = _("users")


class AuditEvent(models.Model):
    """One line of the audit log: who did what to what, when, and the state before and after.

    Append-only by trigger. `actor_name` keeps the name as it was; `actor` is empty for what the system did.
    """

    id = models.BigAutoField(primary_key=True)
    at = models.DateTimeField(_("when"), db_default=Now(), editable=False)
    actor = models.ForeignKey(
        User, on_delete=models.DO_NOTHING, null=True, blank=True, related_name="+", verbose_name=_("who")
    )
    actor_name = models.CharField(_("who (name then)"), max_length=150, blank=True)
    action = models.CharField(_("what"), max_length=64)
    target_type = models.CharField(_("kind of target"), max_length=64)
    target_id = models.CharField(_("target"), max_length=200)
    before = ExactJSONField(_("before"), null=True)
    after = ExactJSONField(_("after"), null=True)
    reason = models.TextField(_("reason"), blank=True)

    class Meta:
        db_table = "audit_events"
        verbose_name = _("audit event")
        verbose_name_plural = _("audit log")
        ordering: ClassVar[list[str]] = ["-id"]
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=["target_type", "target_id", "-id"], name="audit_events_target_ix"),
            models.Index(fields=["actor", "-id"], name="audit_events_actor_ix"),
            # What was done although a review was due: few among many, and looked for by the first page.
            models.Index(
                fields=["-id"],
                condition=models.Q(after__without_review=True),
                name="audit_events_unreviewed_ix",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.action} {self.target_type} {self.target_id}"


class JobState(models.TextChoices):
    PENDING = "pending", _("pending")
    RUNNING = "running", _("running")
    PAUSED = "paused", _("paused")
    DONE = "done", _("done")
    COMPLETED_WITH_ERRORS = "completed_with_errors", _("completed with errors")
    FAILED = "failed", _("failed")
    CANCELLED = "cancelled", _("cancelled")


LIVE_JOB_STATES = (JobState.PENDING, JobState.RUNNING, JobState.PAUSED)


class JobQueue(models.TextChoices):
    INTERACTIVE = "interactive", _("interactive")
    RECOMPUTE = "recompute", _("recompute")
    LIFECYCLE = "lifecycle", _("lifecycle")


class Job(models.Model):
    """One piece of background work. This row is the truth; the queue only rings the bell.

    `wanted` counts how often the work was asked for while the job was live: it is remembered in
    `wanted_seen` before a pass over the work begins, and the job may finish only if nobody asked in between.
    It is remembered here and not by the worker, because a pass that goes on from its cursor after a crash or
    a pause has seen only what was asked for before that pass began. `lease_token` fences: a worker that slept
    longer than its lease finds another token here and can write nothing. The marks say what was done at two times of
    late (schemaevo.kernel.progress).
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    kind = models.CharField(_("kind"), max_length=64)
    target = models.CharField(_("target"), max_length=200, blank=True)
    queue = models.CharField(_("queue"), max_length=16, choices=JobQueue.choices)
    state = models.CharField(_("state"), max_length=24, choices=JobState.choices, default=JobState.PENDING)
    options = ExactJSONField(_("options"), default=dict)
    cursor = ExactJSONField(_("cursor"), null=True)
    result = ExactJSONField(_("result"), null=True)
    done_count = models.BigIntegerField(_("done"), default=0)
    total_count = models.BigIntegerField(_("total"), null=True)
    first_mark_at = models.DateTimeField(null=True)
    first_mark_count = models.BigIntegerField(null=True)
    last_mark_at = models.DateTimeField(null=True)
    last_mark_count = models.BigIntegerField(null=True)
    wanted = models.BigIntegerField(default=1)
    wanted_seen = models.BigIntegerField(default=0)
    attempts = models.IntegerField(_("attempts"), default=0)
    lease_token = models.UUIDField(null=True)
    lease_expires_at = models.DateTimeField(null=True)
    requested_by = models.ForeignKey(
        User, on_delete=models.DO_NOTHING, null=True, related_name="+", verbose_name=_("asked for by")
    )
    requested_at = models.DateTimeField(_("asked for"), db_default=Now())
    not_before = models.DateTimeField(_("not before"), db_default=Now())
    rung_at = models.DateTimeField(_("last rung"), null=True)
    started_at = models.DateTimeField(_("started"), null=True)
    finished_at = models.DateTimeField(_("finished"), null=True)
    error = models.TextField(_("error"), blank=True)

    class Meta:
        db_table = "jobs"
        verbose_name = _("job")
        verbose_name_plural = _("jobs")
        ordering: ClassVar[list[str]] = ["-requested_at"]
        permissions = [("control_job", "Can retry, pause, resume and cancel jobs")]
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(
                fields=["kind", "target"],
                condition=models.Q(state__in=[s.value for s in LIVE_JOB_STATES]),
                name="jobs_live_target_uq",
            ),
            models.CheckConstraint(
                condition=~models.Q(state=JobState.RUNNING.value)
                | models.Q(lease_token__isnull=False, lease_expires_at__isnull=False),
                name="jobs_running_has_lease_ck",
            ),
        ]
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=["-requested_at"], name="jobs_requested_ix"),
            models.Index(
                fields=["not_before"],
                condition=models.Q(state__in=["pending", "running"]),
                name="jobs_open_ix",
            ),
            # Whether what went wrong was made good since; what was asked for of one kind.
            models.Index(fields=["kind", "target", "-finished_at"], name="jobs_work_ix"),
            models.Index(
                fields=["-requested_at"],
                condition=models.Q(state__in=["failed", "completed_with_errors"]),
                name="jobs_wrong_ix",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.target}".strip()


class LogLevel(models.TextChoices):
    INFO = "info", _("info")
    WARNING = "warning", _("warning")
    ERROR = "error", _("error")


class JobLogLine(models.Model):
    """One line of what became of a job, for people to read. Holds no stored values, and goes with its job."""

    id = models.BigAutoField(primary_key=True)
    job = models.ForeignKey(
        Job,
        on_delete=models.DO_NOTHING,
        db_constraint=False,
        db_index=False,
        related_name="+",
        verbose_name=_("job"),
    )
    at = models.DateTimeField(_("when"), db_default=Now(), editable=False)
    level = models.CharField(_("level"), max_length=8, choices=LogLevel.choices, default=LogLevel.INFO)
    text = models.TextField(_("what"))

    class Meta:
        db_table = "job_log_lines"
        verbose_name = _("line of a job's log")
        verbose_name_plural = _("logs of jobs")
        default_permissions = ()
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=["job", "id"], name="job_log_lines_job_ix"),
        ]

    def __str__(self) -> str:
        return self.text


class Pause(models.Model):
    """The one switch. While its row is there, no ingest takes another batch and no job is claimed."""

    id = models.SmallIntegerField(primary_key=True, default=1, editable=False)
    paused_at = models.DateTimeField(_("since"), db_default=Now(), editable=False)
    paused_by = models.CharField(_("who"), max_length=150)
    reason = models.TextField(_("reason"), blank=True)

    class Meta:
        db_table = "pauses"
        verbose_name = _("pause")
        verbose_name_plural = _("pauses")
        default_permissions = ()
        permissions = [("switch_pause", "Can pause and resume all ingest and all jobs")]
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.CheckConstraint(condition=models.Q(id=1), name="pauses_single_ck")
        ]

    def __str__(self) -> str:
        return f"paused by {self.paused_by}"
