"""Undeclared fields added up over their owners, as the job leaves them, without the traces of a job."""

from __future__ import annotations

from fragments.services.field_growth import Here, growth_count


def make_totals() -> None:
    """What waits now is added up over all owners."""
    here: Here | None = Here()
    while here is not None:
        here, _ = growth_count(here)
