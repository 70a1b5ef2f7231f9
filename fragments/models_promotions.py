"""Promotions: fields that were declared for what waited in fragments."""

from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from schemaevo.kernel.fields import ExactJSONField


class PromotionState(models.TextChoices):
    RUNNING = "running", _("running")
    DONE = "done", _("done")
    UNDOING = "undoing", _("being undone")
    UNDONE = "undone", _("undone")


class PromotionCause(models.TextChoices):
    LOGIN = "login", _("asked for")
    ENHANCEMENT = "enhancement", _("auto-enhancement")


class Promotion(models.Model):
    """One field declared for one user, and what its waiting fragments came to.

    The schema changes with the row; the fragments follow by a job. `declaration` is what was declared, as an
    additional field of an extension is written. The counts are of fragments: `promoted_count` are observations now,
    `misfit_count` did not fit and stay fragments.
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
    declaration = ExactJSONField(_("declared as"), default=dict)
    state = models.CharField(
        _("state"), max_length=16, choices=PromotionState.choices, default=PromotionState.RUNNING
    )
    cause = models.CharField(
        _("cause"), max_length=16, choices=PromotionCause.choices, default=PromotionCause.LOGIN
    )
    promoted_count = models.BigIntegerField(_("promoted"), default=0, db_default=0)
    misfit_count = models.BigIntegerField(_("did not fit"), default=0, db_default=0)
    requested_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.DO_NOTHING,
        null=True,
        db_index=False,
        related_name="+",
        verbose_name=_("asked for by"),
    )
    requested_at = models.DateTimeField(_("asked for"), db_default=Now())
    #: When all fragments had been gone through, and when they were all back.
    finished_at = models.DateTimeField(_("finished"), null=True)
    undone_at = models.DateTimeField(_("undone"), null=True)
    note = models.TextField(_("reason"), blank=True)

    class Meta:
        db_table = "promotions"
        verbose_name = _("promotion")
        verbose_name_plural = _("promotions")
        ordering: ClassVar[list[str]] = ["-id"]
        default_permissions = ("view",)
        permissions = [("promote_field", "Can promote fields, and undo promotions")]
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.CheckConstraint(
                condition=models.Q(state__in=PromotionState.values), name="promotions_state_ck"
            ),
        ]
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=["user", "entity_type", "fragment_key"], name="promotions_field_ix"),
            models.Index(fields=["requested_at"], name="promotions_requested_ix"),
            # What a job has to bring to its end.
            models.Index(
                fields=["entity_type", "user"],
                condition=models.Q(state__in=["running", "undoing"]),
                name="promotions_live_ix",
            ),
        ]

    def __str__(self) -> str:
        return f"#{self.pk} {self.fragment_key}"
