"""The doors that the table of proposals is walked through: services, commands and pages."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from django.core.management import CommandError, call_command
from django.test import Client

from registry.domain.proposal import Action
from registry.models_proposals import Proposal
from registry.services.proposal_apply import proposal_apply, proposal_undo
from registry.services.proposal_reviews import proposal_approve, proposal_reject, proposal_request_changes
from registry.services.proposal_trials import trial_request
from registry.services.proposal_upkeep import proposals_expire
from registry.services.proposals import (
    proposal_comment,
    proposal_edit,
    proposal_rebase,
    proposal_submit,
    proposal_withdraw,
)
from schemaevo.kernel.actors import Actor
from schemaevo.kernel.errors import DomainError
from schemaevo.kernel.models import User
from tests.admin.addresses import verb_of
from tests.factories import SHELL
from tests.proposals.making import adding, make_base, overdue
from tests.proposals.table import BY_SYSTEM
from tests.registry.commands import written

Act = Callable[[Proposal, Actor], object]

#: What an edit through any door makes of a proposal.
EDITED = adding("size", "weight")


def _expire(proposal: Proposal, actor: Actor) -> object:
    overdue(proposal)
    return proposals_expire(actor=SHELL)


def _outdate(proposal: Proposal, actor: Actor) -> object:
    return make_base(k="string", colour="string", another="string")


_SERVICES: dict[Action, Act] = {
    Action.EDIT: lambda p, a: proposal_edit(proposal_id=p.pk, actor=a, edits=EDITED),  # type: ignore[arg-type]
    Action.SUBMIT: lambda p, a: proposal_submit(proposal_id=p.pk, actor=a),
    Action.APPROVE: lambda p, a: proposal_approve(proposal_id=p.pk, actor=a, content_hash=p.content_hash),
    Action.REQUEST_CHANGES: lambda p, a: proposal_request_changes(
        proposal_id=p.pk, actor=a, content_hash=p.content_hash, note="so"
    ),
    Action.REJECT: lambda p, a: proposal_reject(
        proposal_id=p.pk, actor=a, content_hash=p.content_hash, note="so"
    ),
    Action.WITHDRAW: lambda p, a: proposal_withdraw(proposal_id=p.pk, actor=a),
    Action.REBASE: lambda p, a: proposal_rebase(proposal_id=p.pk, actor=a),
    Action.COMMENT: lambda p, a: proposal_comment(proposal_id=p.pk, actor=a, text="so"),
    Action.APPLY: lambda p, a: proposal_apply(proposal_id=p.pk, actor=a),
    Action.UNDO: lambda p, a: proposal_undo(proposal_id=p.pk, actor=a),
    Action.TRY: lambda p, a: trial_request(proposal_id=p.pk, actor=a),
    Action.EXPIRE: _expire,
    Action.OUTDATE: _outdate,
}


class Services:
    """The services, and what calls them by itself."""

    @property
    def actions(self) -> frozenset[Action]:
        return frozenset(_SERVICES)

    def perform(self, action: Action, proposal: Proposal, actor: User) -> str | None:
        try:
            _SERVICES[action](proposal, Actor.login(actor))
        except DomainError as refusal:
            return refusal.code
        return None


_COMMANDS = {
    Action.APPLY: "apply_proposal",
    Action.UNDO: "undo_proposal",
    Action.TRY: "try_proposal",
}
_VERDICT = frozenset({Action.APPROVE, Action.REQUEST_CHANGES, Action.REJECT})


class Commands:
    """The commands, as somebody types them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @property
    def actions(self) -> frozenset[Action]:
        return frozenset(_SERVICES) - BY_SYSTEM

    def perform(self, action: Action, proposal: Proposal, actor: User) -> str | None:
        out = io.StringIO()
        try:
            call_command(
                *self._typed(action, proposal),
                *("--as", actor.username, "--json"),
                stdout=out,
                stderr=io.StringIO(),
            )
        except CommandError:
            refused: dict[str, Any] = json.loads(out.getvalue())
            return str(refused["error"])
        return None

    def _typed(self, action: Action, proposal: Proposal) -> tuple[str, ...]:
        number = str(proposal.pk)
        if action is Action.EDIT:
            return "edit_proposal", number, written(self._folder / "edits.json", EDITED)  # type: ignore[arg-type]
        if action in _COMMANDS:
            return _COMMANDS[action], number
        if action is Action.COMMENT:
            return "decide_proposal", number, "--comment", "so"
        flag = f"--{action.value.replace('_', '-')}"
        if action not in _VERDICT:
            return "decide_proposal", number, flag
        return "decide_proposal", number, flag, "--content", proposal.content_hash, "--note", "so"


class Pages:
    """The pages of the admin: what somebody posts who was shown what the proposal says."""

    @property
    def actions(self) -> frozenset[Action]:
        return frozenset(_SERVICES) - BY_SYSTEM

    def perform(self, action: Action, proposal: Proposal, actor: User) -> str | None:
        client = Client()
        client.force_login(actor, backend="django.contrib.auth.backends.ModelBackend")
        url = verb_of(Proposal, action.value, proposal.pk)
        answer = client.post(url, self._typed(action, proposal))
        if answer.status_code == 302:
            return None
        refused = re.search(r'data-refusal="([a-z_]+)"', answer.content.decode())
        assert refused is not None, f"{url} answered {answer.status_code} and says no code"
        assert answer.status_code in (403, 409), "a refusal is no page like any other"
        return refused.group(1)

    def _typed(self, action: Action, proposal: Proposal) -> dict[str, str]:
        if action is Action.EDIT:
            return {
                "title": proposal.title,
                "reason": proposal.reason,
                "edits": json.dumps(EDITED),
                "content": proposal.content_hash,
            }
        if action is Action.COMMENT:
            return {"text": "so"}
        return {"content": proposal.content_hash, "note": "so"}
