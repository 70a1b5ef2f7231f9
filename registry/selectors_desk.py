"""The desk of a login: the proposals that wait for it, those that it wrote, and what each of them waits for."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.db.models import BooleanField, Exists, ExpressionWrapper, F, OuterRef, Q, QuerySet

from registry.domain.proposal import OPEN, Action, State
from registry.models import (
    Proposal,
    ProposalAct,
    ProposalDecision,
    ProposalTrial,
    ProposalVerdict,
    TrialState,
)
from registry.selectors_proposal_pages import approvals_of
from registry.selectors_proposals import PERMISSIONS
from registry.selectors_trials import trials_seen
from schemaevo.kernel.models import User

#: More than so many are not counted.
COUNTED: Final = 99


class Desk(StrEnum):
    """What a login comes for."""

    REVIEW = "review"
    """What it can decide about, or apply."""
    MINE = "mine"
    """What it wrote or edited last, as long as something may come of it."""


@dataclass(frozen=True, slots=True)
class Waits:
    """What is known of a proposal that waits: how many approvals count, and the state of the trial of what it says now,
    where one that is done comes before one that is under way, and that before one that failed. `is_stopped` says that
    the one that is under way was left by its job."""

    approvals: int
    trial: TrialState | None
    is_stopped: bool = False


def may_review(login: User) -> bool:
    """Whether anything could ever wait for the login."""
    return login.has_perm(PERMISSIONS[Action.APPROVE]) or login.has_perm(PERMISSIONS[Action.APPLY])


def proposals_on_desk(*, desk: Desk, login: User, among: QuerySet[Proposal]) -> QuerySet[Proposal]:
    """Those of them that are on that part of the login's desk."""
    if desk is Desk.MINE:
        return among.filter(is_own(login), state__in=[state.value for state in OPEN])
    waits = Q(pk__in=())
    if login.has_perm(PERMISSIONS[Action.APPROVE]):
        waits |= is_to_review(login)
    if login.has_perm(PERMISSIONS[Action.APPLY]):
        waits |= Q(state__in=[State.APPROVED.value, State.FAILED.value])
    return among.filter(waits)


def is_own(login: AbstractBaseUser | AnonymousUser) -> Q:
    """The condition that the login wrote a proposal, or edited it last."""
    return Q(author=login.pk or 0) | Q(last_editor=login.pk or 0)


def is_to_review(login: User) -> Q:
    """The condition that a proposal is in review, and the login could approve it if it may approve any: others wrote
    it, and no approval of the login counts yet."""
    is_others = ~Q(author=login) & (Q(last_editor=None) | ~Q(last_editor=login))
    return Q(is_others, ~has_approved(login), state=State.IN_REVIEW.value)


def has_approved(login: AbstractBaseUser | AnonymousUser) -> Exists:
    """The condition that an approval of the login counts."""
    counting = ProposalDecision.objects.filter(
        proposal=OuterRef("pk"),
        decided_by=login.pk,
        verdict=ProposalVerdict.APPROVE,
        round_number=F("proposal__round_number"),
        content_hash=F("proposal__content_hash"),
    )
    return Exists(counting)


def desk_count(*, desk: Desk, login: User) -> int:
    """How many stand there; of more than COUNTED, one more than that. One query by the index of the states."""
    found = proposals_on_desk(desk=desk, login=login, among=Proposal.objects.order_by())
    return found[: COUNTED + 1].count()


def proposals_seen_by(
    *, login: AbstractBaseUser | AnonymousUser, among: QuerySet[Proposal]
) -> QuerySet[Proposal]:
    """The same, and of each whether the login wrote or edited it (`is_own`), and whether one of its approvals counts
    (`has_mine`)."""
    return among.annotate(
        is_own=ExpressionWrapper(is_own(login), output_field=BooleanField()), has_mine=has_approved(login)
    )


def waits_of(*, proposal_ids: Collection[int]) -> dict[int, Waits]:
    """What is known of each of these proposals. Two queries, however many they are."""
    approvals = approvals_of(proposal_ids=proposal_ids)
    trials = ProposalTrial.objects.filter(
        proposal__in=proposal_ids, act=ProposalAct.APPLY, content_hash=F("proposal__content_hash")
    )
    states: dict[int, set[str]] = {}
    at_work: set[int] = set()
    told = trials_seen(trials).order_by().values_list("proposal", "state", "is_at_work").distinct()
    for proposal, state, is_at_work in told:
        states.setdefault(proposal, set()).add(state)
        if is_at_work:
            at_work.add(proposal)
    return {
        pk: _waits(approvals.get(pk, 0), states.get(pk, set()), is_at_work=pk in at_work)
        for pk in proposal_ids
    }


def _waits(approvals: int, states: set[str], *, is_at_work: bool) -> Waits:
    trial = _foremost(states)
    return Waits(
        approvals,
        trial,
        is_stopped=trial in (TrialState.RUNNING, TrialState.WAITING) and not is_at_work,
    )


def _foremost(states: set[str]) -> TrialState | None:
    for state in (TrialState.DONE, TrialState.RUNNING, TrialState.WAITING, TrialState.FAILED):
        if state in states:
            return state
    return None
