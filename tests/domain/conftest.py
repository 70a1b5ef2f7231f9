"""Hypothesis is quick in tier one, and searches longer where the environment asks for it."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

# A first example pays for imports and caches, which a deadline would take for a fault of the code.
settings.register_profile(
    "quick", deadline=None, max_examples=80, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("thorough", parent=settings.get_profile("quick"), max_examples=1_000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))
