"""Several upgrade requests decided at once, with one note: a page that shows them, and what came of each."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, get_args

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from registry.admin.quota_forms import DecideManyForm
from registry.models import QuotaRequest, RequestState
from registry.selectors_quota_pages import requests_named
from registry.selectors_quotas import Quota, quotas_of
from registry.services.quota_requests import Decision, quota_requests_decide
from schemaevo.kernel.errors import DomainError
from schemaevo.kernel.narrowing import number_or_none
from schemaevo.kernel.pages.base import StoreAdmin
from schemaevo.kernel.pages.rights import actor_of
from schemaevo.kernel.pages.verbs import refusal_lines, verb_page

MAY_DECIDE = "registry.decide_quota"
#: More requests than these are decided in several goes: nobody reads a longer page.
CHOSEN_MAX = 100


@dataclass(frozen=True, slots=True)
class Chosen:
    """A request that was chosen, the quota of its owner now, and why deciding it was refused, if it was."""

    request: QuotaRequest
    quota: Quota
    is_own: bool
    refusal: str = ""

    @property
    def is_to_be_decided(self) -> bool:
        """Whether this login can decide it, as far as is known before it tries."""
        return self.request.state == RequestState.PENDING and not self.is_own


def decide_view(model_admin: StoreAdmin, request: HttpRequest) -> HttpResponse:
    """The chosen requests with one form for all; on POST what became of each of them."""
    if not request.user.has_perm(MAY_DECIDE):
        raise PermissionDenied
    given = request.POST if request.method == "POST" else request.GET
    ids = _numbers(given.getlist("ids"))
    if not ids or len(ids) > CHOSEN_MAX:
        messages.error(
            request,
            _("Choose from 1 to %(n)s requests that are to be decided.") % {"n": CHOSEN_MAX},
        )
        return HttpResponseRedirect(reverse("admin:registry_quotarequest_changelist"))
    form = DecideManyForm(request.POST if request.method == "POST" else None)
    decision = _decision(request)
    if decision is not None and form.is_valid():
        try:
            outcomes = quota_requests_decide(
                request_ids=ids, decision=decision, actor=actor_of(request), **form.cleaned_data
            )
        except DomainError as error:
            form.refused(error)
        else:
            refusals = {
                one.request_id: " ".join(refusal_lines(one.refusal)) for one in outcomes if one.refusal
            }
            return _decided(model_admin, request, ids, refusals)
    elif request.method == "POST" and decision is None:
        form.add_error(None, _("Approve or reject: nothing was decided."))
    chosen = _chosen(request, ids)
    return verb_page(
        model_admin,
        request,
        "admin/registry/quotarequest/decide.html",
        title=_("Decide several"),
        form=form,
        chosen=chosen,
        open_count=sum(one.is_to_be_decided for one in chosen),
    )


def _decided(
    model_admin: StoreAdmin, request: HttpRequest, ids: Iterable[int], refusals: dict[int, str]
) -> HttpResponse:
    chosen = _chosen(request, ids, refusals)
    done = len(chosen) - sum(bool(one.refusal) for one in chosen)
    return verb_page(
        model_admin,
        request,
        "admin/registry/quotarequest/decided.html",
        title=_("What was decided"),
        chosen=chosen,
        done=ngettext("%(n)s request is decided.", "%(n)s requests are decided.", done) % {"n": done},
        # Somebody took them away between the choice and the decision: no row is left that could say so.
        gone=[
            refusals[request_id] for request_id in sorted({*refusals} - {one.request.pk for one in chosen})
        ],
    )


def _chosen(request: HttpRequest, ids: Iterable[int], refusals: dict[int, str] | None = None) -> list[Chosen]:
    rows = requests_named(request_ids=[*ids])
    quotas = quotas_of(user_ids={row.user_id for row in rows})
    return [
        Chosen(row, quotas[row.user_id], row.asked_by_id == request.user.pk, (refusals or {}).get(row.pk, ""))
        for row in rows
    ]


def _decision(request: HttpRequest) -> Decision | None:
    said = request.POST.get("decision")
    decisions: tuple[Literal["approve", "reject"], ...] = get_args(Decision)
    return next((decision for decision in decisions if decision == said), None)


def _numbers(texts: Iterable[str]) -> set[int]:
    """The numbers of requests among the texts."""
    return {number for text in texts if (number := number_or_none(text)) is not None}
