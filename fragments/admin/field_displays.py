"""How pages and lists tell the confidence in a field: as a meter, factor by factor, and what speaks against it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from fragments.domain.confidence import WHOLE, FactorName
from fragments.domain.recommendation import (
    GLOBAL_BAR,
    USER_BAR,
    ObstacleCode,
    Recommendation,
    percent,
    percent_of,
)
from fragments.domain.suggested_field import SuggestedField

FACTOR_LABELS: Final = {
    FactorName.TYPE: _("One type"),
    FactorName.FORMAT: _("One format"),
    FactorName.NAME: _("The name"),
    FactorName.SAMPLES: _("Enough values"),
}
#: What is to be done about each, whoever the field is of.
_ADVICE: Final[dict[ObstacleCode, Any]] = {
    ObstacleCode.BEING_COUNTED: _(
        "Nothing is recommended until that is done. The notice above leads to the job."
    ),
    ObstacleCode.TURNED_OFF: _(
        "Set another mode for the owner and type; a field can be promoted by hand all the same."
    ),
    ObstacleCode.NO_SCHEMA: _("Register a schema of the entity type, for everybody or for this owner."),
    ObstacleCode.ALREADY_DECLARED: _("Look at what does not fit: a converter of the field may read it."),
    ObstacleCode.INVALID_NAME: _("It stays a fragment. Whoever sends it would have to name it otherwise."),
    ObstacleCode.AMBIGUOUS_NAME: _(
        "Let whoever sends it use the name that is declared, so that there is one field."
    ),
    ObstacleCode.IGNORED: _("Take the pattern from the ignore list if the field is wanted after all."),
    ObstacleCode.DISMISSED: _("It is recommended again once somebody recalls it."),
    ObstacleCode.SNOOZED: _("It comes back by itself then, or when somebody recalls it before."),
    ObstacleCode.NO_VALUE: _("There is nothing to go by. Wait for a value that is not null."),
    ObstacleCode.SEEN_TOO_RARELY: _(
        "Nothing is to be done: it is recommended when it was seen often enough."
    ),
    ObstacleCode.CONFIDENCE_TOO_LOW: _(
        "The factors tell what is missing, and the types what the values are."
    ),
    ObstacleCode.ONE_SOURCE_AND_ENTITY: _("Wait until a second source or a second entity has it."),
}


@dataclass(frozen=True, slots=True)
class FactorShown:
    """A factor of a confidence, ready for a page. `met` is in ten-thousandths."""

    label: Any
    words: str
    met: int
    weight: str
    adds: str


@dataclass(frozen=True, slots=True)
class Way:
    """Where something is done about an obstacle: an address, and the words of the link."""

    url: str
    words: Any


@dataclass(frozen=True, slots=True)
class ObstacleShown:
    """What speaks against a field, and what is to be done about it."""

    message: str
    advice: Any
    way: Way | None


@dataclass(frozen=True, slots=True)
class RecommendationShown:
    """What is to be said of a field, ready for a page. `needed` is the confidence it has to have."""

    meter: SafeString
    needed: str
    factors: list[FactorShown]
    obstacles: list[ObstacleShown]
    suggested: SuggestedField | None
    converters: list[str]


def recommendation_shown(one: Recommendation, ways: Mapping[ObstacleCode, Way]) -> RecommendationShown:
    """The recommendation for people; `ways` lead to where something is done about obstacles, as far as one may."""
    bar = GLOBAL_BAR if one.user_id is None else USER_BAR
    return RecommendationShown(
        meter=confidence_meter(one.confidence.total),
        needed=percent_of(bar.confidence),
        factors=[
            FactorShown(
                FACTOR_LABELS[reason.factor.name],
                reason.words,
                int(reason.factor.value * WHOLE),
                percent_of(reason.factor.weight),
                percent(reason.factor.contribution / WHOLE),
            )
            for reason in one.reasons
        ],
        obstacles=[
            ObstacleShown(obstacle.message, _ADVICE[obstacle.code], ways.get(obstacle.code))
            for obstacle in one.obstacles
        ],
        suggested=one.suggested,
        converters=[converter.function for converter in one.suggested.field.converters]
        if one.suggested
        else [],
    )


def confidence_meter(confidence: int) -> SafeString:
    """A confidence in ten-thousandths: a bar, and the number."""
    return format_html(
        '<span class="se-share"><progress max="10000" value="{}" aria-label="{}"></progress>'
        '<span class="se-number se-nowrap">{}</span></span>',
        confidence,
        _("confidence"),
        percent_of(confidence),
    )
