"""How many snapshots other rules would make out of date."""

from django.db import connection

from registry.providers import SchemaImpact
from schemaevo.kernel.pages.estimates import found_counted
from snapshots.models import EntitySnapshot

#: Users who have snapshots of a type are counted up to so many.
USERS_MAX = 500


def snapshots_impact(entity_type: str, user_id: int | None) -> SchemaImpact:
    """The snapshots of that type, of the user or of all: counted while they are few, else estimated."""
    found = EntitySnapshot.objects.filter(entity_type=entity_type)
    if user_id is not None:
        snapshots = found_counted(found.filter(user=user_id))
        return SchemaImpact(snapshots, min(snapshots.value, 1), is_every_user=True)
    users = _users_counted(entity_type)
    return SchemaImpact(found_counted(found), min(users, USERS_MAX), is_every_user=users <= USERS_MAX)


def _users_counted(entity_type: str) -> int:
    """How many users have snapshots of that type, up to USERS_MAX + 1: one step of the index for each of them, however
    many snapshots they have."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            WITH RECURSIVE holder (user_id, step) AS (
                (SELECT user_id, 1 FROM entity_snapshots WHERE entity_type = %(type)s ORDER BY user_id LIMIT 1)
                UNION ALL
                SELECT (SELECT s.user_id FROM entity_snapshots AS s
                         WHERE s.entity_type = %(type)s AND s.user_id > h.user_id ORDER BY s.user_id LIMIT 1),
                       h.step + 1
                  FROM holder AS h WHERE h.user_id IS NOT NULL AND h.step <= %(limit)s
            )
            SELECT count(user_id) FROM holder
            """,
            {"type": entity_type, "limit": USERS_MAX},
        )
        counted: int = cursor.fetchone()[0]
        return counted
