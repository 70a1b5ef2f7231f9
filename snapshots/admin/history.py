"""The page of an entity's past: its observations, newest first, and what each of them changed."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlencode

from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.utils.translation import gettext as _

from schemaevo.kernel.pages.filters import uuid_or_none
from schemaevo.kernel.pages.rights import may_see_values
from schemaevo.kernel.pages.verbs import verb_page
from snapshots.admin.as_of import as_of_query
from snapshots.errors import SnapshotNotFound
from snapshots.selectors_timeline import STEPS_MAX, entity_past

if TYPE_CHECKING:
    from schemaevo.kernel.pages.base import StoreAdmin


def history_page(model_admin: StoreAdmin, request: HttpRequest, object_id: str) -> HttpResponse:
    """A page of the past; `after` and `before` name the observation beside which it stands."""
    if request.method not in {"GET", "HEAD"}:
        return HttpResponseNotAllowed(["GET"])
    if not model_admin.has_view_or_change_permission(request):
        raise PermissionDenied
    entity = uuid_or_none(unquote(object_id))
    if entity is None:
        raise Http404
    try:
        past = entity_past(
            snapshot_id=entity,
            after=uuid_or_none(request.GET.get("after", "")),
            before=uuid_or_none(request.GET.get("before", "")),
        )
    except SnapshotNotFound as error:
        raise Http404 from error
    return verb_page(
        model_admin,
        request,
        "admin/snapshots/entitysnapshot/history.html",
        title=_("History of %(key)s") % {"key": past.snapshot.entity_key},
        row=past.snapshot,
        past=past,
        moments=[(moment, as_of_query(moment.observed_at)) for moment in past.moments],
        has_promotions=any(moment.is_promotion for moment in past.moments),
        newer_query=urlencode({"before": past.newer}) if past.newer else "",
        older_query=urlencode({"after": past.older}) if past.older else "",
        steps_max=STEPS_MAX,
        may_see_values=may_see_values(request),
    )
