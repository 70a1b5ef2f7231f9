"""Proposals in every stage of a review: applied, in review with its trial, given back, and drafts."""

from __future__ import annotations

from typing import Final

from fragments.demo.cast import Cast
from fragments.demo.past import Doings
from fragments.demo.records import PACKAGE
from fragments.demo.schemas import PROPOSED
from fragments.jobs import ANALYZE
from registry.models import Proposal, ProposalComment, ProposalState
from registry.selectors_trials import trial_of
from registry.services.proposal_apply import proposal_apply
from registry.services.proposal_reviews import proposal_approve, proposal_request_changes
from registry.services.proposal_trials import trial_request
from registry.services.proposals import proposal_comment, proposal_draft, proposal_submit
from schemaevo.kernel.actors import Actor
from schemaevo.kernel.canonical import Json
from schemaevo.kernel.jobs import job_request

#: Waits for a reviewer, with all that is needed to decide.
IN_REVIEW: Final = "Ruby-Versions"
GIVEN_BACK: Final = "Drop the file names"
DRAFT: Final = "Say what a source is"


def proposal_goes_through(cast: Cast, doings: Doings) -> None:
    """What an analysis found of *Enhances* was submitted, tried, approved by somebody else and applied to everybody."""
    _analyse(doings)
    proposal = _found(PROPOSED)
    if proposal is None:
        return
    _bring_into_review(proposal, cast, doings, "forty owners have it, and all mean the same")
    if proposal.state == ProposalState.IN_REVIEW:
        proposal_approve(
            proposal_id=proposal.pk,
            actor=cast.reviewer,
            content_hash=proposal.content_hash,
            note="the trial moves every fragment; fine",
        )
        proposal.refresh_from_db()
    if proposal.state == ProposalState.APPROVED:
        proposal_apply(proposal_id=proposal.pk, actor=cast.schema_admin)
    doings.work()


def proposals_wait(cast: Cast, doings: Doings) -> None:
    """One proposal waits for its reviewer, with trial and comments; one was given back; one is a login's draft, beside
    those that the analysis found."""
    _analyse(doings)
    proposal = _found(IN_REVIEW)
    if proposal is not None:
        _bring_into_review(proposal, cast, doings, "thirty owners have it already")
        _say(proposal, cast.reviewer, "Is it always one line of text? Some versions are lists elsewhere.")
        _say(proposal, cast.schema_admin, "Always: the trial converts none, and no value is left over.")
    back = _drafted(
        GIVEN_BACK,
        "mirrors build them from name and version",
        [{"op": "remove_field", "field": "Filename"}],
        cast,
    )
    if back.state == ProposalState.DRAFT:
        proposal_submit(proposal_id=back.pk, actor=cast.reviewer)
        back.refresh_from_db()
    if back.state == ProposalState.IN_REVIEW:
        proposal_request_changes(
            proposal_id=back.pk,
            actor=cast.schema_admin,
            content_hash=back.content_hash,
            note="Security updates are fetched by it. Keep it until those read the index.",
        )
    text = "Source package it is built from; absent where name and version are the same."
    _drafted(
        DRAFT,
        "the text leaves open when it is absent",
        [{"op": "set_description", "field": "Source", "description": text}],
        cast,
    )


def _analyse(doings: Doings) -> None:
    job_request(kind=ANALYZE)
    doings.work()


def _found(subject: str) -> Proposal | None:
    """The newest proposal of the analysis about that field."""
    return Proposal.objects.filter(entity_type=PACKAGE, subject=subject).order_by("-pk").first()


def _bring_into_review(proposal: Proposal, cast: Cast, doings: Doings, note: str) -> None:
    """What is a draft is in review, with a finished trial of what it says."""
    if proposal.state == ProposalState.DRAFT:
        proposal_submit(proposal_id=proposal.pk, actor=cast.schema_admin, note=note)
        proposal.refresh_from_db()
    if proposal.state == ProposalState.IN_REVIEW and trial_of(proposal) is None:
        trial_request(proposal_id=proposal.pk, actor=cast.schema_admin)
        doings.work()


def _say(proposal: Proposal, actor: Actor, text: str) -> None:
    """Somebody has commented so."""
    if not ProposalComment.objects.filter(proposal=proposal, text=text).exists():
        proposal_comment(proposal_id=proposal.pk, actor=actor, text=text)


def _drafted(title: str, reason: str, edits: list[Json], cast: Cast) -> Proposal:
    """The second schema admin's proposal of that title."""
    known = Proposal.objects.filter(entity_type=PACKAGE, title=title).order_by("-pk").first()
    return known or proposal_draft(
        entity_type=PACKAGE, title=title, reason=reason, edits=edits, actor=cast.reviewer
    )
