"""Proposals as far as a test needs them."""

from __future__ import annotations

from typing import Any

from django.db.models.functions import Now

from registry.models import (
    Proposal,
    ProposalDecision,
    ProposalState,
    ProposalTrial,
    SchemaVersion,
    TrialState,
)
from registry.selectors import version_in_force
from schemaevo.kernel.actors import Actor
from schemaevo.kernel.models import User
from tests.factories import THING, make_login


def make_proposal(*, edits: list[Any], entity_type: str = THING, author: User | None = None) -> Proposal:
    """A draft about what is in force."""
    proposal = Proposal.objects.create(
        entity_type=entity_type,
        title="a change",
        edits=edits,
        base_version=version_in_force(entity_type=entity_type, user_id=None),
        author=author or make_login(role="schema_admin"),
    )
    proposal.refresh_from_db()
    return proposal


def make_trial(*, proposal: Proposal) -> ProposalTrial:
    """A finished trial of what the proposal says."""
    trial = ProposalTrial.objects.create(proposal=proposal, act="apply", content_hash=proposal.content_hash)
    ProposalTrial.objects.filter(pk=trial.pk).update(state=TrialState.DONE, finished_at=Now())
    return trial


def make_approved(*, edits: list[Any], entity_type: str = THING) -> Proposal:
    """A proposal that somebody else approved."""
    proposal = make_proposal(edits=edits, entity_type=entity_type)
    make_trial(proposal=proposal)
    approve(proposal=proposal)
    return proposal


def approve(*, proposal: Proposal) -> None:
    """A draft that was tried is in review, and somebody else approves it."""
    Proposal.objects.filter(pk=proposal.pk).update(state=ProposalState.IN_REVIEW, submitted_at=Now())
    proposal.refresh_from_db()
    assert proposal.author is not None
    ProposalDecision.objects.create(
        proposal=proposal,
        verdict="approve",
        decided_by=make_login(role="schema_admin"),
        content_hash=proposal.content_hash,
        author=proposal.author,
        last_editor=proposal.last_editor,
    )
    Proposal.objects.filter(pk=proposal.pk).update(state=ProposalState.APPROVED)
    proposal.refresh_from_db()


def schema_admin() -> Actor:
    """Somebody who may do everything about proposals."""
    return Actor.login(make_login(role="schema_admin"))


def in_force(entity_type: str = THING) -> SchemaVersion | None:
    """The global version in force."""
    return version_in_force(entity_type=entity_type, user_id=None)
