"""Waiting for what another process or connection does, without guessing how long it takes."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
PATIENCE_S = 60
LOOK_EVERY_S = 0.02


def wait_for(look: Callable[[], T | None], what: str) -> T:
    """Gives what `look` gives, once that is true; fails with `what` if it never is."""
    deadline = time.monotonic() + PATIENCE_S
    while not (seen := look()):
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {PATIENCE_S} s in vain for {what}")
        time.sleep(LOOK_EVERY_S)
    return seen
