"""What can be done about a proposal, in words for pages: what each act comes to, its form and its service."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from django.contrib import messages
from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.utils.translation import gettext as _now
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from registry.admin.proposal_forms import (
    ApprovalForm,
    CommentForm,
    ConfirmForm,
    NoteForm,
    ObjectionForm,
    ProposalForm,
)
from registry.domain.proposal import Action, State
from registry.selectors_proposals import PERMISSIONS
from registry.services.proposal_apply import proposal_apply, proposal_undo
from registry.services.proposal_reviews import proposal_approve, proposal_reject, proposal_request_changes
from registry.services.proposal_trials import trial_request
from registry.services.proposals import (
    DECIDE,
    proposal_comment,
    proposal_rebase,
    proposal_submit,
    proposal_withdraw,
)
from schemaevo.kernel.actors import Actor
from schemaevo.kernel.models import User

#: Paths into the definition that one message names.
CLASHES_SHOWN: Final = 20

#: What a form says, and what is told afterwards: kinds of messages, and their texts.
Said: TypeAlias = dict[str, Any]
Told: TypeAlias = list[tuple[int, str]]


@dataclass(frozen=True, slots=True)
class Verb:
    """One thing that is done about a proposal: its words, its form and its service.

    `says` is what it comes to, a sentence a line. `perform` gives what to tell, and with it the kind of message; it is
    given the number of the proposal, the actor and what the form says.
    """

    action: Action
    label: Any
    title: Any
    says: tuple[Any, ...]
    form: type[ProposalForm]
    perform: Callable[[int, Actor, Said], Told]

    @property
    def name(self) -> str:
        """As addresses have it."""
        return self.action.value

    def is_permitted(self, user: AbstractBaseUser | AnonymousUser) -> bool:
        """Whether the login may do this at all."""
        wanted = {PERMISSIONS[self.action]}
        if self.action is Action.COMMENT:
            # Whoever decides has to be able to say something, too.
            wanted.add(DECIDE)
        return isinstance(user, User) and any(user.has_perm(permission) for permission in wanted)


def _submit(proposal_id: int, actor: Actor, said: Said) -> Told:
    proposal_submit(proposal_id=proposal_id, actor=actor, note=said["note"])
    return [(messages.SUCCESS, _now("It is in review: others can decide about it."))]


def _approve(proposal_id: int, actor: Actor, said: Said) -> Told:
    proposal = proposal_approve(
        proposal_id=proposal_id, actor=actor, content_hash=said["content"], note=said["note"]
    )
    if proposal.state == State.APPROVED:
        return [(messages.SUCCESS, _now("It is approved, and can be applied."))]
    return [(messages.SUCCESS, _now("Your approval counts. It needs more of them before it can be applied."))]


def _request_changes(proposal_id: int, actor: Actor, said: Said) -> Told:
    proposal_request_changes(
        proposal_id=proposal_id, actor=actor, content_hash=said["content"], note=said["note"]
    )
    return [(messages.SUCCESS, _now("Changes are asked for. Edited, it can be submitted again."))]


def _reject(proposal_id: int, actor: Actor, said: Said) -> Told:
    proposal_reject(proposal_id=proposal_id, actor=actor, content_hash=said["content"], note=said["note"])
    return [(messages.SUCCESS, _now("It is rejected. Nothing comes of it."))]


def _withdraw(proposal_id: int, actor: Actor, said: Said) -> Told:
    proposal_withdraw(proposal_id=proposal_id, actor=actor, note=said["note"])
    return [(messages.SUCCESS, _now("It is withdrawn. Nobody needs to decide any more."))]


def _comment(proposal_id: int, actor: Actor, said: Said) -> Told:
    proposal_comment(proposal_id=proposal_id, actor=actor, text=said["text"])
    return [(messages.SUCCESS, _now("Your comment stands on the page."))]


def _rebase(proposal_id: int, actor: Actor, said: Said) -> Told:
    rebased = proposal_rebase(proposal_id=proposal_id, actor=actor)
    told = [(messages.SUCCESS, _now("It is a draft again, and changes the version in force."))]
    if rebased.clashes:
        words = ngettext(
            "Both changed this, and otherwise: the proposal's side stands where it can: %(places)s",
            "Both changed these, and otherwise: the proposal's side stands where it can: %(places)s",
            len(rebased.clashes),
        )
        told.append((messages.WARNING, words % {"places": ", ".join(rebased.clashes[:CLASHES_SHOWN])}))
    return told


def _try(proposal_id: int, actor: Actor, said: Said) -> Told:
    trial_request(proposal_id=proposal_id, actor=actor)
    return [(messages.SUCCESS, _now("A job tries it; this page tells when it is done."))]


def _apply(proposal_id: int, actor: Actor, said: Said) -> Told:
    proposal = proposal_apply(proposal_id=proposal_id, actor=actor, note=said["note"])
    number = proposal.applied_version.number if proposal.applied_version else ""
    words = _now("Version %(number)s is in force. Jobs carry it to every user; this page follows them.")
    return [(messages.SUCCESS, words % {"number": number})]


def _undo(proposal_id: int, actor: Actor, said: Said) -> Told:
    proposal = proposal_undo(proposal_id=proposal_id, actor=actor, note=said["note"])
    if proposal.base_version is None:
        return [
            (messages.SUCCESS, _now("It is undone: no global schema is in force any more. Jobs do the rest."))
        ]
    words = _now("It is undone: version %(number)s is in force again. Jobs do the rest.")
    return [(messages.SUCCESS, words % {"number": proposal.base_version.number})]


#: In the order in which they are offered.
VERBS: Final[tuple[Verb, ...]] = (
    Verb(
        Action.SUBMIT,
        _("Submit for review"),
        _("Submit proposal %(n)s for review"),
        (
            _("Others can decide about it from then on; you cannot approve it if you wrote or edited it."),
            _("Edits are possible in review as well; each voids the approvals that were given."),
        ),
        NoteForm,
        _submit,
    ),
    Verb(
        Action.TRY,
        _("Try"),
        _("Try proposal %(n)s"),
        (
            _(
                "A job computes what applying it would do, or, once it is applied, undoing it: field by field, on "
                "what is stored. Nothing is changed."
            ),
            _("It can be approved only once what it says now was tried."),
        ),
        ConfirmForm,
        _try,
    ),
    Verb(
        Action.APPROVE,
        _("Approve"),
        _("Approve proposal %(n)s"),
        (
            _("Your approval is about what stands below, and about nothing else: any edit voids it."),
            _("With enough approvals it can be applied; nothing changes before somebody does that."),
        ),
        ApprovalForm,
        _approve,
    ),
    Verb(
        Action.REQUEST_CHANGES,
        _("Request changes"),
        _("Request changes of proposal %(n)s"),
        (_("It goes back to whoever edits it. Approvals that were given do not count any more."),),
        ObjectionForm,
        _request_changes,
    ),
    Verb(
        Action.REJECT,
        _("Reject"),
        _("Reject proposal %(n)s"),
        (
            _("Nothing comes of it, for good; another proposal can be drafted."),
            _("What an analysis found does not come again until the evidence has doubled."),
        ),
        ObjectionForm,
        _reject,
    ),
    Verb(
        Action.APPLY,
        _("Apply"),
        _("Apply proposal %(n)s"),
        (
            _("A new version of the global schema is registered and in force at once, for every user."),
            _(
                "Jobs carry it to what is stored: extensions give up what the global schema has with the same "
                "type, and their quota is given back; fragments that fit become observations; snapshots are "
                "recomputed."
            ),
            _("Records come in meanwhile as always, and by the new version."),
            _("As long as no later version is in force, it can be undone."),
        ),
        NoteForm,
        _apply,
    ),
    Verb(
        Action.UNDO,
        _("Undo"),
        _("Undo proposal %(n)s"),
        (
            _("The version before is in force again at once, for every user; compatibility is not asked."),
            _(
                "Jobs take back what applying it did: extensions get back what they gave up, even past a quota; "
                "fragments that were promoted wait again where nothing declares their field; snapshots are "
                "recomputed."
            ),
            _("What arrived since stays; versions and the audit log stay as well."),
        ),
        NoteForm,
        _undo,
    ),
    Verb(
        Action.REBASE,
        _("Rebase"),
        _("Rebase proposal %(n)s"),
        (
            _(
                "It does to the version in force what it did to the one it was made for, and is a draft again."
            ),
            _("It has to be tried and approved anew."),
        ),
        ConfirmForm,
        _rebase,
    ),
    Verb(
        Action.COMMENT,
        _("Comment"),
        _("Comment on proposal %(n)s"),
        (_("A comment decides nothing, and stays as it is."),),
        CommentForm,
        _comment,
    ),
    Verb(
        Action.WITHDRAW,
        _("Withdraw"),
        _("Withdraw proposal %(n)s"),
        (_("Nothing comes of it, for good; another proposal can be drafted."),),
        NoteForm,
        _withdraw,
    ),
)
