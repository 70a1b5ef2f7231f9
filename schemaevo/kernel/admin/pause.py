"""The switch of the first page that pauses and resumes everything."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.urls import reverse
from django.utils.translation import gettext as _

from schemaevo.kernel.pages.rights import actor_of
from schemaevo.kernel.pages.verbs import refusals_told
from schemaevo.kernel.pause import store_pause, store_resume


def pause_view(request: HttpRequest) -> HttpResponse:
    """Everything is paused, or a message says why not. POST only."""
    return _switch(request, is_on=True)


def resume_view(request: HttpRequest) -> HttpResponse:
    """Everything runs again, or a message says why not. POST only."""
    return _switch(request, is_on=False)


def _switch(request: HttpRequest, *, is_on: bool) -> HttpResponse:
    if request.method != "POST":
        return HttpResponseNotAllowed(["POST"])
    actor = actor_of(request)
    with refusals_told(request):
        if is_on:
            # The banner says the rest.
            store_pause(actor=actor, reason=request.POST.get("reason", ""))
        elif store_resume(actor=actor):
            messages.success(request, _("Ingest and jobs run again."))
        else:
            messages.info(request, _("Nothing was paused; nothing has changed."))
    return HttpResponseRedirect(reverse("admin:index"))
