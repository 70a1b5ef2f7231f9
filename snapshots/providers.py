"""What this floor asks of higher ones: they register a provider in AppConfig.ready(); it gives a frozen dataclass."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias
from uuid import UUID


@dataclass(frozen=True, slots=True)
class SourceImpact:
    """What waits of one source on a higher floor: so many fragments, of so many fields."""

    fragments: int
    fields: int


#: What waits of a source (id) of a user (id).
SourceImpactProvider: TypeAlias = "Callable[[UUID, int], SourceImpact]"

_impacts: list[SourceImpactProvider] = []


def source_impact_provider(provider: SourceImpactProvider) -> None:
    """The provider is asked what waits of a source. Called in AppConfig.ready()."""
    if provider not in _impacts:
        _impacts.append(provider)


def impacts_of_source(*, source_id: UUID, user_id: int) -> SourceImpact:
    """What waits of the source on all higher floors together."""
    found = [provider(source_id, user_id) for provider in _impacts]
    return SourceImpact(sum(one.fragments for one in found), sum(one.fields for one in found))
