"""What the aggregates have to be, counted in Python from the fragments alone."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Any

from fragments.models import RawFragment, RawFragmentAggregate, RawFragmentAggregateSource

WAITING = ("active", "archived")
REASONS = ("unknown_field", "type_mismatch", "constraint")
Key = tuple[int, str, str]


def counted() -> dict[Key, dict[str, Any]]:
    """The counts of each user, entity type and key that has any. Reads row by row, however many there are."""
    found: dict[Key, dict[str, Any]] = defaultdict(
        lambda: {
            "sample_count": 0,
            "frequency_total": 0,
            "type_counts": Counter(),
            "format_counts": Counter(),
            "sources": Counter(),
        }
    )
    waiting = RawFragment.objects.filter(lifecycle_state__in=WAITING, reason__in=REASONS, is_retracted=False)
    columns = ("user_id", "entity_type", "fragment_key", "frequency_count", "value_type", "value_format")
    for *key, frequency, value_type, value_format, source in waiting.values_list(
        *columns, "source_id"
    ).iterator():
        counts = found[tuple(key)]
        counts["sample_count"] += 1
        counts["frequency_total"] += frequency
        counts["type_counts"][value_type] += 1
        counts["format_counts"][f"{value_type}:{value_format}"] += 1
        counts["sources"][source] += 1
    return dict(found)


def stored() -> dict[Key, dict[str, Any]]:
    """The same from the aggregates, without those of nothing."""
    sources: dict[Key, Counter[Any]] = defaultdict(Counter)
    for source in RawFragmentAggregateSource.objects.filter(row_count__gt=0):
        key = source.user_id, source.entity_type, source.fragment_key
        sources[key][source.source_id] = source.row_count
    found = {}
    for row in RawFragmentAggregate.objects.all():
        key = row.user_id, row.entity_type, row.fragment_key
        counts = {
            name: getattr(row, name)
            for name in ("sample_count", "frequency_total", "type_counts", "format_counts")
        }
        assert row.unique_sources == len(sources[key]), key
        assert_samples_are_live(row)
        if any(counts.values()) or sources[key]:
            found[key] = {**counts, "sources": sources[key]}
    return found


def assert_samples_are_live(row: RawFragmentAggregate) -> None:
    """At most ten different values, each of a fragment that counts and has it."""
    samples = row.sample_values
    assert isinstance(samples, list)
    assert len(samples) <= 10
    ids = [sample["fragment"] for sample in samples]
    live = RawFragment.objects.filter(
        pk__in=ids, lifecycle_state__in=WAITING, reason__in=REASONS, is_retracted=False
    )
    assert {fragment.pk: fragment.value for fragment in live} == {s["fragment"]: s["value"] for s in samples}


def assert_aggregates_are_right() -> None:
    """I3, by a count that shares nothing with the triggers."""
    assert stored() == counted()
