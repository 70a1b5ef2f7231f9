"""Ranges of confidence by which people narrow lists of fields. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from fragments.domain.confidence import WHOLE
from fragments.domain.recommendation import GLOBAL_BAR, USER_BAR


@dataclass(frozen=True, slots=True)
class Band:
    """Confidences from `low` on and below `high`, in ten-thousandths."""

    low: int
    high: int

    def __contains__(self, confidence: int) -> bool:
        return self.low <= confidence < self.high


#: By what stands in an address, the surest first: what the bars of a global schema and of an owner's own ask for, what
#: is near to that, and the rest.
BANDS: Final = {
    "90": Band(GLOBAL_BAR.confidence, WHOLE + 1),
    "85": Band(USER_BAR.confidence, GLOBAL_BAR.confidence),
    "70": Band(7_000, USER_BAR.confidence),
    "low": Band(0, 7_000),
}
