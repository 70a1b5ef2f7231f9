"""The page on which is set how far a user's schema of one type grows by itself."""

from __future__ import annotations

from urllib.parse import urlencode

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _now
from django.utils.translation import gettext_lazy as _

from fragments.admin.owners import owner_named
from fragments.domain.recommendation import percent_of
from fragments.models import EnhancementMode
from fragments.selectors_enhancement import EnhancementOutlook, enhancement_outlook
from fragments.services.enhancement import MAY_SET, enhancement_set
from registry.domain.names import entity_type_problem
from schemaevo.kernel.errors import Denied, DomainError
from schemaevo.kernel.models import User
from schemaevo.kernel.pages.base import StoreAdmin
from schemaevo.kernel.pages.rights import actor_of
from schemaevo.kernel.pages.verbs import refusal_lines, verb_page

MODE_TONES = {
    EnhancementMode.OFF: "plain",
    EnhancementMode.SUGGEST: "busy",
    EnhancementMode.AUTO: "good",
}
#: What each mode does, and the words of its button.
MODE_WORDS = {
    EnhancementMode.OFF: (
        _("Nothing is recommended, and nothing promoted by itself. Somebody can still promote a field."),
        _("Turn it off"),
    ),
    EnhancementMode.SUGGEST: (
        _("Fields are recommended, and somebody promotes them. So it is wherever nothing else is set."),
        _("Only suggest"),
    ),
    EnhancementMode.AUTO: (
        _("A job promotes what is eligible, the best first, as far as the owner's quota goes."),
        _("Promote by itself"),
    ),
}
#: Eligible fields that the page lists.
LISTED = 20


def mode_url(owner: str, entity_type: str) -> str:
    """The page that sets it for this owner and type."""
    asked = {"owner": owner, "type": entity_type}
    return f"{reverse('admin:fragments_enhancementsetting_set')}?{urlencode(asked)}"


def confidence_shown(confidence: int) -> SafeString:
    """A confidence in ten-thousandths as people read it."""
    return format_html('<span class="se-number se-nowrap">{}</span>', percent_of(confidence))


def mode_page(model_admin: StoreAdmin, request: HttpRequest) -> HttpResponse:
    """What is set for an owner and type, and what is eligible; on POST it is set, and the page tells it."""
    if not request.user.has_perm(MAY_SET):
        raise PermissionDenied
    if request.method not in {"GET", "HEAD", "POST"}:
        return HttpResponseNotAllowed(["GET", "HEAD", "POST"])
    is_post = request.method == "POST"
    given = request.POST if is_post else request.GET
    asked = {name: given.get(name, "").strip() for name in ("owner", "type")}
    owner, problems = owner_named(asked["owner"])
    misnamed = {"owner"} if problems else set()
    if asked["type"] and (problem := entity_type_problem(asked["type"])):
        owner, problems = None, [*problems, problem]
        misnamed.add("type")
    if is_post and not problems:
        problems = _problems_setting(request, owner, asked["type"], given.get("mode", ""))
        if owner is not None and not problems:
            return HttpResponseRedirect(mode_url(owner.username, asked["type"]))
    outlook = (
        enhancement_outlook(user_id=owner.pk, entity_type=asked["type"]) if owner and asked["type"] else None
    )
    return verb_page(
        model_admin,
        request,
        "admin/fragments/enhancementsetting/mode.html",
        title=_now("How far a schema grows by itself"),
        asked=asked,
        owner=owner,
        problems=problems,
        misnamed=misnamed,
        outlook=outlook,
        tone=MODE_TONES[outlook.mode] if outlook else "",
        modes=_modes(outlook),
        eligible=[(one, confidence_shown(one.confidence.total)) for one in outlook.eligible[:LISTED]]
        if outlook
        else [],
        unlisted=max(0, len(outlook.eligible) - LISTED) if outlook else 0,
    )


def _problems_setting(request: HttpRequest, owner: User | None, entity_type: str, mode: str) -> list[str]:
    """It is set; or why it is not. Raises: PermissionDenied."""
    if owner is None or not entity_type:
        return [_now("Name an owner and an entity type.")]
    if mode not in EnhancementMode.values:
        return [_now("Choose one of the modes.")]
    chosen = EnhancementMode(mode)
    try:
        enhancement_set(user_id=owner.pk, entity_type=entity_type, mode=chosen, actor=actor_of(request))
    except Denied as error:
        raise PermissionDenied from error
    except DomainError as error:
        return refusal_lines(error)
    said = {"type": entity_type, "owner": owner, "mode": chosen.label}
    messages.success(request, _now("%(type)s of %(owner)s: the mode is now %(mode)s.") % said)
    return []


def _modes(outlook: EnhancementOutlook | None) -> list[tuple[EnhancementMode, str, str, bool]]:
    """Each mode with what it does, the words of its button, and whether it is set."""
    return [
        (mode, str(words), str(button), outlook is not None and mode == outlook.mode)
        for mode, (words, button) in MODE_WORDS.items()
    ]
