"""The page on which a rebuild of undeclared fields is asked for."""

from __future__ import annotations

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.urls import reverse
from django.utils.translation import gettext as _now

from fragments.admin.owners import owner_named
from fragments.selectors_counting import rebuilds_told
from fragments.services.aggregates import Scope
from fragments.services.aggregates_rebuild import aggregates_rebuild_outlook, aggregates_rebuild_request
from schemaevo.kernel.errors import Denied, DomainError
from schemaevo.kernel.job_control import MAY_CONTROL
from schemaevo.kernel.pages.base import StoreAdmin
from schemaevo.kernel.pages.rights import actor_of
from schemaevo.kernel.pages.verbs import refusal_lines, verb_page


def rebuild_page(model_admin: StoreAdmin, request: HttpRequest) -> HttpResponse:
    """What is at it, how much there is to count, and the form; on POST the job is owed, and its page comes next."""
    if not request.user.has_perm(MAY_CONTROL):
        raise PermissionDenied
    if request.method not in {"GET", "HEAD", "POST"}:
        return HttpResponseNotAllowed(["GET", "POST"])
    given = request.POST if request.method == "POST" else request.GET
    entity_type, named = given.get("type", "").strip(), given.get("owner", "").strip()
    owner, problems = owner_named(named)
    scope, outlook = Scope(entity_type, owner.pk if owner else None), None
    if not problems:
        try:
            if request.method == "POST":
                job = aggregates_rebuild_request(actor=actor_of(request), scope=scope)
                messages.success(request, _now("The job is owed. A worker begins as soon as one is free."))
                return HttpResponseRedirect(reverse("admin:kernel_job_change", args=[job.pk]))
            if given.keys() & {"type", "owner"}:
                # Chosen, and be it all: what is typed afterwards would else not be what is counted.
                outlook = aggregates_rebuild_outlook(scope)
        except Denied as error:
            raise PermissionDenied from error
        except DomainError as error:
            problems = refusal_lines(error)
    return verb_page(
        model_admin,
        request,
        "admin/fragments/rawfragmentaggregate/rebuild.html",
        title=_now("Count undeclared fields anew"),
        asked={"type": entity_type, "owner": named},
        problems=problems,
        outlook=outlook,
        owner=owner,
        rebuilds=rebuilds_told(),
    )
