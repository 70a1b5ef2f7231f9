"""A few entities of a user, to show on them what a change would do."""

from collections.abc import Collection, Sequence

from django.db import connection

#: Entities looked at, by their keys: enough to find any field in common use, and over in a moment.
LOOKED_AT_MAX = 1_000


def entities_showing(*, user_id: int, entity_type: str, names: Collection[str], limit: int) -> Sequence[str]:
    """Entities of the user, those first whose snapshots show one of the fields, then by key."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            WITH looked_at AS MATERIALIZED (
                SELECT id, entity_key, "values" ?| %(names)s::text[] AS shows FROM entity_snapshots
                 WHERE user_id = %(user)s AND entity_type = %(type)s ORDER BY entity_key LIMIT %(looked_at)s
            )
            SELECT id::text FROM looked_at ORDER BY shows DESC, entity_key LIMIT %(limit)s
            """,
            {
                "names": [*names],
                "user": user_id,
                "type": entity_type,
                "looked_at": LOOKED_AT_MAX,
                "limit": limit,
            },
        )
        return [identity for (identity,) in cursor.fetchall()]


def keys_of(*, entity_ids: Collection[str]) -> dict[str, str]:
    """The key of each entity."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT id::text, entity_key FROM entity_snapshots WHERE id = ANY(%s::uuid[])", [[*entity_ids]]
        )
        return dict(cursor.fetchall())
