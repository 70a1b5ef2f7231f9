"""Rows that promotion and auto-enhancement leave, as they stand when all that follows is done."""

from __future__ import annotations

from typing import Any

from django.utils import timezone

from fragments.models import Enhancement, EnhancementState, Promotion, PromotionState
from schemaevo.kernel.models import User
from tests.factories import THING

#: Factors of a confidence, as auto-enhancement notes them.
REASONS = [
    {"factor": "type", "words": "100 % of the values that are not null are of type string"},
    {"factor": "samples", "words": "12 values"},
]


def make_undone(*, user: User, field: str, entity_type: str = THING, **columns: Any) -> Promotion:
    """A promotion of the field that was undone; what it made wait again waits as if it had never been."""
    columns = {"promoted_count": 1, "finished_at": timezone.now(), "undone_at": timezone.now(), **columns}
    return Promotion.objects.create(
        user=user,
        entity_type=entity_type,
        fragment_key=field,
        declaration={"type": "string"},
        state=PromotionState.UNDONE,
        **columns,
    )


def make_given_up(*, user: User, field: str, entity_type: str = THING, **columns: Any) -> Enhancement:
    """A field that auto-enhancement has given up after five failures."""
    columns = {"state": EnhancementState.GIVEN_UP, "attempts": 5, "error": "ValueError at a.py:1", **columns}
    return Enhancement.objects.create(
        user=user,
        entity_type=entity_type,
        fragment_key=field,
        confidence=8_650,
        frequency_total=12,
        reasons=REASONS,
        **columns,
    )
