"""What the lines of all exports share: how times are written, and what a row refers to."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from django.db.models import Model


def exact_time(moment: datetime | None) -> str | None:
    """A time as lines have it: RFC 3339, UTC, with all microseconds."""
    if moment is None:
        return None
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def referred(row: Model, name: str) -> Any:
    """What the reference names, which was attached to the row; None where it is gone. Asking the row itself raises."""
    return row._state.fields_cache[name]


def owner_name(row: Model) -> str | None:
    """The username of the row's owner, who was attached to it."""
    owner = referred(row, "user")
    return None if owner is None else owner.get_username()
