"""The evidence report of a proposal, as a page for paper and as a file for machines: the same document."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from functools import partial
from typing import Any, Final

from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_safe

from registry.admin.proposal_displays import STATE_TONES, edits_text, happening_words, verdict_badge
from registry.admin.proposal_evidence import evidence_shown, object_in, objects_in
from registry.admin.proposal_trials import EFFECT_COLUMNS, counts_shown
from registry.models import ProposalAct, ProposalOrigin, ProposalState, TrialState
from registry.selectors_report import ProposalReport, proposal_report
from schemaevo.kernel.canonical import Json, JsonObject
from schemaevo.kernel.errors import NotFound
from schemaevo.kernel.pages.base import StoreAdmin
from schemaevo.kernel.pages.display import NOTHING, amount, badge, code

#: Facts of the request, in the order in which they stand on the page; those that are None are left out.
_FACTS: Final[dict[str, Any]] = {
    "author": _("Author"),
    "last_editor": _("Last edited by"),
    "base_version": _("Changes version"),
    "round": _("Round of review"),
    "drafted_at": _("Drafted"),
    "edited_at": _("Content last edited"),
    "submitted_at": _("Submitted"),
    "expires_at": _("Expires"),
    "in_this_state_since": _("In this state since"),
}
_OUTCOME: Final[dict[str, Any]] = {
    "applied_version": _("Applied as version"),
    "applied_at": _("Applied"),
    "undone_at": _("Undone"),
}


def report_urls(model_admin: StoreAdmin) -> list[URLPattern]:
    """The addresses of the report of one proposal."""
    view = model_admin.admin_site.admin_view
    return [
        path(
            "<int:proposal_id>/report/",
            view(require_safe(partial(page_view, model_admin))),
            name="registry_proposal_report",
        ),
        path(
            "<int:proposal_id>/report.json",
            view(require_safe(partial(file_view, model_admin))),
            name="registry_proposal_report_json",
        ),
    ]


def page_view(model_admin: StoreAdmin, request: HttpRequest, proposal_id: int) -> HttpResponse:
    """The report to read and to print."""
    report = _report(model_admin, request, proposal_id)
    return render(request, "admin/registry/proposal/report.html", _context(report))


def file_view(model_admin: StoreAdmin, request: HttpRequest, proposal_id: int) -> HttpResponse:
    """The report as a file, of which anybody can compute the hash."""
    report = _report(model_admin, request, proposal_id)
    name = f"proposal-{proposal_id}-report.json"
    return HttpResponse(
        report.as_file,
        content_type="application/json",
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )


def _report(model_admin: StoreAdmin, request: HttpRequest, proposal_id: int) -> ProposalReport:
    """Raises: PermissionDenied; Http404."""
    if not model_admin.has_view_permission(request):
        raise PermissionDenied
    try:
        return proposal_report(proposal_id=proposal_id)
    except NotFound as error:
        raise Http404 from error


def _context(report: ProposalReport) -> dict[str, Any]:
    """The document, ready for the page."""
    document = report.document
    asked, outcome = object_in(document["proposal"]), object_in(document["outcome"])
    state = ProposalState(str(asked["state"]))
    return {
        "report": report,
        "made_at": moment_utc(report.made_at.isoformat()),
        "asked": asked,
        "state": badge(state.label, STATE_TONES[state]),
        "origin": ProposalOrigin(str(asked["origin"])).label,
        "page_url": reverse("admin:registry_proposal_change", args=[asked["number"]]),
        "file_url": reverse("admin:registry_proposal_report_json", args=[asked["number"]]),
        "facts": _facts(asked, _FACTS),
        "edits": edits_text(_items(document["edits"])),
        "difference": document["difference"],
        "evidence": evidence_shown(object_in(document["evidence"])),
        "trials": [_trial(trial) for trial in objects_in(document["trials"])],
        "decisions": [_decision(decision) for decision in objects_in(document["decisions"])],
        "comments": [
            {**comment, "at": moment_utc(comment["at"])} for comment in objects_in(document["comments"])
        ],
        "outcome": _facts(outcome, _OUTCOME),
        "error": outcome["error"],
        "effects": _effects(list(objects_in(outcome["effects"]))),
        "audit": [
            {**line, "at": moment_utc(line["at"]), "words": happening_words(str(line["action"]))}
            for line in objects_in(document["audit"])
        ],
    }


def moment_utc(text: Json) -> SafeString:
    """A time of the document, as paper has it: in UTC, whoever reads it where."""
    if not isinstance(text, str):
        return NOTHING
    at = datetime.fromisoformat(text)
    return format_html(
        '<time class="se-time" datetime="{}">{}</time>', at.isoformat(), at.strftime("%Y-%m-%d %H:%M:%S")
    )


def _facts(said: JsonObject, labels: dict[str, Any]) -> list[tuple[str, Any]]:
    facts: list[tuple[str, Any]] = []
    for name, label in labels.items():
        value = said[name]
        if value is not None:
            is_time = name.endswith(("_at", "_since"))
            facts.append((str(label), moment_utc(value) if is_time else value))
    return facts


def _trial(trial: JsonObject) -> dict[str, Any]:
    state = TrialState(str(trial["state"]))
    return {
        **trial,
        "is_undo": trial["act"] == ProposalAct.UNDO,
        "label": state.label,
        "finished_at": moment_utc(trial["finished_at"]),
        "counts": counts_shown(object_in(trial["result"]), str(trial["act"])),
    }


def _decision(decision: JsonObject) -> dict[str, Any]:
    return {
        **decision,
        "at": moment_utc(decision["at"]),
        "verdict": verdict_badge(str(decision["verdict"])),
        "content": code(str(decision["content_hash"])[:12]),
        "is_approval": decision["verdict"] == "approve",
    }


def _effects(effects: list[JsonObject]) -> list[dict[str, Any]]:
    """One table for each act that had any."""
    tables = []
    for act in (ProposalAct.APPLY, ProposalAct.UNDO):
        of_act = [effect for effect in effects if effect["act"] == act]
        columns = EFFECT_COLUMNS[act]
        if of_act:
            tables.append(
                {
                    "is_undo": act == ProposalAct.UNDO,
                    "columns": [str(label) for label in columns.values()],
                    "rows": [
                        (effect["field"], [_count(effect[name]) for name in columns], effect["is_counted"])
                        for effect in of_act
                    ],
                }
            )
    return tables


def _count(value: Json) -> SafeString:
    return amount(value) if isinstance(value, int) else NOTHING


def _items(value: Json) -> Iterable[Json]:
    return value if isinstance(value, list) else []
