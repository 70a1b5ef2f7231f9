"""Whether an undeclared field should be declared: from its counts alone, and with every reason for and against.

Source of the thresholds: DESIGN section 6, "Confidence".
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from fractions import Fraction
from typing import Final

from fragments.domain.confidence import ENOUGH_SAMPLES, WHOLE, Confidence, Factor, FactorName, confidence
from fragments.domain.counts import FieldCounts
from fragments.domain.suggested_field import SuggestedField, suggested_field
from registry.domain.names import field_name_problem
from schemaevo.kernel.canonical import Json


@dataclass(frozen=True, slots=True)
class Bar:
    """What a field has to come up to. `confidence` is in ten-thousandths."""

    frequency: int
    confidence: int


#: For the schema or the extension of one user, and for a global schema.
USER_BAR: Final = Bar(frequency=3, confidence=8_500)
GLOBAL_BAR: Final = Bar(frequency=6, confidence=9_000)


class ObstacleCode(StrEnum):
    """Why a field is not recommended."""

    BEING_COUNTED = "being_counted"
    TURNED_OFF = "turned_off"
    NO_SCHEMA = "no_schema"
    ALREADY_DECLARED = "already_declared"
    INVALID_NAME = "invalid_name"
    AMBIGUOUS_NAME = "ambiguous_name"
    IGNORED = "ignored"
    DISMISSED = "dismissed"
    SNOOZED = "snoozed"
    NO_VALUE = "no_value"
    SEEN_TOO_RARELY = "seen_too_rarely"
    CONFIDENCE_TOO_LOW = "confidence_too_low"
    ONE_SOURCE_AND_ENTITY = "one_source_and_entity"


@dataclass(frozen=True, slots=True)
class Obstacle:
    """One reason why a field is not recommended, for machines and for people. It may end by itself `until` a time."""

    code: ObstacleCode
    message: str
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Refused:
    """Somebody does not want the field recommended: until a time, or for good."""

    until: datetime | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What decides beside the counts.

    `ignored_by` is the pattern that the name matches. `twin` is a declared field whose name people could not tell from
    this one. `has_second_entity` matters only where there is one source.
    """

    is_being_counted: bool = False
    is_turned_off: bool = False
    has_schema: bool = True
    is_declared: bool = False
    twin: str = ""
    ignored_by: str = ""
    refused: Refused | None = None
    has_second_entity: bool = True


@dataclass(frozen=True, slots=True)
class Reason:
    """One factor of the confidence in words: what was found, what it weighs, what it adds."""

    factor: Factor
    words: str


@dataclass(frozen=True, slots=True)
class Recommendation:
    """An undeclared field, how it would be declared, and whether it should be.

    `user_id` is None where it is of all users of the entity type. `samples` are values of users: shown only to holders
    of `see_values`.
    """

    entity_type: str
    user_id: int | None
    name: str
    counts: FieldCounts
    confidence: Confidence
    obstacles: tuple[Obstacle, ...]
    samples: tuple[Json, ...] = ()

    @property
    def is_eligible(self) -> bool:
        """Whether nothing speaks against declaring it."""
        return not self.obstacles

    @property
    def suggested(self) -> SuggestedField | None:
        """How it would be declared; None where all values are null. Worked out at each look, which most do without."""
        return suggested_field(self.name, self.confidence.dominant_type, self.counts, self.samples)

    @property
    def reasons(self) -> tuple[Reason, ...]:
        """Every factor of the confidence, explained."""
        return tuple(Reason(factor, self._in_words(factor)) for factor in self.confidence.factors)

    def _in_words(self, factor: Factor) -> str:
        share = percent(factor.value)
        dominant, form = self.confidence.dominant_type, self.confidence.dominant_format
        match factor.name:
            case FactorName.TYPE:
                return (
                    f"{share} of the values that are not null are of type {dominant}"
                    if dominant
                    else "only nulls"
                )
            case FactorName.FORMAT:
                return (
                    f"{share} of these have one form{f', {form}' if form else ''}"
                    if dominant
                    else "only nulls"
                )
            case FactorName.NAME:
                return (
                    "the name sounds like a field's"
                    if factor.value == 1
                    else "the name says nothing of its kind"
                )
            case FactorName.SAMPLES:
                count = self.counts.sample_count
                found = f"{count:,} value{'' if count == 1 else 's'}"
                return found if factor.value == 1 else f"{found}; {ENOUGH_SAMPLES} are enough"


