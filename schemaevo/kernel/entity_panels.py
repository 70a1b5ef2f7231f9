"""What higher apps tell of an entity where a lower one shows it; they register a provider in AppConfig.ready()."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias
from uuid import UUID

from schemaevo.kernel.canonical import Json


@dataclass(frozen=True, slots=True)
class EntityPanel:
    """One thing told of an entity, for whoever has the permission.

    On its page `template` draws `content`, as `panel.content`. A command prints `lines`, and `data` under `name` in
    its JSON.
    """

    name: str
    permission: str
    template: str
    content: Any
    lines: tuple[str, ...]
    data: Json


#: What there is to tell of the entity (its id) of a user (id); None where there is nothing.
EntityPanelProvider: TypeAlias = "Callable[[int, UUID], EntityPanel | None]"

_providers: list[EntityPanelProvider] = []


def entity_panel_provider(provider: EntityPanelProvider) -> None:
    """The provider is asked for a panel of every entity that is shown. Called in AppConfig.ready()."""
    if provider not in _providers:
        _providers.append(provider)


def entity_panels(*, user_id: int, entity_id: UUID) -> list[EntityPanel]:
    """What higher apps tell of the entity, in the order in which they registered."""
    told = (provider(user_id, entity_id) for provider in _providers)
    return [panel for panel in told if panel is not None]
