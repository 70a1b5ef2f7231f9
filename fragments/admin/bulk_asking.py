"""Lists on all of whose rows one can act: the way there, and the page that tells what a verb would come to."""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar
from urllib.parse import urlencode

from django import forms
from django.contrib import messages
from django.contrib.admin.views.main import PAGE_VAR
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.utils.text import capfirst
from django.utils.translation import gettext as _now
from django.utils.translation import gettext_lazy as _
from unfold.widgets import (
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
    UnfoldBooleanWidget,
)

from fragments.admin.bulk_words import VERB_WORDS, skip_words
from fragments.models import VERBS_OF, BulkAct, BulkList, BulkVerb
from fragments.selectors_bulk import Foreseen, act_foreseen, rows_matched
from fragments.selectors_fields import FIELDS_READ
from fragments.selectors_narrowed import CRITERIA, SEARCH, RowFilter, owners_of
from fragments.services.bulk_acts import PERMISSIONS, bulk_act_begin
from schemaevo.kernel.errors import DomainError
from schemaevo.kernel.pages.exporting import ExportingAdmin
from schemaevo.kernel.pages.rights import actor_of
from schemaevo.kernel.pages.verbs import form_refused, verb_page
from schemaevo.kernel.pages.views_bar import VIEW_VAR

REASON_MAX = 2_000
#: Parameters of the page itself, beside those of the list.
VERB, OTHERS = "do", "others"


class ActForm(forms.Form):
    """Why, and what the verb has to know."""

    reason = forms.CharField(
        label=_("Reason"),
        max_length=REASON_MAX,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 2}),
        help_text=_("Stands with the act, in the audit log, and with each row that keeps a reason."),
    )
    until = forms.DateTimeField(
        label=_("Until"),
        widget=UnfoldAdminTextInputWidget(attrs={"placeholder": "2027-01-31 12:00", "autocomplete": "off"}),
        help_text=_("A date or a time, in your time zone."),
    )
    everything = forms.BooleanField(
        label=_("Yes, every row of the list is meant"),
        widget=UnfoldBooleanWidget(),
        error_messages={"required": _("No filter is set: say that every row is meant.")},
    )

    def __init__(self, data: Any, *, verb: BulkVerb, is_everything: bool) -> None:
        super().__init__(data)
        if verb != BulkVerb.SNOOZE:
            del self.fields["until"]
        if not is_everything:
            del self.fields["everything"]

    @property
    def until_given(self) -> datetime | None:
        """Until when, where that is asked and was said."""
        found: datetime | None = self.cleaned_data.get("until")
        return found


class BulkingAdmin(ExportingAdmin):
    """A list with a button that leads to a page on which one acts on everything that it is narrowed to."""

    bulk_list: ClassVar[BulkList]

    def get_urls(self) -> list[URLPattern]:
        """The page that asks for an act, before the addresses of the rows."""
        name = f"{self.opts.app_label}_{self.opts.model_name}_bulk"
        return [path("bulk/", self.admin_site.admin_view(self.bulk_view), name=name), *super().get_urls()]

    def bulk_verbs(self, request: HttpRequest) -> list[BulkVerb]:
        """What this login may do to rows of the list."""
        if not self.has_view_permission(request):
            return []
        return [verb for verb in VERBS_OF[self.bulk_list] if request.user.has_perm(PERMISSIONS[verb])]

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """The list, with the way to what can be done to all of it for who may."""
        way = {"bulk_url": self._address("bulk", request)} if self.bulk_verbs(request) else {}
        return super().changelist_view(request, {**way, **(extra_context or {})})

    def bulk_view(self, request: HttpRequest) -> HttpResponse:
        """What a verb would come to for all that matches; on POST it is asked for, and the page of the act comes
        next."""
        if request.method not in {"GET", "HEAD", "POST"}:
            return HttpResponseNotAllowed(["GET", "HEAD", "POST"])
        verbs = self.bulk_verbs(request)
        if not verbs:
            raise PermissionDenied
        listed = reverse(self._view("changelist"))
        known = {criterion.parameter for criterion in CRITERIA[self.bulk_list]}
        if request.GET.keys() - known - {SEARCH, PAGE_VAR, VIEW_VAR, VERB, OTHERS}:
            # What is not understood would narrow nothing, and so mean more than was wanted.
            messages.error(request, _now("This address says something that the list does not know."))
            return HttpResponseRedirect(listed)
        filtered = RowFilter.read(self.bulk_list, request.GET.dict())
        chosen = request.GET.get(VERB, verbs[0].value)
        if chosen not in BulkVerb.values or BulkVerb(chosen) not in VERBS_OF[self.bulk_list]:
            messages.error(request, _now("There is no such thing to do."))
            return HttpResponseRedirect(listed)
        verb = BulkVerb(chosen)
        if verb not in verbs:
            raise PermissionDenied
        with_others = verb == BulkVerb.PROMOTE and request.GET.get(OTHERS) == "1"
        form = ActForm(
            request.POST if request.method == "POST" else None,
            verb=verb,
            is_everything=filtered.is_everything,
        )
        if form.is_bound and form.is_valid():
            act = _begun(request, filtered, verb, form, with_others=with_others)
            if act is not None:
                messages.success(request, _now("It is being done. This page follows it."))
                return HttpResponseRedirect(reverse("admin:fragments_bulkact_change", args=[act.pk]))
        matched, is_cut = filtered.matched()
        foreseen = act_foreseen(matched, verb, with_others=with_others)
        owners = owners_of([filtered])
        asked = {name: request.GET[name] for name in (*known, SEARCH) if request.GET.get(name)}
        return verb_page(
            self,
            request,
            "admin/fragments/bulkact/ask.html",
            title=_now("Act on all of these %(what)s") % {"what": self.opts.verbose_name_plural},
            filtered=filtered,
            narrowed=[(capfirst(name), said) for name, said in filtered.in_words(owners)],
            matched=rows_matched(matched),
            fields_read=FIELDS_READ if is_cut else None,
            verb=verb,
            words=VERB_WORDS[verb],
            verbs=[(one, VERB_WORDS[one], f"?{urlencode({**asked, VERB: one.value})}") for one in verbs],
            with_others=with_others,
            others_url=f"?{urlencode({**asked, VERB: verb.value, **({} if with_others else {OTHERS: '1'})})}",
            foreseen=foreseen,
            skipped=_skipped(foreseen),
            unlisted=0 if foreseen is None else foreseen.owner_count - len(foreseen.owners),
            form=form,
            list_url=f"{listed}?{urlencode(asked)}" if asked else listed,
        )


def _skipped(foreseen: Foreseen | None) -> list[tuple[str, int]]:
    return [] if foreseen is None else [(skip_words(code), count) for code, count in foreseen.reasons]


def _begun(
    request: HttpRequest, filtered: RowFilter, verb: BulkVerb, form: ActForm, *, with_others: bool
) -> BulkAct | None:
    """The act that is asked for; else the form says why it is not."""
    try:
        return bulk_act_begin(
            filtered=filtered,
            verb=verb,
            reason=form.cleaned_data["reason"],
            actor=actor_of(request),
            until=form.until_given,
            with_others=with_others,
            is_everything_meant=form.cleaned_data.get("everything") is True,
        )
    except DomainError as error:
        form_refused(
            form,
            error,
            reason_missing="reason",
            until_missing="until",
            until_passed="until",
            until_too_late="until",
        )
        return None