def recommend(
    *,
    entity_type: str,
    user_id: int | None,
    name: str,
    counts: FieldCounts,
    circumstances: Circumstances,
    samples: Sequence[Json] = (),
) -> Recommendation:
    """What is to be said of a field of one user, or (`user_id` None) of all users of the type together."""
    sure = confidence(
        name,
        type_counts=counts.type_counts,
        format_counts=counts.format_counts,
        sample_count=counts.sample_count,
    )
    bar = GLOBAL_BAR if user_id is None else USER_BAR
    return Recommendation(
        entity_type,
        user_id,
        name,
        counts,
        sure,
        tuple(_obstacles(name, counts, sure, bar, circumstances)),
        tuple(samples),
    )


def percent(share: Fraction) -> str:
    """A share as people read it: no more than 100 % but where it is all, and never all where it is not."""
    tenths = int(share * 1000)
    return f"{tenths // 10} %" if tenths % 10 == 0 else f"{tenths // 10}.{tenths % 10} %"


def percent_of(confidence: int) -> str:
    """A confidence in ten-thousandths as people read it."""
    return percent(Fraction(confidence, WHOLE))


def _obstacles(
    name: str, counts: FieldCounts, sure: Confidence, bar: Bar, circumstances: Circumstances
) -> Iterator[Obstacle]:
    """Everything that speaks against it, what is to be done first before what may change by itself."""
    if circumstances.is_being_counted:
        yield Obstacle(ObstacleCode.BEING_COUNTED, "the fragments are still being counted")
    if circumstances.is_turned_off:
        yield Obstacle(ObstacleCode.TURNED_OFF, "nothing is to be recommended of this type for this user")
    if not circumstances.has_schema:
        yield Obstacle(ObstacleCode.NO_SCHEMA, "there is no schema yet that it could be added to")
    if circumstances.is_declared:
        yield Obstacle(ObstacleCode.ALREADY_DECLARED, "it is declared; what waits does not fit, or not yet")
    problem = field_name_problem(name)
    if problem is not None:
        yield Obstacle(ObstacleCode.INVALID_NAME, problem)
    if circumstances.twin:
        yield Obstacle(ObstacleCode.AMBIGUOUS_NAME, f"cannot be told apart from {circumstances.twin!r}")
    if circumstances.ignored_by:
        yield Obstacle(ObstacleCode.IGNORED, f"the ignore list has {circumstances.ignored_by!r}")
    if circumstances.refused is not None:
        yield _refusal(circumstances.refused)
    if not sure.dominant_type:
        yield Obstacle(ObstacleCode.NO_VALUE, "all values are null")
    if counts.frequency_total < bar.frequency:
        times = f"{counts.frequency_total:,} time{'' if counts.frequency_total == 1 else 's'}"
        yield Obstacle(ObstacleCode.SEEN_TOO_RARELY, f"seen {times}; {bar.frequency} are needed")
    if sure.total < bar.confidence:
        yield Obstacle(
            ObstacleCode.CONFIDENCE_TOO_LOW,
            f"confidence {_of_total(sure.total)}; {_of_total(bar.confidence)} is needed",
        )
    if counts.unique_sources < 2 and not circumstances.has_second_entity:
        yield Obstacle(ObstacleCode.ONE_SOURCE_AND_ENTITY, "seen in one source and one entity only")


def _refusal(refused: Refused) -> Obstacle:
    why = f": {refused.reason}" if refused.reason else ""
    if refused.until is None:
        return Obstacle(ObstacleCode.DISMISSED, f"dismissed{why}")
    return Obstacle(
        ObstacleCode.SNOOZED, f"snoozed until {refused.until:%Y-%m-%d %H:%M} UTC{why}", refused.until
    )


def _of_total(ten_thousandths: int) -> str:
    return f"{ten_thousandths / 100:.2f} %"
