"""What this floor asks of higher ones: they register a provider in AppConfig.ready(); it gives a frozen dataclass."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import TypeAlias

from registry.models import ExtensionRevision, SchemaVersion
from registry.selectors_quotas import largest_consumers
from schemaevo.kernel.canonical import JsonObject
from schemaevo.kernel.pages.estimates import Amount


@dataclass(frozen=True, slots=True)
class FieldsWithoutData:
    """Declared fields of one user and entity type that none of the snapshots looked at has ever seen a value of.

    `is_complete` tells that these were all snapshots there are; else others may have one.
    """

    entity_type: str
    names: tuple[str, ...]
    looked_at: int
    is_complete: bool

    @property
    def in_words(self) -> str:
        """How far that is known, for people."""
        return f"({'all' if self.is_complete else 'only'} {self.looked_at} snapshots looked at)"

    def to_json(self) -> JsonObject:
        """As results hold it."""
        return {
            "entity_type": self.entity_type,
            "fields": [*self.names],
            "looked_at": self.looked_at,
            "complete": self.is_complete,
        }


#: Which of the given fields of a user (id) and entity type have no data; None while that cannot be told.
FieldDataProvider: TypeAlias = "Callable[[int, str, Collection[str]], FieldsWithoutData | None]"

_field_data: list[FieldDataProvider] = []


def field_data_provider(provider: FieldDataProvider) -> None:
    """The provider is asked which fields have no data. Called in AppConfig.ready()."""
    if provider not in _field_data:
        _field_data.append(provider)


@dataclass(frozen=True, slots=True)
class SchemaImpact:
    """What is stored of an entity type, or of one user's part in it, and has to be computed again by other rules.

    `users` is how many have any of it; at least so many, unless `is_every_user`.
    """

    snapshots: Amount
    users: int
    is_every_user: bool


#: What a change of the rules of an entity type, for one user (id) or for all (None), makes out of date.
SchemaImpactProvider: TypeAlias = "Callable[[str, int | None], SchemaImpact]"

_impacts: list[SchemaImpactProvider] = []


def schema_impact_provider(provider: SchemaImpactProvider) -> None:
    """The provider is asked what a change of the rules makes out of date. Called in AppConfig.ready()."""
    if provider not in _impacts:
        _impacts.append(provider)


def impact_of_schema_change(*, entity_type: str, user_id: int | None) -> list[SchemaImpact]:
    """What other rules for that type, and user or all of them, make out of date: one answer of each provider."""
    return [provider(entity_type, user_id) for provider in _impacts]


def fields_without_data(*, user_id: int, limit: int = 5) -> list[FieldsWithoutData]:
    """What the user could give back: fields of their own in force without data, of the `limit` entity types that have
    most fields."""
    types = [consumer.entity_type for consumer in largest_consumers(user_id=user_id, limit=limit)]
    declared: dict[str, set[str]] = {entity_type: set() for entity_type in types}
    in_force = {"user": user_id, "entity_type__in": types, "is_active": True}
    for version in SchemaVersion.objects.filter(**in_force):
        declared[version.entity_type] |= version.parsed.fields.keys()
    for revision in ExtensionRevision.objects.filter(**in_force):
        declared[revision.entity_type] |= revision.parsed.additional_fields.keys()
    found = []
    for entity_type, names in declared.items():
        if names:
            answers = [provider(user_id, entity_type, names) for provider in _field_data]
            found += [answer for answer in answers if answer is not None and answer.names]
    return found
