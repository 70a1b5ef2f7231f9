"""The page on which recomputations are asked for, after it has told how much waits."""

from __future__ import annotations

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.urls import reverse
from django.utils.translation import gettext as _now

from schemaevo.kernel.errors import Denied, DomainError
from schemaevo.kernel.job_control import MAY_CONTROL
from schemaevo.kernel.models import User
from schemaevo.kernel.owners import user_by_name
from schemaevo.kernel.pages.base import StoreAdmin
from schemaevo.kernel.pages.rights import actor_of
from schemaevo.kernel.pages.verbs import refusal_lines, verb_page
from snapshots.selectors_waiting import waiting_told
from snapshots.services.recomputation import REFRESH, recomputation_request

#: What the two buttons send.
WAITING, EVERYTHING = "waiting", "everything"


def recompute_page(model_admin: StoreAdmin, request: HttpRequest) -> HttpResponse:
    """What waits, of all or of what is asked for; on POST the job is owed, and its page comes next."""
    if not request.user.has_perm(MAY_CONTROL):
        raise PermissionDenied
    if request.method not in {"GET", "HEAD", "POST"}:
        return HttpResponseNotAllowed(["GET", "POST"])
    given = request.POST if request.method == "POST" else request.GET
    entity_type, owner_named = given.get("type", "").strip(), given.get("owner", "").strip()
    owner, problems = _owner_of(owner_named)
    if request.method == "POST" and not problems:
        try:
            return _asked_for(request, entity_type, owner, given.get("what", ""))
        except Denied as error:
            raise PermissionDenied from error
        except DomainError as error:
            problems = refusal_lines(error)
    user_id = owner.pk if owner else None
    told = waiting_told(user_id=user_id) if owner or not owner_named else ()
    return verb_page(
        model_admin,
        request,
        "admin/snapshots/entitysnapshot/recompute.html",
        title=_now("Recompute snapshots"),
        asked={"type": entity_type, "owner": owner_named},
        owner=owner,
        told=told,
        chosen=next((one for one in told if one.entity_type == entity_type), None),
        refresh_kind=REFRESH,
        problems=problems,
    )


def _owner_of(name: str) -> tuple[User | None, list[str]]:
    """The owner who is named, None for all of them; or why there is none."""
    if not name:
        return None, []
    try:
        return user_by_name(name), []
    except DomainError as error:
        return None, refusal_lines(error)


def _asked_for(request: HttpRequest, entity_type: str, owner: User | None, what: str) -> HttpResponse:
    """Raises: DomainError."""
    job = recomputation_request(
        entity_type=entity_type,
        user_id=owner.pk if owner else None,
        actor=actor_of(request),
        is_refresh=what == EVERYTHING,
    )
    messages.success(request, _now("The job is owed. A worker begins as soon as one is free."))
    return HttpResponseRedirect(reverse("admin:kernel_job_change", args=[job.pk]))
