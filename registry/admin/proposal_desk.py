"""The desk on the list of proposals: its tabs, how long each proposal waits, and what is next, in words."""

from __future__ import annotations

from datetime import timedelta
from math import ceil
from typing import Any, Final

from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _now
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from registry.domain.proposal import State
from registry.models import Proposal, TrialState
from registry.selectors_desk import COUNTED, Desk, Waits, desk_count, may_review, proposals_on_desk
from schemaevo.kernel.models import User
from schemaevo.kernel.pages.asked import asked_once
from schemaevo.kernel.pages.display import NOTHING, ago, badge
from schemaevo.kernel.pages.filters import PickFilter

#: An end that is nearer is warned of.
EXPIRES_SOON: Final = timedelta(days=3)
_DESKS: Final[dict[Desk, Any]] = {Desk.REVIEW: _("For me to decide"), Desk.MINE: _("Mine")}
_NEXT: Final[dict[State, Any]] = {
    State.DRAFT: _("somebody submits it"),
    State.CHANGES_REQUESTED: _("it is changed, and submitted again"),
    State.APPROVED: _("somebody applies it"),
    State.FAILED: _("applying it was refused: it is applied again, or changed"),
    State.STALE: _("a rebase: another version is in force by now"),
}
_NEXT_OF_MINE: Final[dict[State, Any]] = {
    State.DRAFT: _("you submit it"),
    State.CHANGES_REQUESTED: _("you change it, and submit it again"),
    State.STALE: _("you rebase it: another version is in force by now"),
}


class DeskFilter(PickFilter):
    title = _("desk")
    parameter_name = "desk"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [(desk.value, label) for desk, label in _DESKS.items()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any] | None:
        desk = desk_asked(request)
        if desk is None or not isinstance(request.user, User):
            return queryset.none() if self.value() else queryset
        return proposals_on_desk(desk=desk, login=request.user, among=queryset)


def desk_asked(request: HttpRequest) -> Desk | None:
    """The part of the desk that the address names, if it names one."""
    asked = request.GET.get("desk", "")
    return Desk(asked) if asked in set(Desk) else None


def desk_context(request: HttpRequest) -> dict[str, Any]:
    """What stands above the list: how much there is on each part of the desk. Two queries."""
    login, asked = request.user, desk_asked(request)
    if not isinstance(login, User):
        return {}
    return {
        "desk": asked.value if asked else "",
        "desks": [
            (desk.value, label, _capped(_counted(request, desk, login)))
            for desk, label in _DESKS.items()
            if desk is not Desk.REVIEW or may_review(login)
        ],
    }


def waiting_badge(request: HttpRequest) -> str:
    """How many proposals wait for this login, for the navigation; nothing where none does, or none ever could."""
    login = request.user
    if not isinstance(login, User) or not may_review(login):
        return ""
    return _capped(_counted(request, Desk.REVIEW, login))


def _counted(request: HttpRequest, desk: Desk, login: User) -> int:
    """How many stand there, for the tab and for the navigation."""
    return asked_once(request, desk, lambda: desk_count(desk=desk, login=login))


def _capped(count: int) -> str:
    """As a badge has it; nothing for none."""
    return f"{COUNTED}+" if count > COUNTED else str(count or "")


def next_in_words(proposal: Proposal, waits: Waits, *, is_own: bool, has_mine: bool) -> SafeString:
    """What has to happen next, in the words of whoever looks: they may have written it, or approved it. Nothing where
    nothing comes any more."""
    state = State(proposal.state)
    if state is State.IN_REVIEW:
        return _review(proposal, waits, is_own=is_own, has_mine=has_mine)
    if state is State.DRAFT and proposal.author_id is None:
        return _line(_now("somebody submits it, and is its author then"))
    words = (_NEXT_OF_MINE.get(state) if is_own else None) or _NEXT.get(state)
    return _line(words) if words else NOTHING


def _review(proposal: Proposal, waits: Waits, *, is_own: bool, has_mine: bool) -> SafeString:
    required = proposal.required_approvals
    given = ngettext("%(given)s of %(n)s approval", "%(given)s of %(n)s approvals", required) % {
        "given": waits.approvals,
        "n": required,
    }
    if waits.trial is None:
        return _line(_now("a trial of what it says now"), given)
    if waits.trial == TrialState.FAILED:
        return _line(_now("a trial of what it says now; the last one failed"), given)
    if waits.is_stopped:
        return _line(_now("a trial of what it says now; the last one was stopped"), given)
    if waits.trial != TrialState.DONE:
        return _line(_now("its trial, which is under way"), given)
    if is_own:
        return _line(_now("somebody else approves it: you wrote it"), given)
    if has_mine:
        return _line(_now("others approve it, as you did"), given)
    return _line(_now("somebody approves it"), given)


def _line(words: object, more: str = "") -> SafeString:
    if not more:
        return format_html('<span class="se-desk-next">{}</span>', words)
    return format_html('<span class="se-desk-next">{}<span class="se-type">{}</span></span>', words, more)


def age(proposal: Proposal) -> SafeString:
    """How long it waits in its state, since when it is in review, and when that ends, if soon."""
    lines = [ago(proposal.moved_at)]
    if proposal.is_open and proposal.submitted_at and proposal.state != State.IN_REVIEW:
        lines.append(
            format_html('<span class="se-type">{} {}</span>', _("submitted"), ago(proposal.submitted_at))
        )
    end = _end_in_words(proposal)
    if end:
        lines.append(end)
    return format_html('<span class="se-desk-age">{}</span>', SafeString("".join(lines)))


def _end_in_words(proposal: Proposal) -> SafeString | None:
    if not (proposal.is_open and proposal.expires_at):
        return None
    left = proposal.expires_at - timezone.now()
    if left <= timedelta(0):
        return badge(_now("expires now"), "warn")
    days = left / timedelta(days=1)
    if left < EXPIRES_SOON:
        if days < 1:
            return badge(_now("expires today"), "warn")
        whole = int(days)
        words = ngettext("expires in %(n)s day", "expires in %(n)s days", whole) % {"n": whole}
        return badge(words, "warn")
    whole = ceil(days)
    words = ngettext("expires in %(n)s day", "expires in %(n)s days", whole) % {"n": whole}
    return format_html('<span class="se-type">{}</span>', words)
