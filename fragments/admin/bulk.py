"""Pages of acts in bulk: what was done to everything that matched a filter, how far it is, and what was skipped."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.forms import Script
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.shortcuts import render
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.safestring import SafeString
from django.utils.text import capfirst
from django.utils.translation import gettext as _now
from django.utils.translation import gettext_lazy as _

from fragments.admin.bulk_words import VERB_WORDS, skip_words
from fragments.models import BulkAct, BulkList, BulkState, BulkVerb
from fragments.selectors_bulk import act_job, acts_worked_on
from fragments.selectors_narrowed import RowFilter, owners_of
from fragments.services.bulk_acts import PERMISSIONS, bulk_act_cancel, bulk_act_resume
from schemaevo.kernel.models import LIVE_JOB_STATES
from schemaevo.kernel.narrowing import number_or_none
from schemaevo.kernel.owners import owners_by_id
from schemaevo.kernel.pages.display import amount, badge, moment, short
from schemaevo.kernel.pages.filters import ChoiceFilter
from schemaevo.kernel.pages.job_progress import Progress
from schemaevo.kernel.pages.keyset import Keyset, KeysetAdmin
from schemaevo.kernel.pages.rights import actor_of
from schemaevo.kernel.pages.verbs import refusals_told

TONES = {BulkState.RUNNING: "busy", BulkState.CANCELLED: "warn", BulkState.DONE: "good"}
LISTS = {
    BulkList.FRAGMENTS: "admin:fragments_rawfragment_changelist",
    BulkList.FIELDS: "admin:fragments_rawfragmentaggregate_changelist",
}
PAGES = {
    BulkList.FRAGMENTS: "admin:fragments_rawfragment_change",
    BulkList.FIELDS: "admin:fragments_rawfragmentaggregate_change",
}


class VerbFilter(ChoiceFilter):
    title = _("what is done")
    parameter_name = "verb"
    column = "verb"
    choices_from = BulkVerb


class StateFilter(ChoiceFilter):
    title = _("state")
    parameter_name = "state"
    column = "state"
    choices_from = BulkState


@admin.register(BulkAct)
class BulkActAdmin(KeysetAdmin):
    """Every act in bulk, newest first."""

    keyset = Keyset(("-id",))
    nothing_yet = _(
        "Nothing was done in bulk yet. The lists of fragments and of undeclared fields lead to it: what they are "
        "narrowed to is acted on as a whole."
    )
    begins_at = (_("Undeclared fields"), "admin:fragments_rawfragmentaggregate_changelist")
    list_display = (
        "number",
        "what",
        "narrowed",
        "shown_state",
        "looked_at",
        "done",
        "left",
        "asked_by",
        "asked",
    )
    list_filter = (VerbFilter, StateFilter)
    search_fields = ("=id",)
    search_help_text = _("Number of an act")
    change_form_outer_before_template = "admin/fragments/bulkact/page.html"

    class Media:
        js = (Script("schemaevo/live.js", defer=True),)

    def get_urls(self) -> list[URLPattern]:
        """What a page follows, and its verbs, before the addresses of the rows."""
        view = self.admin_site.admin_view
        return [
            path("<int:act_id>/live/", view(self.live_view), name="fragments_bulkact_live"),
            path("<int:act_id>/cancel/", view(self.cancel_view), name="fragments_bulkact_cancel"),
            path("<int:act_id>/resume/", view(self.resume_view), name="fragments_bulkact_resume"),
            *super().get_urls(),
        ]

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """None: the template shows everything, and follows it."""
        return ()

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        term = search_term.strip().removeprefix("#")
        if not term:
            return queryset, False
        number = number_or_none(term)
        return (queryset.none() if number is None else queryset.filter(pk=number)), False

    def attach(self, rows: Sequence[Any]) -> None:
        """With the words of each filter, and whether it stands still. One query for the names of owners, one for the
        jobs."""
        super().attach(rows)
        running = {row.pk for row in rows if row.state == BulkState.RUNNING}
        standing = running - acts_worked_on(running) if running else set()
        filters = [_filter_of(row) for row in rows]
        owners = owners_of(filters)
        for row, filtered in zip(rows, filters, strict=True):
            row.is_stopped = row.pk in standing
            row.filter_words = [(capfirst(name), said) for name, said in filtered.in_words(owners)]
            row.list_url = f"{reverse(LISTS[BulkList(row.listed)])}?{urlencode(filtered.parameters(owners))}"

    def page_context(self, request: HttpRequest, act: Any) -> dict[str, Any]:
        job = act_job(act)
        is_live = job is not None and job.state in LIVE_JOB_STATES
        is_running = act.state == BulkState.RUNNING
        may = request.user.has_perm(PERMISSIONS[BulkVerb(act.verb)])
        owners = owners_by_id({one["owner"] for one in act.refusals})
        # Of an estimate that was passed nobody knows how much is left.
        is_left_known = act.is_asked_exact or act.matched_count < act.asked_count
        total = max(act.asked_count, act.matched_count) if act.is_asked_known and is_left_known else 0
        return {
            "act": act,
            "words": VERB_WORDS[BulkVerb(act.verb)],
            "tone": TONES[BulkState(act.state)],
            "job": job,
            "progress": Progress.of(job, timezone.now()) if job is not None and is_live else None,
            "percent": act.matched_count * 100 // total if total and not act.is_done else None,
            "until": datetime.fromisoformat(act.options["until"]) if "until" in act.options else None,
            "skipped": [
                (skip_words(code), count)
                for code, count in sorted(act.skipped.items(), key=lambda item: (-item[1], item[0]))
            ],
            "refusals": [
                {
                    **one,
                    "url": reverse(PAGES[BulkList(act.listed)], args=[one["id"]]),
                    "owner_name": owners.get(one["owner"], f"#{one['owner']}"),
                    "words": skip_words(one["code"]),
                }
                for one in act.refusals
            ],
            "is_over": not (is_running and is_live),
            "is_stopped": is_running and not is_live,
            "may_cancel": may and is_running and is_live,
            "may_resume": may and not act.is_done and not (is_running and is_live),
            "audit_url": f"{reverse('admin:kernel_auditevent_changelist')}?"
            + urlencode({"target_type": "bulk_act", "target": act.pk}),
        }

    def live_view(self, request: HttpRequest, act_id: int) -> HttpResponse:
        """What the page of the act shows now, without the page around it, for a page that follows it."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        act = self.get_object(request, str(act_id))
        if act is None:
            raise Http404
        return render(request, "admin/fragments/bulkact/pieces.html", self.page_context(request, act))

    def cancel_view(self, request: HttpRequest, act_id: int) -> HttpResponse:
        """Posted: the act rests after the piece that is being done."""
        return self._moved(request, act_id, bulk_act_cancel, _now("It rests. What is done stays."))

    def resume_view(self, request: HttpRequest, act_id: int) -> HttpResponse:
        """Posted: the act goes on from where it rests."""
        return self._moved(request, act_id, bulk_act_resume, _now("It goes on from where it was."))

    def _moved(
        self, request: HttpRequest, act_id: int, service: Callable[..., BulkAct], said: str
    ) -> HttpResponse:
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        if not BulkAct.objects.filter(pk=act_id).exists():
            raise Http404
        with refusals_told(request):
            service(act_id=act_id, actor=actor_of(request))
            messages.success(request, said)
        return HttpResponseRedirect(reverse("admin:fragments_bulkact_change", args=[act_id]))

    @admin.display(description=_("number"))
    def number(self, act: BulkAct) -> str:
        return f"#{act.pk}"

    @admin.display(description=_("what is done"))
    def what(self, act: BulkAct) -> str:
        return _now("%(verb)s %(what)s") % {
            "verb": act.get_verb_display(),
            "what": BulkList(act.listed).label,
        }

    @admin.display(description=_("narrowed to"))
    def narrowed(self, act: Any) -> SafeString:
        return short(", ".join(said for _name, said in act.filter_words) or _now("everything"))

    @admin.display(description=_("state"))
    def shown_state(self, act: Any) -> SafeString:
        if act.is_stopped:
            return badge(_now("stands still"), "bad")
        state = BulkState(act.state)
        return badge(state.label, TONES[state])

    @admin.display(description=_("looked at"))
    def looked_at(self, act: BulkAct) -> SafeString:
        return amount(act.matched_count)

    @admin.display(description=_("done"))
    def done(self, act: BulkAct) -> SafeString:
        return amount(act.done_count)

    @admin.display(description=_("skipped"))
    def left(self, act: BulkAct) -> SafeString:
        return amount(act.skipped_count)

    @admin.display(description=_("asked for by"))
    def asked_by(self, act: BulkAct) -> SafeString:
        return short(act.requested_by_name)

    @admin.display(description=_("asked for"))
    def asked(self, act: BulkAct) -> SafeString:
        return moment(act.requested_at, seconds=False)


def _filter_of(act: BulkAct) -> RowFilter:
    return RowFilter.from_json(BulkList(act.listed), act.filter)
