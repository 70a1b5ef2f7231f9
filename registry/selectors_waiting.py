"""What waits for a login in this floor: proposals to decide about, to apply or to mend, and upgrade requests."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from django.db.models import BooleanField, Count, ExpressionWrapper, Min, Q

from registry.domain.proposal import Action, State
from registry.models import Proposal, QuotaNotice, QuotaRequest, RequestState
from registry.selectors_desk import is_own, is_to_review
from registry.selectors_proposals import PERMISSIONS
from schemaevo.kernel.job_figures import COUNTED_MAX, Waiting
from schemaevo.kernel.models import User

#: States in which something is asked of somebody; of a draft nothing is asked yet.
_ASKING: Final = (State.IN_REVIEW, State.APPROVED, State.CHANGES_REQUESTED, State.STALE, State.FAILED)


@dataclass(frozen=True, slots=True)
class ProposalsWaiting:
    """What waits for one login: to review, as of others; to apply, or to look at since applying was refused, as its
    permissions go; and of what it wrote or edited last, what came back to it, by state."""

    review: Waiting
    apply: Waiting
    refused: Waiting
    mine: dict[State, Waiting]


def proposals_waiting(*, login: User) -> ProposalsWaiting:
    """See `ProposalsWaiting`. One query by the index of the states."""
    mine = is_own(login)
    may_apply = login.has_perm(PERMISSIONS[Action.APPLY])
    sorts = {
        "review": Q(is_to_review=True),
        "apply": Q(state=State.APPROVED),
        "refused": Q(state=State.FAILED),
        **{
            state.value: Q(state=state) & mine
            for state in (State.CHANGES_REQUESTED, State.STALE, State.FAILED)
        },
    }
    to_review = ExpressionWrapper(is_to_review(login), output_field=BooleanField())
    counts = Proposal.objects.filter(state__in=_ASKING).annotate(is_to_review=to_review)
    found = counts.aggregate(
        **{f"{name}_count": Count("pk", filter=condition) for name, condition in sorts.items()},
        **{f"{name}_oldest": Min("moved_at", filter=condition) for name, condition in sorts.items()},
    )

    def waiting(name: str, is_asked: bool = True) -> Waiting:
        oldest: datetime | None = found[f"{name}_oldest"]
        return Waiting(min(found[f"{name}_count"], COUNTED_MAX + 1), oldest) if is_asked else NOTHING_WAITS

    return ProposalsWaiting(
        review=waiting("review", login.has_perm(PERMISSIONS[Action.APPROVE])),
        apply=waiting("apply", may_apply),
        refused=waiting("refused", may_apply),
        mine={
            State.CHANGES_REQUESTED: waiting(State.CHANGES_REQUESTED.value),
            State.STALE: waiting(State.STALE.value),
            # Whoever may apply sees all of these already.
            State.FAILED: waiting(State.FAILED.value, not may_apply),
        },
    )


NOTHING_WAITS: Final = Waiting(0, None)


def requests_waiting(*, login: User) -> Waiting:
    """Upgrade requests that somebody else asked for. One query."""
    asked = QuotaRequest.objects.filter(state=RequestState.PENDING).exclude(asked_by=login)
    return Waiting.since(list(asked.order_by("pk").values_list("asked_at", flat=True)[: COUNTED_MAX + 1]))


def owners_full() -> Waiting:
    """Owners who use all of a limit, by the notices of the database. One query."""
    notices = QuotaNotice.objects.filter(cleared_at__isnull=True, threshold=100)
    rows = notices.order_by("user").values("user").annotate(since=Min("crossed_at"))
    return Waiting.since([row["since"] for row in rows[: COUNTED_MAX + 1]])
