"""What the audit log says of changes, for tests that look at it before and after (I12)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from schemaevo.kernel.errors import DomainError
from schemaevo.kernel.models import AuditEvent, Job


@contextmanager
def audited() -> Iterator[list[AuditEvent]]:
    """Gives a list that holds the events of the block, oldest first, once the block has ended."""
    last = AuditEvent.objects.order_by("-id").values_list("id", flat=True).first() or 0
    events: list[AuditEvent] = []
    yield events
    events.extend(AuditEvent.objects.filter(id__gt=last).order_by("id"))


def refused(act: Callable[[], object], code: str) -> dict[str, Any]:
    """The act is refused with this code, and leaves no event behind; gives the context."""
    with audited() as events, pytest.raises(DomainError) as refusal:
        act()
    assert refusal.value.code == code
    assert events == []
    return dict(refusal.value.context)


def recomputations() -> int:
    """How often recomputation was asked for so far, for the type as a whole and for single users."""
    return sum(Job.objects.filter(kind="recompute_snapshots").values_list("wanted", flat=True))
