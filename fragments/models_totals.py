"""What every undeclared field comes to over all owners who have it, added up by a job."""

from typing import ClassVar

from django.db import models
from django.db.models import F
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from schemaevo.kernel.fields import ExactJSONField


class FieldTotal(models.Model):
    """The counts of one undeclared field of an entity type, those of all its owners added up. Kept by a periodic job.

    The columns mean what those of RawFragmentAggregate do, `user_count` is how many owners have values that wait, and
    `confidence` (ten-thousandths) is that over all of them together. Exact as of `counted_at`. Owners are counted,
    never named, and no value of a record is here.
    """

    id = models.BigAutoField(primary_key=True)
    entity_type = models.CharField(_("entity type"), max_length=63)
    fragment_key = models.TextField(_("field"))
    user_count = models.BigIntegerField(_("owners"))
    sample_count = models.BigIntegerField(_("values"))
    frequency_total = models.BigIntegerField(_("seen"))
    unique_sources = models.BigIntegerField(_("sources"))
    type_counts = ExactJSONField(_("types"), default=dict)
    format_counts = ExactJSONField(_("formats"), default=dict)
    dominant_type = models.CharField(_("type of most"), max_length=16, blank=True)
    type_consistency = models.IntegerField(_("share of that type"))
    confidence = models.IntegerField(_("confidence"))
    last_seen_at = models.DateTimeField(_("last seen"), null=True)
    counted_at = models.DateTimeField(_("counted"), db_default=Now())

    class Meta:
        db_table = "field_totals"
        verbose_name = _("field over all owners")
        verbose_name_plural = _("fields over all owners")
        default_permissions = ("view",)
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["entity_type", "fragment_key"], name="field_totals_field_uq"),
        ]
        indexes: ClassVar[list[models.Index]] = [
            # The list, best first: of all types, and of one.
            models.Index(
                F("confidence").desc(), F("user_count").desc(), F("id").desc(), name="field_totals_best_ix"
            ),
            models.Index(
                F("entity_type"),
                F("confidence").desc(),
                F("user_count").desc(),
                F("id").desc(),
                name="field_totals_type_ix",
            ),
            # A name, and what it begins with, whatever the collation of the database.
            models.Index(
                fields=["fragment_key"], opclasses=["text_pattern_ops"], name="field_totals_name_ix"
            ),
        ]

    def __str__(self) -> str:
        return self.fragment_key
