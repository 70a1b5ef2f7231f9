"""The figures of each day, kept when what they were counted from has gone."""

from typing import ClassVar

from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _


class DailyFigure(models.Model):
    """What one figure came to on one day, which begins and ends at midnight UTC.

    Written by a periodic job alone (schemaevo.kernel.figure_runs). A day without a row was not counted, which is not
    the same as a day on which nothing happened.
    """

    id = models.BigAutoField(primary_key=True)
    day = models.DateField(_("day"))
    figure = models.CharField(_("figure"), max_length=64)
    value = models.BigIntegerField(_("value"))
    #: Whether it was counted; else it is the planner's estimate.
    is_exact = models.BooleanField(_("exact"), default=True)
    counted_at = models.DateTimeField(_("counted"), db_default=Now())

    class Meta:
        db_table = "daily_figures"
        verbose_name = _("figure of a day")
        verbose_name_plural = _("figures of days")
        default_permissions = ()
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["day", "figure"], name="daily_figures_day_uq"),
            models.CheckConstraint(condition=models.Q(value__gte=0), name="daily_figures_value_ck"),
        ]

    def __str__(self) -> str:
        return f"{self.figure} on {self.day}"
