"""What nobody wants recommended: names by pattern, and single fields, for good or until a time."""

from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from fragments.domain.ignoring import PATTERN_MAX_LENGTH


class IgnoredPattern(models.Model):
    """A line of an ignore list: undeclared fields of such a name are recommended to nobody whom it is for.

    Without an owner it is for all users and for what is recommended over all of them; with an empty entity type it is
    for every type. `pattern` is normalised, as the names are that it is compared with (domain/ignoring.py).
    """

    id = models.BigAutoField(primary_key=True)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.DO_NOTHING,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("owner"),
    )
    entity_type = models.CharField(_("entity type"), max_length=63, blank=True)
    pattern = models.CharField(_("pattern"), max_length=2 * PATTERN_MAX_LENGTH)
    reason = models.TextField(_("reason"), blank=True)
    made_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.DO_NOTHING,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("by"),
    )
    made_by_name = models.CharField(_("by (name then)"), max_length=150)
    made_at = models.DateTimeField(_("since"), db_default=Now())

    class Meta:
        db_table = "ignored_patterns"
        verbose_name = _("ignored pattern")
        verbose_name_plural = _("ignore list")
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(
                fields=["user", "entity_type", "pattern"],
                nulls_distinct=False,
                name="ignored_patterns_pattern_uq",
            ),
        ]
        permissions = [("ignore_fields", "Can edit the lists of fields that are never recommended")]

    def __str__(self) -> str:
        return self.pattern


class DismissalOrigin(models.TextChoices):
    """What made a field be dismissed."""

    DECISION = "decision", _("somebody's decision")
    UNDO = "undo", _("its promotion was undone")


class FieldDismissal(models.Model):
    """Somebody does not want this field recommended: until a time, or for good. Gone once it is recalled.

    With an owner it is about that user's field alone; without, about the field over all users of the type, and what is
    recommended to each of them stays.
    """

    id = models.BigAutoField(primary_key=True)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.DO_NOTHING,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("owner"),
    )
    entity_type = models.CharField(_("entity type"), max_length=63)
    fragment_key = models.TextField(_("field"))
    #: Until then it is snoozed; without, it is dismissed.
    until = models.DateTimeField(_("until"), null=True, blank=True)
    origin = models.CharField(
        _("because of"), max_length=16, choices=DismissalOrigin.choices, default=DismissalOrigin.DECISION
    )
    reason = models.TextField(_("reason"), blank=True)
    made_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.DO_NOTHING,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("by"),
    )
    made_by_name = models.CharField(_("by (name then)"), max_length=150)
    made_at = models.DateTimeField(_("since"), db_default=Now())

    class Meta:
        db_table = "field_dismissals"
        verbose_name = _("dismissed field")
        verbose_name_plural = _("dismissed fields")
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(
                fields=["user", "entity_type", "fragment_key"],
                nulls_distinct=False,
                name="field_dismissals_field_uq",
            ),
        ]
        permissions = [("dismiss_field", "Can dismiss and snooze fields that are recommended")]

    def __str__(self) -> str:
        return self.fragment_key
