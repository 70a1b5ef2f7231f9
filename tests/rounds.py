"""How many rounds randomised tests take: some in `make test`, all of them in `make test-long`."""

from __future__ import annotations

import os

#: Set by conftest for a run of the long tests; whatever a test starts learns of it, too.
ALL_ROUNDS = "SCHEMAEVO_TEST_ALL_ROUNDS"
#: How much of them `make test` takes. What breaks seldom is found by the long tests, and by many runs of these.
SHARE = 0.25


def rounds(count: int) -> int:
    """`count` times SCHEMAEVO_TEST_SCALE (default 1), of which a test marked `rounds` takes a share in `make test`.

    At least one.
    """
    share = 1.0 if ALL_ROUNDS in os.environ else SHARE
    return max(1, round(count * float(os.environ.get("SCHEMAEVO_TEST_SCALE", "1")) * share))
