"""Every confidence is in one band, and in no other."""

from hypothesis import given
from hypothesis import strategies as st

from fragments.domain.bands import BANDS
from fragments.domain.confidence import WHOLE
from fragments.domain.recommendation import GLOBAL_BAR, USER_BAR


@given(st.integers(0, WHOLE))
def test_every_confidence_is_in_exactly_one_band(confidence: int) -> None:
    assert sum(confidence in band for band in BANDS.values()) == 1


def test_the_first_two_are_what_the_bars_ask_for() -> None:
    assert all(confidence in BANDS["90"] for confidence in (GLOBAL_BAR.confidence, WHOLE))
    assert GLOBAL_BAR.confidence - 1 in BANDS["85"]
    assert USER_BAR.confidence in BANDS["85"]
    assert USER_BAR.confidence - 1 in BANDS["70"]
