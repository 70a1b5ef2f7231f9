"""What the page of an owner's undeclared field tells beside its counts: how sure it is, and what became of it."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from django.http import HttpRequest
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from fragments.admin.enhancement_modes import mode_url
from fragments.admin.enhancements import ENHANCEMENT_TONES
from fragments.admin.field_displays import Way, recommendation_shown
from fragments.admin.promotions import PROMOTION_TONES, asked_by
from fragments.domain.recommendation import ObstacleCode, percent_of
from fragments.models import (
    Enhancement,
    EnhancementState,
    FragmentReason,
    LifecycleState,
    Promotion,
    PromotionState,
    RawFragmentAggregate,
)
from fragments.selectors_entity import LIFECYCLE_TONES
from fragments.selectors_fields import field_of_owner
from fragments.services.enhancement import MAY_SET
from fragments.services.promotions import MAY_PROMOTE


def owner_context(request: HttpRequest, row: RawFragmentAggregate, owner: str) -> dict[str, Any]:
    """The parts of the page; `owner` is what finds the owner in a list."""
    found = field_of_owner(user_id=row.user_id, entity_type=row.entity_type, name=row.fragment_key)
    recommendation = found.recommendation
    which = {"owner": owner, "type": row.entity_type, "field": row.fragment_key}
    may_undo = request.user.has_perm(MAY_PROMOTE)
    return {
        "shown": recommendation_shown(recommendation, _ways(request, which)) if recommendation else None,
        "eligible_words": _(
            "It is recommended: auto-enhancement promotes it where the owner's mode is auto, and else whoever may "
            "promote fields."
        ),
        "lives": [
            (state.label, LIFECYCLE_TONES[state], count, _fragments_url({**which, "state": state.value}))
            for state, count in found.lives.by_state.items()
        ],
        "entities": found.lives.entities,
        "first_seen_at": found.lives.first_seen_at,
        "enhancements": [_enhancement(one) for one in found.enhancements],
        "promotions": [_promotion(one, may_undo) for one in found.promotions],
        "total_url": reverse("admin:fragments_fieldtotal_change", args=[found.total.pk])
        if found.total
        else "",
    }


def _enhancement(one: Enhancement) -> tuple[Enhancement, str, str]:
    return one, ENHANCEMENT_TONES[EnhancementState(one.state)], percent_of(one.confidence)


def _promotion(one: Promotion, may_undo: bool) -> tuple[Promotion, str, str, str]:
    can_be_undone = may_undo and one.state in (PromotionState.RUNNING, PromotionState.DONE)
    undo_url = reverse("admin:fragments_promotion_undo", args=[one.pk]) if can_be_undone else ""
    return one, PROMOTION_TONES[PromotionState(one.state)], asked_by(one), undo_url


def _ways(request: HttpRequest, which: dict[str, str]) -> dict[ObstacleCode, Way]:
    """Where something is done about what speaks against the owner's field."""
    misfits = {**which, "reason": FragmentReason.TYPE_MISMATCH.value, "state": LifecycleState.ACTIVE.value}
    ways = {ObstacleCode.ALREADY_DECLARED: Way(_fragments_url(misfits), _("What does not fit"))}
    if request.user.has_perm(MAY_SET):
        ways[ObstacleCode.TURNED_OFF] = Way(mode_url(which["owner"], which["type"]), _("Set the mode"))
    if request.user.has_perm("registry.view_schema"):
        asked = urlencode({"type": which["type"], "owner": which["owner"]})
        effective = Way(
            f"{reverse('admin:registry_schema_effective')}?{asked}", _("What applies to the owner")
        )
        ways |= {ObstacleCode.NO_SCHEMA: effective, ObstacleCode.AMBIGUOUS_NAME: effective}
    return ways


def _fragments_url(which: dict[str, str]) -> str:
    return f"{reverse('admin:fragments_rawfragment_changelist')}?{urlencode(which)}"
