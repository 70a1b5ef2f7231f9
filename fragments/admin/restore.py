"""The page on which what waits for its deletion is restored, after it has told what that is."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from django import forms
from django.conf import settings
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.urls import reverse
from django.utils.translation import gettext as _now
from django.utils.translation import gettext_lazy as _
from unfold.widgets import UnfoldAdminTextareaWidget

from fragments.admin.owners import owner_named
from fragments.selectors_lifecycle import Deletable, deletable_fields, deletable_types
from fragments.services.lifecycle import fragments_restore
from schemaevo.kernel.canonical import is_storable_text
from schemaevo.kernel.models import User
from schemaevo.kernel.pages.base import StoreAdmin
from schemaevo.kernel.pages.rights import actor_of
from schemaevo.kernel.pages.verbs import refusals_told, verb_page

MAY_RESTORE = "fragments.restore_fragment"
#: A page that restores does not take longer than people wait; the command restores any number.
RESTORED_AT_ONCE = 20_000
#: Fields that the page lists.
LISTED = 100
REASON_MAX = 2_000


class RestoreForm(forms.Form):
    """Why something is restored."""

    reason = forms.CharField(
        label=_("Reason"),
        required=False,
        max_length=REASON_MAX,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 2}),
        help_text=_("Stands in the audit log."),
    )


def restore_page(model_admin: StoreAdmin, request: HttpRequest) -> HttpResponse:
    """What waits of an owner and entity type, by field; on POST it is restored, and the page tells what is left."""
    if not request.user.has_perm(MAY_RESTORE):
        raise PermissionDenied
    if request.method not in {"GET", "HEAD", "POST"}:
        return HttpResponseNotAllowed(["GET", "POST"])
    is_post = request.method == "POST"
    given = request.POST if is_post else request.GET
    asked = {name: given.get(name, "").strip() for name in ("owner", "type")}
    # A field's name may begin or end with anything.
    asked["field"] = given.get("field", "")
    owner, problems = owner_named(asked["owner"])
    if not is_storable_text(asked["type"] + asked["field"]):
        owner, problems = None, [_now("There is no such field or entity type.")]
    form = RestoreForm(request.POST if is_post else None)
    if is_post and owner and asked["type"] and form.is_valid():
        _restore(request, owner, asked["type"], asked["field"], form.cleaned_data["reason"])
        return HttpResponseRedirect(f"{reverse('admin:fragments_rawfragment_restore')}?{urlencode(asked)}")
    fields, types = _told(owner, asked["type"], asked["field"])
    return verb_page(
        model_admin,
        request,
        "admin/fragments/rawfragment/restore.html",
        title=_now("Restore what waits for its deletion"),
        asked=asked,
        owner=owner,
        problems=problems,
        form=form,
        types=types,
        fields=fields[:LISTED],
        unlisted=max(0, len(fields) - LISTED),
        promoted=sum(one.promoted for one in fields),
        active=sum(one.active for one in fields),
        count=sum(one.count for one in fields),
        first_at=min((one.deletable_at for one in fields), default=None),
        at_once=RESTORED_AT_ONCE,
        retention_days=settings.SCHEMAEVO_PROMOTED_RETENTION_DAYS,
    )


def _told(owner: User | None, entity_type: str, field: str) -> tuple[list[Deletable], list[Deletable] | None]:
    """What waits by field, and, where no entity type is chosen, by type."""
    if owner is None:
        return [], None
    if not entity_type:
        return [], deletable_types(user_id=owner.pk)
    return deletable_fields(user_id=owner.pk, entity_type=entity_type, fragment_key=field or None), None


def _restore(request: HttpRequest, owner: User, entity_type: str, field: str, reason: str) -> None:
    with refusals_told(request):
        restored = fragments_restore(
            user_id=owner.pk,
            entity_type=entity_type,
            fragment_key=field or None,
            actor=actor_of(request),
            reason=reason,
            at_most=RESTORED_AT_ONCE,
        )
        said: dict[str, Any] = restored._asdict()
        messages.success(
            request, _now("Restored: %(promoted)s promoted again, %(active)s active again.") % said
        )
