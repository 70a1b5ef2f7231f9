"""How many rounds randomised tests take: few in tier one, more where the environment asks for it."""

from __future__ import annotations

import os


def rounds(count: int) -> int:
    """`count` times SCHEMAEVO_TEST_SCALE (default 1), and at least one."""
    return max(1, round(count * float(os.environ.get("SCHEMAEVO_TEST_SCALE", "1"))))
