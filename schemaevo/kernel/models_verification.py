"""The history of `verify`: what was compared, when, by whom, and what came of it."""

from typing import ClassVar

from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from schemaevo.kernel.fields import ExactJSONField


class VerifyScope(models.TextChoices):
    """How much of what there is was compared."""

    SAMPLE = "sample", _("sample")
    ALL = "all", _("all")


class VerifyOutcome(models.Model):
    """What one verification found of one kind of what is stored twice. Written once, when that kind was gone through.

    `verification` is shared by the kinds of one verification. `job_id` is a number only, since jobs may go before this
    does. `examples` name the first findings by ids, never by values. What was `divergent` and not `repaired` was left
    as it is.
    """

    id = models.BigAutoField(primary_key=True)
    verification = models.UUIDField(_("verification"), editable=False)
    kind = models.CharField(_("kind"), max_length=64)
    job_id = models.UUIDField(_("job"), null=True, editable=False)
    actor_name = models.CharField(_("who (name then)"), max_length=150)
    scope = models.CharField(_("scope"), max_length=8, choices=VerifyScope.choices)
    #: The part of the store it was narrowed to; empty for all of it.
    target = models.CharField(_("only"), max_length=200, blank=True)
    is_repair = models.BooleanField(_("with repair"), default=False)
    checked = models.BigIntegerField(_("compared"))
    waiting = models.BigIntegerField(_("waiting"), default=0)
    divergent = models.BigIntegerField(_("divergent"))
    repaired = models.BigIntegerField(_("repaired"), default=0)
    examples = ExactJSONField(_("examples"), default=list)
    #: Of work; a job may have rested in between.
    seconds = models.FloatField(_("seconds"))
    began_at = models.DateTimeField(_("began"))
    finished_at = models.DateTimeField(_("finished"), db_default=Now(), editable=False)

    class Meta:
        db_table = "verify_outcomes"
        verbose_name = _("verification")
        verbose_name_plural = _("verifications")
        ordering: ClassVar[list[str]] = ["-id"]
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["verification", "kind"], name="verify_outcomes_kind_uq"),
            models.CheckConstraint(
                condition=models.Q(
                    checked__gte=0,
                    waiting__gte=0,
                    repaired__gte=0,
                    divergent__gte=models.F("repaired"),
                    divergent__lte=models.F("checked"),
                ),
                name="verify_outcomes_counts_ck",
            ),
            models.CheckConstraint(
                condition=models.Q(is_repair=True) | models.Q(repaired=0), name="verify_outcomes_repaired_ck"
            ),
        ]
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=["kind", "-id"], name="verify_outcomes_kind_ix"),
            models.Index(fields=["finished_at"], name="verify_outcomes_finished_ix"),
            models.Index(
                fields=["-id"], condition=models.Q(divergent__gt=0), name="verify_outcomes_divergent_ix"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} #{self.pk}"

    @property
    def left(self) -> int:
        """How much of what diverged was left as it is."""
        return self.divergent - self.repaired
