"""Corrections: who said why that a field is otherwise than it was observed."""

from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _


class Correction(models.Model):
    """What stands behind an observation of the origin `correction`: its field, who made it, and the reason.

    The value is in the observation alone. `made_by_name` keeps the name as it was; `made_by` is empty for what was done
    from the shell.
    """

    observation = models.OneToOneField(
        "snapshots.Observation",
        primary_key=True,
        on_delete=models.DO_NOTHING,
        db_constraint=False,
        related_name="+",
        verbose_name=_("observation"),
    )
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.DO_NOTHING,
        db_constraint=False,
        db_index=False,
        related_name="+",
        verbose_name=_("owner"),
    )
    entity = models.ForeignKey(
        "snapshots.EntitySnapshot",
        on_delete=models.DO_NOTHING,
        db_constraint=False,
        db_index=False,
        related_name="+",
        verbose_name=_("entity"),
    )
    field = models.CharField(_("field"), max_length=128)
    reason = models.TextField(_("reason"))
    made_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.DO_NOTHING,
        null=True,
        db_index=False,
        related_name="+",
        verbose_name=_("corrected by"),
    )
    made_by_name = models.CharField(_("corrected by (name then)"), max_length=150, blank=True)
    made_at = models.DateTimeField(_("corrected"), db_default=Now())

    class Meta:
        db_table = "corrections"
        verbose_name = _("correction")
        verbose_name_plural = _("corrections")
        default_permissions = ()
        permissions = [("correct_value", "Can correct a field of an entity, with a reason")]
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=["user", "entity", "-made_at"], name="corrections_entity_ix")
        ]

    def __str__(self) -> str:
        return f"{self.field} by {self.made_by_name}"
