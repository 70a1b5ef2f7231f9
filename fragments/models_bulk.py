"""Acts in bulk: what somebody did to everything that matched a filter."""

from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from schemaevo.kernel.fields import ExactJSONField


class BulkList(models.TextChoices):
    """The list whose rows are acted on."""

    FRAGMENTS = "fragments", _("fragments")
    FIELDS = "undeclared_fields", _("undeclared fields")


class BulkVerb(models.TextChoices):
    """What is done to each row."""

    ARCHIVE = "archive", _("archive")
    RESTORE = "restore", _("restore")
    PROMOTE = "promote", _("promote")
    DISMISS = "dismiss", _("dismiss")
    SNOOZE = "snooze", _("snooze")


#: What can be done to the rows of each list.
VERBS_OF: dict[BulkList, tuple[BulkVerb, ...]] = {
    BulkList.FRAGMENTS: (BulkVerb.ARCHIVE, BulkVerb.RESTORE),
    BulkList.FIELDS: (BulkVerb.PROMOTE, BulkVerb.DISMISS, BulkVerb.SNOOZE),
}


class BulkState(models.TextChoices):
    RUNNING = "running", _("running")
    #: Between two pieces; it can be gone on with from there.
    CANCELLED = "cancelled", _("cancelled")
    DONE = "done", _("done")


class BulkAct(models.Model):
    """One verb for all rows of a list that matched a filter and were there when it was asked for.

    `filter` is the filter as it was read then, by the parameters of the list: an owner stands in it by number.
    `options` are those of the verb: `until` of a snooze, `with_others` of a promotion. A row is looked at where its
    number is above `last_id` and at most `bound_id`, each once, by ascending number; what is done, counted and skipped
    is written with it. `matched_count` = `done_count` + the sum of `skipped`, which has the reasons as codes;
    `refusals` are the first rows that were skipped, in words, and hold no value of a record.
    `asked_count` is how many matched when it was asked for; more than some ten thousand are estimated, and 0
    says that counting took too long.
    """

    id = models.BigAutoField(primary_key=True)
    verb = models.CharField(_("what is done"), max_length=16, choices=BulkVerb.choices)
    listed = models.CharField(_("list"), max_length=24, choices=BulkList.choices)
    filter = ExactJSONField(_("filter"), default=dict, blank=True)
    options = ExactJSONField(_("options"), default=dict, blank=True)
    reason = models.TextField(_("reason"))
    state = models.CharField(_("state"), max_length=16, choices=BulkState.choices, default=BulkState.RUNNING)
    bound_id = models.BigIntegerField()
    last_id = models.BigIntegerField(default=0, db_default=0)
    asked_count = models.BigIntegerField(_("matched when asked for"))
    is_asked_exact = models.BooleanField(default=True, db_default=True)
    matched_count = models.BigIntegerField(_("looked at"), default=0, db_default=0)
    done_count = models.BigIntegerField(_("done"), default=0, db_default=0)
    skipped = ExactJSONField(_("skipped"), default=dict, blank=True)
    refusals = ExactJSONField(_("refusals"), default=list, blank=True)
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
    requested_at = models.DateTimeField(_("asked for"), db_default=Now())
    #: In whose name it goes on after a rest; none where that is who asked.
    resumed_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.DO_NOTHING,
        null=True,
        blank=True,
        db_index=False,
        related_name="+",
        verbose_name=_("resumed by"),
    )
    finished_at = models.DateTimeField(_("finished"), null=True, blank=True)

    class Meta:
        db_table = "bulk_acts"
        verbose_name = _("act in bulk")
        verbose_name_plural = _("acts in bulk")
        ordering: ClassVar[list[str]] = ["-id"]
        # Who may do a thing to one row may do it to many.
        default_permissions = ("view",)
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.CheckConstraint(
                condition=models.Q(listed="fragments", verb__in=["archive", "restore"])
                | models.Q(listed="undeclared_fields", verb__in=["promote", "dismiss", "snooze"]),
                name="bulk_acts_verb_ck",
            ),
            models.CheckConstraint(
                condition=models.Q(state="done", finished_at__isnull=False)
                | models.Q(state__in=["running", "cancelled"], finished_at__isnull=True),
                name="bulk_acts_state_ck",
            ),
        ]

    def __str__(self) -> str:
        return f"#{self.pk} {self.verb}"

    @property
    def is_done(self) -> bool:
        """Whether every row was looked at."""
        return self.state == BulkState.DONE

    @property
    def is_asked_known(self) -> bool:
        """Whether it was told how many rows match: where none does nothing is asked for."""
        return self.asked_count > 0

    @property
    def skipped_count(self) -> int:
        """How many rows were left as they were."""
        return self.matched_count - self.done_count
