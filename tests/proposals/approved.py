"""Approved proposals with edits that nobody validated: what applying and undoing them does is for any edits."""

from __future__ import annotations

from typing import Any

from registry.models import Proposal
from registry.selectors import version_in_force
from registry.services.proposals import proposal_submit
from schemaevo.kernel.actors import Actor
from schemaevo.kernel.models import User
from tests.factories import THING
from tests.proposals import making
from tests.proposals.making import make_admin, make_trial


def make_proposal(*, edits: list[Any], entity_type: str = THING, author: User | None = None) -> Proposal:
    """A draft about what is in force."""
    proposal = Proposal.objects.create(
        entity_type=entity_type,
        title="a change",
        edits=edits,
        base_version=version_in_force(entity_type=entity_type, user_id=None),
        author=author or make_admin(),
    )
    proposal.refresh_from_db()
    return proposal


def make_approved(*, edits: list[Any], entity_type: str = THING) -> Proposal:
    """A proposal that somebody else approved."""
    proposal = make_proposal(edits=edits, entity_type=entity_type)
    make_trial(proposal=proposal)
    approve(proposal=proposal)
    return proposal


def approve(*, proposal: Proposal) -> None:
    """A draft that was tried is in review, and somebody else approves it."""
    assert proposal.author is not None
    submitted = proposal_submit(proposal_id=proposal.pk, actor=Actor.login(proposal.author))
    making.approve(submitted, make_admin())
    proposal.refresh_from_db()


def schema_admin() -> Actor:
    """Somebody who may do everything about proposals."""
    return Actor.login(make_admin())
