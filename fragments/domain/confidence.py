"""How sure we are that an undeclared field is a field: from its aggregate alone, and explained factor by factor."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from functools import lru_cache

from registry.domain.names import normalised_name

#: Everything here is a whole number of ten-thousandths.
WHOLE = 10_000
#: So many values are enough to go by.
ENOUGH_SAMPLES = 10

_SUFFIXES = (
    *("_id", "_ids", "_at", "_date", "_time", "_name", "_names", "_email", "_url"),
    *("_amount", "_price", "_cost", "_address", "_phone", "_path"),
)
_PREFIXES = ("is_", "has_", "can_", "should_")
#: Of these types a value has no form that another could differ from; numbers are whole or not as it happens.
_ONE_FORMAT = frozenset({"number", "boolean", "array", "object"})


class FactorName(StrEnum):
    """What confidence is made of."""

    TYPE = "type"
    FORMAT = "format"
    NAME = "name"
    SAMPLES = "samples"


#: The share of each in the whole, in ten-thousandths.
WEIGHTS = {
    FactorName.TYPE: 5000,
    FactorName.FORMAT: 2500,
    FactorName.NAME: 1500,
    FactorName.SAMPLES: 1000,
}


@dataclass(frozen=True, slots=True)
class Factor:
    """One reason for more or less confidence: it is met in `part` of `of`, all of which is the best there is."""

    # Whole numbers: lists ask for thousands of these, and a third of their time went into making fractions.
    name: FactorName
    part: int
    of: int

    @property
    def value(self) -> Fraction:
        """How well it is met, from 0 to 1."""
        return Fraction(self.part, self.of)

    @property
    def weight(self) -> int:
        """Its share in the whole, in ten-thousandths."""
        return WEIGHTS[self.name]

    @property
    def contribution(self) -> Fraction:
        """What it adds, in ten-thousandths."""
        return self.weight * self.value


@dataclass(frozen=True, slots=True)
class Confidence:
    """Confidence in a field, and why. `dominant_type` is '' where every value is null."""

    factors: tuple[Factor, ...]
    dominant_type: str
    dominant_format: str

    @property
    def total(self) -> int:
        """The confidence in ten-thousandths, rounded down."""
        # What the contributions add up to, over one denominator.
        total, whole = 0, 1
        for factor in self.factors:
            total = total * factor.of + WEIGHTS[factor.name] * factor.part * whole
            whole *= factor.of
        return total // whole


def confidence(
    name: str, *, type_counts: Mapping[str, int], format_counts: Mapping[str, int], sample_count: int
) -> Confidence:
    """The confidence in a field of that name, by the counts of an aggregate (fragments.models.RawFragmentAggregate).

    Half of it is how many of the values that are not null are of one type, a quarter how many of these have one format,
    and the rest the name, which may sound like a field's, and whether there are enough values to go by. Counts of an
    aggregate that is still being made may be negative, and count as nothing.
    """
    types = {kind: count for kind, count in type_counts.items() if kind != "null" and count > 0}
    dominant_type, of_type, values = _dominant(types)
    formats = {
        form.removeprefix(f"{dominant_type}:"): count
        for form, count in format_counts.items()
        if dominant_type and form.startswith(f"{dominant_type}:") and count > 0
    }
    dominant_format, of_format, forms = _dominant(formats)
    if dominant_type in _ONE_FORMAT:
        of_format = forms = 1
    return Confidence(
        (
            Factor(FactorName.TYPE, of_type, values),
            Factor(FactorName.FORMAT, of_format, forms),
            Factor(FactorName.NAME, 2 if sounds_like_a_field(name) else 1, 2),
            Factor(FactorName.SAMPLES, min(max(sample_count, 0), ENOUGH_SAMPLES), ENOUGH_SAMPLES),
        ),
        dominant_type,
        dominant_format,
    )


@lru_cache(maxsize=8192)
def sounds_like_a_field(name: str) -> bool:
    """Whether the normalised name has an ending or a beginning that fields of records often have."""
    normalised = normalised_name(name)
    return normalised.endswith(_SUFFIXES) or normalised.startswith(_PREFIXES)


def _dominant(counts: Mapping[str, int]) -> tuple[str, int, int]:
    """What most are, of several the first by name; how many these are, of how many. None of one where there is none."""
    if not counts:
        return "", 0, 1
    dominant = min(counts, key=lambda name: (-counts[name], name))
    return dominant, counts[dominant], sum(counts.values())
