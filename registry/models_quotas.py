"""How much users may declare: counters and maxima, upgrade requests, what was granted, and notices of what fills up.

The database itself keeps the counters and the maxima (sql/0007 and later): the first follow from schemas and
extensions, the second from grants. Nothing here is to be saved by hand; services/quotas.py and
services/quota_requests.py say how.
"""

from datetime import UTC, datetime
from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

#: What every owner may have without a grant. The database has the same numbers (sql/0007).
DEFAULT_MAX_SCHEMAS = 10
DEFAULT_MAX_FIELDS = 200
#: No maximum is above this one.
MAXIMUM_MAX = 1_000_000
#: Every grant that ends does so before this time. The last years there are cannot be shown in every time zone.
UNTIL_BEFORE = datetime(3000, 1, 1, tzinfo=UTC)


class QuotaLimit(models.TextChoices):
    """What is limited."""

    SCHEMAS = "schemas", _("schemas")
    FIELDS = "fields", _("fields")


class UserQuota(models.Model):
    """How much a user has declared, and how much they may.

    A schema counts for each entity type in which the user has an own version that is not retired, or an extension
    that says something. Fields are those of the own version in force, else of the newest that is not retired, and
    those that extensions add. The `peak` columns say how high the counters were in the transaction that changed them
    last: what was there when it began it may put back.
    """

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL,
        primary_key=True,
        on_delete=models.DO_NOTHING,
        related_name="+",
        verbose_name=_("owner"),
    )
    schema_count = models.IntegerField(_("schemas"), default=0, db_default=0, editable=False)
    max_schemas = models.IntegerField(
        _("schemas at most"), default=DEFAULT_MAX_SCHEMAS, db_default=DEFAULT_MAX_SCHEMAS, editable=False
    )
    total_fields = models.IntegerField(_("fields"), default=0, db_default=0, editable=False)
    max_fields = models.IntegerField(
        _("fields at most"), default=DEFAULT_MAX_FIELDS, db_default=DEFAULT_MAX_FIELDS, editable=False
    )
    peak_schema_count = models.IntegerField(default=0, db_default=0, editable=False)
    peak_total_fields = models.IntegerField(default=0, db_default=0, editable=False)
    changed_in = models.BigIntegerField(default=0, db_default=0, editable=False)
    changed_at = models.DateTimeField(_("changed"), db_default=Now(), editable=False)

    class Meta:
        db_table = "user_schema_quotas"
        verbose_name = _("quota")
        verbose_name_plural = _("quotas")
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.CheckConstraint(
                condition=models.Q(schema_count__gte=0, total_fields__gte=0),
                name="user_schema_quotas_counters_ck",
            )
        ]

    def __str__(self) -> str:
        # A name costs no query: where the owner is not known here, the number has to do.
        return str(self._state.fields_cache.get("user") or f"#{self.user_id}")


class RequestState(models.TextChoices):
    """Where an upgrade request stands. All but pending are final."""

    PENDING = "pending", _("pending")
    APPROVED = "approved", _("approved")
    REJECTED = "rejected", _("rejected")
    WITHDRAWN = "withdrawn", _("withdrawn")


class QuotaRequest(models.Model):
    """Somebody asks for higher maxima for an owner; somebody else decides.

    A limit that is not asked for is empty. A trigger lets a request only be decided once, and only be changed by
    that; the row holds who asked and who decided, so that a check can compare them.
    """

    id = models.BigAutoField(primary_key=True)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.DO_NOTHING, related_name="+", verbose_name=_("owner")
    )
    asked_max_schemas = models.IntegerField(_("schemas asked for"), null=True, blank=True)
    asked_max_fields = models.IntegerField(_("fields asked for"), null=True, blank=True)
    reason = models.TextField(_("reason"))
    asked_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.DO_NOTHING, related_name="+", verbose_name=_("asked by")
    )
    asked_at = models.DateTimeField(_("asked"), db_default=Now())
    state = models.CharField(
        _("state"), max_length=16, choices=RequestState.choices, default=RequestState.PENDING
    )
    decided_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.DO_NOTHING,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("decided by"),
    )
    decided_at = models.DateTimeField(_("decided"), null=True, blank=True)
    decision_note = models.TextField(_("note"), blank=True)
    granted_max_schemas = models.IntegerField(_("schemas granted"), null=True, blank=True)
    granted_max_fields = models.IntegerField(_("fields granted"), null=True, blank=True)
    granted_until = models.DateTimeField(_("granted until"), null=True, blank=True)

    class Meta:
        db_table = "quota_requests"
        verbose_name = _("upgrade request")
        verbose_name_plural = _("upgrade requests")
        permissions = [
            ("request_quota", "Can ask for more quota for an owner"),
            ("decide_quota", "Can decide upgrade requests and set maxima"),
        ]
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(
                fields=["user"], condition=models.Q(state="pending"), name="quota_requests_pending_uq"
            ),
            models.CheckConstraint(
                condition=models.Q(state__in=RequestState.values), name="quota_requests_state_ck"
            ),
            models.CheckConstraint(
                condition=(
                    models.Q(asked_max_schemas__isnull=True)
                    | models.Q(asked_max_schemas__range=(1, MAXIMUM_MAX))
                )
                & (
                    models.Q(asked_max_fields__isnull=True)
                    | models.Q(asked_max_fields__range=(1, MAXIMUM_MAX))
                )
                & models.Q(
                    models.Q(asked_max_schemas__isnull=False) | models.Q(asked_max_fields__isnull=False)
                ),
                name="quota_requests_asked_ck",
            ),
            # Whoever asked never decides, whatever door they come through.
            models.CheckConstraint(
                condition=models.Q(decided_by__isnull=True) | ~models.Q(decided_by=models.F("asked_by")),
                name="quota_requests_four_eyes_ck",
            ),
            models.CheckConstraint(
                condition=models.Q(
                    state__in=["approved", "rejected"], decided_by__isnull=False, decided_at__isnull=False
                )
                | models.Q(state="withdrawn", decided_by__isnull=True, decided_at__isnull=False)
                | models.Q(state="pending", decided_by__isnull=True, decided_at__isnull=True),
                name="quota_requests_decided_ck",
            ),
            models.CheckConstraint(
                condition=models.Q(
                    models.Q(granted_max_schemas__isnull=False) | models.Q(granted_max_fields__isnull=False),
                    state="approved",
                )
                | models.Q(
                    ~models.Q(state="approved"),
                    granted_max_schemas__isnull=True,
                    granted_max_fields__isnull=True,
                    granted_until__isnull=True,
                ),
                name="quota_requests_granted_ck",
            ),
            # The same or less. A CHECK passes what is unknown: a limit that was not asked for needs saying so.
            models.CheckConstraint(
                condition=(
                    models.Q(granted_max_schemas__isnull=True)
                    | models.Q(
                        asked_max_schemas__isnull=False,
                        granted_max_schemas__gte=1,
                        granted_max_schemas__lte=models.F("asked_max_schemas"),
                    )
                )
                & (
                    models.Q(granted_max_fields__isnull=True)
                    | models.Q(
                        asked_max_fields__isnull=False,
                        granted_max_fields__gte=1,
                        granted_max_fields__lte=models.F("asked_max_fields"),
                    )
                ),
                name="quota_requests_not_more_ck",
            ),
        ]
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=["state", "-id"], name="quota_requests_state_ix")
        ]

    def __str__(self) -> str:
        return f"#{self.pk} ({self.state})"


