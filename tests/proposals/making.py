"""Proposals in any state, brought there by the services themselves wherever there is one."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.db.models.functions import Now
from django.utils import timezone

from registry.domain.proposal import State
from registry.models import SchemaVersion
from registry.models_proposals import Proposal, ProposalAct, ProposalTrial, TrialState
from registry.selectors_trials import TRY
from registry.services.proposal_apply import proposal_apply, proposal_undo
from registry.services.proposal_reviews import proposal_approve, proposal_reject, proposal_request_changes
from registry.services.proposal_upkeep import proposals_expire
from registry.services.proposals import proposal_draft, proposal_submit, proposal_withdraw
from schemaevo.kernel.actors import Actor
from schemaevo.kernel.jobs import job_request
from schemaevo.kernel.models import User
from tests.factories import SHELL, THING, make_definition, make_login, make_version

Edits = list[dict[str, Any]]


def adding(*names: str, kind: str = "string") -> Edits:
    """Edits that add fields of these names."""
    return [{"op": "add_field", "field": name, "declaration": {"type": kind}} for name in names]


def make_admin() -> User:
    """Somebody who may propose, decide and apply."""
    return make_login(role="schema_admin")


def make_base(**fields: Any) -> SchemaVersion:
    """The global schema in force has these fields, or two of which nothing depends."""
    return make_version(document=make_definition(**(fields or {"k": "string", "colour": "string"})))


def make_draft(
    *, author: User | None = None, edits: Edits | None = None, entity_type: str = THING
) -> Proposal:
    """A draft; an admin has written it unless told otherwise."""
    return proposal_draft(
        entity_type=entity_type,
        title="More fields",
        edits=adding("size") if edits is None else edits,  # type: ignore[arg-type]
        actor=Actor.login(author or make_admin()),
        reason="many have it",
    )


def make_found(*, edits: Edits | None = None, **columns: Any) -> Proposal:
    """A draft that an analysis found: nobody wrote it."""
    base = SchemaVersion.objects.filter(user=None, entity_type=THING, is_active=True).first()
    proposal = Proposal.objects.create(
        entity_type=THING,
        title="Found",
        base_version=base,
        edits=edits or adding("size"),
        origin="analysis",
        subject="size",
        **columns,
    )
    proposal.refresh_from_db()
    return proposal


def make_trial(
    *,
    proposal: Proposal,
    state: TrialState = TrialState.DONE,
    act: ProposalAct = ProposalAct.APPLY,
    content_hash: str | None = None,
) -> ProposalTrial:
    """A trial of what the proposal says now, which has ended unless told otherwise; else its job is owed."""
    trial = ProposalTrial.objects.create(
        proposal=proposal, act=act, content_hash=content_hash or proposal.content_hash
    )
    is_over = state in (TrialState.DONE, TrialState.FAILED)
    if not is_over:
        job_request(kind=TRY, target=str(trial.pk))
    if state != TrialState.WAITING:
        ProposalTrial.objects.filter(pk=trial.pk).update(state=state, finished_at=Now() if is_over else None)
    trial.refresh_from_db()
    return trial


def make_submitted(
    *, author: User | None = None, edits: Edits | None = None, entity_type: str = THING
) -> Proposal:
    """A proposal in review, which was tried."""
    author = author or make_admin()
    proposal = make_draft(author=author, edits=edits, entity_type=entity_type)
    make_trial(proposal=proposal)
    return proposal_submit(proposal_id=proposal.pk, actor=Actor.login(author))


def make_approved(*, author: User | None = None, decider: User | None = None) -> Proposal:
    """An approved proposal."""
    return approve(make_submitted(author=author), decider or make_admin())


def approve(proposal: Proposal, decider: User) -> Proposal:
    """The login approves what it says now."""
    return proposal_approve(
        proposal_id=proposal.pk, actor=Actor.login(decider), content_hash=proposal.content_hash
    )


def overdue(proposal: Proposal) -> None:
    """Its time has passed."""
    Proposal.objects.filter(pk=proposal.pk).update(expires_at=timezone.now() - timedelta(seconds=1))


def make_in(state: State, *, author: User, decider: User) -> Proposal:
    """A proposal in that state, which `author` wrote and `decider` decided about, where somebody had to."""
    if state in (State.DRAFT, State.STALE, State.WITHDRAWN):
        proposal = make_draft(author=author)
        make_trial(proposal=proposal)
    else:
        proposal = make_submitted(author=author)
    number, content = proposal.pk, proposal.content_hash
    by = Actor.login(decider)
    if state in (State.APPROVED, State.FAILED, State.APPLIED, State.UNDONE):
        approve(proposal, decider)
    match state:
        case State.STALE:
            make_base(k="string", colour="string", other="string")
        case State.WITHDRAWN:
            proposal_withdraw(proposal_id=number, actor=Actor.login(author))
        case State.CHANGES_REQUESTED:
            proposal_request_changes(proposal_id=number, actor=by, content_hash=content, note="not so")
        case State.REJECTED:
            proposal_reject(proposal_id=number, actor=by, content_hash=content, note="no")
        case State.EXPIRED:
            overdue(proposal)
            proposals_expire(actor=SHELL)
        case State.FAILED:
            Proposal.objects.filter(pk=number).update(state=State.FAILED, error="it was refused")
        case State.APPLIED | State.UNDONE:
            proposal_apply(proposal_id=number, actor=by)
            if state is State.UNDONE:
                proposal_undo(proposal_id=number, actor=by)
        case _:
            pass
    proposal.refresh_from_db()
    assert proposal.state == state
    return proposal
