"""Erasures: whose data goes, or went, with everything that belongs to it."""

from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from schemaevo.kernel.fields import ExactJSONField


class Erasure(models.Model):
    """Everything of one owner goes, or everything of one entity of theirs. What is left of it is this row.

    While it runs, `names` are what the owner or the entity is called, and `targets` the numbers of what belongs to it,
    by kind of target of the audit log: the guards of the database let go what is told by them, and nothing else. Both
    are emptied at the end. `counts` says how many rows of each table went, or were cleared of what they said.
    """

    id = models.BigAutoField(primary_key=True)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.DO_NOTHING, related_name="+", verbose_name=_("owner")
    )
    #: Of one entity only; a number alone, since this floor does not know entities.
    entity_type = models.CharField(_("entity type"), max_length=63, blank=True)
    entity_id = models.UUIDField(_("entity"), null=True, blank=True)
    reason = models.TextField(_("reason"))
    requested_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.DO_NOTHING,
        null=True,
        blank=True,
        db_index=False,
        related_name="+",
        verbose_name=_("asked for by"),
    )
    requested_by_name = models.CharField(_("asked for by (name then)"), max_length=150)
    requested_at = models.DateTimeField(_("asked for"), db_default=Now(), editable=False)
    finished_at = models.DateTimeField(_("finished"), null=True, blank=True)
    names = ExactJSONField(default=list, blank=True, editable=False)
    targets = ExactJSONField(default=dict, blank=True, editable=False)
    counts = ExactJSONField(_("rows"), default=dict, blank=True)

    class Meta:
        db_table = "erasures"
        verbose_name = _("erasure")
        verbose_name_plural = _("erasures")
        # Superusers alone ask for them.
        default_permissions = ("view",)
        constraints: ClassVar[list[models.BaseConstraint]] = [
            # An owner is erased once; an entity may come again, and be erased again.
            models.UniqueConstraint(
                fields=["user"], condition=models.Q(entity_id__isnull=True), name="erasures_owner_uq"
            ),
            models.UniqueConstraint(
                fields=["user", "entity_id"],
                condition=models.Q(finished_at__isnull=True, entity_id__isnull=False),
                name="erasures_running_uq",
            ),
            models.CheckConstraint(
                condition=models.Q(finished_at__isnull=True) | models.Q(names=[], targets={}),
                name="erasures_forgotten_ck",
            ),
            models.CheckConstraint(
                condition=models.Q(entity_id__isnull=True, entity_type="")
                | (models.Q(entity_id__isnull=False) & ~models.Q(entity_type="")),
                name="erasures_entity_ck",
            ),
        ]

    def __str__(self) -> str:
        return f"#{self.pk}"

    @property
    def is_done(self) -> bool:
        """Whether nothing is left to erase."""
        return self.finished_at is not None
