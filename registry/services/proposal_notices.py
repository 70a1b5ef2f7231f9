"""Telling logins what happens to proposals: who is told is written down with what happened, and mailed by a job."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Final, TypeAlias

from django.conf import settings
from django.db.models import Exists, OuterRef, QuerySet
from django.db.models.functions import Now

from registry.domain.proposal import Action
from registry.models import Proposal, ProposalComment, ProposalDecision, ProposalNews, ProposalNotice
from registry.selectors_proposals import PERMISSIONS
from schemaevo.kernel.jobs import job_request
from schemaevo.kernel.models import AuditEvent, User
from schemaevo.kernel.retention import Ledger, ledger_register

#: The job that mails what is to be told.
MAIL: Final = "mail_proposals"
_DECIDE: Final = PERMISSIONS[Action.APPROVE]
_VIEW: Final = "registry.view_proposal"
#: Roles are asked for here, whatever backends let somebody sign in.
_ROLES: Final = "django.contrib.auth.backends.ModelBackend"

#: Proposals that something happened to, each with its event.
Happened: TypeAlias = Sequence[tuple[Proposal, AuditEvent]]


def notices_owe(*, news: ProposalNews, happened: Happened) -> None:
    """Whom it concerns will be told, if this transaction commits; but for whoever did it. Once more changes nothing.

    A review concerns all who may decide about it, and all else whoever wrote the proposal; a comment also those who
    decided or commented before. Whoever has no address, does not sign in, or may not see proposals is not told.
    """
    if not happened or not settings.SCHEMAEVO_PROPOSAL_MAIL:
        return
    concerned = _deciders(happened) if news is ProposalNews.IN_REVIEW else _people(news, happened)
    notices = [
        ProposalNotice(proposal=proposal, login_id=login, kind=news, event=event)
        for proposal, event in happened
        for login in sorted(concerned[event.pk])
    ]
    if notices:
        ProposalNotice.objects.bulk_create(notices, ignore_conflicts=True)
        job_request(kind=MAIL)


def notices_next(*, after_login: int, limit: int) -> list[ProposalNotice]:
    """The oldest that one login is to be told, the first one after `after_login` who can be: with login, proposal and
    event. None is left where it gives none."""
    waiting = _to_mail().filter(login__gt=after_login).order_by("login_id", "pk")
    first = waiting.values_list("login_id", flat=True).first()
    if first is None:
        return []
    found = waiting.filter(login=first).select_related("login", "proposal", "event")
    return list(found.defer("proposal__edits", "proposal__evidence", "event__before", "event__after")[:limit])


def notices_mailed(notices: Collection[ProposalNotice]) -> None:
    """Of these nobody is told again."""
    ProposalNotice.objects.filter(pk__in=[notice.pk for notice in notices]).update(mailed_at=Now())


def _to_mail() -> QuerySet[ProposalNotice]:
    """What nobody was told about yet and somebody still can be."""
    return ProposalNotice.objects.filter(
        mailed_at__isnull=True, login__is_active=True, login__is_staff=True
    ).exclude(login__email="")


def _reachable(permission: str) -> QuerySet[User]:
    """Who has the permission, signs in, and has an address."""
    holders: QuerySet[User] = User.objects.with_perm(permission, backend=_ROLES)
    return holders.filter(is_staff=True).exclude(email="")


def _deciders(happened: Happened) -> dict[int, set[int]]:
    """By event: those who could approve the proposal."""
    deciders = set(_reachable(_DECIDE).values_list("pk", flat=True))
    return {
        event.pk: deciders - {proposal.author_id, proposal.last_editor_id, event.actor_id}
        for proposal, event in happened
    }


def _people(news: ProposalNews, happened: Happened) -> dict[int, set[int]]:
    """By event: those who wrote the proposal, and of a comment those who had a say in it."""
    concerned: dict[int, set[int]] = {}
    for proposal, event in happened:
        people: set[int | None] = {proposal.author_id, proposal.last_editor_id}
        if news is ProposalNews.COMMENTED:
            said = ProposalComment.objects.filter(proposal=proposal).values_list("written_by", flat=True)
            decided = ProposalDecision.objects.filter(proposal=proposal).values_list("decided_by", flat=True)
            people |= {*said.distinct().order_by(), *decided.distinct().order_by()}
        concerned[event.pk] = {login for login in people if login is not None and login != event.actor_id}
    anybody = set[int]().union(*concerned.values())
    reachable = set(_reachable(_VIEW).filter(pk__in=anybody).values_list("pk", flat=True))
    return {event: reachable & people for event, people in concerned.items()}


# --- notices do not stay for ever -------------------------------------------------------------------------
def _old(cutoff: datetime) -> QuerySet[ProposalNotice]:
    """What was mailed, or can be mailed to nobody any more."""
    waits = _to_mail().filter(pk=OuterRef("pk"))
    return ProposalNotice.objects.filter(~Exists(waits), made_at__lt=cutoff)


def _old_count(cutoff: datetime) -> int:
    return _old(cutoff).count()


def _old_delete(cutoff: datetime, limit: int) -> int:
    ids = list(_old(cutoff).order_by("pk").values_list("pk", flat=True)[:limit])
    deleted, _ = ProposalNotice.objects.filter(pk__in=ids).delete()
    return deleted


def register() -> None:
    """Old notices are trimmed by the periodic job."""
    ledger_register(Ledger("proposal_notices", "SCHEMAEVO_RETENTION_DAYS_JOBS", _old_count, _old_delete))
