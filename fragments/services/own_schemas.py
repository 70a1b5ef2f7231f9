"""A user's own schema changes, where nothing else is in force for that user."""

from __future__ import annotations

from registry.selectors import Standing
from registry.services.activation import schema_activate
from registry.services.schemas import schema_register
from schemaevo.kernel.actors import Actor
from schemaevo.kernel.canonical import JsonObject


def own_put_in_force(standing: Standing, document: JsonObject, actor: Actor, note: str) -> str:
    """The document is the version in force of the user's own schema; gives what to tell about the quota.

    The caller holds the exclusive lock of type and user, and read `standing` under it: without a global schema, and
    with a version of the user's own. Raises: as `schema_register` and `schema_activate`.
    """
    assert standing.own is not None  # noqa: S101  without a global schema nothing else is in force
    registered = schema_register(
        entity_type=standing.own.entity_type,
        document=document,
        actor=actor,
        user_id=standing.own.user_id,
        note=note,
    )
    activated = schema_activate(version_id=registered.version.pk, actor=actor)
    return activated.quota_warning or registered.warning
