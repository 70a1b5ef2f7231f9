"""Who is to be told what happened to a proposal, until they are."""

from __future__ import annotations

from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from registry.domain.proposal import State


class ProposalNews(models.TextChoices):
    """What logins are told of a proposal: the state that it came into, or that somebody said something."""

    IN_REVIEW = State.IN_REVIEW.value, _("waits for review")
    CHANGES_REQUESTED = State.CHANGES_REQUESTED.value, _("changes requested")
    APPROVED = State.APPROVED.value, _("approved")
    REJECTED = State.REJECTED.value, _("rejected")
    EXPIRED = State.EXPIRED.value, _("expired")
    STALE = State.STALE.value, _("stale")
    FAILED = State.FAILED.value, _("applying it was refused")
    APPLIED = State.APPLIED.value, _("applied")
    UNDONE = State.UNDONE.value, _("undone")
    COMMENTED = "commented", _("commented on")


class ProposalNotice(models.Model):
    """One login is to be told of one event. Written in the event's transaction; mailed by a job, after it."""

    id = models.BigAutoField(primary_key=True)
    proposal = models.ForeignKey(
        "registry.Proposal", on_delete=models.PROTECT, related_name="+", verbose_name=_("proposal")
    )
    login = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.DO_NOTHING, related_name="+", verbose_name=_("login")
    )
    kind = models.CharField(_("what"), max_length=20, choices=ProposalNews.choices)
    event = models.ForeignKey(
        "kernel.AuditEvent",
        on_delete=models.DO_NOTHING,
        # The unique constraint begins with it.
        db_index=False,
        related_name="+",
        verbose_name=_("event"),
    )
    made_at = models.DateTimeField(_("since"), db_default=Now(), editable=False)
    mailed_at = models.DateTimeField(_("mailed"), null=True, blank=True)

    class Meta:
        db_table = "proposal_notices"
        verbose_name = _("notice about a proposal")
        verbose_name_plural = _("notices about proposals")
        # They are seen in mails only.
        default_permissions = ()
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.CheckConstraint(
                condition=models.Q(kind__in=ProposalNews.values), name="proposal_notices_kind_ck"
            ),
            models.UniqueConstraint(fields=["event", "login"], name="proposal_notices_event_uq"),
        ]
        indexes: ClassVar[list[models.Index]] = [
            models.Index(
                fields=["login", "id"],
                condition=models.Q(mailed_at__isnull=True),
                name="proposal_notices_to_mail_ix",
            ),
        ]

    def __str__(self) -> str:
        return f"#{self.proposal_id} {self.kind}"