class QuotaGrant(models.Model):
    """What somebody allowed an owner: the newest one that has not ended is the maximum of each limit it names.

    Without any, the default holds. A grant never changes, and only one with an end can end.
    """

    id = models.BigAutoField(primary_key=True)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.DO_NOTHING, related_name="+", verbose_name=_("owner")
    )
    request = models.OneToOneField(
        QuotaRequest, on_delete=models.PROTECT, null=True, blank=True, related_name="grant"
    )
    max_schemas = models.IntegerField(_("schemas at most"), null=True, blank=True)
    max_fields = models.IntegerField(_("fields at most"), null=True, blank=True)
    until = models.DateTimeField(_("until"), null=True, blank=True)
    granted_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.DO_NOTHING,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("granted by"),
    )
    granted_by_name = models.CharField(_("granted by (name then)"), max_length=150)
    note = models.TextField(_("note"), blank=True)
    granted_at = models.DateTimeField(_("granted"), db_default=Now())
    ended_at = models.DateTimeField(_("ended"), null=True, blank=True)

    class Meta:
        db_table = "quota_grants"
        verbose_name = _("quota grant")
        verbose_name_plural = _("quota grants")
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.CheckConstraint(
                condition=(models.Q(max_schemas__isnull=True) | models.Q(max_schemas__range=(0, MAXIMUM_MAX)))
                & (models.Q(max_fields__isnull=True) | models.Q(max_fields__range=(0, MAXIMUM_MAX)))
                & models.Q(models.Q(max_schemas__isnull=False) | models.Q(max_fields__isnull=False)),
                name="quota_grants_maxima_ck",
            ),
            models.CheckConstraint(
                condition=models.Q(ended_at__isnull=True)
                | models.Q(until__isnull=False, ended_at__gte=models.F("until")),
                name="quota_grants_ended_ck",
            ),
        ]
        indexes: ClassVar[list[models.Index]] = [
            models.Index(
                fields=["user", "-id"], condition=models.Q(ended_at__isnull=True), name="quota_grants_live_ix"
            ),
            models.Index(
                fields=["until"],
                condition=models.Q(ended_at__isnull=True, until__isnull=False),
                name="quota_grants_until_ix",
            ),
        ]

    def __str__(self) -> str:
        return f"#{self.pk}"


class QuotaNotice(models.Model):
    """A user came up to 80, or to 100, per cent of a limit. Written by the database, once per crossing.

    It is cleared when the usage falls below; the next crossing is another notice.
    """

    id = models.BigAutoField(primary_key=True)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.DO_NOTHING, related_name="+", verbose_name=_("owner")
    )
    limit = models.CharField(_("limit"), max_length=16, choices=QuotaLimit.choices)
    threshold = models.SmallIntegerField(_("per cent"))
    usage = models.IntegerField(_("usage then"))
    maximum = models.IntegerField(_("maximum then"))
    crossed_at = models.DateTimeField(_("crossed"), db_default=Now())
    cleared_at = models.DateTimeField(_("cleared"), null=True, blank=True)
    mailed_at = models.DateTimeField(_("mailed"), null=True, blank=True)

    class Meta:
        db_table = "quota_notices"
        verbose_name = _("quota notice")
        verbose_name_plural = _("quota notices")
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(
                fields=["user", "limit", "threshold"],
                condition=models.Q(cleared_at__isnull=True),
                name="quota_notices_crossing_uq",
            )
        ]
        indexes: ClassVar[list[models.Index]] = [
            models.Index(
                fields=["id"],
                condition=models.Q(cleared_at__isnull=True, mailed_at__isnull=True),
                name="quota_notices_to_mail_ix",
            )
        ]

    def __str__(self) -> str:
        return f"{self.limit} {self.threshold} %"
