"""Trials of proposals, as rows: asked for, begun, and ended with a result or an error.

What a trial computes needs the floors above (fragments.services.trial); here stands whose trial it is, of which
content, and that there is one at a time.
"""

from __future__ import annotations

from django.db import transaction
from django.db.models.functions import Now

from registry.domain.proposal import Action
from registry.models import ProposalAct, ProposalTrial, TrialState
from registry.selectors_trials import TRY, act_tried, trial_basis, trial_live
from registry.selectors_trials import trial_of as trial_of
from registry.services.proposal_moves import proposal_for_update, require_move
from registry.services.proposals import PROPOSE
from schemaevo.kernel.actors import Actor
from schemaevo.kernel.audit import audit_record
from schemaevo.kernel.canonical import JsonObject
from schemaevo.kernel.jobs import job_alive, job_request


@transaction.atomic
def trial_request(*, proposal_id: int, actor: Actor) -> ProposalTrial:
    """A trial of what the proposal says now is owed: of applying it, or, once it is applied, of undoing it.

    Asking again while one waits or runs gives that one; after its end another is made, since data may have arrived.

    Raises: Denied `permission_denied`, `login_needed`; ProposalNotFound; WrongState `wrong_state`.
    """
    actor.require(PROPOSE)
    asker = actor.require_login()
    proposal = proposal_for_update(proposal_id)
    act = act_tried(proposal)
    require_move(proposal, Action.TRY_UNDO if act is ProposalAct.UNDO else Action.TRY)
    live = trial_live(proposal, act)
    if live is not None:
        if job_alive(TRY, str(live.pk)) is None:
            # Its job was cancelled, or failed for good: somebody who asks again wants it to go on.
            job_request(kind=TRY, target=str(live.pk), requested_by=actor)
        return live
    trial = ProposalTrial.objects.create(
        proposal=proposal, act=act, content_hash=proposal.content_hash, asked_by=asker
    )
    audit_record(
        actor=actor,
        action="proposal.try",
        target_type="proposal",
        target_id=proposal.pk,
        after={"trial": trial.pk, "act": act.value, "content_hash": trial.content_hash},
    )
    job_request(kind=TRY, target=str(trial.pk), requested_by=actor)
    return trial


def trial_begin(*, trial_id: int) -> ProposalTrial | None:
    """The trial runs; None where it has ended. One that ran before goes on."""
    live = ProposalTrial.objects.filter(pk=trial_id, state__in=[TrialState.WAITING, TrialState.RUNNING])
    live.update(state=TrialState.RUNNING)
    return live.first()


@transaction.atomic
def trial_finish(*, trial_id: int, result: JsonObject) -> None:
    """The trial is done, and the result kept with it for good; nothing happens where it has ended.

    Raises: StaleContent where the proposal, or what it changes, is another by now.
    """
    trial = _live_for_update(trial_id)
    if trial is not None:
        trial_basis(trial)
        _end(trial, TrialState.DONE, result=result)


@transaction.atomic
def trial_fail(*, trial_id: int, error: str) -> None:
    """The trial has failed with that code; nothing happens where it has ended."""
    trial = _live_for_update(trial_id)
    if trial is not None:
        _end(trial, TrialState.FAILED, error=error)


def _live_for_update(trial_id: int) -> ProposalTrial | None:
    """The trial, if it has not ended, its proposal's row locked first, as whoever changes that does."""
    trial = ProposalTrial.objects.filter(pk=trial_id).first()
    if trial is None:
        return None
    proposal_for_update(trial.proposal_id)
    live = ProposalTrial.objects.select_for_update().filter(
        pk=trial_id, state__in=[TrialState.WAITING, TrialState.RUNNING]
    )
    return live.first()


def _end(
    trial: ProposalTrial, state: TrialState, *, result: JsonObject | None = None, error: str = ""
) -> None:
    ProposalTrial.objects.filter(pk=trial.pk).update(
        state=state, result=result or {}, error=error, finished_at=Now()
    )
    audit_record(
        actor=Actor.system(TRY),
        action="proposal.tried",
        target_type="proposal",
        target_id=trial.proposal_id,
        after={
            "trial": trial.pk,
            "act": trial.act,
            "state": state.value,
            "content_hash": trial.content_hash,
            **({"error": error} if error else {}),
        },
    )
