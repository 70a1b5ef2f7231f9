"""Reads of this floor."""

from collections.abc import Collection, Iterable, Mapping
from functools import lru_cache
from typing import Any

from django.db.models import Q

from registry.domain.definition import Definition
from registry.domain.effective import EffectiveSchema, compose
from registry.domain.names import entity_type_problem
from registry.errors import SchemaNotFound
from registry.models import SchemaVersion

# Versions are immutable, so what is remembered of one can never be outdated. Only which of them is in force is
# read anew each time.
_PARSED_MAX = 4096


def owned_by(user_id: int | None) -> Q:
    """The condition for what one user owns, or for what is global. The owner is part of every look-up."""
    return Q(user__isnull=True) if user_id is None else Q(user_id=user_id)


def effective_schemas(*, entity_type: str, user_ids: Collection[int]) -> Mapping[int, EffectiveSchema]:
    """The effective schema of each user, as committed now. One query, and one more for each version that
    this process has not met yet.

    Inside a transaction that writes by it, hold the schema locks first and call this in a later statement.
    """
    shared: tuple[int, str, str] | None = None
    own: dict[int, tuple[int, str, str]] = {}
    rows: Iterable[tuple[Any, ...]] = SchemaVersion.objects.filter(
        owned_by(None) | Q(user__in=list(user_ids)), entity_type=entity_type, is_active=True
    ).values_list("id", "user_id", "definition_hash", "major", "minor", "patch")
    for version_id, user_id, definition_hash, *number in rows:
        entry = (version_id, definition_hash, ".".join(map(str, number)))
        if user_id is None:
            shared = entry
        else:
            own[user_id] = entry

    def of(user_id: int) -> EffectiveSchema:
        mine = own.get(user_id)
        stamp = shared or mine
        definition = None
        if shared and mine:
            definition = _composed(shared[:2], mine[:2])
        elif stamp:
            definition = _parsed(*stamp[:2])
        return EffectiveSchema(
            entity_type=entity_type,
            user_id=user_id,
            definition=definition,
            version_id=stamp[0] if stamp else None,
            number=stamp[2] if stamp else "",
        )

    return {user_id: of(user_id) for user_id in user_ids}


def effective_schema(*, entity_type: str, user_id: int) -> EffectiveSchema:
    """The effective schema of one user, as committed now."""
    return effective_schemas(entity_type=entity_type, user_ids=[user_id])[user_id]


def version_by_number(*, entity_type: str, user_id: int | None, number: str) -> SchemaVersion:
    """The version of that number. Raises: SchemaNotFound."""
    parts = number.split(".")
    is_type = entity_type_problem(entity_type) is None
    if is_type and len(parts) == 3 and all(part.isascii() and part.isdigit() for part in parts):
        major, minor, patch = map(int, parts)
        found = SchemaVersion.objects.filter(
            owned_by(user_id), entity_type=entity_type, major=major, minor=minor, patch=patch
        ).first()
        if found is not None:
            return found
    raise SchemaNotFound(entity_type, number, "global" if user_id is None else f"user {user_id}")


def version_in_force(*, entity_type: str, user_id: int | None) -> SchemaVersion | None:
    """The active version of that type and owner, if there is one."""
    return SchemaVersion.objects.filter(owned_by(user_id), entity_type=entity_type, is_active=True).first()


@lru_cache(maxsize=_PARSED_MAX)
def _parsed(version_id: int, definition_hash: str) -> Definition:
    # The hash is part of the key for the sake of a process that is pointed at another database.
    return SchemaVersion.objects.only("definition").get(pk=version_id, definition_hash=definition_hash).parsed


@lru_cache(maxsize=_PARSED_MAX)
def _composed(shared: tuple[int, str], own: tuple[int, str]) -> Definition:
    return compose(_parsed(*shared), _parsed(*own))
