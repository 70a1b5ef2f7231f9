"""What becomes of proposals by themselves: they are outdated when their base is, and they expire."""

from __future__ import annotations

from typing import Final

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from registry.domain.proposal import MOVES, Action, State
from registry.models import Proposal, ProposalNews, ProposalState
from registry.selectors import version_in_force
from registry.services.proposal_moves import proposal_move, require_move
from registry.services.proposal_notices import notices_owe
from registry.services.proposals import DECIDE
from schemaevo.kernel.actors import Actor
from schemaevo.kernel.audit import audit_record
from schemaevo.kernel.canonical import JsonObject

#: The job that ends proposals whose time has passed.
EXPIRE: Final = "expire_proposals"
#: Proposals that one transaction ends.
CHUNK: Final = 100


def proposals_outdate(*, entity_type: str, actor: Actor, applying: int | None = None) -> int:
    """Every open proposal of the type is stale that changes another version than the one in force; gives how many.

    Called by whatever changes the global schema in force, in its transaction, under its lock, so that none is drafted
    meanwhile. `applying` is the proposal by which that is done.
    """
    present = version_in_force(entity_type=entity_type, user_id=None)
    is_other = Q(base_version__isnull=False) if present is None else ~Q(base_version=present)
    found = list(
        Proposal.objects.select_for_update()
        .filter(is_other, entity_type=entity_type, state__in=[state.value for state in MOVES[Action.OUTDATE]])
        .exclude(pk__in=[] if applying is None else [applying])
        .order_by("pk")
        .only("pk", "state", "author_id", "last_editor_id")
    )
    Proposal.objects.filter(pk__in=[proposal.pk for proposal in found]).update(state=ProposalState.STALE)
    outdated = []
    for proposal in found:
        after: JsonObject = {
            "state": State.STALE.value,
            "entity_type": entity_type,
            "in_force": present.number if present else None,
        }
        event = audit_record(
            actor=actor,
            action="proposal.outdate",
            target_type="proposal",
            target_id=proposal.pk,
            before={"state": proposal.state},
            after=after,
        )
        outdated.append((proposal, event))
    notices_owe(news=ProposalNews.STALE, happened=outdated)
    return len(found)


@transaction.atomic
def proposals_expire(*, actor: Actor) -> int:
    """The next proposals whose time has passed are expired; gives how many, 0 at the end. Raises: Denied."""
    actor.require(DECIDE)
    # What somebody decides about just now is not waited for: the next run sees what came of it.
    found = list(
        Proposal.objects.select_for_update(skip_locked=True)
        .filter(state__in=[state.value for state in MOVES[Action.EXPIRE]], expires_at__lte=timezone.now())
        .order_by("pk")[:CHUNK]
    )
    for proposal in found:
        proposal_move(
            proposal=proposal,
            action=Action.EXPIRE,
            to=require_move(proposal, Action.EXPIRE),
            actor=actor,
            after={"expires_at": proposal.expires_at.isoformat() if proposal.expires_at else None},
        )
    return len(found)
