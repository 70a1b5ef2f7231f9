"""Reads of this floor that several of its rooms share."""

from collections.abc import Collection

from django.db import connection

from schemaevo.kernel.bulk import uuid_array
from schemaevo.kernel.canonical import is_storable_text
from snapshots.errors import SnapshotNotFound
from snapshots.models import EntitySnapshot


def snapshot_by_key(*, entity_type: str, entity_key: str, user_id: int, owner: str = "") -> EntitySnapshot:
    """The snapshot of the entity that the user calls so. Raises: SnapshotNotFound."""
    found = None
    if is_storable_text(entity_type) and is_storable_text(entity_key):
        found = EntitySnapshot.objects.filter(
            user_id=user_id, entity_type=entity_type, entity_key=entity_key
        ).first()
    if found is None:
        raise SnapshotNotFound(entity_type, entity_key, owner or f"User {user_id}")
    return found


def observation_contents(observation_ids: Collection[str]) -> dict[str, str]:
    """The content ids of those of these observations that are stored, by id."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT id::text, content_id::text FROM observations WHERE id = ANY(%s::uuid[])",
            [uuid_array(observation_ids)],
        )
        return dict(cursor.fetchall())
