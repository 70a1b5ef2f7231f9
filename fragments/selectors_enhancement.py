"""How far the schema of one user and type grows by itself, and what it would gain now."""

from __future__ import annotations

from dataclasses import dataclass

from fragments.domain.recommendation import ObstacleCode, Recommendation
from fragments.models import EnhancementMode, EnhancementSetting
from fragments.selectors_counting import Counting
from fragments.selectors_recommendations import recommendations_of_user
from registry.selectors_quotas import Quota, quota_of


@dataclass(frozen=True, slots=True)
class EnhancementOutlook:
    """What is set, who set it, and what is eligible now; `setting` is None where nobody has set anything.

    `eligible` are the best fields of those that were looked at, however far it grows by itself; `has_more` tells that
    there are fields that were not. While `counting` is not done, nothing is eligible.
    """

    mode: EnhancementMode
    setting: EnhancementSetting | None
    eligible: tuple[Recommendation, ...]
    has_more: bool
    counting: Counting
    quota: Quota


def enhancement_mode(*, user_id: int, entity_type: str) -> EnhancementMode:
    """How far the schema of the user and type grows by itself."""
    rows = EnhancementSetting.objects.filter(user_id=user_id, entity_type=entity_type)
    mode = rows.values_list("mode", flat=True).first()
    return EnhancementMode.SUGGEST if mode is None else EnhancementMode(mode)


def enhancement_outlook(*, user_id: int, entity_type: str) -> EnhancementOutlook:
    """What is to be known before it is set, in as many queries however many fields there are."""
    setting = (
        EnhancementSetting.objects.filter(user_id=user_id, entity_type=entity_type)
        .select_related("set_by")
        .first()
    )
    page = recommendations_of_user(user_id=user_id, entity_type=entity_type)
    eligible = [one for one in page.recommendations if _is_eligible(one)]
    return EnhancementOutlook(
        EnhancementMode(setting.mode) if setting else EnhancementMode.SUGGEST,
        setting,
        tuple(
            sorted(eligible, key=lambda one: (-one.confidence.total, -one.counts.frequency_total, one.name))
        ),
        page.next_after is not None,
        page.counting,
        quota_of(user_id=user_id),
    )


def _is_eligible(one: Recommendation) -> bool:
    """Whether nothing speaks against the field but that recommending is turned off, which may be about to end."""
    return all(obstacle.code == ObstacleCode.TURNED_OFF for obstacle in one.obstacles)
