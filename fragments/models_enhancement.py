"""Auto-enhancement: for whom fields are promoted by themselves, and what was done or tried."""

from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from schemaevo.kernel.fields import ExactJSONField


class EnhancementMode(models.TextChoices):
    OFF = "off", _("off")
    SUGGEST = "suggest", _("suggest")
    AUTO = "auto", _("auto")


class EnhancementSetting(models.Model):
    """How far one user's schema of one type grows by itself. Without a row it is *suggest*: fields are recommended, and
    somebody promotes them. With *auto* a job does; *off* recommends nothing."""

    id = models.BigAutoField(primary_key=True)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.DO_NOTHING, related_name="+", verbose_name=_("owner")
    )
    entity_type = models.CharField(_("entity type"), max_length=63)
    mode = models.CharField(_("mode"), max_length=16, choices=EnhancementMode.choices)
    set_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.DO_NOTHING,
        null=True,
        related_name="+",
        verbose_name=_("set by"),
    )
    set_at = models.DateTimeField(_("set"), db_default=Now())

    class Meta:
        db_table = "enhancement_settings"
        verbose_name = _("auto-enhancement")
        verbose_name_plural = _("auto-enhancement")
        default_permissions = ("view",)
        permissions = [("set_enhancement", "Can let schemas grow by themselves, or not")]
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["user", "entity_type"], name="enhancement_settings_owner_uq"),
            models.CheckConstraint(
                condition=models.Q(mode__in=EnhancementMode.values), name="enhancement_settings_mode_ck"
            ),
        ]
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=["id"], condition=models.Q(mode="auto"), name="enhancement_settings_auto_ix")
        ]

    def __str__(self) -> str:
        return f"{self.entity_type}: {self.mode}"


class EnhancementState(models.TextChoices):
    PROMOTED = "promoted", _("promoted")
    WAITING = "waiting", _("will be tried again")
    GIVEN_UP = "given_up", _("given up")


class Enhancement(models.Model):
    """A field that auto-enhancement has promoted, or tried to, and why.

    `confidence` is in ten-thousandths; `reasons` are its factors in words, and hold no value of a record.
    `frequency_total` is how often the field had been seen: what was given up is tried again once that has doubled.
    """

    id = models.BigAutoField(primary_key=True)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.DO_NOTHING,
        db_index=False,
        related_name="+",
        verbose_name=_("owner"),
    )
    entity_type = models.CharField(_("entity type"), max_length=63)
    fragment_key = models.TextField(_("field"))
    state = models.CharField(_("state"), max_length=16, choices=EnhancementState.choices)
    confidence = models.IntegerField(_("confidence"))
    frequency_total = models.BigIntegerField(_("seen"))
    reasons = ExactJSONField(_("reasons"), default=list)
    promotion = models.ForeignKey(
        "fragments.Promotion",
        on_delete=models.DO_NOTHING,
        null=True,
        related_name="+",
        verbose_name=_("promotion"),
    )
    attempts = models.IntegerField(_("attempts"), default=0)
    error = models.CharField(_("error"), max_length=200, blank=True)
    tried_at = models.DateTimeField(_("last tried"), db_default=Now())
    #: When it is tried again; none where it is not.
    next_at = models.DateTimeField(_("next"), null=True)

    class Meta:
        db_table = "enhancements"
        verbose_name = _("enhancement")
        verbose_name_plural = _("enhancements")
        ordering: ClassVar[list[str]] = ["-id"]
        default_permissions = ("view",)
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(
                fields=["user", "entity_type", "fragment_key"],
                condition=~models.Q(state="promoted"),
                name="enhancements_open_uq",
            ),
            models.CheckConstraint(
                condition=models.Q(state="promoted", promotion__isnull=False, next_at__isnull=True)
                | models.Q(state="waiting", promotion__isnull=True, next_at__isnull=False)
                | models.Q(state="given_up", promotion__isnull=True, next_at__isnull=True),
                name="enhancements_state_ck",
            ),
        ]
        indexes: ClassVar[list[models.Index]] = [
            # The list of one owner's, newest first.
            models.Index(fields=["user", "id"], name="enhancements_owner_ix"),
        ]

    def __str__(self) -> str:
        return f"{self.fragment_key} ({self.state})"
