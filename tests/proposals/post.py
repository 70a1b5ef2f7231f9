"""Mail servers that do not take every address, or outlive whoever mails."""

from __future__ import annotations

from collections.abc import Sequence
from smtplib import SMTPRecipientsRefused

from django.core.mail import EmailMessage
from django.core.mail.backends.locmem import EmailBackend

from schemaevo.kernel.models import Job, JobState


class ChoosyPost(EmailBackend):
    """Mails to `nobody@…` are refused as a server refuses them; all others stand in `mail.outbox`."""

    def send_messages(self, email_messages: Sequence[EmailMessage]) -> int:
        for message in email_messages:
            refused = {to: (550, b"no such person") for to in message.to if to.startswith("nobody@")}
            if refused:
                raise SMTPRecipientsRefused(refused)
        return int(super().send_messages(email_messages))


class LastPost(EmailBackend):
    """Each mail goes out, and just then its job is taken from the worker, as from one that died or slept too long."""

    def send_messages(self, email_messages: Sequence[EmailMessage]) -> int:
        sent = int(super().send_messages(email_messages))
        Job.objects.filter(state=JobState.RUNNING).update(
            state=JobState.PENDING, lease_token=None, lease_expires_at=None
        )
        return sent
