"""What the values of one undeclared field are, for its page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

from fragments.domain.counts import FieldCounts
from fragments.models import RawFragmentAggregate

WHOLE = 10_000

_Name = TypeVar("_Name", str, tuple[str, str])


@dataclass(frozen=True, slots=True)
class Portion:
    """So many of the values, under a name: that of a type, or of a format."""

    name: str
    count: int


@dataclass(frozen=True, slots=True)
class TypeTold:
    """A type that values of a field have: how many of them, which share of those that are not null, in ten-thousandths
    (None of null itself), and which formats."""

    name: str
    count: int
    share: int | None
    formats: tuple[Portion, ...]


def types_told(counted: RawFragmentAggregate | FieldCounts | None) -> list[TypeTold]:
    """The types of a field's values with their formats, those of most values first; none where none is."""
    if counted is None:
        return []
    counts: Mapping[str, int] = counted.type_counts
    formats: Mapping[str, int] = counted.format_counts
    # While the fragments of before are counted, a count may be below nothing.
    not_null = sum(count for name, count in counts.items() if name != "null")
    return [
        TypeTold(
            name,
            count,
            None if name == "null" or not_null <= 0 else max(0, min(WHOLE, count * WHOLE // not_null)),
            tuple(
                Portion(format_name, of_format)
                for (type_name, format_name), of_format in _by_count(
                    {_split(key): of_format for key, of_format in formats.items()}
                )
                if type_name == name and format_name
            ),
        )
        for name, count in _by_count(counts)
    ]


def _split(key: str) -> tuple[str, str]:
    type_name, _, format_name = key.partition(":")
    return type_name, format_name


def _by_count(counts: Mapping[_Name, int]) -> list[tuple[_Name, int]]:
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))
