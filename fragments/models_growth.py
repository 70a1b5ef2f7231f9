"""How many owners have an undeclared field, now and on the days before."""

from typing import ClassVar

from django.db import models
from django.db.models import F
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from schemaevo.kernel.fields import ExactJSONField


class FieldGrowth(models.Model):
    """The owners of one undeclared field of an entity type. Counted by a periodic job, for the fields of most owners.

    `owners_by_day` says how many there were on each of the last days, by ISO date in UTC; a day that is missing was not
    counted. `gained_30` is the difference to thirty days ago, or to the first day there is; null where there is no
    day before. Owners are counted, never named.
    """

    id = models.BigAutoField(primary_key=True)
    entity_type = models.CharField(_("entity type"), max_length=63)
    fragment_key = models.TextField(_("field"))
    owner_count = models.BigIntegerField(_("owners"))
    owners_by_day = ExactJSONField(_("owners by day"), default=dict)
    gained_7 = models.BigIntegerField(_("gained in 7 days"), null=True)
    gained_30 = models.BigIntegerField(_("gained in 30 days"), null=True)
    gained_90 = models.BigIntegerField(_("gained in 90 days"), null=True)
    counted_at = models.DateTimeField(_("counted"), db_default=Now())

    class Meta:
        db_table = "field_growth"
        verbose_name = _("growth of a field")
        verbose_name_plural = _("growth of fields")
        default_permissions = ()
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["entity_type", "fragment_key"], name="field_growth_field_uq"),
        ]
        # What a page asks for: the fields that gained most, of those that gained anything.
        indexes: ClassVar[list[models.Index]] = [
            models.Index(
                F(f"gained_{days}").desc(),
                F("owner_count").desc(),
                F("id").desc(),
                condition=models.Q((f"gained_{days}__gt", 0)),
                name=f"field_growth_gained_{days}_ix",
            )
            for days in (7, 30, 90)
        ]

    def __str__(self) -> str:
        return f"{self.entity_type} {self.fragment_key}"
