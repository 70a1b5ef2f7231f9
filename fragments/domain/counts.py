"""What is counted of an undeclared field, of one user or of several together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True)
class FieldCounts:
    """The counts of one aggregate (fragments.models.RawFragmentAggregate), or of several added up.

    `format_counts` are by *form*: ``type:format``. Counts of an aggregate that is still being made may be negative.
    """

    sample_count: int = 0
    frequency_total: int = 0
    type_counts: Mapping[str, int] = field(default_factory=dict)
    format_counts: Mapping[str, int] = field(default_factory=dict)
    unique_sources: int = 0
    user_count: int = 1
    last_seen_at: datetime | None = None

    def forms(self) -> Iterator[tuple[str, int]]:
        """Each form that some values have, and how many have it; by name."""
        return ((form, count) for form, count in sorted(self.format_counts.items()) if count > 0)


def counts_added(several: Iterable[FieldCounts]) -> FieldCounts:
    """The counts of a field over all the users that these are of.

    A source belongs to one user, and so does a fragment: nothing is counted twice.
    """
    types: Counter[str] = Counter()
    formats: Counter[str] = Counter()
    samples = frequency = sources = users = 0
    last: datetime | None = None
    for counts in several:
        # Counter.update would do, but for counts below zero.
        for name, count in counts.type_counts.items():
            types[name] += count
        for name, count in counts.format_counts.items():
            formats[name] += count
        samples += counts.sample_count
        frequency += counts.frequency_total
        sources += counts.unique_sources
        users += counts.user_count
        if counts.last_seen_at is not None:
            last = counts.last_seen_at if last is None else max(last, counts.last_seen_at)
    return FieldCounts(
        samples,
        frequency,
        {name: count for name, count in types.items() if count},
        {name: count for name, count in formats.items() if count},
        sources,
        users,
        last,
    )
