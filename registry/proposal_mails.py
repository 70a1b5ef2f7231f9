"""What a mail says to one login about proposals: what happened to which, who did it, and where to look.

No value of a record stands in it, and no owner's name: of a comment or a note it says only that there is one.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Final

from django.conf import settings
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from registry.models import Proposal, ProposalNews, ProposalNotice

#: What happened, as part of a sentence that begins with the proposal.
_TOLD: Final = {
    ProposalNews.IN_REVIEW: gettext_lazy("waits for your review"),
    ProposalNews.CHANGES_REQUESTED: gettext_lazy("has to be changed"),
    ProposalNews.APPROVED: gettext_lazy("is approved"),
    ProposalNews.REJECTED: gettext_lazy("is rejected"),
    ProposalNews.EXPIRED: gettext_lazy("has expired"),
    ProposalNews.STALE: gettext_lazy("is stale: another version is in force by now than the one it changes"),
    ProposalNews.FAILED: gettext_lazy("could not be applied"),
    ProposalNews.APPLIED: gettext_lazy("is applied"),
    ProposalNews.UNDONE: gettext_lazy("is undone"),
    ProposalNews.COMMENTED: gettext_lazy("was commented on"),
}


def mail_subject(notices: Sequence[ProposalNotice]) -> str:
    """Names the proposal; of several the oldest, and how many more there are."""
    about = _by_proposal(notices)
    proposal, news = about[0]
    said = {"n": proposal.pk, "title": proposal.title, "what": _TOLD[ProposalNews(news[-1].kind)]}
    first = _("[schemaevo] Proposal %(n)s %(what)s: %(title)s") % said
    more = len(about) - 1
    if more:
        first += " " + ngettext("(and %(more)s more)", "(and %(more)s more)", more) % {"more": more}
    # A header is one line, whatever a title holds.
    return " ".join(first.split())


def mail_lines(notices: Sequence[ProposalNotice]) -> str:
    """One paragraph a proposal: what happened, the oldest first, and where it stands."""
    paragraphs = []
    for proposal, news in _by_proposal(notices):
        lines = [
            _("Proposal %(n)s for %(type)s: %(title)s")
            % {"n": proposal.pk, "type": proposal.entity_type, "title": proposal.title}
        ]
        lines += [f"- {_happened(notice)}" for notice in news]
        lines.append(_where(proposal))
        paragraphs.append("\n".join(lines))
    return "\n\n".join([*paragraphs, _foot()])


def _by_proposal(notices: Sequence[ProposalNotice]) -> list[tuple[Proposal, list[ProposalNotice]]]:
    ordered = sorted(notices, key=lambda notice: (notice.proposal_id, notice.pk))
    grouped = [list(news) for _proposal_id, news in groupby(ordered, key=lambda notice: notice.proposal_id)]
    return [(news[0].proposal, news) for news in grouped]


def _happened(notice: ProposalNotice) -> str:
    said = {
        "what": _TOLD[ProposalNews(notice.kind)],
        "at": f"{notice.event.at:%Y-%m-%d %H:%M}",
        "who": notice.event.actor_name,
    }
    return _("It %(what)s (%(who)s, %(at)s UTC).") % said


def _where(proposal: Proposal) -> str:
    base = settings.SCHEMAEVO_BASE_URL
    if base:
        return f"  {base}{reverse('admin:registry_proposal_change', args=[proposal.pk])}"
    return "  " + _("It stands under Proposals; on the server, show_proposal %(n)s tells all about it.") % {
        "n": proposal.pk
    }


def _foot() -> str:
    return _(
        "You have this mail because you wrote these proposals, can decide about them, or said something."
    )
